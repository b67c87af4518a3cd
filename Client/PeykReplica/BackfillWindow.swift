import PeykModel
import PeykSQLite
import PeykSession

/// The log between the pages of a backfill and its switch: whole records, put beside the tables with the pages
/// (rule B1).
struct StageApplier {
    let context: ApplyContext
    let state: BackfillState
    let floors: Floors
    let stage: [TableRows]
    /// Own commits that the window holds, with their answers where they have any.
    private(set) var own: [(commit: CommitID, position: Position, answer: Answer?)] = []
    private(set) var pulled: Int64 = 0

    init(_ context: ApplyContext, _ state: BackfillState, _ floors: Floors) throws {
        self.context = context
        self.state = state
        self.floors = floors
        stage = context.schema.tables.enumerated().map {
            TableRows($0.offset, $0.element, context.connection, name: "peyk_stage_" + $0.element.name)
        }
        guard state.mode == .widen else { return }
        // Made once and emptied from then on: each change of a file's tables makes all of its users prepare all that
        // they have prepared again.
        try context.connection.execute(
            """
            CREATE TABLE IF NOT EXISTS peyk_stage_gone(
                tbl INTEGER NOT NULL, record TEXT NOT NULL, deleted INTEGER NOT NULL DEFAULT 0,
                PRIMARY KEY(tbl, record)) STRICT, WITHOUT ROWID
            """)
    }

    mutating func apply(_ entry: Batch.Entry) throws {
        var touches: [RecordKey: EntryApplier.Touch] = [:]
        var order: [RecordKey] = []
        if context.unanswered(entry.commit) != nil {
            own.append((entry.commit, entry.position, entry.yours?.answer))
        }
        for removes in [false, true] {
            for effect in entry.effects where effect.removes == removes {
                guard let touch = try apply(effect, at: entry.position) else { continue }
                if touches[effect.key] == nil { order.append(effect.key) }
                touches[effect.key] = touch
                pulled += 1
            }
        }
        try EntryLog.write(entry, order, touches, context)
    }

    private func apply(_ effect: Effect, at position: Position) throws -> EntryApplier.Touch? {
        let key = effect.key
        // Pages of added buckets have not read what only the kept ones hold, so nothing is passed over there: whole
        // records may come twice.
        guard let table = context.schema.table(at: key.table), state.mode == .widen || position > floors[key] else {
            return nil
        }
        let rows = stage[key.table]
        let before = try rows.shown(key.record)
        switch effect.kind {
        case .full(let row, let writers):
            try context.note(writers: writers, at: position, in: state.lineage)
            let row = row.fitted(to: table)
            try rows.upsert(key.record, row)
            return EntryApplier.Touch(before: before, after: row)
        case .delta(let fields):
            guard var row = before else { return nil }
            for field in fields where table.fields.indices.contains(field.field) { row[field.field] = field.value }
            try rows.upsert(key.record, row)
            return EntryApplier.Touch(before: before, after: row)
        case .delete:
            try rows.delete(key.record)
            try markGone(key, isDeleted: true)
            return EntryApplier.Touch(before: before, after: nil)
        case .evict:
            try evict(key, at: position, depth: 0)
            return EntryApplier.Touch(before: nil, after: nil, isEvicted: true)
        case .touched:
            return EntryApplier.Touch(before: before, after: before)
        }
    }

    /// With what is below it; but a page that was read after this position has a record as it came back since, and
    /// the entry that brought it back is passed over.
    private func evict(_ key: RecordKey, at position: Position, depth: Int) throws {
        guard depth == 0 || state.mode == .widen || position > floors[key], depth < AudienceRules.depthMax else {
            return
        }
        for link in context.tree.incoming[key.table] where link.isParent {
            for record in try stage[link.table].referring(link.field, to: key.record) {
                try evict(RecordKey(table: link.table, record: record), at: position, depth: depth + 1)
            }
        }
        if key.table != Schema.ledgerIndex {
            let name = context.schema.tables[key.table].name
            for record in try stage[Schema.ledgerIndex].about(name, key.record) {
                let entry = RecordKey(table: Schema.ledgerIndex, record: record)
                guard state.mode == .widen || position > floors[entry] else { continue }
                try stage[Schema.ledgerIndex].delete(record)
            }
        }
        try stage[key.table].delete(key.record)
        try markGone(key, isDeleted: false)
    }

