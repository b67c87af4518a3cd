import PeykMerge
import PeykModel

/// A row of the ledger, by name (the format of its JSON columns is in protocol.md).
struct LedgerRow {
    var row: Row

    private static let table = Schema.ledger

    init(_ row: Row) { self.row = row }

    init(_ key: RecordKey, table: String, cell: String?, kind: LedgerKind, rule: String, time: Int64) {
        row = .empty(Self.table)
        set("table_name", .text(table))
        set("record_id", Value(key.record))
        set("cell", cell.map { .text($0) } ?? .null)
        set("kind", .text(kind.rawValue))
        set("rule", .text(rule))
        set("state", .text("noted"))
        set("losers", .text("[]"))
        set("opened_at", .integer(time))
    }

    func text(_ name: String) -> String? { row.text(Self.table, name) }

    mutating func set(_ name: String, _ value: Value) {
        if let field = Self.table.fieldIndex(name) { row[field] = value }
    }

    var cell: String? { text("cell") }
    var kind: LedgerKind? { text("kind").flatMap { LedgerKind(rawValue: $0) } }
    var isSettled: Bool { text("state") == "settled" }

    var winner: JSON? {
        get { text("winner").flatMap { try? JSON(parsing: $0) } }
        set { set("winner", newValue.map { .text($0.text) } ?? .null) }
    }

    var losers: [JSON] {
        get { text("losers").flatMap { try? JSON(parsing: $0) }?.arrayValue ?? [] }
        set { set("losers", .text(JSON.array(newValue).text)) }
    }

    var readers: [Bucket] {
        get { (text("audience").flatMap { ValueSet(json: $0) }?.elements ?? []).map { Bucket(text: $0) } }
        set { set("audience", .text(ValueSet(newValue.map(\.text)).json)) }
    }

    mutating func open() { if !isSettled { set("state", .text("open")) } }

    mutating func settle(by user: RecordID?, at time: Int64) {
        set("state", .text("settled"))
        set("settled_by", user.map { Value($0) } ?? .null)
        set("settled_at", .integer(time))
    }
}
