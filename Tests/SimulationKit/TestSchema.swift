public import PeykModel

/// A small schema with every policy, every kind of table, a group, a lender and soft references.
public enum TestSchema {
    public static let schema = Schema(
        version: 1,
        tables: [
            Table("territory", .reference, fields: [Field("name", .text, required: true)]),
            Table("user", .reference, fields: [Field("name", .text, required: true)]),
            Table(
                "stage", .reference,
                fields: [
                    Field("name", .text, required: true), Field("position", .integer, required: true),
                    Field("kind", .enumeration(["open", "won", "lost"]), required: true),
                ]),
            Table(
                "customer", .root(AudienceFields(territory: "territory_id", owner: "owner_id"), lends: nil),
                fields: [
                    Field("name", .text, .lww, required: true),
                    Field("territory_id", .reference(table: "territory"), .review, hard: true),
                    Field("owner_id", .reference(table: "user"), .review, hard: true),
                    Field("phone", .text, .lww),
                    Field("city", .text, .lww, group: "address"),
                    Field("street", .text, .lww, group: "address"),
                    Field("tags", .set, .set),
                    Field("visits", .integer, .counter, required: true, default: .integer(0)),
                    Field("memo", .text, .text),
                    Field("since", .date, .once),
                    Field("best", .integer, .max),
                    Field("floor", .integer, .min),
                    Field("score", .integer, .server),
                ]),
            Table(
                "contact", .child(parents: ["customer_id"], owner: nil),
                fields: [
                    Field("customer_id", .reference(table: "customer"), .lww, required: true, hard: true),
                    Field("name", .text, .lww),
                    Field("phone", .text, .lww),
                ]),
            Table(
                "opportunity",
                .root(AudienceFields(territory: "territory_id", owner: "owner_id"), lends: "customer_id"),
                fields: [
                    Field("name", .text, .lww),
                    Field("territory_id", .reference(table: "territory"), .review, hard: true),
                    Field("owner_id", .reference(table: "user"), .review, hard: true),
                    Field("customer_id", .reference(table: "customer"), .lww, hard: true),
                    Field(
                        "stage_id", .reference(table: "stage"), .rank, hard: true,
                        rank: Field.Rank(order: "position", kind: "kind")),
                    Field("amount", .money(currency: "currency"), .review, group: "money"),
                    Field("currency", .text, .review, group: "money"),
                    Field("close_date", .date, .review),
                    Field("partner_id", .reference(table: "customer"), .lww),
                ]),
            Table(
                "note", .private(owner: "owner_id"),
                fields: [
                    Field("owner_id", .reference(table: "user"), .lww, required: true, hard: true),
                    Field("body", .text, .lww),
                ]),
        ])

    public static func id(_ kind: UInt64, _ number: Int) -> RecordID {
        RecordID(milliseconds: 1_700_000_000_000, randomHigh: kind, randomLow: UInt64(number) << 2)
    }

    public static func territory(_ number: Int) -> RecordID { id(1, number) }
    public static func user(_ number: Int) -> RecordID { id(2, number) }
    public static func stage(_ number: Int) -> RecordID { id(3, number) }
    public static func customer(_ number: Int) -> RecordID { id(4, number) }
    public static func opportunity(_ number: Int) -> RecordID { id(5, number) }

    /// Territories, stages (three open, won, lost) and shared customers and opportunities, as the server's own writes.
    public static func seedChanges(territories: Int, users: Int, customers: Int, opportunities: Int) -> [Change] {
        var changes: [Change] = []
        func insert(_ name: String, _ id: RecordID, _ values: [String: Value]) {
            guard let index = schema.tableIndex(name), let table = schema.table(at: index) else { return }
            var cells: [CellChange] = []
            for cell in table.cells {
                let list = cell.fields.map { values[table.fields[$0].name] ?? table.fields[$0].defaultValue }
                guard list.contains(where: { !$0.isNull }) else { continue }
                switch (cell.policy, list.first) {
                case (.counter, .integer(let start)?): cells.append(CellChange(cell: cell.tag, write: .add(start)))
                case (.text, .text(let text)?):
                    cells.append(CellChange(cell: cell.tag, write: .text(base: nil, new: text)))
                default: cells.append(CellChange(cell: cell.tag, write: .assign(list)))
                }
            }
            changes.append(Change(table: index, record: id, kind: .insert, cells: cells))
        }
        for number in 0..<territories { insert("territory", territory(number), ["name": .text("T\(number)")]) }
        for number in 0..<users { insert("user", user(number), ["name": .text("user\(number)")]) }
        for (number, stage) in [
            ("lead", "open"), ("offer", "open"), ("talks", "open"), ("won", "won"), ("lost", "lost"),
        ]
        .enumerated() {
            insert(
                "stage", Self.stage(number),
                ["name": .text(stage.0), "position": .integer(Int64(number)), "kind": .text(stage.1)])
        }
        for number in 0..<customers {
            insert(
                "customer", customer(number),
                [
                    "name": .text("customer \(number)"), "territory_id": Value(territory(number % territories)),
                    "memo": .text("one\ntwo\nthree\nfour"), "best": .integer(0), "floor": .integer(0),
                ])
        }
        for number in 0..<opportunities {
            insert(
                "opportunity", opportunity(number),
                [
                    "name": .text("deal \(number)"), "territory_id": Value(territory(number % territories)),
                    "customer_id": Value(customer(number % max(1, customers))), "stage_id": Value(stage(0)),
                    "amount": .integer(1_000), "currency": .text("EUR"),
                ])
        }
        return changes
    }
}
