import PeykModel

/// A small schema with a table of each kind.
enum FieldSales {
    static let tables: [Table] = [
        Table("person", .reference, fields: [Field("name", .text, required: true)]),
        Table("territory", .reference, fields: [Field("name", .text, required: true)]),
        Table(
            "stage", .reference,
            fields: [
                Field("label", .text), Field("place", .integer), Field("kind", .enumeration(["open", "won", "lost"])),
            ]),
        Table(
            "customer",
            .root(AudienceFields(territory: "territory", owner: "owner", collaborators: "team"), lends: nil),
            fields: [
                Field("name", .text, required: true, labels: ["fa": "نام"]),
                Field("territory", .reference(table: "territory"), .review, hard: true),
                Field("owner", .reference(table: "person"), .review, hard: true), Field("team", .set, .set),
                Field("street", .text, group: "address"), Field("city", .text, group: "address"),
                Field("visits", .integer, .counter, default: .integer(0)),
            ], unique: [["name"]], labels: ["en": "Customer"]),
        Table(
            "opportunity", .root(AudienceFields(territory: "territory", owner: "owner"), lends: "customer"),
            fields: [
                Field("customer", .reference(table: "customer"), hard: true),
                Field("territory", .reference(table: "territory"), .review, hard: true),
                Field("owner", .reference(table: "person"), .review, hard: true),
                Field("amount", .money(currency: "currency"), .review, group: "price"),
                Field("currency", .text, .review, group: "price"),
                Field(
                    "stage", .reference(table: "stage"), .rank, hard: true, rank: .init(order: "place", kind: "kind")),
                Field("size", .enumeration(["small", "large"])), Field("memo", .text, .text),
            ]),
        Table(
            "activity", .child(parents: ["opportunity", "customer"], owner: "owner"),
            fields: [
                Field("opportunity", .reference(table: "opportunity"), hard: true),
                Field("customer", .reference(table: "customer"), hard: true),
                Field("owner", .reference(table: "person")), Field("body", .text),
            ], appendOnly: true),
        Table(
            "comment", .child(parents: ["activity"], owner: nil),
            fields: [Field("activity", .reference(table: "activity"), hard: true), Field("body", .text)]),
        Table(
            "task", .private(owner: "owner"),
            fields: [Field("owner", .reference(table: "person")), Field("done", .bool), Field("due", .date)]),
    ]
    static let schema = Schema(version: 1, tables: tables)

    static func id(_ number: UInt64) -> RecordID { RecordID(bits: UUIDBits(high: 0x0190, low: number)) }

    static func row(_ table: String, _ values: [String: Value]) throws -> Row {
        guard let table = schema.table(named: table) else { throw SchemaError(place: table, problem: "unknown") }
        var row = Row.empty(table)
        for (name, value) in values {
            guard let field = table.fieldIndex(name) else { throw SchemaError(place: name, problem: "unknown") }
            row[field] = value
        }
        return row
    }
}
