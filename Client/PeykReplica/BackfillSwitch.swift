import PeykFailpoint
import PeykModel
import PeykSQLite
import PeykSession

extension Replica {
    /// The one transaction that makes a backfill visible (rules B1, B2): confirmed rows are replaced or joined by the
    /// staged ones, commits that these already hold leave the overlay, the others lie on top of the new rows.
    func switchOver(
        _ state: BackfillState, _ batch: Batch, _ context: ApplyContext, _ meta: Meta, now: Int64
    ) throws {
        Failpoint.hit("replica.switch.begun")
        let connection = context.connection
        var former: [RecordKey: Row] = [:]
        for key in context.overlay.items.keys {
            if let row = try context.confirmed(key) { former[key] = row }
        }
        let isAnotherHistory = try meta.lineage != state.lineage
        let lacking = isAnotherHistory ? try LackingRecords(context) : nil
        if state.mode == .widen { try context.layBare(former) }
        // From here to the new overlay the tables hold confirmed rows and nothing else.
        context.overlay = OverlayIndex()
        context.dirty = [:]
        try connection.run("DELETE FROM peyk_base")
        switch state.mode {
        case .widen: try context.removeGone()
        case .snapshot, .direct:
            for table in context.schema.tables {
                let name = TableRows.quoted(table.name)
                let stage = TableRows.quoted("peyk_stage_" + table.name)
                try connection.run("DELETE FROM \(name) WHERE id NOT IN (SELECT id FROM \(stage))")
            }
            try connection.run("DELETE FROM peyk_fault")
        }
        for rows in context.tables { try context.takeStaged(rows) }
        if isAnotherHistory { try leaveHistory(for: state.lineage, connection, meta) }
        try comeBack(state, connection, meta)
        try leaveOverlay(state, connection, meta)
        try context.overlay.catchUp(connection)
        var book = AnswerBook(connection, context.schema, now: now)
        for key in context.overlay.items.keys.sorted() {
            let row = try context.tables[key.table].shown(key.record)
            context.dirty[key] = .some(row)
            if row == nil, let former = former[key] { try book.park(key, lost: former, context) }
        }
        try context.settle()
        try lacking?.list(self, context)
        try enter(state, batch, context, meta)
        try forgetReturned(connection)
        try Failpoint.hitOrThrow("replica.switch.before-commit")
    }

    /// Commits that the old rows showed (rule I8): the new ones have them, or they lie over these again.
    private func comeBack(_ state: BackfillState, _ connection: Connection, _ meta: Meta) throws {
        for row in try connection.rows("SELECT seq, answer FROM peyk_commit WHERE state = 5 AND answer IS NOT NULL") {
            guard let seq = row.first?.integerValue, case .blob(let bytes) = row[1],
                let answer = try? Answer(stored: bytes), answer.verdict == .waiting
            else { continue }
            try connection.run("UPDATE peyk_commit SET state = 4 WHERE seq = ?1", [.integer(seq)])
        }
        try connection.run(
            "UPDATE peyk_commit SET state = CASE WHEN position IS NULL THEN 0 ELSE 1 END WHERE state = 5")
    }

    /// Commits whose outcome the new rows have.
    private func leaveOverlay(_ state: BackfillState, _ connection: Connection, _ meta: Meta) throws {
        let rows = try connection.rows(
            """
            SELECT seq FROM peyk_commit
            WHERE state IN (0, 1) AND (position <= ?1 OR (site = ?2 AND seq BETWEEN 1 AND ?3)) ORDER BY seq
            """,
            [
                .integer(state.reached), .integer(Int64(bitPattern: try meta.site.rawValue)),
                .integer(max(state.lastMerged, try meta.integer(.knownUpTo) ?? 0)),
            ])
        for seq in rows.compactMap({ $0.first?.integerValue }) {
            try CommitPacking.pack(seq, connection)
            try connection.run(
                "UPDATE peyk_commit SET state = 2, position = coalesce(position, ?2) WHERE seq = ?1",
                [.integer(seq), .integer(state.reached)])
        }
        let former = try meta.former
        guard !former.isEmpty else { return }
        var open: [CommitID] = []
        for id in former {
            let pending = try connection.value(
                "SELECT 1 FROM peyk_commit WHERE id = ?1 AND state <> 2", [.blob(id.bytes)])
            if pending != nil { open.append(id) }
        }
        try meta.set(former: open)
    }

