import PeykMerge
import PeykModel
import PeykSQLite
import PeykServer

/// One snapshot of the store. Used inside the closure that it was given to, and nowhere else.
///
/// Lists are read in chunks whose statement has ended before `body` sees them, so that `body` may ask for more.
class SQLiteReader: SQLReader {
    let connection: Connection
    var plan: SchemaPlan
    let audiences: AudienceCache
    /// Epochs by the numbers that row clocks name them by.
    var epochs: [Epoch]

    static let chunk: Int64 = 256

    init(_ connection: Connection, plan: SchemaPlan, audiences: AudienceCache) throws {
        self.connection = connection
        self.plan = plan
        self.audiences = audiences
        epochs = try MetaRow.epochs(connection)
    }

    var schema: Schema { plan.schema }

    func rows(_ sql: String, _ values: [Value]) throws -> [[Value]] { try connection.rows(sql, values) }

    func head() throws -> Position {
        try connection.value("SELECT max(position) FROM peyk_log", [])?.integerValue ?? 0
    }

    // MARK: - Records

    func record(_ key: RecordKey) throws -> StoredRecord? {
        guard let table = schema.table(at: key.table) else { return nil }
        let statement = try connection.statement(
            "SELECT audience, position, inserted_by, clock FROM peyk_record WHERE tbl = ? AND id = ?")
        defer { statement.reset() }
        try bind(key, to: statement)
        guard try statement.step() else { return try tombstone(key, table) }
        guard let row = try row(key) else { throw StoreError.corrupt("the row of \(table.name)/\(key.record)") }
        return try stored(statement, from: 0, row: row, isAlive: true)
    }

    /// The living row; nil where there is none.
    func row(_ key: RecordKey) throws -> Row? {
        let table = try plan.table(key.table)
        let statement = try connection.statement(table.select)
        defer { statement.reset() }
        try statement.bind(1, id: key.record)
        return try statement.step() ? row(statement, table) : nil
    }

    func row(_ statement: Statement, _ table: TablePlan) -> Row {
        var values: [Value] = []
        values.reserveCapacity(table.fieldCount)
        for field in 0..<table.fieldCount { values.append(statement.value(Int32(truncatingIfNeeded: field + 1))) }
        return Row(values)
    }

    private func tombstone(_ key: RecordKey, _ table: Table) throws -> StoredRecord? {
        let statement = try connection.statement(
            "SELECT audience, position, inserted_by, clock, row FROM peyk_tombstone WHERE tbl = ? AND id = ?")
        defer { statement.reset() }
        try bind(key, to: statement)
        guard try statement.step() else { return nil }
        var reader = ByteReader(statement.blob(4))
        let row = try decoded("a tombstone of \(table.name)") { try Row(from: &reader) }
        return try stored(statement, from: 0, row: row.widened(to: table), isAlive: false)
    }

    /// A record from the columns audience, position, inserted_by, clock, the first of them at `column`.
    private func stored(
        _ statement: Statement, from column: Int32, row: Row, isAlive: Bool
    ) throws -> StoredRecord {
        let audience = try audience(statement.int64(column))
        let insertedBy = statement.isNull(column + 2) ? nil : RecordID(bytes: statement.blob(column + 2))
        let bytes = statement.blob(column + 3)
        let clock = try decoded("a record's clock") { try RowClock(decoding: bytes, epochs: epochs) }
        return StoredRecord(
            state: RecordState(row: row, clock: clock, isAlive: isAlive), audience: audience,
            position: statement.int64(column + 1), insertedBy: insertedBy)
    }

    func records(of table: Int, after: RecordID?, _ body: (RecordID, StoredRecord) throws -> Bool) throws {
        guard schema.table(at: table) != nil else { return }
        var last = after
        while true {
            let found = try chunk(of: try plan.table(table), after: last)
            for (id, record) in found where try !body(id, record) { return }
            guard found.count == Int(Self.chunk), let end = found.last?.0 else { return }
            last = end
        }
    }

    private func chunk(of table: TablePlan, after: RecordID?) throws -> [(RecordID, StoredRecord)] {
        let rows = try connection.statement(after == nil ? table.scanFromStart : table.scan)
        let records = try connection.statement(Self.recordWalk)
        defer {
            rows.reset()
            records.reset()
        }
        if let after {
            try rows.bind(1, id: after)
            try rows.bind(2, int64: Self.chunk)
        } else {
            try rows.bind(1, int64: Self.chunk)
        }
        try bindWalk(records, table.index, after: after)
        var found: [(RecordID, StoredRecord)] = []
        while try rows.step() {
            guard let id = rows.recordID(0), try records.step(), records.withBytes(0, { id.matches($0) }) else {
                throw StoreError.corrupt("a row of \(schema.tables[table.index].name)")
            }
            found.append((id, try stored(records, from: 1, row: row(rows, table), isAlive: true)))
        }
        return found
    }

