import PeykModel
import PeykSQLite
import PeykServer

/// What retention looks at (rule T1).
extension SQLiteReader {
    func tombstoneCount() throws -> Int64 {
        try connection.value("SELECT count(*) FROM peyk_tombstone INDEXED BY peyk_tombstone_position", [])?
            .integerValue ?? 0
    }

    func tombstones(upTo: Position, _ body: (RecordKey, StoredRecord) throws -> Bool) throws {
        var after: (position: Position, table: Int, record: RecordID)?
        while true {
            let found = try tombstoneKeys(after: after, upTo: upTo)
            for (_, key) in found {
                guard let record = try record(key) else { throw StoreError.corrupt("a tombstone") }
                guard try body(key, record) else { return }
            }
            guard found.count == Int(Self.chunk), let last = found.last else { return }
            after = (last.position, last.key.table, last.key.record)
        }
    }

    private func tombstoneKeys(
        after: (position: Position, table: Int, record: RecordID)?, upTo: Position
    ) throws -> [(position: Position, key: RecordKey)] {
        let statement = try connection.statement(
            """
            SELECT position, tbl, id FROM peyk_tombstone WHERE position >= ?1 AND position <= ?2
            AND (position > ?1 OR tbl < ?3 OR (tbl = ?3 AND id > ?4)) ORDER BY position, tbl DESC, id LIMIT ?5
            """)
        defer { statement.reset() }
        try statement.bind(1, int64: after?.position ?? 0)
        try statement.bind(2, int64: upTo)
        try statement.bind(3, int64: Int64(after?.table ?? Int(Int32.max)))
        try statement.bind(4, bits: after?.record.bits ?? UUIDBits(high: 0, low: 0))
        try statement.bind(5, int64: Self.chunk)
        var found: [(position: Position, key: RecordKey)] = []
        while try statement.step() {
            guard let record = RecordID(bytes: statement.blob(2)) else { throw StoreError.corrupt("a tombstone") }
            found.append(
                (statement.int64(0), RecordKey(table: Int(clamping: statement.int64(1)), record: record)))
        }
        return found
    }
}
