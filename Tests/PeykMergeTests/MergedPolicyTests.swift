import PeykMerge
import PeykModel
import Testing

@Suite("Counters, sets and texts merge (M1)")
struct MergedPolicyTests {
    static let insert = Step(
        1, at: 10, .insert, Sample.text(Sample.name, "Arya"), Sample.add(10), Sample.set(["a", "b"]),
        Sample.memo(nil, "one\ntwo\nthree"))

    @Test("a counter's insert is its start value, and deltas add up")
    func counter() {
        let merged = Merged(
            Self.insert, Step(2, at: 20, seen: [Self.insert], .update, Sample.add(-3)),
            Step(3, at: 20, seen: [Self.insert], .update, Sample.add(5)))
        #expect(merged[Sample.visits] == .integer(12))
        #expect(merged.state?.clock.cells.isEmpty == true)
    }

    @Test("a concurrent add beats a remove, in both orders")
    func addBeatsRemove() {
        let remove = Step(2, at: 90, seen: [Self.insert], .update, Sample.set([], ["a"]))
        let add = Step(3, at: 20, seen: [Self.insert], .update, Sample.set(["a"]))
        for order in [[remove, add], [add, remove]] {
            let merged = Merged(steps: [Self.insert] + order)
            #expect(merged[Sample.tags] == .text(#"["a","b"]"#))
            #expect(merged.last.conflicts.isEmpty)
        }
    }

    @Test("a remove takes what it has seen added, and nothing else")
    func observedRemove() {
        let add = Step(3, at: 20, seen: [Self.insert], .update, Sample.set(["c"]))
        let seen = Step(2, at: 5, seen: [add], .update, Sample.set(["d"], ["a", "c"]))
        let merged = Merged(Self.insert, add, seen)
        #expect(merged[Sample.tags] == .text(#"["b","d"]"#))
        #expect(
            merged.state?.clock.listed(Sample.tags)?.elements == [
                ElementClock(element: "d", adders: [seen.writer(3)])
            ])
    }

    @Test("elements are told apart by their bytes (P24)")
    func bytes() {
        let add = Step(2, at: 20, seen: [Self.insert], .update, Sample.set(["e\u{301}"]))
        let other = Step(3, at: 20, seen: [add], .update, Sample.set(["\u{E9}"], ["e\u{301}"]))
        let merged = Merged(Self.insert, add, other)
        #expect(merged[Sample.tags] == .text("[\"a\",\"b\",\"\u{E9}\"]"))
    }

    @Test("texts merge by lines against the base that the commit carries")
    func text() {
        let a = Step(2, at: 20, seen: [Self.insert], .update, Sample.memo("one\ntwo\nthree", "ONE\ntwo\nthree"))
        let b = Step(3, at: 30, seen: [Self.insert], .update, Sample.memo("one\ntwo\nthree", "one\ntwo\nthree\nfour"))
        for order in [[a, b], [b, a]] {
            let merged = Merged(steps: [Self.insert] + order)
            #expect(merged[Sample.memo] == .text("ONE\ntwo\nthree\nfour"))
            #expect(merged.last.decisions.map(\.verdict) == [.merged])
            #expect(merged.last.conflicts.isEmpty)
        }
    }

    @Test("the second offline edit of a text keeps what another wrote between (M1)")
    func secondEdit() {
        let a1 = Step(2, at: 20, seen: [Self.insert], .update, Sample.memo("one\ntwo\nthree", "ONE\ntwo\nthree"))
        let a2 = Step(2, seq: 2, at: 21, seen: [a1], .update, Sample.memo("ONE\ntwo\nthree", "ONE!\ntwo\nthree"))
        let b = Step(3, at: 30, seen: [Self.insert], .update, Sample.memo("one\ntwo\nthree", "one\ntwo\nTHREE"))
        for order in [[a1, b, a2], [b, a1, a2], [a1, a2, b]] {
            #expect(Merged(steps: [Self.insert] + order)[Sample.memo] == .text("ONE!\ntwo\nTHREE"))
        }
    }

    @Test("texts that touch fall back to the later stamp, with an entry that holds base and both")
    func conflict() throws {
        let a = Step(2, at: 20, seen: [Self.insert], .update, Sample.memo("one\ntwo\nthree", "one\nA\nthree"))
        let b = Step(3, at: 30, seen: [Self.insert], .update, Sample.memo("one\ntwo\nthree", "one\nB\nthree"))
        for order in [[a, b], [b, a]] {
            let merged = Merged(steps: [Self.insert] + order)
            #expect(merged[Sample.memo] == .text("one\nB\nthree"))
            let conflict = try #require(merged.last.conflicts.first)
            #expect(conflict.rule == .textConflict)
            #expect(!conflict.isOpen)
            #expect(conflict.losers.map(\.values) == [[.text("one\nA\nthree")]])
            #expect(conflict.base == [.text("one\ntwo\nthree")])
        }
    }
}
