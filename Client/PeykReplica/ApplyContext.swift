import PeykMerge
import PeykModel
import PeykSQLite
import Synchronization

/// Changes confirmed state and keeps the rows equal to confirmed state plus pending commits (rule K6), inside one
/// transaction.
///
/// Records without pending commits are written at once. For the others the new confirmed row is noted in `dirty`
/// and base, forecast and row are written together by ``settle()``, which every transaction ends with.
final class ApplyContext {
    let connection: Connection
    let schema: Schema
    let tree: TableTree
    var overlay: OverlayIndex
    var tables: [TableRows]
    /// New confirmed rows of records that had pending commits when the transaction began.
    var dirty: [RecordKey: Row?] = [:]
    /// The position that the work reaches; noted with bases.
    var position: Position = 0
    /// What could not be applied and is to be fetched whole (rules K7, M4).
    var fetch: Set<RecordKey> = []
    /// Commits of a history that is gone, offered again, which the rows still show (rule I8).
    let returning: [CommitID: Sequence64]

    init(_ connection: Connection, _ schema: Schema, _ cache: OverlayCache) throws {
        self.connection = connection
        self.schema = schema
        tree = TableTree(schema)
        tables = schema.tables.enumerated().map { TableRows($0.offset, $0.element, connection) }
        // Taken out of the cache until the transaction has done its work.
        let known = cache.index.withLock { cached in
            defer { cached = nil }
            return cached
        }
        overlay = try known ?? OverlayIndex(restoring: connection)
        try overlay.catchUp(connection)
        let meta = Meta(connection: connection)
        returning = try meta.lineage == meta.serverLineage ? [:] : OutboxCommit.returning(connection)
    }

    /// An own commit that the server has not answered yet, as far as the replica knows.
    func unanswered(_ commit: CommitID) -> Sequence64? { overlay.seq(of: commit) ?? returning[commit] }

    /// The latest stamp of an own commit that the server has not merged, as far as the replica knows.
    func lastUnmergedStamp() throws -> HLC {
        var last = overlay.lastStamp ?? .zero
        for seq in returning.values {
            let stamp = try connection.value("SELECT stamp FROM peyk_commit WHERE seq = ?1", [.integer(seq)])
            last = max(last, HLC(rawValue: UInt64(bitPattern: stamp?.integerValue ?? 0)))
        }
        return last
    }

    // MARK: Confirmed state

    /// The row as the server has it at the cursor; nil where it has none in this scope.
    func confirmed(_ key: RecordKey) throws -> Row? {
        if let row = dirty[key] { return row }
        guard let table = schema.table(at: key.table) else { return nil }
        let shown = { [self] in try tables[key.table].shown(key.record) }
        guard overlay.isPending(key) else { return try shown() }
        // What was kept before a field was added has there what old rows have (rule T2).
        if let base = try base(key) { return base.row?.widened(to: table) }
        var row = try shown()
        for pending in try overlay.changes(of: key, connection).reversed() { row = pending.before.unwind(row) }
        return row?.widened(to: table)
    }

    /// What `peyk_base` says: nil where it says nothing, since the row still stands as the record's commits left it.
    private func base(_ key: RecordKey) throws -> (row: Row?, Void)? {
        let statement = try connection.statement(
            "SELECT present, row FROM peyk_base WHERE tbl = ?1 AND record = ?2")
        try bind(statement, key)
        defer { statement.reset() }
        guard try statement.step() else { return nil }
        guard statement.int64(0) != 0 else { return (nil, ()) }
        var reader = ByteReader(statement.blob(1))
        do { return (try Row(from: &reader), ()) } catch { throw ReplicaError.damaged("peyk_base: \(error)") }
    }

    func bind(_ statement: Statement, _ key: RecordKey) throws {
        try statement.bind(1, int64: Int64(key.table))
        try withUnsafeTemporaryAllocation(byteCount: 16, alignment: 8) { buffer in
            buffer.storeBytes(of: key.record.bits.high.bigEndian, as: UInt64.self)
            buffer.storeBytes(of: key.record.bits.low.bigEndian, toByteOffset: 8, as: UInt64.self)
            try statement.bind(2, blob: UnsafeRawBufferPointer(buffer))
        }
    }

    func setBase(_ key: RecordKey, _ row: Row?) throws {
        let statement = try connection.statement(
            """
            INSERT INTO peyk_base(tbl, record, present, row, position) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT(tbl, record) DO UPDATE
            SET present = excluded.present, row = excluded.row, position = excluded.position
            """)
        try bind(statement, key)
        try statement.bind(3, int64: row == nil ? 0 : 1)
        if let row { try statement.bind(4, .blob(row.encoded())) } else { try statement.bindNull(4) }
        try statement.bind(5, int64: position)
        try statement.run()
    }

    /// Before a pending record's row is changed for another reason than its own commits.
    func ensureBase(_ key: RecordKey) throws {
        guard dirty[key] == nil, try base(key) == nil else { return }
        try setBase(key, try confirmed(key))
    }

    func clearBase(_ key: RecordKey) throws {
        let statement = try connection.statement("DELETE FROM peyk_base WHERE tbl = ?1 AND record = ?2")
        try bind(statement, key)
        try statement.run()
    }

    /// Makes `row` the confirmed row. What the tables refuse is noted in ``fetch`` (rule K7).
    func confirm(_ key: RecordKey, _ row: Row?, old: Row? = nil) throws {
        guard schema.tables.indices.contains(key.table) else { return }
        if overlay.isPending(key) || dirty[key] != nil {
            dirty[key] = .some(row)
        } else if let row {
            try write(key, row, over: old)
        } else {
            try remove(key)
        }
    }