    /// - Parameter isDeleted: what the ledger says of it stays (rule M7).
    private func markGone(_ key: RecordKey, isDeleted: Bool) throws {
        guard state.mode == .widen else { return }
        try context.connection.run(
            """
            INSERT INTO peyk_stage_gone(tbl, record, deleted) VALUES (?1, ?2, ?3)
            ON CONFLICT DO UPDATE SET deleted = excluded.deleted
            """,
            [.integer(Int64(key.table)), Value(key.record), .integer(isDeleted ? 1 : 0)])
    }
}

extension Replica {
    /// The log after the pages: into the stage, and, once the highest page's position is reached, the switch.
    func advance(
        _ state: BackfillState, _ batch: Batch, _ context: ApplyContext, _ meta: Meta, _ applied: inout Applied,
        now: Int64
    ) throws {
        var state = state
        guard state.hasAllPages else { throw ReplicaError.broken("the log came before the last page") }
        guard batch.from <= state.reached else {
            throw ReplicaError.broken(
                "the server sent the log from \(batch.from), but the pages need it from \(state.reached)")
        }
        context.position = max(batch.to, state.reached)
        let floors = try pageFloors(context)
        let entries = batch.entries.filter { $0.position > state.reached && $0.position <= batch.to }
        guard zip(entries, entries.dropFirst()).allSatisfy({ $0.position < $1.position }) else {
            throw ReplicaError.broken("the entries of a batch are out of order")
        }
        if state.mode == .direct {
            var applier = EntryApplier(context, floors: floors, lineage: state.lineage)
            for entry in entries { try applier.apply(entry) }
            try context.settle()
            try finish(applier, batch, context, meta, &applied, now: now)
        } else {
            var applier = try StageApplier(context, state, floors)
            for entry in entries { try applier.apply(entry) }
            try noteOwn(applier.own, context, &applied, now: now)
            applied.pulled += applier.pulled
        }
        state.reached = max(state.reached, batch.to)
        guard state.reached >= state.lastPosition else { return try meta.set(backfill: state) }
        if state.mode == .direct {
            try endDirect(context, meta)
            try context.repairForeignKeys()
            try enter(state, batch, context, meta)
        } else {
            try switchOver(state, batch, context, meta, now: now)
        }
        applied.switched = true
        applied.cursor = state.reached
    }

    private func pageFloors(_ context: ApplyContext) throws -> Floors {
        var pages: [[(last: RecordID?, position: Position)]] = Array(
            repeating: [], count: context.schema.tables.count)
        let statement = try context.connection.statement("SELECT tbl, last, position FROM peyk_page ORDER BY rowid")
        defer { statement.reset() }
        while try statement.step() {
            let table = Int(clamping: statement.int64(0))
            guard pages.indices.contains(table) else { continue }
            pages[table].append((statement.recordID(1), statement.int64(2)))
        }
        return Floors(pages: pages)
    }

    /// Own commits in the window are merged as far as the pages go; they leave the overlay at the switch.
    private func noteOwn(
        _ own: [(commit: CommitID, position: Position, answer: Answer?)], _ context: ApplyContext,
        _ applied: inout Applied, now: Int64
    ) throws {
        var book = AnswerBook(context.connection, context.schema, now: now)
        for item in own {
            guard let seq = context.unanswered(item.commit) else { continue }
            let isWaiting = item.answer?.verdict == .waiting
            try context.connection.run(
                """
                UPDATE peyk_commit SET state = CASE state WHEN 5 THEN 5 ELSE ?2 END, position = ?3,
                    answer = coalesce(?4, answer)
                WHERE seq = ?1
                """,
                [
                    .integer(seq), .integer(isWaiting ? 4 : 1), .integer(item.position),
                    item.answer.map { $0.isPlain ? .null : .blob($0.stored()) } ?? .null,
                ])
            guard let answer = item.answer else { continue }
            let body = try context.overlay.body(seq, context.connection)
            try book.list(answer, of: body) { try context.confirmed($0) }
        }
        applied.parked += book.parked
        applied.handedOff += book.handedOff
    }

    /// What stands in the same transaction as the rows (rule S1).
    func enter(_ state: BackfillState, _ batch: Batch, _ context: ApplyContext, _ meta: Meta) throws {
        try meta.set(.cursor, state.reached)
        try meta.set(scope: state.scope)
        try meta.set(lineage: state.lineage)
        try meta.set(.anchorToken, batch.to == state.reached ? batch.anchorToken : [])
        try meta.set(.floors, .null)
        try meta.set(backfill: nil)
        try context.connection.run("DELETE FROM peyk_page")
        try context.emptyGone()
        for table in context.schema.tables {
            try context.connection.run("DELETE FROM \(TableRows.quoted("peyk_stage_" + table.name))")
        }
    }
}
