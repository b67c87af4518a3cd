import PeykMerge
import PeykModel
import PeykSQLite
import PeykServer

/// The one writer's transaction.
final class SQLiteTransaction: SQLiteReader, StoreTransaction {
    /// Audiences first named in this transaction; the shared cache learns them after COMMIT (rule A4).
    private(set) var newAudiences = AudienceCache.Pairs()
    /// Records that came to life less those that died, by table; written once at the end.
    private var countChanges: [Int: Int64] = [:]
    private var knownHead: Position?
    private(set) var failure: (any Error)?

    /// Writes what was gathered. The last step before COMMIT.
    func finish() throws {
        for (table, change) in countChanges.sorted(by: { $0.key < $1.key }) where change != 0 {
            try connection.run(
                """
                INSERT INTO peyk_count(tbl, living) VALUES(?, ?)
                ON CONFLICT(tbl) DO UPDATE SET living = living + excluded.living
                """, [.integer(Int64(table)), .integer(change)])
        }
        countChanges = [:]
    }

    override func head() throws -> Position {
        if let knownHead { return knownHead }
        let head = try super.head()
        knownHead = head
        return head
    }

    override func count(of table: Int) throws -> Int64 {
        try super.count(of: table) + countChanges[table, default: 0]
    }

    // MARK: - Records

    func put(_ record: StoredRecord, at key: RecordKey) throws {
        let table = try plan.table(key.table)
        let number = try number(of: record.audience)
        if record.state.isAlive {
            try putLiving(record, at: key, table, audience: number)
        } else {
            try putTombstone(record, at: key, table, audience: number)
        }
    }

    private func putLiving(_ record: StoredRecord, at key: RecordKey, _ table: TablePlan, audience: Int64) throws {
        if let old = try row(key) {
            try update(key, table, from: old, to: record.state.row)
            let statement = try connection.statement(
                "UPDATE peyk_record SET audience = ?3, position = ?4, inserted_by = ?5, clock = ?6 "
                    + "WHERE tbl = ?1 AND id = ?2")
            try bindRecord(record, at: key, audience: audience, to: statement)
            try statement.run()
            return
        }
        let insert = try connection.statement(table.insert)
        try insert.bind(1, id: key.record)
        for field in 0..<table.fieldCount { try insert.bind(Int32(field + 2), record.state.row[field]) }
        try insert.run()
        let statement = try connection.statement(
            "INSERT INTO peyk_record(tbl, id, audience, position, inserted_by, clock) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")
        try bindRecord(record, at: key, audience: audience, to: statement)
        try statement.run()
        try drop(key)
        countChanges[key.table, default: 0] += 1
    }

    /// Sets only what changed, so that indexes of other columns are left alone.
    private func update(_ key: RecordKey, _ table: TablePlan, from old: Row, to new: Row) throws {
        let fields = new.differs(from: old, count: table.fieldCount)
        guard !fields.isEmpty else { return }
        let statement = try connection.statement(table.update(fields))
        for (index, field) in fields.enumerated() { try statement.bind(Int32(index + 1), new[field]) }
        try statement.bind(Int32(fields.count + 1), id: key.record)
        try statement.run()
    }

    private func putTombstone(_ record: StoredRecord, at key: RecordKey, _ table: TablePlan, audience: Int64) throws {
        let living = try connection.statement("DELETE FROM peyk_record WHERE tbl = ? AND id = ?")
        try bind(key, to: living)
        try living.run()
        if connection.changes > 0 {
            let row = try connection.statement(table.delete)
            try row.bind(1, id: key.record)
            try row.run()
            countChanges[key.table, default: 0] -= 1
        }
        let statement = try connection.statement(
            """
            INSERT INTO peyk_tombstone(tbl, id, audience, position, inserted_by, clock, row)
            VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)
            ON CONFLICT(tbl, id) DO UPDATE SET audience = excluded.audience, position = excluded.position,
                inserted_by = excluded.inserted_by, clock = excluded.clock, row = excluded.row
            """)
        try bindRecord(record, at: key, audience: audience, to: statement)
        var writer = ByteWriter(capacity: 128)
        record.state.row.encode(to: &writer)
        try writer.bytes.withUnsafeBytes { try statement.bind(7, blob: $0) }
        try statement.run()
    }

    /// Binds tbl, id, audience, position, inserted_by, clock as 1 to 6.
    private func bindRecord(
        _ record: StoredRecord, at key: RecordKey, audience: Int64, to statement: Statement
    ) throws {
        try bind(key, to: statement)
        try statement.bind(3, int64: audience)
        try statement.bind(4, int64: record.position)
        if let user = record.insertedBy {
            try statement.bind(5, bits: user.bits)
        } else {
            try statement.bindNull(5)
        }
        let clock = try encoded(record.state.clock)
        try clock.withUnsafeBytes { try statement.bind(6, blob: $0) }
    }

    /// Epochs that no clock had yet get the next numbers.
    private func encoded(_ clock: RowClock) throws -> [UInt8] {
        var missing: [Epoch] = []
        func look(_ writer: Writer) {
            if !epochs.contains(writer.epoch), !missing.contains(writer.epoch) { missing.append(writer.epoch) }
        }
        for list in [clock.created, clock.record, clock.deletes, clock.ended] { list.forEach(look) }
        for cell in clock.cells {
            cell.siblings.forEach { look($0.writer) }
            cell.elements.forEach { $0.adders.forEach(look) }
        }
        if !missing.isEmpty {
            epochs += missing
            try MetaRow.set("epochs", .blob(epochs.flatMap(\.bytes)), connection)
        }
        return clock.encoded(epochs: epochs)
    }

