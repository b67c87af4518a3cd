import PeykMerge
import PeykModel
import Testing

@Suite("One of the concurrent writes stands (M1, M2)")
struct PickedPolicyTests {
    static let insert = Step(1, at: 10, .insert, Sample.text(Sample.name, "Arya"))

    struct Race: Sendable, CustomTestStringConvertible {
        var name: String
        var a: CellChange
        var b: CellChange
        /// What stands, by the earlier (a) or the later stamp (b).
        var winner: CellChange
        var rule: Decision.Rule
        var isOpen = false
        var testDescription: String { name }
    }

    static let races: [Race] = [
        Race(
            name: "lww: the later stamp", a: Sample.text(Sample.note, "x"), b: Sample.text(Sample.note, "y"),
            winner: Sample.text(Sample.note, "y"), rule: .lww),
        Race(
            name: "review: as lww, and the entry is open", a: Sample.text(Sample.owner, "x"),
            b: Sample.text(Sample.owner, "y"), winner: Sample.text(Sample.owner, "y"), rule: .review, isOpen: true),
        Race(
            name: "max: the greater, though earlier", a: Sample.number(Sample.best, 9),
            b: Sample.number(Sample.best, 3), winner: Sample.number(Sample.best, 9), rule: .max),
        Race(
            name: "min: the smaller, though earlier", a: Sample.number(Sample.first, 1),
            b: Sample.number(Sample.first, 3), winner: Sample.number(Sample.first, 1), rule: .min),
        Race(
            name: "min: a null is not the smallest", a: Sample.number(Sample.first, 4),
            b: CellChange(cell: Sample.first, write: .assign([.null])), winner: Sample.number(Sample.first, 4),
            rule: .min),
        Race(
            name: "once: the first", a: Sample.text(Sample.source, "fair"), b: Sample.text(Sample.source, "web"),
            winner: Sample.text(Sample.source, "fair"), rule: .once),
        Race(
            name: "rank: the later stage, though earlier", a: Sample.text(Sample.stage, "offer"),
            b: Sample.text(Sample.stage, "lead"), winner: Sample.text(Sample.stage, "offer"), rule: .rank),
        Race(
            name: "rank: a closed stage beats an open one", a: Sample.text(Sample.stage, "won"),
            b: Sample.text(Sample.stage, "offer"), winner: Sample.text(Sample.stage, "won"), rule: .rank),
        Race(
            name: "rank: Lost against Won, and the entry is open", a: Sample.text(Sample.stage, "lost"),
            b: Sample.text(Sample.stage, "won"), winner: Sample.text(Sample.stage, "lost"), rule: .wonOrLost,
            isOpen: true),
        Race(
            name: "a group wins or loses whole", a: Sample.price(10, "EUR"), b: Sample.price(20, "IRR"),
            winner: Sample.price(20, "IRR"), rule: .review, isOpen: true),
    ]

    @Test("settles a race the same in both orders, and keeps the loser as data", arguments: races)
    func race(_ race: Race) throws {
        let a = Step(2, at: 20, seen: [Self.insert], .update, race.a)
        let b = Step(3, at: 30, seen: [Self.insert], .update, race.b)
        let one = Merged(Self.insert, a, b)
        let other = Merged(Self.insert, b, a)
        let cell = try #require(Sample.deal.cell(tag: race.a.cell))
        guard case .assign(let expected) = race.winner.write else { return }
        #expect(cell.fields.map { one[$0] } == expected)
        #expect(one.state?.withoutPositions == other.state?.withoutPositions)
        for merged in [one, other] {
            let conflict = try #require(merged.last.conflicts.first)
            #expect(merged.last.conflicts.count == 1)
            #expect(conflict.rule == race.rule)
            #expect(conflict.isOpen == race.isOpen)
            #expect(conflict.winner.values == expected)
            #expect(conflict.losers.count == 1)
            #expect(conflict.newlyLost == conflict.losers.map(\.writer.commit))
        }
        let loser = race.winner == race.a ? b : a
        #expect(one.last.conflicts.first?.losers.first?.writer.commit == loser.commit)
    }

    @Test("nobody lost where the values are equal (M1)")
    func equal() {
        let a = Step(2, at: 20, seen: [Self.insert], .update, Sample.text(Sample.owner, "x"))
        let b = Step(3, at: 30, seen: [Self.insert], .update, Sample.text(Sample.owner, "x"))
        let merged = Merged(Self.insert, a, b)
        #expect(merged.last.conflicts.isEmpty)
        #expect(merged.last.decisions.map(\.rule) == [.equal])
        #expect(merged.state?.clock.listed(Sample.owner)?.siblings.map(\.values) == [nil, nil])
    }

