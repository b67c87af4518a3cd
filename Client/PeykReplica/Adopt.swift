import PeykFailpoint
public import PeykModel
import PeykSQLite
public import PeykSession

/// What a welcome did to the replica.
public struct Adoption: Hashable, Sendable {
    public var cursor: Position
    /// Pages come before the log goes on.
    public var isBackfilling: Bool
    /// Records that left with the grant (rule S1), those with pending edits included; the edits are kept.
    public var evicted: [RecordKey]
    /// The highest seq of this site that the server has merged.
    public var lastMerged: Sequence64
    /// Set where the server gave this replica a new identity (rule I3).
    public var newSite: NewSiteReason?
}

extension Replica {
    /// Takes up everything that a welcome says, in one transaction.
    ///
    /// - Throws: ``ReplicaError``; then nothing has changed, and the session cannot go on.
    /// - Complexity: O(rows) where the grant changed, else O(pending commits) at most.
    public func adopt(_ welcome: Welcome) throws -> Adoption {
        let now = environment.now()
        let uptime = environment.uptime()
        let adoption = try applying(
            before: { connection in
                let meta = Meta(connection: connection)
                try adoptHistory(welcome, connection, meta)
                if welcome.site != (try meta.site) { try redot(to: welcome.site, connection, meta) }
                if let text = welcome.schema { try migrate(connection, to: Schema(json: JSON(parsing: text))) }
                try meta.learn(welcome.stamp)
                try meta.set(.clockOffset, welcome.serverTime &- now)
                try meta.set(.clockBase, now &- uptime)
            }
        ) { context, meta in
            context.position = try meta.cursor
            try adoptFacts(welcome, meta)
            try meta.set(.lastSync, welcome.serverTime)
            let evicted = try evictOutside(welcome.grant, context, meta, now: now)
            var book = AnswerBook(context.connection, context.schema, now: now)
            for open in welcome.openAnswers { try adopt(open, &book, context, meta) }
            try begin(welcome, context, meta)
            try context.settle()
            try Failpoint.hitOrThrow("replica.adopt.before-commit")
            return Adoption(
                cursor: try meta.cursor, isBackfilling: try meta.backfill != nil, evicted: evicted,
                lastMerged: welcome.lastMerged, newSite: welcome.newSiteReason)
        }
        Failpoint.hit("replica.adopt.committed")
        return adoption
    }

    private func adoptFacts(_ welcome: Welcome, _ meta: Meta) throws {
        try meta.set(.user, welcome.user.description)
        try meta.set(.userName, welcome.userName)
        try meta.set(.role, welcome.role.rawValue)
        try meta.set(grant: welcome.grant)
        // Durable before the first message under it (rule I2): the server knows both, this and the former one.
        try meta.set(.nonce, welcome.nonce)
        try meta.set(.head, welcome.head)
        try meta.set(.backupHorizon, welcome.backupHorizon)
        try meta.set(.lastMerged, welcome.lastMerged)
        try meta.set(.lastAcknowledged, max(try meta.integer(.lastAcknowledged) ?? 0, welcome.lastMerged))
        try meta.connection.run("DELETE FROM peyk_fact")
        for fact in welcome.facts {
            try meta.connection.run(
                """
                INSERT OR REPLACE INTO peyk_fact(site, user, user_name, device_name, last_contact, pending)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                """,
                [
                    .integer(Int64(bitPattern: fact.site.rawValue)), Value(fact.user), .text(fact.userName),
                    .text(fact.deviceName), .integer(fact.lastContact), .integer(fact.pending),
                ])
        }
    }

    /// Rule S1: what the grant does not read goes, before anything else comes.
    private func evictOutside(
        _ grant: Grant, _ context: ApplyContext, _ meta: Meta, now: Int64
    ) throws -> [RecordKey] {
        let held = try meta.scope
        let isWithin = held.version == grant.version && Set(held.buckets).isSubset(of: grant.read)
        if !held.buckets.isEmpty {
            try meta.set(
                scope: HeldScope(buckets: held.buckets.filter { grant.read.contains($0) }, version: grant.version))
        }
        guard !held.buckets.isEmpty, !isWithin else { return [] }
        var evicted: [RecordKey] = []
        for key in try LocalAudience(context).outside(grant) {
            guard try context.confirmed(key) != nil else { continue }
            evicted += try context.evict(key)
        }
        try context.dropOrphans()
        var book = AnswerBook(context.connection, context.schema, now: now)
        try book.tellEvicted(evicted, .grant, context)
        return evicted
    }

