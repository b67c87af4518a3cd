import PeykMerge
import PeykModel

/// The ledger, for IT (rule M7).
extension Admin {
    func openConflicts(_ reader: any StoreReader) throws -> Int64 {
        guard let state = Schema.ledger.fieldIndex("state") else { return 0 }
        return Int64(try reader.records(of: Schema.ledgerIndex, matching: [state], [.text("open")]).count)
    }

    /// Newest first.
    func conflicts(_ reader: any StoreReader, all: Bool, table: String?, limit: Int64) throws -> JSON {
        if let table, reader.schema.tableIndex(table) == nil {
            throw AdminFailure(.missing, "This workspace has no table \(table).")
        }
        var found: [(position: Int64, entry: JSON)] = []
        func take(_ id: RecordID, _ row: Row) throws {
            if let table, row.text(Schema.ledger, "table_name") != table { return }
            let entry = try ledgerEntry(id, row, reader, isWhole: false)
            found.append((entry["position"]?.integerValue ?? 0, entry))
        }
        if all {
            try reader.records(of: Schema.ledgerIndex, after: nil) { id, record in
                try take(id, record.state.row)
                return true
            }
        } else if let state = Schema.ledger.fieldIndex("state") {
            for id in try reader.records(of: Schema.ledgerIndex, matching: [state], [.text("open")]) {
                guard let record = try reader.record(RecordKey(table: Schema.ledgerIndex, record: id)) else { continue }
                try take(id, record.state.row)
            }
        }
        found.sort { $0.position > $1.position }
        return .array(found.prefix(Int(clamping: max(0, limit))).map(\.entry))
    }

    func conflict(_ reader: any StoreReader, _ text: String) throws -> JSON {
        let key = try reader.resolve(text, table: Schema.ledgerIndex)
        guard let record = try reader.record(key) else { throw AdminFailure(.missing, "There is no such conflict.") }
        return try ledgerEntry(key.record, record.state.row, reader, isWhole: true)
    }

    /// Says that a person has looked at it; the values stay as they are.
    func settle(_ text: String) throws -> JSON {
        let key = try workspace.store.read { try $0.resolve(text, table: Schema.ledgerIndex) }
        try act([], [Operation(kind: .settle, table: Schema.ledgerIndex, record: key.record)])
        return try workspace.store.read { try conflict($0, key.record.description) }
    }

    private func ledgerEntry(_ id: RecordID, _ row: Row, _ reader: any StoreReader, isWhole: Bool) throws -> JSON {
        let ledger = Schema.ledger
        func value(_ field: String) -> JSON { ledger.fieldIndex(field).map { JSON(row[$0]) } ?? .null }
        func parsed(_ field: String) -> JSON {
            row.text(ledger, field).flatMap { try? JSON(parsing: $0) } ?? .null
        }
        let people = AdminNames(reader)
        var members: [String: JSON] = [
            "id": .string(id.description), "table": value("table_name"), "record": value("record_id"),
            "name": try recordName(row, reader).map { .string($0) } ?? .null, "cell": value("cell"),
            "kind": value("kind"), "rule": value("rule"), "state": value("state"), "position": value("position"),
            "opened_at": value("opened_at"), "settled_at": value("settled_at"),
            "settled_by": row.text(ledger, "settled_by").map { .string(people.user($0)) } ?? .null,
        ]
        members["winner"] = people.named(parsed("winner"))
        members["amounts"] = amounts(of: row.text(ledger, "table_name").flatMap { reader.schema.table(named: $0) })
        members["losers"] = .array((parsed("losers").arrayValue ?? []).map { people.named($0) })
        if isWhole { members["base"] = parsed("base") }
        return .object(members)
    }

    /// Which fields are amounts, in minor units of the currency in which other field.
    private func amounts(of table: Table?) -> JSON {
        var found: [String: JSON] = [:]
        for field in table?.fields ?? [] {
            if case .money(let currency) = field.type { found[field.name] = .string(currency) }
        }
        return .object(found)
    }

    /// What people call the record that an entry is about: its name or title, where it has one.
    private func recordName(_ row: Row, _ reader: any StoreReader) throws -> String? {
        guard let name = row.text(Schema.ledger, "table_name"), let index = reader.schema.tableIndex(name),
            let id = row.text(Schema.ledger, "record_id").flatMap({ RecordID($0) }),
            let record = try reader.record(RecordKey(table: index, record: id))
        else { return nil }
        let table = reader.schema.tables[index]
        return ["name", "title", "subject"].lazy.compactMap { record.state.row.text(table, $0) }.first
    }
}

/// Names of users and devices beside their ids.
struct AdminNames {
    private let users: [String: String]
    private let devices: [String: String]

    init(_ reader: any StoreReader) {
        let users = (try? reader.documents(UserDocument.self)) ?? []
        let sites = (try? reader.documents(SiteDocument.self)) ?? []
        self.users = Dictionary(users.map { ($0.id.description, $0.name) }) { first, _ in first }
        devices = Dictionary(sites.map { ($0.site.description, $0.deviceName) }) { first, _ in first }
    }

    func user(_ id: String) -> String { users[id] ?? id }
    func device(_ site: String) -> String? { devices[site] }

    /// A claim of the ledger with the names that belong to its ids.
    func named(_ claim: JSON) -> JSON {
        guard case .object(var members) = claim else { return claim }
        if let user = members["user"]?.stringValue { members["user_name"] = .string(self.user(user)) }
        if let device = members["site"]?.stringValue.flatMap({ device($0) }) { members["device"] = .string(device) }
        return .object(members)
    }
}