    func drop(_ key: RecordKey) throws {
        let statement = try connection.statement("DELETE FROM peyk_tombstone WHERE tbl = ? AND id = ?")
        try bind(key, to: statement)
        try statement.run()
    }

    // MARK: - Audiences

    override func audience(_ number: Int64) throws -> Audience {
        if let known = newAudiences.audiences[number] ?? audiences.audience(number) { return known }
        let audience = try storedAudience(number)
        newAudiences.insert(audience, number: number)
        return audience
    }

    private func number(of audience: Audience) throws -> Int64 {
        if let known = audiences.number(audience) ?? newAudiences.numbers[audience] { return known }
        let texts: [Value] = [
            .text(AudienceText.text(audience.home)), .text(AudienceText.text(audience.readers)),
        ]
        try connection.run("INSERT OR IGNORE INTO peyk_audience(home, readers) VALUES(?, ?)", texts)
        let found = try connection.value("SELECT id FROM peyk_audience WHERE home = ? AND readers = ?", texts)
        guard let number = found?.integerValue else { throw StoreError.corrupt("the table of audiences") }
        newAudiences.insert(audience, number: number)
        return number
    }

    // MARK: - Log

    func append(_ entry: LogEntry) throws {
        let head = try head()
        guard entry.position == head + 1 else {
            throw StoreLayoutError.notNext(position: entry.position, head: head)
        }
        let bytes = try LogEntryCodec.encode(entry) { try number(of: $0) }
        let statement = try connection.statement(
            """
            INSERT INTO peyk_log(position, commit_id, site, seq, kind, stamp, user, time, entry)
            VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)
            """)
        try statement.bind(1, int64: entry.position)
        try statement.bind(2, bits: entry.commit.bits)
        try statement.bind(3, int64: Int64(bitPattern: entry.dot.site.rawValue))
        try statement.bind(4, int64: entry.dot.seq)
        try statement.bind(5, int64: Int64(entry.kind.rawValue))
        try statement.bind(6, int64: Int64(bitPattern: entry.stamp.rawValue))
        if let user = entry.user { try statement.bind(7, bits: user.bits) } else { try statement.bindNull(7) }
        try statement.bind(8, int64: entry.time)
        try bytes.withUnsafeBytes { try statement.bind(9, blob: $0) }
        try statement.run()
        for effect in entry.effects {
            let record = try connection.statement(
                "INSERT OR IGNORE INTO peyk_log_record(tbl, id, position) VALUES(?, ?, ?)")
            try bind(effect.key, to: record)
            try record.bind(3, int64: entry.position)
            try record.run()
        }
        knownHead = entry.position
    }

    func trimLog(upTo: Position) throws {
        let end = min(upTo, try head() - 1)
        var gone: [(position: Position, keys: [RecordKey])] = []
        try log(after: 0, upTo: end) { entry in
            gone.append((entry.position, entry.effects.map(\.key)))
            return true
        }
        for (position, keys) in gone {
            for key in keys {
                let record = try connection.statement(
                    "DELETE FROM peyk_log_record WHERE tbl = ? AND id = ? AND position = ?")
                try bind(key, to: record)
                try record.bind(3, int64: position)
                try record.run()
            }
        }
        try connection.run(
            """
            INSERT OR IGNORE INTO peyk_commit(id, position, site)
            SELECT commit_id, position, site FROM peyk_log WHERE position <= ? AND kind NOT IN (1, 5)
            """, [.integer(end)])
        try connection.run("DELETE FROM peyk_log WHERE position <= ?", [.integer(end)])
    }

    // MARK: - Schema and documents

    func adopt(_ schema: Schema) throws {
        if self.schema.version > 0 { try self.schema.checkSuccessor(schema) }
        for statement in StoreLayout.changes(from: self.schema, to: schema) { try connection.execute(statement) }
        try MetaRow.write(schema, connection)
        plan = SchemaPlan(schema: schema)
    }

    func setDocument(_ collection: String, _ key: String, _ value: [UInt8]?) throws {
        guard let value else {
            try connection.run(
                "DELETE FROM peyk_document WHERE collection = ? AND key = ?", [.text(collection), .text(key)])
            return
        }
        let statement = try connection.statement(
            """
            INSERT INTO peyk_document(collection, key, value) VALUES(?, ?, ?)
            ON CONFLICT(collection, key) DO UPDATE SET value = excluded.value
            """)
        try statement.bind(1, .text(collection))
        try statement.bind(2, .text(key))
        try value.withUnsafeBytes { try statement.bind(3, blob: $0) }
        try statement.run()
    }

    /// A commit of a group. References that would be left dangling undo it here, and not the whole group at COMMIT.
    func savepoint<Result>(_ body: () throws -> Result) throws -> Result {
        let before = (newAudiences, countChanges, knownHead, plan, epochs)
        do {
            return try connection.savepoint {
                let result = try body()
                guard !connection.hasForeignKeyViolations else { throw StoreLayoutError.unresolvedReference }
                return result
            }
        } catch {
            (newAudiences, countChanges, knownHead, plan, epochs) = before
            if failure == nil, let error = error as? SQLiteError, error.isOfSurroundings { failure = error }
            throw error
        }
    }
}
