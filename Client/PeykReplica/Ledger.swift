public import PeykModel
import PeykSQLite

/// One entry of the conflict ledger, read for people (design §3).
public struct LedgerEntry: Hashable, Sendable, Identifiable {
    /// A writer's claim: what it wanted to write, and who it is.
    public struct Claim: Hashable, Sendable {
        public var commit: CommitID?
        public var site: SiteID?
        public var seq: Sequence64
        public var user: String?
        public var stamp: HLC
        /// By field name.
        public var values: [String: Value]
        /// What its author had seen, as JSON.
        public var clock: JSON?
    }

    public enum State: String, Hashable, Sendable { case open, noted, settled }

    public var id: RecordID
    public var table: String
    public var record: RecordID
    /// Name of the field or group; nil where the whole record is meant.
    public var cell: String?
    public var kind: LedgerKind
    public var rule: String
    public var state: State
    /// What both replaced; by field name.
    public var base: [String: Value]
    public var winner: Claim?
    public var losers: [Claim]
    public var position: Position
    /// Unix milliseconds.
    public var openedAt: Int64
    public var settledBy: String?
    public var settledAt: Int64?
}

extension Replica {
    /// Ledger entries, newest first.
    /// - Parameter states: only these.
    public func ledger(states: Set<LedgerEntry.State> = [.open]) throws -> [LedgerEntry] {
        try reading { connection in
            let words = states.map(\.rawValue).sorted()
            let places = words.indices.map { "?\($0 + 1)" }.joined(separator: ", ")
            return try LedgerEntry.read(
                connection, schema, "WHERE state IN (\(places))", words.map { .text($0) })
        }
    }

    /// The entries of one record, newest first.
    public func ledger(of key: RecordKey) throws -> [LedgerEntry] {
        try reading { connection in
            guard let table = schema.table(at: key.table) else { return [] }
            return try LedgerEntry.read(
                connection, schema, "WHERE record_id = ?1 AND table_name = ?2", [Value(key.record), .text(table.name)])
        }
    }

    public func ledgerEntry(_ id: RecordID) throws -> LedgerEntry {
        try reading { try LedgerEntry.find($0, schema, id) }
    }

    /// Leaves the winner standing and closes the entry (operation *settle*).
    @discardableResult
    public func acceptConflict(_ id: RecordID) throws -> WriteResult {
        let entry = try ledgerEntry(id)
        return try write { write in
            try write.operation(.settle, table: Schema.ledger.name, record: entry.id)
        }
    }

    /// Writes a loser's value back as a new edit, or what was there before edits that were handed off, and closes the
    /// entry.
    ///
    /// - Parameter loser: index in ``LedgerEntry/losers``; without meaning for what was handed off.
    /// - Throws: ``ReplicaError`` where the entry has no such loser or the record is gone.
    @discardableResult
    public func restoreConflict(_ id: RecordID, loser: Int = 0) throws -> WriteResult {
        let entry = try ledgerEntry(id)
        guard let table = schema.table(named: entry.table) else {
            throw ReplicaError.unknownTable(entry.table)
        }
        return try write { write in
            switch entry.kind {
            case .field, .incarnation, .duplicate:
                guard entry.losers.indices.contains(loser) else {
                    throw ReplicaError.cannotUndo(reason: "the entry has no value \(loser + 1) to restore")
                }
                let values = entry.losers[loser].values.filter { table.fieldIndex($0.key) != nil }
                guard !values.isEmpty else {
                    throw ReplicaError.cannotUndo(reason: "the entry does not say which value lost")
                }
                if try leavesClosedStage(values, entry, table, write) {
                    try write.operation(.reopen, table: table.name, record: entry.record)
                }
                try write.update(table.name, entry.record, values)
            case .delete:
                try write.delete(table.name, entry.record)
            case .revived:
                throw ReplicaError.cannotUndo(reason: "delete the record if it should be gone")
            case .handedOff:
                let values = entry.base.filter { table.fieldIndex($0.key) != nil }
                guard !values.isEmpty else {
                    throw ReplicaError.cannotUndo(reason: "the entry has no former values to restore")
                }
                if try leavesClosedStage(values, entry, table, write) {
                    try write.operation(.reopen, table: table.name, record: entry.record)
                }
                try write.update(table.name, entry.record, values)
            }
            try write.operation(.settle, table: Schema.ledger.name, record: entry.id)
        }
    }

