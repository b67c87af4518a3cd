import PeykFailpoint
public import PeykModel
import PeykSQLite
public import PeykSession

/// What one batch, or some fetched records, did to the replica.
public struct Applied: Hashable, Sendable {
    public var cursor: Position
    /// What the server may be told: every commit of ours anchored below it has its answer (rule T1).
    public var report: Position
    /// Effects of other people's commits.
    public var pulled: Int64 = 0
    /// Ledger entries that came new.
    public var conflicts: Int64 = 0
    /// Own changes that were merged but belong to somebody else now.
    public var handedOff: Int64 = 0
    /// Own changes that were refused and are listed for their author.
    public var parked: Int64 = 0
    /// Records that left the scope.
    public var evicted: [RecordKey] = []
    /// Records to ask the server for, whole (rules K7, M4).
    public var fetch: [RecordKey] = []
    /// A backfill ended: its rows are visible now.
    public var switched = false
    /// Pages, or the log after them, are still to come.
    public var isBackfilling = false

    public init(cursor: Position) {
        self.cursor = cursor
        report = cursor
    }
}

extension Replica {
    /// Applies the log's next part, in one transaction: captured writes are sealed first (rule K1), then rows, cursor,
    /// token and scope move together. Entries at or below the cursor are passed over (P4).
    ///
    /// - Throws: ``ReplicaError/broken(_:)`` where the batch does not join the cursor (P17); nothing has changed then.
    /// - Complexity: O(effects), and a few look-ups for each pending change that they meet.
    public func apply(_ batch: Batch) throws -> Applied {
        let now = environment.now()
        let isDirect = try reading { try Meta(connection: $0).backfill?.mode == .direct }
        let applied = try applying(checkingForeignKeys: !isDirect) { context, meta in
            var applied = Applied(cursor: try meta.cursor)
            if let state = try meta.backfill, state.mode != .widen || state.hasAllPages {
                try advance(state, batch, context, meta, &applied, now: now)
            } else {
                try stream(batch, context, meta, &applied, now: now)
            }
            try note(batch, context, meta)
            applied.isBackfilling = try meta.backfill != nil
            applied.fetch = try takeFaults(context)
            applied.report = try Self.applied(context.connection, meta)
            try Failpoint.hitOrThrow("replica.apply.before-commit")
            return applied
        }
        Failpoint.hit("replica.apply.committed")
        return applied
    }

    /// Applies entries to the tables and moves the cursor.
    func stream(
        _ batch: Batch, _ context: ApplyContext, _ meta: Meta, _ applied: inout Applied, now: Int64
    ) throws {
        let cursor = try meta.cursor
        guard batch.from <= cursor else {
            throw ReplicaError.broken(
                "the server sent the log from \(batch.from), but this replica stands at \(cursor)")
        }
        guard batch.to > cursor else { return try context.settle() }
        guard !batch.isWhole else { throw ReplicaError.broken("whole records came outside a backfill") }
        context.position = batch.to
        let floors = try meta.floors
        var applier = EntryApplier(context, floors: Floors(records: floors), lineage: try meta.lineage)
        var last = batch.from
        for entry in batch.entries {
            guard entry.position > last, entry.position <= batch.to else {
                throw ReplicaError.broken("the entries of a batch are out of order at \(entry.position)")
            }
            last = entry.position
            if entry.position > cursor { try applier.apply(entry) }
        }
        try context.settle()
        try finish(applier, batch, context, meta, &applied, now: now)
        try meta.set(.cursor, batch.to)
        if !floors.isEmpty { try meta.set(floors: applier.floors.records, above: batch.to) }
        applied.cursor = batch.to
    }

    /// Answers, evictions and the clock, after the rows.
    func finish(
        _ applier: EntryApplier, _ batch: Batch, _ context: ApplyContext, _ meta: Meta, _ applied: inout Applied,
        now: Int64
    ) throws {
        var book = AnswerBook(context.connection, context.schema, now: now)
        for settled in applier.settled { try book.take(settled) { try context.confirmed($0) } }
        try book.tellEvicted(applier.evicted, .moved, context)
        applied.pulled += applier.pulled
        applied.conflicts += applier.conflicts
        applied.evicted += applier.evicted
        applied.parked += book.parked
        applied.handedOff += book.handedOff
        guard !applier.settled.isEmpty else { return }
        let former = try meta.former
        guard !former.isEmpty else { return }
        let settled = Set(applier.settled.filter { $0.answer?.verdict != .waiting }.map(\.body.id))
        try meta.set(former: former.filter { !settled.contains($0) })
    }

    /// What every batch carries beside entries.
    private func note(_ batch: Batch, _ context: ApplyContext, _ meta: Meta) throws {
        try meta.learn(batch.stamp)
        try lowerClock(to: batch.stamp, context, meta)
        try meta.set(.head, batch.head)
        if try meta.cursor == batch.to, try meta.backfill == nil {
            try meta.set(.anchorToken, batch.anchorToken)
            try keepToken(of: batch, context.connection, meta)
        }
        try meta.set(.backupHorizon, batch.backupHorizon)
        try trim(context.connection, meta)
    }