    /// After a restore: what was applied beyond the common part counts no more (rule I7.2); its names are kept.
    private func leaveHistory(for lineage: Lineage, _ connection: Connection, _ meta: Meta) throws {
        let common = try meta.lineage.common(with: lineage) ?? 0
        try connection.run("DELETE FROM peyk_log_record WHERE position > ?1", [.integer(common)])
        try connection.run("DELETE FROM peyk_log WHERE position > ?1", [.integer(common)])
    }
}

extension ApplyContext {
    /// Shows the confirmed rows alone, without pending commits.
    func layBare(_ confirmed: [RecordKey: Row]) throws {
        let keys = overlay.items.keys.sorted()
        for key in keys {
            guard let row = confirmed[key] else { continue }
            try write(key, row, over: try tables[key.table].shown(key.record))
        }
        for key in keys where confirmed[key] == nil { try tables[key.table].delete(key.record) }
    }

    private func hasGone() throws -> Bool {
        try connection.value("SELECT 1 FROM sqlite_schema WHERE name = 'peyk_stage_gone'") != nil
    }

    /// Forgets what ``removeGone()`` would take.
    func emptyGone() throws {
        if try hasGone() { try connection.run("DELETE FROM peyk_stage_gone") }
    }

    /// What was deleted or left while the pages came.
    func removeGone() throws {
        guard try hasGone() else { return }
        for row in try connection.rows("SELECT tbl, record, deleted FROM peyk_stage_gone ORDER BY tbl, record") {
            guard row.count == 3, let table = row[0].integerValue, let record = row[1].recordID else { continue }
            try evict(RecordKey(table: Int(clamping: table), record: record), keepingLedger: row[2] == .integer(1))
        }
    }

    /// All staged rows of a table at once; one by one where the table refuses some of them (rule K7).
    func takeStaged(_ rows: TableRows) throws {
        let columns = TableRows.columnList(rows.table)
        let sets = rows.table.fields.map {
            "\(TableRows.quoted($0.name)) = excluded.\(TableRows.quoted($0.name))"
        }.joined(separator: ", ")
        let stage = TableRows.quoted("peyk_stage_" + rows.table.name)
        do {
            try connection.savepoint {
                try connection.run(
                    """
                    INSERT INTO \(TableRows.quoted(rows.table.name))(id\(columns)) SELECT id\(columns) FROM \(stage)
                    WHERE true ON CONFLICT(id) DO UPDATE SET \(sets)
                    """)
            }
        } catch let error as SQLiteError where error.isConstraint {
            let staged = TableRows(rows.index, rows.table, connection, name: "peyk_stage_" + rows.table.name)
            for record in try connection.rows("SELECT id FROM \(stage)").compactMap({ $0.first?.recordID }) {
                guard let row = try staged.shown(record) else { continue }
                try write(RecordKey(table: rows.index, record: record), row, over: nil)
            }
        }
    }

    /// After a load with foreign keys off: nothing may refer to what is not there (P22).
    func repairForeignKeys() throws {
        for _ in 0..<AudienceRules.depthMax {
            let keys = try violating()
            guard !keys.isEmpty else { return }
            for key in keys { try ground(key) }
        }
        for key in try violating() { try give(up: key) }
    }
}

extension AnswerBook {
    /// Rule T1: pending changes of a record that is not here any more are listed with the record as it was.
    mutating func park(_ key: RecordKey, lost row: Row, _ context: ApplyContext) throws {
        for item in context.overlay.items[key] ?? [] {
            guard let commit = context.overlay.commits[item.seq] else { continue }
            let body = try context.overlay.body(item.seq, context.connection)
            let index = Int(item.change)
            guard body.changes.indices.contains(index), body.changes[index].kind != .insert else { continue }
            try add(
                commit.id,
                Answer.Notice(
                    change: index, code: .missingHere, detail: "the record is not on the server any more, or not yours"),
                key: key, change: body.changes[index], base: row, state: "open")
        }
    }
}
