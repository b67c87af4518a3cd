import PeykMerge
import PeykModel
import PeykServer
import Testing

@Suite("Store contract: transactions")
struct TransactionContractTests {
    struct Stop: Error, Equatable {}

    static func fill(_ transaction: any StoreTransaction, _ number: UInt64, position: Position) throws {
        let key = Sample.key(Sample.territory, number)
        try transaction.put(
            Sample.record(
                Sample.territoryRow("t\(number)"), at: position,
                audience: Audience(home: [.territory("audience of \(number)")])), at: key)
        try transaction.append(
            Sample.entry(position, effects: [Sample.effect(key, after: Sample.territoryRow("t\(number)"))]))
        try transaction.setDocument("note", "\(number)", Array("n\(number)".utf8))
    }

    @Test("what throws is undone whole: rows, log, documents, schema, counts", arguments: StoreKind.allCases)
    func rollback(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        try store.write { try Self.fill($0, 1, position: 1) }
        #expect(throws: Stop()) {
            try store.write { transaction throws in
                try Self.fill(transaction, 2, position: 2)
                try transaction.put(
                    Sample.record(Sample.territoryRow("t1"), at: 2, alive: false), at: Sample.key(Sample.territory, 1))
                try transaction.adopt(SchemaContractTests.wider)
                try transaction.setDocument("note", "1", nil)
                throw Stop()
            }
        }
        try store.read { reader throws in
            #expect(reader.schema == Sample.schema)
            #expect(try reader.head() == 1)
            #expect(try reader.count(of: Sample.territory) == 1)
            #expect(try reader.record(Sample.key(Sample.territory, 1))?.state.isAlive == true)
            #expect(try reader.record(Sample.key(Sample.territory, 2)) == nil)
            #expect(try reader.documents("note", prefix: "").map(\.key) == ["1"])
            #expect(try reader.positions(of: Sample.key(Sample.territory, 2)) == [])
            #expect(try reader.position(of: Sample.commit(2)) == nil)
        }
        // An audience first named in what was undone is named again.
        try store.write { try Self.fill($0, 2, position: 2) }
        #expect(
            try store.read { try $0.record(Sample.key(Sample.territory, 2))?.audience }
                == Audience(home: [.territory("audience of 2")]))
    }

    @Test("a savepoint that throws takes only its own writes back (rule A4)", arguments: StoreKind.allCases)
    func savepoint(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        try store.write { transaction throws in
            try Self.fill(transaction, 1, position: 1)
            do {
                try transaction.savepoint { () throws in
                    try Self.fill(transaction, 2, position: 2)
                    try transaction.savepoint { try Self.fill(transaction, 3, position: 3) }
                    #expect(try transaction.head() == 3)
                    #expect(try transaction.count(of: Sample.territory) == 3)
                    throw Stop()
                }
                Issue.record("the savepoint swallowed what was thrown in it")
            } catch is Stop {}
            #expect(try transaction.head() == 1)
            #expect(try transaction.count(of: Sample.territory) == 1)
            try transaction.savepoint { try Self.fill(transaction, 2, position: 2) }
        }
        try store.read { reader throws in
            #expect(try reader.head() == 2)
            #expect(try reader.count(of: Sample.territory) == 2)
            #expect(try reader.record(Sample.key(Sample.territory, 3)) == nil)
            #expect(
                try reader.record(Sample.key(Sample.territory, 2))?.audience
                    == Audience(home: [.territory("audience of 2")]))
            #expect(try reader.documents("note", prefix: "").map(\.key) == ["1", "2"])
        }
    }

    @Test("a transaction reads what it wrote", arguments: StoreKind.allCases)
    func readsOwnWrites(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        try store.write { transaction throws in
            try Self.fill(transaction, 1, position: 1)
            #expect(try transaction.head() == 1)
            #expect(try transaction.count(of: Sample.territory) == 1)
            #expect(try transaction.record(Sample.key(Sample.territory, 1))?.position == 1)
            #expect(try transaction.position(of: Sample.commit(1)) == 1)
            #expect(try transaction.document("note", "1") == Array("n1".utf8))
        }
    }

    @Test("everything is there after the store is opened again", arguments: StoreKind.allCases)
    func durable(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        try subject.store.write { transaction throws in
            try Self.fill(transaction, 1, position: 1)
            try Self.fill(transaction, 2, position: 2)
            try transaction.put(
                Sample.record(Sample.territoryRow("t2"), at: 2, alive: false), at: Sample.key(Sample.territory, 2))
        }
        guard let again = try subject.reopened() else { return }
        try again.read { reader throws in
            #expect(reader.schema == Sample.schema)
            #expect(try reader.head() == 2)
            #expect(try reader.count(of: Sample.territory) == 1)
            for number: UInt64 in 1...2 {
                let key = Sample.key(Sample.territory, number)
                #expect(try reader.record(key) == (try subject.store.read { try $0.record(key) }))
            }
            #expect(try reader.document("note", "2") == Array("n2".utf8))
        }
        try again.write { try Self.fill($0, 3, position: 3) }
        #expect(try subject.store.read { try $0.head() } == 3)
    }

    @Test("a snapshot does not change while it is read", arguments: StoreKind.allCases)
    func snapshot(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        try store.write { try Self.fill($0, 1, position: 1) }
        try store.read { reader throws in
            #expect(try reader.head() == 1)
            try store.write { try Self.fill($0, 2, position: 2) }
            #expect(try reader.head() == 1)
            #expect(try reader.count(of: Sample.territory) == 1)
            #expect(try store.read { try $0.head() } == 2)
        }
    }
}