    // MARK: Shown rows

    /// Writes the shown row: all of it, or the fields that differ from `old`.
    func write(_ key: RecordKey, _ row: Row, over old: Row?) throws {
        let rows = tables[key.table]
        do {
            if let old {
                let changed = row.differs(from: old, count: rows.table.fields.count)
                guard !changed.isEmpty else { return }
                try rows.update(key.record, changed.map { FieldValue(field: $0, value: row[$0]) })
            } else {
                try rows.upsert(key.record, row)
            }
        } catch let error as SQLiteError where error.isConstraint {
            fetch.insert(key)
        }
    }

    /// Takes a shown row away. Its children in the tables go by cascade; those of them that are pending are
    /// hidden, or go back to their confirmed place where that is elsewhere.
    func remove(_ key: RecordKey) throws {
        if !overlay.isEmpty { try release(childrenOf: key, depth: 0) }
        do { try tables[key.table].delete(key.record) } catch let error as SQLiteError where error.isConstraint {
            fetch.insert(key)
        }
    }

    private func release(childrenOf key: RecordKey, depth: Int) throws {
        guard depth < AudienceRules.depthMax else { return }
        for link in tree.incoming[key.table] where link.isParent {
            for record in try tables[link.table].referring(link.field, to: key.record) {
                let child = RecordKey(table: link.table, record: record)
                guard overlay.isPending(child) else {
                    try release(childrenOf: child, depth: depth + 1)
                    continue
                }
                try ensureBase(child)
                overlay.hidden.insert(child)
                if let row = try placedRow(child, without: [key]), try canStand(child.table, row) {
                    try write(child, row, over: nil)
                } else {
                    try release(childrenOf: child, depth: depth + 1)
                }
            }
        }
    }

    /// Whether `row` refers to `key` by a hard reference.
    private func needs(_ table: Int, _ row: Row, _ key: RecordKey) throws -> Bool {
        tree.outgoing[table].contains { $0.target == key.table && row[$0.field].recordID == key.record }
    }

    /// The forecast of a record, but where it is confirmed as far as it cannot refer to `absent` (rule K6).
    func placedRow(_ key: RecordKey, without absent: [RecordKey]) throws -> Row? {
        guard let former = try confirmed(key), var row = try forecastRow(key, from: former) else { return nil }
        for link in tree.outgoing[key.table] {
            guard let target = row[link.field].recordID,
                absent.contains(RecordKey(table: link.target, record: target))
            else { continue }
            row[link.field] = former[link.field]
        }
        return try absent.contains { try needs(key.table, row, $0) } ? nil : row
    }

    /// The records that `row` needs by hard references and that are not shown.
    func missing(_ table: Int, _ row: Row) throws -> [RecordKey] {
        try tree.outgoing[table].compactMap { link in
            guard let target = row[link.field].recordID else { return nil }
            let isHere = try tables[link.target].contains(target)
            return isHere ? nil : RecordKey(table: link.target, record: target)
        }
    }

    func forecast(_ change: Change, on row: Row?) -> Row? {
        PeykMerge.forecast(change, on: row, in: schema.tables[change.table])
    }

    /// What the record shows: its confirmed row, then its pending changes in seq order.
    func forecastRow(_ key: RecordKey, from row: Row?) throws -> Row? {
        var row = row
        for pending in try overlay.changes(of: key, connection) { row = forecast(pending.change, on: row) }
        return row
    }

    /// The same where the deletes among them are forecast to lose.
    func revealedRow(_ key: RecordKey, from row: Row?) throws -> Row? {
        var row = row
        for pending in try overlay.changes(of: key, connection) where pending.change.kind != .delete {
            row = forecast(pending.change, on: row)
        }
        return row
    }

    // MARK: Leaving

    /// Drops a record that left the scope, with everything below it (rule S3: the evict names the top).
    /// - Parameters:
    ///   - keepingLedger: it was deleted: what the ledger says of it, and of what was below it, outlives it (rule M7).
    ///   - isNewer: what is here as of a later position stays, with what is below it.
    /// - Returns: every confirmed record that went.
    @discardableResult
    func evict(
        _ key: RecordKey, keepingLedger: Bool = false, butNot isNewer: (RecordKey) -> Bool = { _ in false }
    ) throws -> [RecordKey] {
        var gone: [RecordKey] = []
        try evict(key, into: &gone, depth: 0, keepingLedger, isNewer)
        return gone
    }

    private func evict(
        _ key: RecordKey, into gone: inout [RecordKey], depth: Int, _ keepingLedger: Bool,
        _ isNewer: (RecordKey) -> Bool
    ) throws {
        guard depth < AudienceRules.depthMax, schema.tables.indices.contains(key.table) else { return }
        guard depth == 0 || !isNewer(key) else { return }
        let wasHere = try confirmed(key) != nil
        for link in tree.incoming[key.table] where link.isParent {
            for record in try tables[link.table].referring(link.field, to: key.record) {
                let child = RecordKey(table: link.table, record: record)
                if overlay.isPending(child), let row = try confirmed(child), try !needs(child.table, row, key) {
                    continue
                }
                try evict(child, into: &gone, depth: depth + 1, keepingLedger, isNewer)
            }
        }
        if key.table != Schema.ledgerIndex, !keepingLedger {
            let name = schema.tables[key.table].name
            for record in try tables[Schema.ledgerIndex].about(name, key.record) {
                let entry = RecordKey(table: Schema.ledgerIndex, record: record)
                try evict(entry, into: &gone, depth: depth + 1, keepingLedger, isNewer)
            }
        }
        if wasHere { gone.append(key) }
        try confirm(key, nil)
    }
}
