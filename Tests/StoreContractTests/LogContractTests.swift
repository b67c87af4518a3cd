import PeykMerge
import PeykModel
import PeykServer
import Testing

@Suite("Store contract: log and documents")
struct LogContractTests {
    static func effects() -> [LogEffect] {
        let row = Sample.customerRow("after")
        let wide = Audience(home: [.territory("n")], lent: [.user("u")])
        let fields = [FieldValue(field: 0, value: .text("before")), FieldValue(field: 8, value: .null)]
        let corrections: [LogEffect.Correction] = [.none, .delta(fields), .full, .delete]
        var effects: [LogEffect] = []
        for (index, correction) in corrections.enumerated() {
            effects.append(
                LogEffect(
                    key: Sample.key(Sample.customer, UInt64(index)), replaced: fields, after: row,
                    audienceBefore: Sample.whole, audienceAfter: index == 0 ? Sample.whole : wide,
                    isMove: index == 1, isNamed: index == 2, correction: correction,
                    writers: [Sample.commit(4), Sample.commit(5)]))
        }
        effects.append(
            LogEffect(
                key: Sample.key(Sample.order, 8), replaced: [], after: nil, audienceBefore: wide, audienceAfter: nil,
                isMove: true, isNamed: true, correction: .none, writers: []))
        return effects
    }

    static func entries(_ store: any Store, after: Position, upTo: Position, most: Int = .max) throws -> [LogEntry] {
        var found: [LogEntry] = []
        try store.read { reader throws in
            try reader.log(after: after, upTo: upTo) { entry in
                found.append(entry)
                return found.count < most
            }
        }
        return found
    }

    @Test("an outcome comes back whole, with answer, effects and audiences", arguments: StoreKind.allCases)
    func roundTrip(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        var entry = Sample.entry(1, effects: Self.effects())
        entry.answer = Answer(
            verdict: .refused, notices: [Answer.Notice(change: -1, cell: 3, code: .scope, detail: "چرا")],
            restamped: HLC(milliseconds: 5, counter: 6))
        entry.clock.lineage = Lineage([Era(epoch: Sample.epoch(1), after: 0), Era(epoch: Sample.epoch(2), after: 9)])
        try store.write { try $0.append(entry) }
        #expect(try Self.entries(store, after: 0, upTo: 1) == [entry])
    }

    @Test("the log is read in order, between two positions, until the caller has enough", arguments: StoreKind.allCases)
    func order(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        let all = (1...150).map { Sample.entry(Position($0)) }
        #expect(try store.read { try $0.head() } == 0)
        try store.write { transaction in for entry in all { try transaction.append(entry) } }
        #expect(try store.read { try $0.head() } == 150)
        #expect(try Self.entries(store, after: 0, upTo: 150) == all)
        #expect(try Self.entries(store, after: 60, upTo: 70) == Array(all[60..<70]))
        #expect(try Self.entries(store, after: 100, upTo: 900) == Array(all[100...]))
        #expect(try Self.entries(store, after: 10, upTo: 150, most: 2) == Array(all[10..<12]))
        #expect(try Self.entries(store, after: 150, upTo: 150) == [])
    }

    @Test(
        "a commit that waits has a position, and another of the same dot and id once it is merged (A3)",
        arguments: StoreKind.allCases)
    func waiting(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        var first = Sample.entry(1)
        first.kind = .waiting
        first.answer = Answer(verdict: .waiting)
        var again = first
        again.position = 2
        var merged = Sample.entry(1)
        merged.position = 3
        try store.write { try $0.append(first) }
        #expect(try store.read { try $0.position(of: first.commit) } == nil)
        try store.write { transaction in for entry in [again, merged] { try transaction.append(entry) } }
        #expect(try store.read { try $0.position(of: first.commit) } == 3)
        #expect(try Self.entries(store, after: 0, upTo: 3) == [first, again, merged])
    }

    @Test(
        "a position that does not follow the last is refused", arguments: StoreKind.allCases, [0, 1, 3] as [Position])
    func gapless(kind: StoreKind, position: Position) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        try store.write { try $0.append(Sample.entry(1)) }
        #expect(throws: (any Error).self) {
            try store.write { try $0.append(Sample.entry(position, commit: 50)) }
        }
        #expect(try store.read { try $0.head() } == 1)
    }

    @Test("the positions that name a record, ascending", arguments: StoreKind.allCases)
    func positions(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        let key = Sample.key(Sample.customer, 1)
        let other = Sample.key(Sample.order, 1)
        try store.write { transaction throws in
            try transaction.append(Sample.entry(1, effects: [Sample.effect(key, after: Sample.customerRow("a"))]))
            try transaction.append(Sample.entry(2, effects: [Sample.effect(other)]))
            try transaction.append(Sample.entry(3, effects: [Sample.effect(other), Sample.effect(key)]))
        }
        #expect(try store.read { try $0.positions(of: key) } == [1, 3])
        #expect(try store.read { try $0.positions(of: other) } == [2, 3])
        #expect(try store.read { try $0.positions(of: Sample.key(Sample.order, 2)) } == [])
    }

    @Test("a commit is known by its id, at its first position (rules C1, A1)", arguments: StoreKind.allCases)
    func known(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        try store.write { transaction throws in
            try transaction.append(Sample.entry(1, commit: 41))
            try transaction.append(Sample.entry(2, kind: .known, commit: 41))
        }
        #expect(try store.read { try $0.position(of: Sample.commit(41)) } == 1)
        #expect(try store.read { try $0.position(of: Sample.commit(42)) } == nil)
        #expect(try Self.entries(store, after: 1, upTo: 2).first?.kind == .known)
    }

    @Test("documents are kept by collection and key, listed by prefix in byte order", arguments: StoreKind.allCases)
    func documents(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        try store.write { transaction throws in
            for key in ["b", "a/2", "a/10", "a", "پ", "A"] {
                try transaction.setDocument("x", key, Array(key.utf8))
            }
            try transaction.setDocument("y", "a/3", [])
        }
        try store.read { reader throws in
            #expect(try reader.documents("x", prefix: "").map(\.key) == ["A", "a", "a/10", "a/2", "b", "پ"])
            #expect(try reader.documents("x", prefix: "a/").map(\.value) == [Array("a/10".utf8), Array("a/2".utf8)])
            #expect(try reader.documents("z", prefix: "").isEmpty)
            #expect(try reader.document("y", "a/3") == [])
            #expect(try reader.document("y", "a") == nil)
        }
        try store.write { transaction throws in
            try transaction.setDocument("x", "a", nil)
            try transaction.setDocument("x", "b", [1, 0])
            try transaction.setDocument("x", "none", nil)
        }
        #expect(try store.read { try $0.document("x", "a") } == nil)
        #expect(try store.read { try $0.document("x", "b") } == [1, 0])
    }
}