    /// Rule C3: a clock that ran ahead goes back to the server's, once no unmerged commit carries a later stamp.
    func lowerClock(to stamp: HLC, _ context: ApplyContext, _ meta: Meta) throws {
        guard try meta.hlc > stamp, try context.lastUnmergedStamp() <= stamp else { return }
        try meta.set(hlc: stamp)
    }

    /// Rule I10: merged commits leave when a backup holds them, and no commit of ours that stays could need them in its
    /// clock: their anchors do not cover what was merged after these.
    private func trim(_ connection: Connection, _ meta: Meta) throws {
        let oldest = try Self.applied(connection, meta)
        var horizon = min(try meta.integer(.backupHorizon) ?? 0, oldest)
        guard horizon > (try meta.integer(.trimmed) ?? 0), try meta.backfill == nil else { return }
        let anchor = try connection.value(
            "SELECT min(anchor) FROM peyk_commit WHERE state = 2 AND position > ?1", [.integer(horizon)])
        horizon = min(horizon, anchor?.integerValue ?? horizon)
        try meta.set(.seqFloor, try meta.lastSealed)
        // Rule K9: only what was accepted under its present dot.
        try connection.run(
            "DELETE FROM peyk_commit WHERE state = 2 AND position <= ?1 AND (site <> ?2 OR seq <= ?3)",
            [
                .integer(horizon), .integer(Int64(bitPattern: try meta.site.rawValue)),
                .integer(try meta.integer(.lastAcknowledged) ?? 0),
            ])
        try trimNames(upTo: horizon, connection, meta)
        try meta.set(.trimmed, horizon)
    }

    /// Stores what could not be applied as faults, and lists all of them (rule K7).
    func takeFaults(_ context: ApplyContext) throws -> [RecordKey] {
        for key in context.fetch.sorted() {
            let statement = try context.connection.statement(
                "INSERT INTO peyk_fault(tbl, record) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
            try context.bind(statement, key)
            try statement.run()
        }
        return try context.connection.rows("SELECT tbl, record FROM peyk_fault ORDER BY tbl, record").compactMap {
            row in
            guard row.count == 2, case .integer(let table) = row[0], case .blob(let bytes) = row[1],
                let record = RecordID(bytes: bytes)
            else { return nil }
            return RecordKey(table: Int(clamping: table), record: record)
        }
    }

    /// Whole records that were asked for (rules K7, M4): each is as of `records.position`, and what the log says of it
    /// up to there is passed over later.
    public func store(_ records: Records) throws -> Applied {
        try applying { context, meta in
            let cursor = try meta.cursor
            var applied = Applied(cursor: cursor)
            context.position = max(cursor, records.position)
            var floors = try meta.floors
            for effect in records.effects {
                guard let table = context.schema.table(at: effect.key.table) else { continue }
                switch effect.kind {
                case .full(let row, let writers):
                    try context.note(writers: writers, at: records.position, in: try meta.lineage)
                    try context.confirm(effect.key, row.fitted(to: table), old: try context.confirmed(effect.key))
                // What is below it is gone, too, or the log will say where it is.
                case .delete: try context.evict(effect.key, keepingLedger: true)
                case .evict: applied.evicted += try context.evict(effect.key)
                case .delta, .touched: continue
                }
                if records.position > cursor { floors[effect.key] = records.position }
                let statement = try context.connection.statement(
                    "DELETE FROM peyk_fault WHERE tbl = ?1 AND record = ?2")
                try context.bind(statement, effect.key)
                try statement.run()
            }
            if records.effects.contains(where: \.removes) { try context.dropOrphans() }
            try context.settle()
            try meta.set(floors: floors, above: cursor)
            // What still does not fit is not asked for again and again: the next batch or verify names it.
            let asked = Set(records.effects.map(\.key))
            let left = context.fetch
            context.fetch.subtract(asked)
            applied.fetch = context.fetch.sorted()
            context.fetch = left
            _ = try takeFaults(context)
            applied.isBackfilling = try meta.backfill != nil
            return applied
        }
    }

    /// The end of a session in good order. `wasConverged`: both sides had everything the other had.
    public func finishSession(wasConverged: Bool) throws {
        let now = environment.now()
        try changing { connection in
            let meta = Meta(connection: connection)
            if wasConverged { try meta.set(.lastSync, now &+ (try meta.integer(.clockOffset) ?? 0)) }
            try forgetReturned(connection)
            // The welcome may have told of a backup where no batch came after it.
            try trim(connection, meta)
            try trimTokens(connection, meta)
            // The log is for `why`: kept as long as the server keeps its own (400 days), and what a restore may need.
            let age = HLC(milliseconds: now &- 400 * 86_400_000)
            let horizon = try meta.integer(.backupHorizon) ?? 0
            try connection.run(
                """
                DELETE FROM peyk_log_record WHERE position IN
                    (SELECT position FROM peyk_log WHERE stamp < ?1 AND position <= ?2)
                """, [.integer(Int64(bitPattern: age.rawValue)), .integer(horizon)])
            try connection.run(
                "DELETE FROM peyk_log WHERE stamp < ?1 AND position <= ?2",
                [.integer(Int64(bitPattern: age.rawValue)), .integer(horizon)])
        }
        Failpoint.hit("replica.session.finished")
        // The session has ended well whether or not this does: what another program or a full disk kept from it, the
        // next session does.
        try? giveBackFreePages()
    }
}
