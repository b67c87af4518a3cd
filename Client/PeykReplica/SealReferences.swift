import PeykModel
import PeykSQLite

/// What foreign keys would have done, for writes made with `foreign_keys` off (rule K2): children of deleted
/// records go with them, records that are still referred to come back, references to nothing are taken back.
struct SealReferences {
    let run: SealRun
    private var connection: Connection { run.connection }
    private var layout: Layout { run.layout }
    private typealias Referrer = (table: Int, field: Int, cascades: Bool)

    init(run: SealRun) { self.run = run }

    private func quoted(_ name: String) -> String { TableLayout.quoted(name) }

    /// - Returns: the tables with captured writes, those of completed cascades included.
    func complete(_ touched: [Int]) throws -> [Int] {
        var tables = Set(touched)
        for table in layout.parentsFirst where tables.contains(table) {
            if try hasDeletes(layout.tables[table]) { try bringBackReferred(layout.tables[table]) }
        }
        // Cascades reach down: a table comes after those that it refers to.
        for table in layout.parentsFirst where tables.contains(table) {
            guard try hasDeletes(layout.tables[table]) else { continue }
            for referrer in layout.tables[table].referrers where referrer.cascades {
                guard try hasOrphans(layout.tables[table], referrer) else { continue }
                tables.formUnion(try cascade(layout.tables[table], referrer))
            }
        }
        // Each round takes back one reference or one new record at least, and there are finitely many.
        var isSettled = false
        while !isSettled {
            isSettled = true
            for table in layout.parentsFirst where tables.contains(table) {
                if try takeBackOrphans(layout.tables[table]) { isSettled = false }
            }
        }
        return layout.parentsFirst.filter { tables.contains($0) }
    }

    /// Ids that were deleted and are not there now.
    private func gone(_ table: TableLayout) -> String {
        "SELECT record FROM \(quoted(table.captureName)) c WHERE c.op IN (3, 4) "
            + "AND NOT EXISTS (SELECT 1 FROM \(quoted(table.name)) t WHERE t.id = c.record)"
    }

    /// Most writes delete nothing, and the statements below are long.
    private func hasDeletes(_ table: TableLayout) throws -> Bool {
        try connection.value("SELECT 1 FROM \(quoted(table.captureName)) WHERE op IN (3, 4) LIMIT 1") != nil
    }

    private func orphans(_ table: TableLayout, _ referrer: Referrer) -> String {
        let child = layout.tables[referrer.table]
        return "\(quoted(child.name)) WHERE \(child.columns[referrer.field]) IN (\(gone(table)))"
    }

    private func hasOrphans(_ table: TableLayout, _ referrer: Referrer) throws -> Bool {
        try connection.value("SELECT 1 FROM \(orphans(table, referrer)) LIMIT 1") != nil
    }

    /// - Returns: the tables with what was captured.
    private func cascade(_ table: TableLayout, _ referrer: Referrer) throws -> [Int] {
        try run.replica.state.capturingByTriggers(connection) {
            try connection.run("DELETE FROM \(orphans(table, referrer))")
            return connection.takeTouchedTables().compactMap { name in
                name.hasPrefix("capture_")
                    ? layout.schema.tableIndex(String(name.dropFirst("capture_".count))) : nil
            }
        }
    }

    private func bringBackReferred(_ table: TableLayout) throws {
        var wanted: Set<UUIDBits> = []
        for referrer in table.referrers where !referrer.cascades {
            let other = layout.tables[referrer.table]
            let rows = try connection.rows(
                "SELECT DISTINCT \(other.columns[referrer.field]) FROM \(quoted(other.name)) "
                    + "WHERE \(other.columns[referrer.field]) IN (\(gone(table)))")
            for row in rows { if let record = row.first?.recordID { wanted.insert(record.bits) } }
        }
        try bringBack(wanted, table, "other records still refer to it")
    }

    private func bringBack(_ wanted: Set<UUIDBits>, _ table: TableLayout, _ detail: String) throws {
        guard !wanted.isEmpty else { return }
        let formers = try CaptureFormer.read(wanted, table, connection)
        for bits in wanted.sorted() {
            let record = RecordID(bits: bits)
            guard let before = formers[bits]?.row(present: nil) else { continue }
            let change = Change(table: table.index, record: record, kind: .delete)
            try run.park(change, .reference, detail, base: before)
            try run.insert(table, record, before)
            run.sheet(table.index).reconsider(bits)
        }
    }

    /// - Returns: whether anything was taken back.
    private func takeBackOrphans(_ table: TableLayout) throws -> Bool {
        var found = false
        for reference in table.hardReferences {
            let target = layout.tables[reference.target]
            let column = table.columns[reference.field]
            let rows = try connection.rows(
                """
                SELECT DISTINCT c.record, t.\(column) FROM \(quoted(table.captureName)) c
                JOIN \(quoted(table.name)) t ON t.id = c.record
                WHERE t.\(column) IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM \(quoted(target.name)) p WHERE p.id = t.\(column))
                """)
            for row in rows {
                guard let record = row[0].recordID else { continue }
                let former = try CaptureFormer.read([record.bits], table, connection)[record.bits]
                let present = try PresentRow(record, table, connection)
                if let before = former?.row(present: present?.row), before[reference.field] == row[1] {
                    // The reference stood before, so what it names was deleted and comes back. What nobody deleted was
                    // missing before, too: there is nothing to take back, and to try would never end.
                    guard let named = row[1].recordID,
                        try CaptureFormer.read([named.bits], target, connection)[named.bits]?.row(present: nil) != nil
                    else { continue }
                    try bringBack([named.bits], target, "\(table.name) \(record) still refers to it")
                } else {
                    try run.detach(record, of: table, field: reference.field)
                }
                found = true
            }
        }
        return found
    }
}
