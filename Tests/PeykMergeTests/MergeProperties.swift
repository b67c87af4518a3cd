import PeykMerge
import PeykModel
import PropertyKit
import Testing

extension Choices {
    /// A history of one record: each commit by an author who sees the merged state of what they have seen, with
    /// writes of all policies. Stamps have nothing to do with who saw whom.
    fileprivate mutating func history(deletes: Int, texts: Bool) -> [Step] {
        let sites = 2 + below(3)
        let stamps = shuffled(Array(Int64(1)...9))
        var steps: [Step] = []
        for stamp in stamps.prefix(1 + below(8)) {
            let site = 1 + below(sites)
            let own = steps.last { $0.site == site }
            var past = Set(own.map { [$0] } ?? [])
            for step in steps where chance(45) { past.insert(step) }
            let seen = steps.filter { step in past.contains(step) || past.contains { $0.seen.contains(step.dot) } }
            let state = Merged(steps: seen).state
            var (kind, written) = (Change.Kind.update, [CellChange]())
            if let state, state.isAlive {
                if chance(deletes) { kind = .delete } else { written = cells(on: state.row, texts: texts) }
            } else {
                kind = .insert
                written = [Sample.text(Sample.name, pick(["A", "B"]))] + cells(on: Sample.row(), texts: texts)
            }
            let unique = Dictionary(written.map { ($0.cell, $0) }) { first, _ in first }.values
            steps.append(Step(site, seq: (own?.seq ?? 0) + 1, at: stamp, seen: seen, kind, cells: Array(unique)))
        }
        return steps
    }

    private mutating func cells(on row: Row, texts: Bool) -> [CellChange] {
        var cells: [CellChange] = []
        for cell in Sample.deal.cells where chance(30) {
            switch cell.policy {
            case .lww, .review:
                let isPrice = cell.fields.count == 2
                cells.append(
                    isPrice
                        ? Sample.price(Int64(below(3)), pick(["EUR", "IRR"]))
                        : Sample.text(cell.tag, pick(["x", "y", nil])))
            case .max, .min: cells.append(Sample.number(cell.tag, Int64(below(4))))
            case .counter: cells.append(Sample.add(Int64(below(9)) - 4))
            case .set:
                let held = row[cell.tag].textValue.flatMap { ValueSet(json: $0) }?.elements ?? []
                let removed = held.filter { _ in chance(40) }
                cells.append(Sample.set(["a", "b"].filter { !removed.contains($0) && chance(40) }, removed))
            case .once where row[cell.tag].isNull: cells.append(Sample.text(cell.tag, pick(["fair", "web"])))
            case .rank: cells.append(Sample.text(cell.tag, pick(["lead", "offer", nil, "won", "lost"])))
            case .text where texts:
                cells.append(Sample.memo(row[cell.tag].textValue, pick(["1\n2\n3", "1\nB\n3", "A\n2\n3", nil])))
            case .once, .text, .server: break
            }
        }
        return cells
    }

    /// An order of arrival in which nobody has seen what has not arrived.
    fileprivate mutating func arrival(of steps: [Step]) -> [Step] {
        var (rest, order) = (steps, [Step]())
        while !rest.isEmpty {
            let waiting = Set(rest.map(\.dot))
            let ready = rest.filter { step in !step.seen.contains { waiting.contains($0) } }
            let next = pick(ready)
            order.append(next)
            rest.removeAll { $0 == next }
        }
        return order
    }
}

@Suite("Properties of merging")
struct MergeProperties {
    static func merged(_ order: [Step]) -> Merged {
        var merged = Merged()
        for step in order { merged.take(step) { $0.allowsReopen = true } }
        return merged
    }

    static func comparable(_ order: [Step]) -> RecordState? {
        var state = merged(order).state?.withoutPositions
        // Late deletes of lives before the last are not told apart (``RowClock/ended``).
        if let incarnation = state?.clock.incarnation, incarnation > 1 { state?.clock.ended = [] }
        return state
    }

    @Test("over all policies but texts, any causal order of arrival gives one state (P5, P6)", arguments: [0, 25])
    func commutative(deletes: Int) {
        Property(cases: 250) { choices in
            let steps = choices.history(deletes: deletes, texts: false)
            return (steps, choices.arrival(of: steps))
        }.holds { steps, order in
            try same(Self.comparable(order), Self.comparable(steps), "\(order.map(\.dot))")
        }
    }

    @Test("a write that still stands, merged again, changes nothing but counters, which the server takes once (P4, P6)")
    func idempotent() {
        Property(cases: 250) { choices in
            let steps = choices.history(deletes: 0, texts: false)
            return (steps, choices.below(max(1, steps.count)))
        }.holds { steps, again in
            guard steps.indices.contains(again) else { return }
            let step = steps[again]
            guard !steps.contains(where: { $0.seen.contains(step.dot) }) else { return }
            let once = try present(Self.comparable(steps))
            var twice = try present(Self.comparable(steps + [step]))
            twice.row[Sample.visits] = once.row[Sample.visits]
            try same(twice.row, once.row)
            try same(twice.clock.writers, once.clock.writers)
        }
    }

