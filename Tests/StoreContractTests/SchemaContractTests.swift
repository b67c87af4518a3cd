import PeykMerge
import PeykModel
import PeykServer
import Testing

@Suite("Store contract: schema")
struct SchemaContractTests {
    /// The sample schema with a field and a table more.
    static var wider: Schema {
        var own = Array(Sample.schema.ownTables)
        let customer = own[1]
        own[1] = Table(
            customer.name, customer.kind,
            fields: customer.fields + [Field("city", .text), Field("note", .text, .text)],
            unique: customer.unique + [["city"]])
        own.append(
            Table(
                "visit", .child(parents: ["customer_id"], owner: nil),
                fields: [
                    Field("customer_id", .reference(table: "customer"), hard: true)
                ]))
        return Schema(version: 2, tables: own)
    }

    @Test("a schema that only adds is adopted with the rows that are there (rule T2)", arguments: StoreKind.allCases)
    func adopt(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        let key = Sample.key(Sample.customer, 1)
        try store.write { try $0.put(Sample.record(Sample.customerRow("early", phone: .text("1"))), at: key) }
        try store.write { try $0.adopt(Self.wider) }
        var late = Sample.customerRow("late")
        late[10] = .text("Tabriz")
        late[11] = .null
        try store.write { transaction throws in
            #expect(transaction.schema == Self.wider)
            try transaction.put(Sample.record(late), at: Sample.key(Sample.customer, 2))
            try transaction.put(Sample.record(Row([Value(Sample.id(1))])), at: Sample.key(4, 1))
        }
        for store in [store, try subject.reopened()].compactMap({ $0 }) {
            try store.read { reader throws in
                #expect(reader.schema == Self.wider)
                #expect(try reader.record(key)?.state.row[0] == .text("early"))
                #expect(try reader.record(key)?.state.row[10] == .null)
                #expect(try reader.record(Sample.key(Sample.customer, 2))?.state.row[10] == .text("Tabriz"))
                #expect(
                    try reader.records(of: Sample.customer, matching: [10], [.text("Tabriz")]) == [Sample.id(2)])
                #expect(try reader.referrers(table: 4, field: 0, to: Sample.id(1)) == [Sample.id(1)])
            }
        }
    }

    @Test(
        "old rows get the default of a new field, and 0 of a new counter, deleted ones too (T2, K8, D2)",
        arguments: StoreKind.allCases)
    func defaults(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let key = Sample.key(Sample.customer, 1)
        var own = Array(Sample.schema.ownTables)
        let customer = own[1]
        own[1] = Table(
            customer.name, customer.kind,
            fields: customer.fields + [
                Field("grade", .text, default: .text("it's B")), Field("calls", .integer, .counter),
            ], unique: customer.unique)
        let next = Schema(version: 2, tables: own)
        let deleted = Sample.key(Sample.customer, 2)
        try subject.store.write { transaction throws in
            try transaction.put(Sample.record(Sample.customerRow("early")), at: key)
            try transaction.put(Sample.record(Sample.customerRow("deleted"), alive: false), at: deleted)
        }
        try subject.store.write { try $0.adopt(next) }
        for store in [subject.store, try subject.reopened()].compactMap({ $0 }) {
            for key in [key, deleted] {
                let row = try store.read { try $0.record(key)?.state.row }
                #expect(row?[10] == .text("it's B"))
                #expect(row?[11] == .integer(0))
            }
        }
    }

    @Test("a new schema may be adopted and used in one transaction", arguments: StoreKind.allCases)
    func adoptAndUse(kind: StoreKind) throws {
        let subject = try StoreUnderTest(kind)
        defer { subject.end() }
        let store = subject.store
        try store.write { transaction throws in
            try transaction.put(Sample.record(Sample.customerRow("c")), at: Sample.key(Sample.customer, 1))
            try transaction.adopt(Self.wider)
            try transaction.put(Sample.record(Row([Value(Sample.id(1))])), at: Sample.key(4, 1))
        }
        #expect(try store.read { try $0.count(of: 4) } == 1)
    }
}