    /// An answer that the replica has not confirmed (rule A2). The stream brings those above the cursor itself.
    private func adopt(_ open: OpenAnswer, _ book: inout AnswerBook, _ context: ApplyContext, _ meta: Meta) throws {
        if let seq = context.overlay.seq(of: open.commit) {
            let body = try context.overlay.body(seq, context.connection)
            try book.list(open.answer, of: body) { try context.confirmed($0) }
            // Waiting is not merged: it stays shown after the pages, too (rule I7.5).
            if open.answer.verdict == .waiting {
                try meta.connection.run(
                    "UPDATE peyk_commit SET state = 4, position = ?2 WHERE seq = ?1",
                    [.integer(seq), .integer(open.position)])
            }
        } else if open.position <= (try meta.cursor),
            let seq = try meta.connection.value(
                "SELECT seq FROM peyk_commit WHERE id = ?1", [.blob(open.commit.bytes)])?.integerValue
        {
            let body = try context.overlay.body(seq, context.connection)
            try book.list(open.answer, of: body) { try context.confirmed($0) }
        }
    }

    /// How the session goes on: from the cursor, or with pages.
    private func begin(_ welcome: Welcome, _ context: ApplyContext, _ meta: Meta) throws {
        let scope = HeldScope(buckets: welcome.grant.read, version: welcome.grant.version)
        let present = try meta.backfill
        switch welcome.entrance {
        case .resume:
            try meta.set(lineage: welcome.lineage)
            if present != nil { try abandonBackfill(context, meta) }
        case .widen:
            try meta.set(lineage: welcome.lineage)
            try abandonBackfill(context, meta)
            var state = BackfillState(mode: .widen, scope: scope, lineage: welcome.lineage)
            state.lastMerged = welcome.lastMerged
            try meta.set(backfill: state)
        case .snapshot:
            if var state = present, state.mode != .widen, state.scope == scope, state.lineage == welcome.lineage,
                !state.hasAllPages
            {
                state.isResuming = true
                state.lastMerged = welcome.lastMerged
                return try meta.set(backfill: state)
            }
            try abandonBackfill(context, meta)
            let mode: BackfillState.Mode = try isUntouched(context, meta) ? .direct : .snapshot
            var state = BackfillState(mode: mode, scope: scope, lineage: welcome.lineage)
            state.lastMerged = welcome.lastMerged
            try meta.set(backfill: state)
            if mode == .direct { try beginDirect(context, meta) }
        }
    }

    /// Nothing was ever loaded or written here, so pages may go straight into the tables.
    private func isUntouched(_ context: ApplyContext, _ meta: Meta) throws -> Bool {
        guard try meta.cursor == 0, try meta.scope.buckets.isEmpty, context.overlay.isEmpty else { return false }
        guard try context.connection.value("SELECT 1 FROM peyk_commit LIMIT 1") == nil else { return false }
        return try context.schema.tables.allSatisfy { table in
            try context.connection.value("SELECT 1 FROM \(TableRows.quoted(table.name)) LIMIT 1") == nil
        }
    }
}

extension AnswerBook {
    /// Tells of evicted records that have pending edits; these stay in the outbox.
    mutating func tellEvicted(_ keys: [RecordKey], _ reason: EvictReason, _ context: ApplyContext) throws {
        let detail =
            switch reason {
            case .moved: "moved out of what you see; your unsent edits are kept and will be handed off"
            case .grant: "your territories changed; your unsent edits are kept and will be handed off"
            }
        for key in keys {
            for (seq, index) in context.overlay.items[key]?.map({ ($0.seq, Int($0.change)) }) ?? [] {
                guard let commit = context.overlay.commits[seq] else { continue }
                let body = try context.overlay.body(seq, context.connection)
                guard body.changes.indices.contains(index) else { continue }
                try add(
                    commit.id, Answer.Notice(change: index, code: .evicted, detail: detail), key: key,
                    change: body.changes[index], base: nil, state: "told")
            }
        }
    }
}
