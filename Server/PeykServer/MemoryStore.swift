import PeykMerge
public import PeykModel
import Synchronization

/// The reference store: everything in values, a transaction is a copy that replaces the old one when it ends well.
///
/// For tests and for reading the rules; cost and memory are O(workspace) a transaction.
public final class MemoryStore: Store {
    private let committed: Mutex<MemoryState>
    /// One writer at a time; readers take a copy and wait for nobody.
    private let writing = Mutex<Void>(())

    public init() { committed = Mutex(MemoryState()) }

    /// A store that begins where `other` stands now: what a restored backup is.
    public init(copying other: MemoryStore) {
        let state = other.committed.withLock { $0 }
        committed = Mutex(state)
    }

    public func write<Result>(_ body: (any StoreTransaction) throws -> Result) throws -> Result {
        try writing.withLock { _ in
            let transaction = MemoryTransaction(committed.withLock { $0 })
            let result = try body(transaction)
            let state = transaction.state
            committed.withLock { $0 = state }
            return result
        }
    }

    public func read<Result>(_ body: (any StoreReader) throws -> Result) throws -> Result {
        try body(MemoryTransaction(committed.withLock { $0 }))
    }

    public func query(_ sql: String, _ values: [Value]) throws -> [[Value]] { throw StoreError.noSQL }

    public func checkpoint() throws {}
}

/// All that the store holds, as one value.
struct MemoryState: Sendable {
    var schema = Schema(version: 0, tables: [])
    var records: [Int: [RecordID: StoredRecord]] = [:]
    /// By table and field, then by the value of the reference.
    var referrers: [RecordKey: Set<RecordKey>] = [:]
    var ledger: [RecordKey: Set<RecordID>] = [:]
    var log: [LogEntry] = []
    var positions: [RecordKey: [Position]] = [:]
    var commits: [CommitID: CommitOrigin] = [:]
    var documents: [String: [String: [UInt8]]] = [:]
}

private final class MemoryTransaction: StoreTransaction {
    var state: MemoryState

    init(_ state: MemoryState) { self.state = state }

    var schema: Schema { state.schema }

    func head() throws -> Position { state.log.last?.position ?? 0 }

    func record(_ key: RecordKey) throws -> StoredRecord? { state.records[key.table]?[key.record] }

    func records(of table: Int, after: RecordID?, _ body: (RecordID, StoredRecord) throws -> Bool) throws {
        let rows = state.records[table] ?? [:]
        for id in rows.keys.sorted() {
            if let after, id <= after { continue }
            guard let record = rows[id], record.state.isAlive else { continue }
            guard try body(id, record) else { return }
        }
    }

    func count(of table: Int) throws -> Int64 {
        Int64((state.records[table] ?? [:]).values.count { $0.state.isAlive })
    }

    func referrers(table: Int, field: Int, to record: RecordID) throws -> [RecordID] {
        guard let target = schema.target(table: table, field: field) else { return [] }
        let all = state.referrers[RecordKey(table: target, record: record)] ?? []
        return try all.filter { $0.table == table }.map(\.record).sorted().filter {
            try self.record(RecordKey(table: table, record: $0))?.state.row[field].recordID == record
        }
    }

    func ledgerEntries(of key: RecordKey) throws -> [RecordID] { (state.ledger[key] ?? []).sorted() }

    func records(of table: Int, matching fields: [Int], _ values: [Value]) throws -> [RecordID] {
        var found: [RecordID] = []
        try records(of: table, after: nil) { id, record in
            if zip(fields, values).allSatisfy({ record.state.row[$0] == $1 }) { found.append(id) }
            return true
        }
        return found
    }

    func log(after: Position, upTo: Position, _ body: (LogEntry) throws -> Bool) throws {
        guard let first = state.log.first?.position else { return }
        var index = Int(max(0, after + 1 - first))
        while index < state.log.count, state.log[index].position <= upTo {
            guard try body(state.log[index]) else { return }
            index += 1
        }
    }

    func positions(of key: RecordKey) throws -> [Position] { state.positions[key] ?? [] }

    func origin(of commit: CommitID) throws -> CommitOrigin? { state.commits[commit] }

    func firstPosition() throws -> Position? { state.log.first?.position }