    @Test("each value was written by somebody, groups by one of them, or is what its policy makes of them (P3, P12)")
    func noInvention() {
        Property(cases: 400) { choices in
            let steps = choices.history(deletes: 15, texts: true)
            return choices.arrival(of: steps)
        }.holds { order in
            guard let state = Self.merged(order).state else { return }
            let writes = order.flatMap(\.change.cells)
            let fresh = Sample.row()
            for cell in Sample.deal.cells {
                let values = cell.fields.map { state.row[$0] }
                let written = writes.filter { $0.cell == cell.tag }.map(\.write)
                if values == cell.fields.map({ fresh[$0] }) { continue }
                switch cell.policy {
                case .counter:
                    let sums = written.reduce(into: Set<Int64>([0])) { sums, write in
                        if case .add(let delta) = write { sums.formUnion(sums.map { $0 + delta }) }
                    }
                    try ensure(values[0].integerValue.map { sums.contains($0) } == true, "no sum gives \(values[0])")
                case .set:
                    let added = written.flatMap { if case .elements(let added, _) = $0 { added } else { [String]() } }
                    let held = values[0].textValue.flatMap { ValueSet(json: $0) }?.elements ?? []
                    try ensure(held.allSatisfy { added.contains($0) }, "\(held) was never added")
                case .text:
                    let lines = written.flatMap { write -> [Substring] in
                        if case .text(_, let new?) = write { new.split(separator: "\n") } else { [] }
                    }
                    let shown = (values[0].textValue ?? "").split(separator: "\n")
                    try ensure(shown.allSatisfy { lines.contains($0) }, "\(shown) has a line that nobody wrote")
                default: try ensure(written.contains(.assign(values)), "\(cell.name): nobody wrote \(values)")
                }
            }
        }
    }

    @Test("what a later commit had seen never stands over it, whatever the clocks say (P10, M1)")
    func causality() {
        Property(cases: 300) { choices in
            let steps = choices.history(deletes: 0, texts: true)
            let order = choices.arrival(of: steps)
            return (order, choices.pick(["x", "y", "z"]), Int64(choices.below(2)) * 100)
        }.holds { order, note, stamp in
            let last = Step(9, at: stamp, seen: order, .update, Sample.text(Sample.note, note))
            let state = try present(Self.merged(order + [last]).state)
            try same(state.row[Sample.note], .text(note))
            let writers = state.clock.listed(Sample.note)?.siblings.map(\.writer.commit) ?? []
            try ensure(writers.allSatisfy { $0 == last.commit }, "\(writers)")
        }
    }

    @Test(
        "what was deleted by somebody who had seen all of it is gone, in any order, and any unseen write keeps it (P13, D1)"
    )
    func deleted() {
        Property(cases: 300) { choices in
            let steps = choices.history(deletes: 10, texts: false)
            let delete = Step(9, at: Int64(choices.below(2)) * 100, seen: steps, .delete)
            let late = choices.chance(50) ? Step(8, at: 50, seen: steps, .update, Sample.text(Sample.note, "n")) : nil
            return (steps, late, choices.arrival(of: steps + [delete] + (late.map { [$0] } ?? [])))
        }.holds { steps, late, order in
            // Nobody writes to a record that they see deleted.
            let before = try present(Self.merged(steps).state)
            guard before.isAlive || late == nil else { return }
            try same(try present(Self.merged(order).state).isAlive, late != nil)
        }
    }

    @Test("the change that makes one row of another makes it, and merges as its plain effect where it is causal (M4)")
    func sealing() {
        Property(cases: 400) { choices in
            let steps = choices.history(deletes: 0, texts: false)
            // What a person may write: not the server's field, not a second `once`.
            let row = Row(
                Sample.deal.fields.map { field in
                    field.policy == .server ? .null : choices.value(of: field.type)
                })
            return (steps, row)
        }.holds { steps, wanted in
            guard let state = Self.merged(steps).state, state.isAlive else { return }
            var after = wanted
            if !state.row[Sample.source].isNull { after[Sample.source] = state.row[Sample.source] }
            for field in [Sample.visits] where after[field].isNull { after[field] = .integer(0) }
            if after[Sample.name].isNull { after[Sample.name] = .text("n") }
            let before = state.row
            guard
                let change = Change.make(
                    table: Sample.index, record: Sample.record, before: before, after: after, in: Sample.schema)
            else { return try same(before, after) }
            var plain = try present(plainEffect(of: change, on: before, in: Sample.deal))
            // A set that was emptied is empty, not absent.
            if after[Sample.tags].isNull, plain[Sample.tags] == .text("[]") { plain[Sample.tags] = .null }
            let visits = before[Sample.visits].integerValue ?? 0
            guard let target = after[Sample.visits].integerValue, !target.subtractingReportingOverflow(visits).overflow
            else { return }
            try same(plain, after, "\(change)")
            let step = Step(9, at: 1, seen: steps, .update, cells: change.cells)
            let outcome = Self.merged(steps + [step])
            let merged = try present(outcome.state?.row)
            let effect = plainEffect(of: change, on: before, in: Sample.deal)
            if outcome.last.refusals.isEmpty { try same(merged, try present(effect), "merged") }
        }
    }

    @Test("a clock's bytes give it back after any history, and damaged ones give a clock or an error (P29)")
    func codec() {
        Property(cases: 200) { choices in
            let clock = Self.merged(choices.history(deletes: 25, texts: true)).state?.clock
            return (clock, choices.damaged(clock?.encoded() ?? []))
        }.holds { clock, damaged in
            if let clock { try same(try RowClock(decoding: clock.encoded()), clock) }
            guard let other = try? RowClock(decoding: damaged) else { return }
            try same(try RowClock(decoding: other.encoded()), other)
        }
    }
}
