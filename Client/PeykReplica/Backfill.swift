import PeykFailpoint
import PeykModel
import PeykSQLite
public import PeykSession
import PeykWire

extension Replica {
    /// Stores one page of a backfill (rule B1): beside the tables, or in them on the very first load.
    ///
    /// The page's payload is not compressed (`rawBytes` is 0).
    /// - Throws: ``ReplicaError``; then the page is not stored.
    public func store(_ page: Page) throws {
        guard page.rawBytes == 0 else { throw ReplicaError.broken("a page came still compressed") }
        let isDirect = try reading { try Meta(connection: $0).backfill?.mode == .direct }
        try applying(checkingForeignKeys: !isDirect) { context, meta in
            guard var state = try meta.backfill else { throw ReplicaError.broken("a page came without a backfill") }
            // A table that came with a later schema has its pages after those of all others.
            if state.hasAllPages, page.rowCount == 0 || page.table < state.table {
                // All that a resumed backfill still needs is the log after its pages; an empty page says from where.
                guard state.isResuming, page.rowCount == 0, page.endsBackfill else {
                    throw ReplicaError.broken("a page came after the last one")
                }
                state.isResuming = false
                state.lastPosition = max(state.lastPosition, page.position)
                state.lastMerged = max(state.lastMerged, page.lastMerged)
                return try meta.set(backfill: state)
            }
            guard let table = context.schema.table(at: page.table) else {
                throw ReplicaError.broken("a page names the unknown table \(page.table)")
            }
            let reader: RowPageReader
            do { reader = try RowPageReader(page.payload) } catch {
                throw ReplicaError.broken("a page cannot be read: \(error)")
            }
            state.isResuming = false
            let name = state.mode == .direct ? table.name : "peyk_stage_" + table.name
            try load(reader, into: name, table, page, state.lineage, context)
            try context.connection.run(
                "INSERT INTO peyk_page(tbl, last, position) VALUES (?1, ?2, ?3)",
                [
                    .integer(Int64(page.table)), page.endsTable ? .null : page.last.map { Value($0) } ?? .null,
                    .integer(page.position),
                ])
            state.take(page)
            if page.endsBackfill { state.reached = state.mode == .widen ? try meta.cursor : state.firstPosition }
            try meta.set(backfill: state)
            _ = try takeFaults(context)
            try Failpoint.hitOrThrow("replica.page.before-commit")
        }
        Failpoint.hit("replica.page.stored")
    }

    /// The hot loop of a first sync: page bytes straight into one prepared statement.
    private func load(
        _ reader: RowPageReader, into name: String, _ table: Table, _ page: Page, _ lineage: Lineage,
        _ context: ApplyContext
    ) throws {
        let statement = try context.connection.statement(TableRows.upsertSQL(table, into: name))
        let count = Int32(table.fields.count)
        // Rows of one commit name the same one.
        var noted: Set<CommitID> = []
        // What is bound lies in the page, and is gone after it.
        defer { statement.clearBindings() }
        try reader.forEachRow { row in
            try statement.bind(1, uncopied: row.idText)
            for field in 0..<count {
                switch row[Int(field)] {
                case .null: try statement.bindNull(field + 2)
                case .integer(let number): try statement.bind(field + 2, int64: number)
                case .real(let number): try statement.bind(field + 2, double: number)
                case .text(let text): try statement.bind(field + 2, uncopied: text)
                case .blob(let bytes): try statement.bind(field + 2, uncopied: bytes)
                }
            }
            do { try statement.run() } catch let error as SQLiteError where error.isConstraint {
                statement.reset()
                context.fetch.insert(RecordKey(table: page.table, record: row.id))
            }
            for writer in row.writers where noted.insert(writer).inserted {
                try context.note(writers: CollectionOfOne(writer), at: page.position, in: lineage)
            }
        }
    }

    /// Local writes wait until the first load is done; indexes are made at its end, all at once.
    func beginDirect(_ context: ApplyContext, _ meta: Meta) throws {
        try meta.set(.loading, 1)
        guard try meta.blob(.indexes) == nil else { return }
        var texts: [JSON] = []
        for table in context.schema.tables {
            let made = try context.connection.rows(
                "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL",
                [.text(table.name)])
            for index in made {
                guard index.count == 2, let name = index[0].textValue, let sql = index[1].textValue else { continue }
                texts.append(.string(sql))
                try context.connection.execute("DROP INDEX \(TableRows.quoted(name))")
            }
        }
        try meta.set(.indexes, Array(JSON.array(texts).text.utf8))
    }

    func endDirect(_ context: ApplyContext, _ meta: Meta) throws {
        if let bytes = try meta.blob(.indexes), case .array(let texts)? = try? JSON(parsing: bytes) {
            for case .string(let sql) in texts { try context.connection.execute(sql) }
        }
        try meta.set(.indexes, .null)
        try meta.set(.loading, .null)
    }

    /// Forgets a backfill whose pages are of no more use.
    func abandonBackfill(_ context: ApplyContext, _ meta: Meta) throws {
        guard let state = try meta.backfill else { return }
        try clearBackfill(state, context, meta)
        if state.mode == .direct { try endDirect(context, meta) }
        try meta.set(backfill: nil)
    }

    func clearBackfill(_ state: BackfillState, _ context: ApplyContext, _ meta: Meta) throws {
        try context.connection.run("DELETE FROM peyk_page")
        try context.emptyGone()
        for table in context.schema.tables {
            try context.connection.run("DELETE FROM \(TableRows.quoted("peyk_stage_" + table.name))")
            guard state.mode == .direct else { continue }
            try context.connection.run("DELETE FROM \(TableRows.quoted(table.name))")
        }
    }
}

extension BackfillState {
    mutating func take(_ page: Page) {
        firstPosition = lastPosition == 0 ? page.position : min(firstPosition, page.position)
        lastPosition = max(lastPosition, page.position)
        lastMerged = max(lastMerged, page.lastMerged)
        table = page.endsTable ? page.table + 1 : page.table
        last = page.endsTable ? nil : page.last
        hasAllPages = page.endsBackfill
    }
}