    /// A person who restores a stage means it, closed or not.
    private func leavesClosedStage(
        _ values: [String: Value], _ entry: LedgerEntry, _ table: Table, _ write: LocalWrite
    ) throws -> Bool {
        guard let row = try write.row(table.name, entry.record) else { return false }
        return values.contains { name, value in
            guard let field = table.fieldIndex(name), table.fields[field].policy == .rank else { return false }
            return row[field] != value
        }
    }
}

extension LedgerEntry {
    static func find(_ connection: Connection, _ schema: Schema, _ id: RecordID) throws -> LedgerEntry {
        guard let entry = try read(connection, schema, "WHERE id = ?1", [Value(id)]).first else {
            throw ReplicaError.unknownRecord(table: "conflict", record: id.description)
        }
        return entry
    }

    static func read(
        _ connection: Connection, _ schema: Schema, _ condition: String, _ values: [Value]
    ) throws -> [LedgerEntry] {
        let table = Schema.ledger
        let rows = try connection.rows(
            "SELECT id\(TableRows.columnList(table)) FROM peyk_ledger \(condition) ORDER BY position DESC, id", values)
        return rows.compactMap { values in
            guard let id = values.first?.recordID else { return nil }
            return LedgerEntry(id: id, row: Row(Array(values.dropFirst())), schema)
        }
    }

    init?(id: RecordID, row: Row, _ schema: Schema) {
        let ledger = Schema.ledger
        guard let name = row.text(ledger, "table_name"),
            let record = row.text(ledger, "record_id").flatMap({ RecordID($0) }),
            let kind = row.text(ledger, "kind").flatMap({ LedgerKind(rawValue: $0) }),
            let state = row.text(ledger, "state").flatMap({ State(rawValue: $0) })
        else { return nil }
        func integer(_ field: String) -> Int64? { ledger.fieldIndex(field).flatMap { row[$0].integerValue } }
        func json(_ field: String) -> JSON? { row.text(ledger, field).flatMap { try? JSON(parsing: $0) } }
        let cell = row.text(ledger, "cell")
        let fields = Self.fields(of: cell, in: schema.table(named: name))
        self.id = id
        table = name
        self.record = record
        self.cell = cell
        self.kind = kind
        rule = row.text(ledger, "rule") ?? ""
        self.state = state
        base = json("base").map { Self.values($0, fields) } ?? [:]
        winner = json("winner").map { Claim($0, fields) }
        losers = (json("losers")?.arrayValue ?? []).map { Claim($0, fields) }
        position = integer("position") ?? 0
        openedAt = integer("opened_at") ?? 0
        settledBy = row.text(ledger, "settled_by")
        settledAt = integer("settled_at")
    }

    /// The fields that the entry's cell has.
    private static func fields(of cell: String?, in table: Table?) -> [String] {
        guard let cell, let table else { return [] }
        if let found = table.cell(named: cell) { return found.fields.map { table.fields[$0].name } }
        return cell.split(separator: ",").map(String.init).filter { table.fieldIndex($0) != nil }
    }

    /// A value of a single field is the plain JSON value, of a group an object.
    static func values(_ json: JSON, _ fields: [String]) -> [String: Value] {
        if let object = json.objectValue { return object.compactMapValues(\.value) }
        guard fields.count == 1, let value = json.value else { return [:] }
        return [fields[0]: value]
    }
}

extension LedgerEntry.Claim {
    init(_ json: JSON, _ fields: [String]) {
        commit = json["commit"]?.stringValue.flatMap { CommitID($0) }
        site = json["site"]?.stringValue.flatMap { SiteID($0) }
        seq = json["seq"]?.integerValue ?? 0
        user = json["user"]?.stringValue
        stamp = json["stamp"]?.stringValue.flatMap { HLC(text: $0) } ?? .zero
        values = json["value"].map { LedgerEntry.values($0, fields) } ?? [:]
        clock = json["clock"]
    }
}

extension HLC {
    /// Reads `milliseconds.counter`.
    init?(text: String) {
        let parts = text.split(separator: ".", maxSplits: 1)
        guard let first = parts.first, let milliseconds = Int64(first) else { return nil }
        guard parts.count == 2 else {
            self.init(milliseconds: milliseconds)
            return
        }
        guard let counter = UInt16(parts[1]) else { return nil }
        self.init(milliseconds: milliseconds, counter: counter)
    }
}
