import PeykModel
import PeykSession
import PeykWire
import Testing

@testable import PeykReplica

private typealias F = ApplyFixture

@Suite("What a replica keeps when the schema changes")
struct SchemaChangeTests {
    /// The schema of ``ApplyFixture`` with a defaulted field for customers, and one more table.
    private var grown: Schema {
        var tables = Array(ApplyFixture.schema.ownTables)
        let customer = tables[ApplyFixture.customer - 1]
        tables[ApplyFixture.customer - 1] = Table(
            customer.name, customer.kind, fields: customer.fields + [Field("size", .integer, default: .integer(5))])
        tables.append(Table("brand", .reference, fields: [Field("label", .text)]))
        return Schema(version: 2, tables: tables)
    }

    @Test("what lies under a pending edit gets the default of a field that is added (T2, P1)")
    func standingUnderEdits() throws {
        let replica = try F.replica()
        try replica.begin([F.page(F.customer, [(1, F.customerRow("A"))], at: 3, endsBackfill: true)], head: 3)
        try replica.replica.write { try $0.update("customer", F.id(1), ["name": .text("mine")]) }
        // Another's change of the record makes the replica keep its confirmed row apart.
        let memo = Effect(key: F.key(F.customer, 1), kind: .delta([FieldValue(field: 5, value: .text("theirs"))]))
        try replica.apply(3, [F.entry(4, [memo])])
        _ = try replica.replica.adopt(F.welcome(head: 5, schema: grown))
        let row = try replica.confirmed(F.key(F.customer, 1))
        #expect(row == Row(F.customerRow("A", memo: "theirs").values + [.integer(5)]))
        // And where a delete waits, the whole row before it.
        try replica.replica.write { try $0.delete("customer", F.id(1)) }
        #expect(try replica.confirmed(F.key(F.customer, 1))?[8] == .integer(5))
    }

    @Test("pages that came before a field have its default, and a table that came after them has its own (B1, T2, P1)")
    func pagesOfFormerSchema() throws {
        let replica = try F.replica()
        try replica.begin([F.page(F.customer, [(1, F.customerRow("A"))], at: 3, endsBackfill: true)], head: 3)
        _ = try replica.replica.adopt(F.welcome(.snapshot(.horizon), head: 100))
        let rows = [(UInt64(1), F.customerRow("A2")), (2, F.customerRow("B"))]
        try replica.replica.store(F.page(F.customer, rows, at: 100, endsBackfill: true))
        var welcome = F.welcome(.snapshot(.horizon), head: 102, schema: grown)
        welcome.continuesBackfill = true
        #expect(try replica.replica.adopt(welcome).isBackfilling)
        var brands = RowPageBuilder(columnCount: 1)
        brands.append(F.id(900), Row([.text("Peyk")]), writers: [])
        try replica.replica.store(
            Page(
                table: grown.tables.count - 1, rowCount: 1, payload: brands.finish(), position: 102, last: nil,
                endsTable: true, endsBackfill: true, remaining: 0))
        let applied = try replica.replica.apply(F.batch(100, 102, [], isWhole: true))
        #expect(applied.switched)
        for number in [UInt64(1), 2] {
            #expect(try replica.replica.read { try $0.row("customer", F.id(number)) }?[8] == .integer(5))
        }
        #expect(try replica.replica.read { try $0.row("brand", F.id(900)) }?[0] == .text("Peyk"))
    }
}