    @Test("a write that has seen the value replaces it, whatever the clocks say (P10)", arguments: [1, 500])
    func causal(stamp: Int64) {
        let a = Step(2, at: 400, seen: [Self.insert], .update, Sample.number(Sample.best, 9))
        let b = Step(3, at: stamp, seen: [a], .update, Sample.number(Sample.best, 2))
        let merged = Merged(Self.insert, a, b)
        #expect(merged[Sample.best] == .integer(2))
        #expect(merged.last.conflicts.isEmpty)
        #expect(
            merged.last.decisions == [
                Decision(cell: Sample.best, rule: .causal, verdict: .applied, others: [a.writer(2)])
            ])
        #expect(merged.state?.clock.listed(Sample.best)?.siblings == [Sibling(writer: b.writer(3))])
    }

    @Test("a loser stays a candidate until it is covered (M1)")
    func candidate() {
        // B writes 1; C, having seen B, writes 0; A writes 1 concurrently to both: max is 1 in every order.
        let b = Step(2, at: 20, seen: [Self.insert], .update, Sample.number(Sample.best, 1))
        let c = Step(3, at: 30, seen: [b], .update, Sample.number(Sample.best, 0))
        let a = Step(4, at: 5, seen: [Self.insert], .update, Sample.number(Sample.best, 1))
        for order in [[a, b, c], [b, a, c], [b, c, a]] {
            let merged = Merged(steps: [Self.insert] + order)
            #expect(merged[Sample.best] == .integer(1))
            #expect(merged.entries[Sample.best]?.losers.map(\.writer.commit) == [c.commit])
        }
    }

    @Test("a further concurrent write joins the entry; a write that has seen all closes it (M7)")
    func joins() {
        let a = Step(2, at: 20, seen: [Self.insert], .update, Sample.text(Sample.owner, "a"))
        let b = Step(3, at: 30, seen: [Self.insert], .update, Sample.text(Sample.owner, "b"))
        let c = Step(4, at: 25, seen: [Self.insert], .update, Sample.text(Sample.owner, "c"))
        var merged = Merged(Self.insert, a, b, c)
        #expect(merged.last.conflicts.first?.losers.map(\.writer.commit) == [a.commit, c.commit])
        #expect(merged.last.conflicts.first?.newlyLost == [c.commit])
        #expect(merged.last.lostCells == [Sample.owner])
        let half = Step(5, at: 40, seen: [b], .update, Sample.text(Sample.owner, "d"))
        #expect(merged.take(half).resolved.isEmpty)
        #expect(merged.entries[Sample.owner]?.winner.writer.commit == half.commit)
        let settle = Step(6, at: 1, seen: [a, c, half], .update, Sample.text(Sample.owner, "a"))
        #expect(merged.take(settle).resolved == [Sample.owner])
        #expect(merged[Sample.owner] == .text("a"))
        #expect(merged.entries.isEmpty)
    }

    @Test("different fields of one record both stand")
    func fields() {
        let a = Step(2, at: 20, seen: [Self.insert], .update, Sample.text(Sample.owner, "a"))
        let b = Step(3, at: 30, seen: [Self.insert], .update, Sample.text(Sample.note, "b"))
        let merged = Merged(Self.insert, a, b)
        #expect(merged[Sample.owner] == .text("a"))
        #expect(merged[Sample.note] == .text("b"))
        #expect(merged.last.conflicts.isEmpty)
    }

    @Test("a default that one of two inserts empties is settled the same, whichever comes first, and told (P5, P2)")
    func emptiedDefault() throws {
        let empties = Step(1, at: 90, .insert, Sample.text(Sample.name, "A"), Sample.text(Sample.stage, nil))
        let keeps = Step(2, at: 20, .insert, Sample.text(Sample.name, "A"))
        let merged = [Merged(empties, keeps), Merged(keeps, empties)]
        #expect(merged[0].state?.withoutPositions == merged[1].state?.withoutPositions)
        for order in merged {
            let entry = try #require(order.entries[Sample.stage])
            #expect(entry.losers.count == 1 && entry.winner.values == [order[Sample.stage]])
        }
        // A null where there is no default says nothing, whoever writes it.
        let nothing = Step(3, at: 95, .insert, Sample.text(Sample.name, "A"), Sample.text(Sample.note, nil))
        let note = Step(4, at: 10, .insert, Sample.text(Sample.name, "A"), Sample.text(Sample.note, "x"))
        for order in [[nothing, note], [note, nothing]] {
            #expect(Merged(steps: order)[Sample.note] == .text("x"))
            #expect(Merged(steps: order).entries.isEmpty)
        }
    }

    @Test("two concurrent inserts are one record, each cell by its policy (D2)")
    func inserts() {
        let a = Step(
            1, at: 10, .insert, Sample.text(Sample.name, "A"), Sample.text(Sample.owner, "x"), Sample.add(5),
            Sample.set(["p", "q"]))
        let b = Step(
            2, at: 20, .insert, Sample.text(Sample.name, "B"), Sample.text(Sample.note, "n"), Sample.add(3),
            Sample.set(["q", "r"]))
        let one = Merged(a, b)
        let other = Merged(b, a)
        #expect(one.state?.withoutPositions == other.state?.withoutPositions)
        #expect(one[Sample.name] == .text("B"))
        #expect(one[Sample.owner] == .text("x"))
        #expect(one[Sample.note] == .text("n"))
        #expect(one[Sample.visits] == .integer(8))
        #expect(one[Sample.tags] == .text(#"["p","q","r"]"#))
        #expect(one.last.conflicts.map(\.cell) == [Sample.name])
    }
}