    func scan(
        table index: Int, after: RecordID?, readableBy buckets: [Bucket], above horizon: Position,
        _ body: (RecordID, Row, [CommitID]) throws -> Bool
    ) throws {
        guard schema.table(at: index) != nil else { return }
        let table = try plan.table(index)
        let rows = try connection.statement(table.walk)
        let records = try connection.statement(Self.recordWalk)
        defer {
            rows.reset()
            records.reset()
        }
        if let after { try rows.bind(1, id: after) } else { try rows.bind(1, .text("")) }
        try bindWalk(records, index, after: after)
        let grant = Grant(read: buckets, write: [Bucket](), version: 0)
        var readable: [Int64: Bool] = [:]
        while try rows.step() {
            guard try records.step() else { throw StoreError.corrupt("the rows of \(schema.tables[index].name)") }
            let number = records.int64(1)
            let isReadable: Bool
            if let known = readable[number] {
                isReadable = known
            } else {
                isReadable = grant.reads(try audience(number))
                readable[number] = isReadable
            }
            guard isReadable else { continue }
            guard let id = rows.recordID(0), records.withBytes(0, { id.matches($0) }) else {
                throw StoreError.corrupt("a row of \(schema.tables[index].name)")
            }
            var writers: [CommitID] = []
            if records.int64(2) > horizon {
                let bytes = records.blob(4)
                let clock = try decoded("a record's clock") { try RowClock(decoding: bytes, epochs: epochs) }
                writers = clock.record.filter { $0.position > horizon }.map(\.commit)
            }
            guard try body(id, row(rows, table), writers) else { return }
        }
    }

    func count(of table: Int, readableBy buckets: [Bucket]) throws -> Int64 {
        let grant = Grant(read: buckets, write: [Bucket](), version: 0)
        let statement = try connection.statement(
            "SELECT audience, count(*) FROM peyk_record WHERE tbl = ? GROUP BY audience")
        defer { statement.reset() }
        try statement.bind(1, int64: Int64(table))
        var total: Int64 = 0
        while try statement.step() {
            if grant.reads(try audience(statement.int64(0))) { total += statement.int64(1) }
        }
        return total
    }

    static let recordWalk = """
        SELECT id, audience, position, inserted_by, clock FROM peyk_record WHERE tbl = ? AND id > ? ORDER BY id
        """

    func bindWalk(_ statement: Statement, _ table: Int, after: RecordID?) throws {
        try statement.bind(1, int64: Int64(table))
        let bytes = after?.bytes ?? []
        try bytes.withUnsafeBytes { try statement.bind(2, blob: $0) }
    }

    func count(of table: Int) throws -> Int64 {
        try connection.value("SELECT living FROM peyk_count WHERE tbl = ?", [.integer(Int64(table))])?
            .integerValue ?? 0
    }

    func referrers(table: Int, field: Int, to record: RecordID) throws -> [RecordID] {
        try records(of: table, matching: [field], [Value(record)])
    }

    func ledgerEntries(of key: RecordKey) throws -> [RecordID] {
        let ledger = Schema.ledger
        guard let table = schema.table(at: key.table), let name = ledger.fieldIndex("table_name"),
            let record = ledger.fieldIndex("record_id")
        else { return [] }
        return try records(of: Schema.ledgerIndex, matching: [name, record], [.text(table.name), Value(key.record)])
    }

    func records(of table: Int, matching fields: [Int], _ values: [Value]) throws -> [RecordID] {
        guard schema.table(at: table) != nil, fields.count == values.count,
            let sql = try plan.table(table).matching(fields)
        else { throw StoreLayoutError.unknownField(table: table, field: fields.max() ?? 0) }
        let statement = try connection.statement(sql)
        defer { statement.reset() }
        for (index, value) in values.enumerated() { try statement.bind(Int32(index + 1), value) }
        var found: [RecordID] = []
        while try statement.step() {
            guard let id = statement.recordID(0) else {
                throw StoreError.corrupt("an id of \(schema.tables[table].name)")
            }
            found.append(id)
        }
        return found
    }

    // MARK: - Audiences

    func audience(_ number: Int64) throws -> Audience {
        if let known = audiences.audience(number) { return known }
        let audience = try storedAudience(number)
        audiences.insert(audience, number: number)
        return audience
    }

    final func storedAudience(_ number: Int64) throws -> Audience {
        let rows = try connection.rows("SELECT home, readers FROM peyk_audience WHERE id = ?", [.integer(number)])
        guard let home = rows.first?.first?.textValue, let readers = rows.first?.last?.textValue else {
            throw StoreError.corrupt("audience \(number)")
        }
        return try AudienceText.audience(home: home, readers: readers)
    }

    // MARK: - Log

    func log(after: Position, upTo: Position, _ body: (LogEntry) throws -> Bool) throws {
        var last = after
        while last < upTo {
            let entries = try logChunk(after: last, upTo: upTo)
            for entry in entries where try !body(entry) { return }
            guard let end = entries.last?.position else { return }
            last = end
        }
    }