    func tombstones(upTo: Position, _ body: (RecordKey, StoredRecord) throws -> Bool) throws {
        var found: [(order: (Position, Int, RecordID), record: StoredRecord)] = []
        for (table, rows) in state.records {
            for (id, record) in rows where !record.state.isAlive && record.position <= upTo {
                found.append(((record.position, -table, id), record))
            }
        }
        for (order, record) in found.sorted(by: { $0.order < $1.order }) {
            guard try body(RecordKey(table: -order.1, record: order.2), record) else { return }
        }
    }

    func tombstoneCount() throws -> Int64 {
        state.records.values.reduce(0) { $0 + Int64($1.values.count { !$0.state.isAlive }) }
    }

    func document(_ collection: String, _ key: String) throws -> [UInt8]? { state.documents[collection]?[key] }

    func documents(_ collection: String, prefix: String) throws -> [(key: String, value: [UInt8])] {
        (state.documents[collection] ?? [:]).filter { $0.key.hasPrefix(prefix) }
            .sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            .map { (key: $0.key, value: $0.value) }
    }

    // MARK: - Writing

    func put(_ record: StoredRecord, at key: RecordKey) throws {
        try unlink(key)
        state.records[key.table, default: [:]][key.record] = record
        guard record.state.isAlive else { return }
        for target in schema.targets(of: record.state.row, table: key.table) {
            state.referrers[target, default: []].insert(key)
        }
        if let parent = ledgerParent(key, record) { state.ledger[parent, default: []].insert(key.record) }
    }

    private func unlink(_ key: RecordKey) throws {
        guard let old = try record(key), old.state.isAlive else { return }
        for target in schema.targets(of: old.state.row, table: key.table) { state.referrers[target]?.remove(key) }
        if let parent = ledgerParent(key, old) { state.ledger[parent]?.remove(key.record) }
    }

    private func ledgerParent(_ key: RecordKey, _ record: StoredRecord) -> RecordKey? {
        guard key.table == Schema.ledgerIndex else { return nil }
        return AudienceRules(schema: schema).parent(table: key.table, row: record.state.row)
            .map { RecordKey(table: $0.table, record: $0.record) }
    }

    func drop(_ key: RecordKey) throws {
        guard try record(key)?.state.isAlive == false else { return }
        state.records[key.table]?[key.record] = nil
    }

    func append(_ entry: LogEntry) throws {
        guard entry.position == (try head()) + 1 else { throw StoreError.corrupt("a gap in the log") }
        state.log.append(entry)
        for effect in entry.effects { state.positions[effect.key, default: []].append(entry.position) }
        if entry.kind != .known, entry.kind != .waiting, state.commits[entry.commit] == nil {
            state.commits[entry.commit] = CommitOrigin(position: entry.position, site: entry.dot.site)
        }
    }

    func trimLog(upTo: Position) throws {
        let end = min(upTo, try head() - 1)
        let gone = state.log.prefix { $0.position <= end }
        for entry in gone {
            for effect in entry.effects { state.positions[effect.key]?.removeAll { $0 == entry.position } }
        }
        state.log.removeFirst(gone.count)
    }

    func adopt(_ schema: Schema) throws {
        state.schema = schema
        for (index, table) in schema.tables.enumerated() {
            for id in (state.records[index] ?? [:]).keys {
                guard let row = state.records[index]?[id]?.state.row else { continue }
                state.records[index]?[id]?.state.row = row.widened(to: table)
            }
        }
    }

    func setDocument(_ collection: String, _ key: String, _ value: [UInt8]?) throws {
        state.documents[collection, default: [:]][key] = value
    }

    func savepoint<Result>(_ body: () throws -> Result) throws -> Result {
        let saved = state
        do {
            return try body()
        } catch {
            state = saved
            throw error
        }
    }
}

extension Schema {
    /// The table that a reference field points to.
    func target(table: Int, field: Int) -> Int? {
        guard let table = self.table(at: table), table.fields.indices.contains(field),
            case .reference(let name) = table.fields[field].type
        else { return nil }
        return tableIndex(name)
    }

    /// The records that this row refers to, hard or soft.
    func targets(of row: Row, table index: Int) -> [RecordKey] {
        guard let table = table(at: index) else { return [] }
        return table.fields.indices.compactMap { field in
            guard let target = target(table: index, field: field), let record = row[field].recordID else { return nil }
            return RecordKey(table: target, record: record)
        }
    }
}
