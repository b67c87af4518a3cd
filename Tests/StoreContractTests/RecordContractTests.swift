import PeykMerge
import PeykModel
import PeykServer
import Testing

@Suite("Store contract: records")
struct RecordContractTests {
    @Test(
        "a record comes back bit by bit, with its clock, audience, position and author", arguments: StoreKind.allCases)
    func roundTrip(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        let clock = RowClock(
            incarnation: 2, created: [Sample.writer(4)], record: [Sample.writer(4), Sample.writer(5, epoch: 2)],
            deletes: [Sample.writer(2)], ended: [Sample.writer(1)],
            cells: [
                CellClock(tag: 0, siblings: [Sibling(writer: Sample.writer(5, epoch: 2), values: [.text("old")])]),
                CellClock(tag: 4, elements: [ElementClock(element: "ب", adders: [Sample.writer(4)])]),
            ])
        let record = Sample.record(
            Sample.customerRow("Ali\u{301} — علی", phone: .text("")), at: 5,
            audience: Audience(home: [.territory("n"), .user("u")], lent: [.territory("s")]), clock: clock)
        let key = Sample.key(Sample.customer, 1)
        try store.write { try $0.put(record, at: key) }
        #expect(try store.read { try $0.record(key) } == record)
        #expect(try store.read { try $0.record(Sample.key(Sample.customer, 2)) } == nil)
        #expect(try store.read { try $0.record(Sample.key(99, 1)) } == nil)
    }

    @Test("a second write replaces the first, also where it takes values away", arguments: StoreKind.allCases)
    func replaces(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        let key = Sample.key(Sample.customer, 1)
        try store.write { try $0.put(Sample.record(Sample.customerRow("one", phone: .text("1"))), at: key) }
        let second = Sample.record(
            Row([.text("two")] + Array(repeating: .null, count: 9)), at: 2, audience: .nobody, insertedBy: nil)
        try store.write { try $0.put(second, at: key) }
        #expect(try store.read { try $0.record(key) } == second)
        #expect(try store.read { try $0.count(of: Sample.customer) } == 1)
    }

    @Test("a tombstone keeps its whole row and is in no list (rule T1)", arguments: StoreKind.allCases)
    func tombstone(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        let key = Sample.key(Sample.customer, 1)
        let row = Sample.customerRow("gone", phone: .text("5"), owner: Value(Sample.id(3)))
        try store.write { try $0.put(Sample.record(row), at: key) }
        let dead = Sample.record(row, at: 2, alive: false)
        try store.write { try $0.put(dead, at: key) }
        try store.read { reader throws in
            #expect(try reader.record(key) == dead)
            #expect(try reader.count(of: Sample.customer) == 0)
            #expect(try reader.referrers(table: Sample.customer, field: 3, to: Sample.id(3)) == [])
            #expect(try reader.records(of: Sample.customer, matching: [1], [.text("5")]) == [])
            try reader.records(of: Sample.customer, after: nil) { _, _ in
                Issue.record("a tombstone among the living")
                return true
            }
        }
        try store.write { try $0.put(Sample.record(row, at: 3), at: key) }
        #expect(try store.read { try $0.count(of: Sample.customer) } == 1)
        #expect(try store.read { try $0.record(key)?.state.isAlive } == true)
    }

    @Test("a dropped tombstone is forgotten; a record may be born dead", arguments: StoreKind.allCases)
    func drop(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        let key = Sample.key(Sample.customer, 1)
        let dead = Sample.record(Sample.customerRow("never lived"), alive: false)
        try store.write { try $0.put(dead, at: key) }
        #expect(try store.read { try $0.record(key) } == dead)
        #expect(try store.read { try $0.count(of: Sample.customer) } == 0)
        try store.write { try $0.drop(key) }
        #expect(try store.read { try $0.record(key) } == nil)
    }

    @Test(
        "living records come in id order, from after an id, until the caller has enough", arguments: StoreKind.allCases)
    func order(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        let numbers = (1...700).map { UInt64($0 * 7919 % 1_009) }
        try store.write { transaction throws in
            for number in numbers {
                try transaction.put(
                    Sample.record(Sample.territoryRow("t\(number)")), at: Sample.key(Sample.territory, number))
            }
        }
        let sorted = numbers.sorted().map { Sample.id($0) }
        func ids(after: RecordID?, most: Int = .max) throws -> [RecordID] {
            var found: [RecordID] = []
            try store.read { reader throws in
                try reader.records(of: Sample.territory, after: after) { id, record in
                    #expect(record.state.isAlive)
                    found.append(id)
                    return found.count < most
                }
            }
            return found
        }
        #expect(try ids(after: nil) == sorted)
        #expect(try ids(after: sorted[256]) == Array(sorted[257...]))
        #expect(try ids(after: sorted[10], most: 3) == Array(sorted[11...13]))
        #expect(try ids(after: sorted.last) == [])
        #expect(try store.read { try $0.count(of: Sample.territory) } == 700)
        #expect(try store.read { try $0.count(of: Sample.customer) } == 0)
    }