    private func logChunk(after: Position, upTo: Position) throws -> [LogEntry] {
        let statement = try connection.statement(
            """
            SELECT position, commit_id, site, seq, kind, stamp, user, time, entry FROM peyk_log
            WHERE position > ? AND position <= ? ORDER BY position LIMIT 64
            """)
        defer { statement.reset() }
        try statement.bind(1, int64: after)
        try statement.bind(2, int64: upTo)
        var entries: [LogEntry] = []
        while try statement.step() { entries.append(try logEntry(statement)) }
        return entries
    }

    private func logEntry(_ statement: Statement) throws -> LogEntry {
        let position = statement.int64(0)
        guard let commit = CommitID(bytes: statement.blob(1)),
            let kind = UInt8(exactly: statement.int64(4)).flatMap({ LogEntry.Kind(rawValue: $0) })
        else { throw StoreError.corrupt("position \(position) of the log") }
        let bytes = statement.blob(8)
        let content = try decoded("position \(position) of the log") {
            try LogEntryCodec.decode(bytes) { try audience($0) }
        }
        return LogEntry(
            position: position, kind: kind,
            dot: Dot(site: SiteID(rawValue: UInt64(bitPattern: statement.int64(2))), seq: statement.int64(3)),
            commit: commit, stamp: HLC(rawValue: UInt64(bitPattern: statement.int64(5))),
            user: statement.isNull(6) ? nil : RecordID(bytes: statement.blob(6)), clock: content.clock,
            effects: content.effects, answer: content.answer, time: statement.int64(7), chain: content.chain)
    }

    func positions(of key: RecordKey) throws -> [Position] {
        let statement = try connection.statement(
            "SELECT position FROM peyk_log_record WHERE tbl = ? AND id = ? ORDER BY position")
        defer { statement.reset() }
        try bind(key, to: statement)
        var found: [Position] = []
        while try statement.step() { found.append(statement.int64(0)) }
        return found
    }

    func origin(of commit: CommitID) throws -> CommitOrigin? {
        for sql in [
            "SELECT position, site FROM peyk_log WHERE commit_id = ? AND kind NOT IN (1, 5)",
            "SELECT position, site FROM peyk_commit WHERE id = ?",
        ] {
            let statement = try connection.statement(sql)
            defer { statement.reset() }
            try statement.bind(1, bits: commit.bits)
            guard try statement.step() else { continue }
            return CommitOrigin(
                position: statement.int64(0), site: SiteID(rawValue: UInt64(bitPattern: statement.int64(1))))
        }
        return nil
    }

    func firstPosition() throws -> Position? {
        try connection.value("SELECT min(position) FROM peyk_log", [])?.integerValue
    }

    // MARK: - Documents

    func document(_ collection: String, _ key: String) throws -> [UInt8]? {
        let statement = try connection.statement("SELECT value FROM peyk_document WHERE collection = ? AND key = ?")
        defer { statement.reset() }
        try statement.bind(1, .text(collection))
        try statement.bind(2, .text(key))
        return try statement.step() ? statement.blob(0) : nil
    }

    func documents(_ collection: String, prefix: String) throws -> [(key: String, value: [UInt8])] {
        let statement = try connection.statement(
            "SELECT key, value FROM peyk_document WHERE collection = ? AND key >= ? ORDER BY key")
        defer { statement.reset() }
        try statement.bind(1, .text(collection))
        try statement.bind(2, .text(prefix))
        var found: [(key: String, value: [UInt8])] = []
        while try statement.step() {
            let key = statement.text(0)
            guard key.utf8.starts(with: prefix.utf8) else { break }
            found.append((key, statement.blob(1)))
        }
        return found
    }

    // MARK: - Binding

    /// Binds table and id as the first two values.
    final func bind(_ key: RecordKey, to statement: Statement) throws {
        try statement.bind(1, int64: Int64(key.table))
        try statement.bind(2, bits: key.record.bits)
    }

    final func decoded<Result>(_ what: String, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as DecodeError {
            throw StoreError.corrupt("\(what): \(error)")
        }
    }
}

extension Statement {
    /// 16 bytes, big-endian.
    func bind(_ index: Int32, bits: UUIDBits) throws {
        try withUnsafeTemporaryAllocation(byteCount: 16, alignment: 8) { buffer in
            buffer.storeBytes(of: bits.high.bigEndian, as: UInt64.self)
            buffer.storeBytes(of: bits.low.bigEndian, toByteOffset: 8, as: UInt64.self)
            try bind(index, blob: UnsafeRawBufferPointer(buffer))
        }
    }
}

extension RecordID {
    /// Whether these are the id's 16 bytes.
    func matches(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count == 16 else { return false }
        return UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)) == bits.high
            && UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)) == bits.low
    }
}
