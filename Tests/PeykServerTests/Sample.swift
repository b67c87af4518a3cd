import PeykMerge
public import PeykModel

/// A small field-sales schema, and changes by name.
enum Sample {
    static let schema = Schema(
        version: 1,
        tables: [
            Table("territory", .reference, fields: [Field("name", .text, required: true)]),
            Table("user", .reference, fields: [Field("name", .text, required: true)]),
            Table(
                "stage", .reference,
                fields: [
                    Field("name", .text), Field("place", .integer),
                    Field("kind", .enumeration(["open", "won", "lost"])),
                ]),
            Table(
                "customer",
                .root(
                    AudienceFields(territory: "territory_id", owner: "owner_id", collaborators: "helpers"), lends: nil),
                fields: [
                    Field("name", .text, required: true), Field("phone", .text),
                    Field("territory_id", .reference(table: "territory"), .review, hard: true),
                    Field("owner_id", .reference(table: "user"), .review, hard: true),
                    Field("helpers", .set, .set), Field("tags", .set, .set),
                    Field("visits", .integer, .counter, default: .integer(0)), Field("notes", .text, .text),
                    Field("street", .text, group: "address"), Field("city", .text, group: "address"),
                    Field("since", .date, .once), Field("score", .integer, .server),
                    Field("referrer_id", .reference(table: "customer")),
                ], unique: [["phone"]]),
            Table(
                "contact", .child(parents: ["customer_id"], owner: nil),
                fields: [
                    Field("name", .text, required: true),
                    Field("customer_id", .reference(table: "customer"), required: true, hard: true),
                ]),
            Table(
                "opportunity",
                .root(AudienceFields(territory: "territory_id", owner: "owner_id"), lends: "customer_id"),
                fields: [
                    Field("name", .text, required: true),
                    Field("customer_id", .reference(table: "customer"), required: true, hard: true),
                    Field("territory_id", .reference(table: "territory"), .review, hard: true),
                    Field("owner_id", .reference(table: "user"), .review, hard: true),
                    Field(
                        "stage_id", .reference(table: "stage"), .rank, hard: true,
                        rank: Field.Rank(order: "place", kind: "kind")),
                    Field("amount", .money(currency: "currency"), .review, group: "money"),
                    Field("currency", .text, .review, group: "money"), Field("closes", .date, .review),
                ]),
            Table(
                "activity", .child(parents: ["opportunity_id", "customer_id"], owner: "owner_id"),
                fields: [
                    Field("subject", .text), Field("opportunity_id", .reference(table: "opportunity"), hard: true),
                    Field("customer_id", .reference(table: "customer"), hard: true),
                    Field("owner_id", .reference(table: "user"), hard: true),
                ], appendOnly: true),
            Table(
                "task", .private(owner: "owner_id"),
                fields: [
                    Field("subject", .text), Field("owner_id", .reference(table: "user"), required: true, hard: true),
                    Field("customer_id", .reference(table: "customer")),
                ]),
        ])

    static func id(_ number: UInt64) -> RecordID {
        RecordID(bits: UUIDBits(high: 0x0190_0000_0000_7000, low: 0x8000_0000_0000_0000 | number))
    }

    static func stage(_ name: String) -> RecordID {
        id(100 + UInt64(["Lead", "Offer", "Won", "Lost"].firstIndex(of: name) ?? 9))
    }

    static func table(_ name: String) -> Int { schema.tableIndex(name) ?? -1 }
    static func key(_ table: String, _ id: RecordID) -> RecordKey { RecordKey(table: self.table(table), record: id) }
    static func field(_ table: String, _ name: String) -> Int { schema.table(named: table)?.fieldIndex(name) ?? -1 }

    static func insert(_ table: String, _ id: RecordID, _ values: [String: Value]) -> Change {
        change(.insert, table, id, values, on: nil)
    }

    static func delete(_ table: String, _ id: RecordID) -> Change {
        Change(table: self.table(table), record: id, kind: .delete)
    }

    /// As a replica seals it: whole groups, a counter's delta, a set's difference, a text with its base.
    static func update(_ table: String, _ id: RecordID, _ values: [String: Value], on row: Row?) -> Change {
        change(.update, table, id, values, on: row)
    }

    private static func change(
        _ kind: Change.Kind, _ name: String, _ id: RecordID, _ values: [String: Value], on row: Row?
    ) -> Change {
        guard let table = schema.table(named: name) else { return Change(table: 9_999, record: id, kind: kind) }
        var byField: [Int: Value] = [:]
        for (field, value) in values { byField[table.fieldIndex(field) ?? 9_999] = value }
        var cells: [CellChange] = []
        for cell in table.cells where cell.fields.contains(where: { byField[$0] != nil }) {
            let present = row ?? .empty(table)
            let new = cell.fields.map { byField[$0] ?? present[$0] }
            let write: CellWrite
            switch cell.policy {
            case .counter: write = .add(new[0].integerValue ?? 0)
            case .set:
                let before =
                    kind == .insert ? [] : present[cell.tag].textValue.flatMap { ValueSet(json: $0) }?.elements ?? []
                let after = new[0].textValue.flatMap { ValueSet(json: $0) }?.elements ?? []
                write = .elements(
                    added: after.filter { !before.contains($0) }, removed: before.filter { !after.contains($0) })
            case .text:
                write = .text(base: kind == .insert ? nil : present[cell.tag].textValue, new: new[0].textValue)
            default: write = .assign(new)
            }
            cells.append(CellChange(cell: cell.tag, write: write))
        }
        return Change(table: self.table(name), record: id, kind: kind, cells: cells.sorted { $0.cell < $1.cell })
    }
}

extension Value: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    public init(stringLiteral value: String) { self = .text(value) }
    public init(integerLiteral value: Int64) { self = .integer(value) }
}
