import PeykMerge
import PeykModel
import PeykServer
import Testing

@Suite("Store contract: what retention needs")
struct RetentionContractTests {
    static func bury(_ transaction: any StoreTransaction, _ key: RecordKey, at position: Position) throws {
        let row = key.table == Sample.territory ? Sample.territoryRow("t") : Sample.customerRow("c")
        try transaction.put(Sample.record(row, at: position), at: key)
        try transaction.put(Sample.record(row, at: position, alive: false), at: key)
    }

    @Test("tombstones come by position, later tables first, up to a position (T1)", arguments: StoreKind.allCases)
    func order(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        let expected: [(RecordKey, Position)] = [
            (Sample.key(Sample.customer, 9), 2), (Sample.key(Sample.territory, 3), 2),
            (Sample.key(Sample.territory, 4), 2), (Sample.key(Sample.customer, 1), 5),
            (Sample.key(Sample.territory, 1), 7),
        ]
        try store.write { transaction throws in
            for (key, position) in expected.reversed() { try Self.bury(transaction, key, at: position) }
            try transaction.put(Sample.record(Sample.territoryRow("alive")), at: Sample.key(Sample.territory, 8))
        }
        func found(upTo: Position, most: Int = .max) throws -> [RecordKey] {
            try store.read { reader throws in
                var keys: [RecordKey] = []
                try reader.tombstones(upTo: upTo) { key, record in
                    #expect(!record.state.isAlive)
                    keys.append(key)
                    return keys.count < most
                }
                return keys
            }
        }
        #expect(try found(upTo: .max) == expected.map(\.0))
        #expect(try found(upTo: 6) == expected.prefix(4).map(\.0))
        #expect(try found(upTo: 1) == [])
        #expect(try found(upTo: .max, most: 2) == expected.prefix(2).map(\.0))
        #expect(try store.read { try $0.tombstoneCount() } == 5)
    }

    @Test("many tombstones of one position all come, once each", arguments: StoreKind.allCases)
    func chunks(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        let keys = (0..<700).map { Sample.key($0 % 3 == 0 ? Sample.territory : Sample.customer, UInt64($0)) }
        try store.write { transaction in for key in keys { try Self.bury(transaction, key, at: 4) } }
        var found: [RecordKey] = []
        try store.read { reader throws in
            try reader.tombstones(upTo: 4) { key, _ in
                found.append(key)
                return true
            }
        }
        #expect(found.count == 700 && Set(found) == Set(keys))
    }

    @Test("a dropped tombstone is gone; a living record is not dropped", arguments: StoreKind.allCases)
    func drop(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        let dead = Sample.key(Sample.customer, 1)
        let alive = Sample.key(Sample.customer, 2)
        try store.write { transaction throws in
            try Self.bury(transaction, dead, at: 1)
            try transaction.put(Sample.record(Sample.customerRow("b")), at: alive)
            try transaction.drop(dead)
            try transaction.drop(alive)
        }
        #expect(try store.read { try $0.record(dead) } == nil)
        #expect(try store.read { try $0.tombstoneCount() } == 0)
        #expect(try store.read { try $0.record(alive)?.state.isAlive } == true)
        #expect(try store.read { try $0.count(of: Sample.customer) } == 1)
    }

    @Test(
        "a trimmed log keeps its end, its last position, and where each commit came in", arguments: StoreKind.allCases)
    func trim(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        let key = Sample.key(Sample.customer, 1)
        let other = Sample.key(Sample.customer, 2)
        try store.write { transaction throws in
            for position: Position in 1...6 {
                let known = position == 3
                try transaction.append(
                    Sample.entry(
                        position, kind: known ? .known : .commit, commit: known ? 1 : UInt64(position),
                        effects: [Sample.effect(position % 2 == 0 ? key : other)]))
            }
        }
        let before = try LogContractTests.entries(store, after: 0, upTo: 6)
        try store.write { try $0.trimLog(upTo: 4) }
        for store in [store, try subject.reopened()].compactMap({ $0 }) {
            try store.read { reader throws in
                #expect(try reader.head() == 6)
                #expect(try reader.firstPosition() == 5)
                #expect(try reader.positions(of: key) == [6])
                #expect(try reader.positions(of: other) == [5])
                for number: UInt64 in [1, 2, 4, 5, 6] {
                    #expect(
                        try reader.origin(of: Sample.commit(number))
                            == CommitOrigin(position: Position(number), site: Sample.site))
                }
                #expect(try reader.origin(of: Sample.commit(3)) == nil)
            }
            #expect(try LogContractTests.entries(store, after: 0, upTo: 6) == Array(before[4...]))
        }
        try store.write { transaction throws in
            try transaction.trimLog(upTo: 900)
            #expect(try transaction.firstPosition() == 6)
            try transaction.append(Sample.entry(7))
        }
        #expect(try LogContractTests.entries(store, after: 0, upTo: 9).map(\.position) == [6, 7])
        #expect(try store.read { try $0.origin(of: Sample.commit(5))?.position } == 5)
    }

    @Test("trimming is undone with its transaction", arguments: StoreKind.allCases)
    func rollback(kind: StoreKind) throws {
        struct Stop: Error {}
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        try store.write { transaction in
            for position: Position in 1...3 { try transaction.append(Sample.entry(position)) }
        }
        #expect(throws: Stop.self) {
            try store.write { transaction throws in
                try transaction.trimLog(upTo: 2)
                throw Stop()
            }
        }
        #expect(try store.read { try $0.firstPosition() } == 1)
    }
}
