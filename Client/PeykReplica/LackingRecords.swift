import PeykModel
import PeykSQLite

/// Records that the replica held and that a restored server does not have (rule I8): listed until they return from the
/// devices that wrote them, so that nobody takes their absence for a deletion.
struct LackingRecords {
    private var rows: [(key: RecordKey, row: Row)] = []
    private var more: Int64 = 0

    /// Enough for a person to see what is missing; the rest is only counted.
    static let listedMax = 10_000

    /// Compares the confirmed rows with the staged ones, before these replace them.
    /// - Complexity: O(rows)
    init(_ context: ApplyContext) throws {
        for (index, table) in context.schema.tables.enumerated() where !table.isLedger {
            let name = TableRows.quoted(table.name)
            let stage = TableRows.quoted("peyk_stage_" + table.name)
            let gone = try context.connection.rows(
                "SELECT id FROM \(name) WHERE id NOT IN (SELECT id FROM \(stage)) ORDER BY id")
            for record in gone.compactMap({ $0.first?.recordID }) {
                let key = RecordKey(table: index, record: record)
                guard let row = try context.confirmed(key) else { continue }
                if rows.count < Self.listedMax { rows.append((key, row)) } else { more += 1 }
            }
        }
    }

    /// After the switch: what own commits show is not missing.
    func list(_ replica: Replica, _ context: ApplyContext) throws {
        for (key, row) in rows where try !context.tables[key.table].contains(key.record) {
            try replica.park(
                context.connection,
                IssueDraft(
                    code: .lacking, detail: "the server was restored from a backup that does not have this record",
                    table: context.schema.tables[key.table].name, record: key.record, base: row.encoded(), state: .told)
            )
        }
        guard more > 0 else { return }
        try replica.park(
            context.connection,
            IssueDraft(
                code: .lacking, detail: "\(more) more records of this replica are missing on the restored server",
                state: .told))
    }
}

extension Replica {
    /// What has come back is listed no more.
    func forgetReturned(_ connection: Connection) throws {
        let code = Value.text(NoticeCode.lacking.rawValue)
        let tables = try connection.rows(
            "SELECT DISTINCT table_name FROM peyk_issue WHERE code = ?1 AND table_name IS NOT NULL", [code])
        for name in tables.compactMap({ $0.first?.textValue }) where schema.tableIndex(name) != nil {
            try connection.run(
                """
                DELETE FROM peyk_issue WHERE code = ?1 AND table_name = ?2
                    AND record_id IN (SELECT id FROM \(TableRows.quoted(name)))
                """, [code, .text(name)])
        }
    }
}

extension NoticeCode {
    /// The restored server does not have a record that this replica held.
    static let lacking = Self(rawValue: "lacking")
}