    @Test("a list may be read within a list, and written to while it is read", arguments: StoreKind.allCases)
    func nested(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        try store.write { transaction throws in
            for number in 1...3 {
                try transaction.put(
                    Sample.record(Sample.territoryRow("t")), at: Sample.key(Sample.territory, UInt64(number)))
            }
            var pairs = 0
            try transaction.records(of: Sample.territory, after: nil) { outer, record in
                try transaction.records(of: Sample.territory, after: outer) { _, _ in
                    pairs += 1
                    return true
                }
                var changed = record
                changed.state.row[0] = .text("changed")
                try transaction.put(changed, at: RecordKey(table: Sample.territory, record: outer))
                return true
            }
            #expect(pairs == 3)
        }
        #expect(
            try store.read { try $0.records(of: Sample.territory, matching: [0], [.text("changed")]) }
                == [Sample.id(1), Sample.id(2), Sample.id(3)])
    }

    @Test("those who refer to a record are found, in id order, by their present values", arguments: StoreKind.allCases)
    func referrers(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        let owner = Value(Sample.id(50))
        try store.write { transaction throws in
            for number: UInt64 in [3, 1, 2] {
                try transaction.put(
                    Sample.record(Sample.customerRow("c", owner: owner)), at: Sample.key(Sample.customer, number))
            }
            try transaction.put(
                Sample.record(Sample.customerRow("c")), at: Sample.key(Sample.customer, 2))
        }
        #expect(
            try store.read { try $0.referrers(table: Sample.customer, field: 3, to: Sample.id(50)) }
                == [Sample.id(1), Sample.id(3)])
        #expect(try store.read { try $0.referrers(table: Sample.customer, field: 3, to: Sample.id(51)) } == [])
    }

    @Test("rows with the same values in a unique set are found; null matches null", arguments: StoreKind.allCases)
    func matching(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        try store.write { transaction throws in
            for (number, phone) in [(4, Value.text("09")), (1, .text("09")), (2, .null), (3, .text("9"))] {
                try transaction.put(
                    Sample.record(Sample.customerRow("n\(number)", phone: phone)),
                    at: Sample.key(Sample.customer, UInt64(number)))
            }
        }
        try store.read { reader throws in
            func found(_ fields: [Int], _ values: [Value]) throws -> [RecordID] {
                try reader.records(of: Sample.customer, matching: fields, values)
            }
            #expect(try found([1], [.text("09")]) == [Sample.id(1), Sample.id(4)])
            #expect(try found([1], [.null]) == [Sample.id(2)])
            #expect(try found([0, 6], [.text("n3"), .text("EUR")]) == [Sample.id(3)])
            #expect(try found([0, 6], [.text("n3"), .text("USD")]) == [])
        }
    }

    @Test("a record's ledger entries are found", arguments: StoreKind.allCases)
    func ledger(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        let ledger = Schema.ledger
        func entry(_ table: String, _ record: RecordID) -> StoredRecord {
            var row = Row.empty(ledger)
            for (field, value) in [
                ("table_name", Value.text(table)), ("record_id", Value(record)), ("kind", .text("field")),
                ("rule", .text("lww")), ("state", .text("open")), ("position", .integer(1)), ("opened_at", .integer(1)),
            ] {
                if let index = ledger.fieldIndex(field) { row[index] = value }
            }
            return Sample.record(row)
        }
        try store.write { transaction throws in
            try transaction.put(entry("customer", Sample.id(1)), at: Sample.key(0, 12))
            try transaction.put(entry("customer", Sample.id(1)), at: Sample.key(0, 11))
            try transaction.put(entry("order", Sample.id(1)), at: Sample.key(0, 10))
            try transaction.put(entry("customer", Sample.id(2)), at: Sample.key(0, 9))
        }
        #expect(
            try store.read { try $0.ledgerEntries(of: Sample.key(Sample.customer, 1)) }
                == [Sample.id(11), Sample.id(12)])
    }

    @Test(
        "a scan gives what one of the buckets may read, with the writers above the horizon",
        arguments: StoreKind.allCases)
    func scan(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        let north = Audience(home: [.territory("n")])
        let lent = Audience(home: [.territory("s")], lent: [.territory("n")])
        let south = Audience(home: [.territory("s")])
        try store.write { transaction throws in
            for (number, audience) in [(1, north), (2, south), (3, lent), (4, north), (5, south)] {
                try transaction.put(
                    Sample.record(Sample.territoryRow("t\(number)"), at: Position(number), audience: audience),
                    at: Sample.key(Sample.territory, UInt64(number)))
            }
            try transaction.put(
                Sample.record(Sample.territoryRow("t4"), at: 9, alive: false, audience: north),
                at: Sample.key(Sample.territory, 4))
        }
        try store.read { reader throws in
            func found(_ buckets: [Bucket], after: RecordID? = nil, most: Int = .max) throws -> [RecordID] {
                var found: [RecordID] = []
                try reader.scan(table: Sample.territory, after: after, readableBy: buckets, above: 2) {
                    id, row, writers in
                    #expect(row[0].textValue?.hasPrefix("t") == true)
                    #expect(writers == (id > Sample.id(2) ? [Sample.commit(UInt64(id.bits.low & 0xFF))] : []))
                    found.append(id)
                    return found.count < most
                }
                return found
            }
            #expect(try found([.territory("n")]) == [Sample.id(1), Sample.id(3)])
            #expect(try found([.territory("n")], after: Sample.id(1)) == [Sample.id(3)])
            #expect(try found([.territory("s"), .territory("n")], most: 3) == [1, 2, 3].map { Sample.id($0) })
            #expect(try found([.whole]) == [])
            #expect(try found([]) == [])
            #expect(try reader.count(of: Sample.territory, readableBy: [.territory("s")]) == 3)
            #expect(try reader.count(of: Sample.territory, readableBy: [.territory("x")]) == 0)
        }
    }
}
