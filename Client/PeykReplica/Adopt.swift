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
    /// The server has another commit under a seq of this replica's, so this is a restored image that neither side had
    /// found out before. Nothing was taken up; the next hello asks for a new site (rule I3).
    public var mustRenew = false
    /// The site for which a new device key is wanted, since the present one is another replica's as well (rule I3).
    public var rekeySite: SiteID?
}

extension Replica {
    /// Takes up everything that a welcome says, in one transaction.
    ///
    /// - Throws: ``ReplicaError``; then nothing has changed, and the session cannot go on.
    /// - Complexity: O(rows) where the grant changed, else O(pending commits) at most.
    public func adopt(_ welcome: Welcome) throws -> Adoption {
        let now = environment.now()
        let uptime = environment.uptime()
        if let refused = try renewal(welcome) { return refused }
        let adoption = try applying(
            before: { connection in
                let meta = Meta(connection: connection)
                try adoptHistory(welcome, connection, meta)
                if welcome.site != (try meta.site) {
                    try note(welcome, meta)
                    try redot(to: welcome.site, connection, meta)
                    try noteKnown(welcome.familyLastIDs, connection, meta)
                }
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
            try endWaiting(but: welcome.openAnswers, meta)
            try begin(welcome, context, meta)
            if try meta.backfill == nil { try context.leaveToRows(upTo: try meta.cursor) }
            try context.settle()
            try lowerClock(to: welcome.stamp, context, meta)
            try Failpoint.hitOrThrow("replica.adopt.before-commit")
            return Adoption(
                cursor: try meta.cursor, isBackfilling: try meta.backfill != nil, evicted: evicted,
                lastMerged: welcome.lastMerged, newSite: welcome.newSiteReason,
                rekeySite: welcome.wantsRekey ? welcome.site : nil)
        }
        Failpoint.hit("replica.adopt.committed")
        return adoption
    }

    /// Rule I3, m20: another commit under a seq that is ours. Then this file is an image that was restored while the
    /// original went on in the same session: seqs, nonce and cursor all look right. What was sealed since would be
    /// passed over as known, so nothing is pushed under this site any more.
    private func renewal(_ welcome: Welcome) throws -> Adoption? {
        guard welcome.lastMerged > 0, let theirs = welcome.lastMergedID else { return nil }
        return try changing { connection in
            let meta = Meta(connection: connection)
            guard welcome.site == (try meta.site) else { return nil }
            let ours = try connection.value(
                "SELECT id FROM peyk_commit WHERE seq = ?1 AND site = ?2",
                [.integer(welcome.lastMerged), .integer(Int64(bitPattern: welcome.site.rawValue))])
            let isUnknown = try ours == nil && welcome.lastMerged > meta.lastSealed
            guard isUnknown || (ours != nil && ours != .blob(theirs.bytes)) else { return nil }
            try meta.set(.renew, 1)
            return Adoption(
                cursor: try meta.cursor, isBackfilling: false, evicted: [], lastMerged: welcome.lastMerged,
                mustRenew: true)
        }
    }

    /// For `peyk status`: a new identity is nothing to worry about, but nothing to keep from a person either.
    private func note(_ welcome: Welcome, _ meta: Meta) throws {
        guard let reason = welcome.newSiteReason else { return }
        try meta.set(.newSiteReason, Int64(reason.rawValue))
        try meta.set(.newSiteAt, welcome.serverTime)
        try meta.set(.formerSite, Int64(bitPattern: try meta.site.rawValue))
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
        try meta.set(.lastBackup, welcome.lastBackup)
        try meta.set(.tellTokens, .null)
        if try meta.integer(.joinedAt) == nil { try meta.set(.joinedAt, welcome.serverTime) }
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

    /// Rule S1: what no bucket that is kept reads goes, before anything else comes. Also where an added bucket reads
    /// it: the log up to the pages is for the kept ones only, so such a row would be old under a new cursor.
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
        let kept = Grant(read: held.buckets.filter { grant.read.contains($0) }, write: [Bucket](), version: 0)
        var evicted: [RecordKey] = []
        for key in try LocalAudience(context).outside(kept) {
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
        var found = context.unanswered(open.commit)
        if found == nil, open.position <= (try meta.cursor) {
            found = try meta.connection.value(
                "SELECT seq FROM peyk_commit WHERE id = ?1", [.blob(open.commit.bytes)])?.integerValue
        }
        guard let seq = found else { return }
        let body = try context.overlay.body(seq, context.connection)
        try book.list(open.answer, of: body) { try context.confirmed($0) }
        // Waiting is not merged: it stays shown after the pages, too (rule I7.5).
        guard open.answer.verdict == .waiting else { return }
        let isMerged =
            try meta.connection.value("SELECT 1 FROM peyk_commit WHERE seq = ?1 AND state = 2", [.integer(seq)]) != nil
        try meta.connection.run(
            """
            UPDATE peyk_commit SET state = CASE state WHEN 5 THEN 5 ELSE 4 END, position = ?2, answer = ?3
            WHERE seq = ?1
            """, [.integer(seq), .integer(open.position), .blob(open.answer.stored())])
        if isMerged { try context.show(waiting: seq, body) }
    }

    /// What waited and is not listed any more was merged: the stream or the pages have it.
    private func endWaiting(but open: [OpenAnswer], _ meta: Meta) throws {
        let waiting = Set(open.filter { $0.answer.verdict == .waiting }.map(\.commit))
        for row in try meta.connection.rows("SELECT seq, id FROM peyk_commit WHERE state = 4") {
            guard let seq = row.first?.integerValue, case .blob(let bytes) = row[1], let id = CommitID(bytes: bytes),
                !waiting.contains(id)
            else { continue }
            try meta.connection.run("UPDATE peyk_commit SET state = 1 WHERE seq = ?1", [.integer(seq)])
        }
    }

    /// How the session goes on: from the cursor, or with pages.
    private func begin(_ welcome: Welcome, _ context: ApplyContext, _ meta: Meta) throws {
        let scope = HeldScope(buckets: welcome.grant.read, version: welcome.grant.version)
        let present = try meta.backfill
        switch welcome.entrance {
        case .resume:
            try keepRows(of: welcome.lineage, meta)
            if present != nil { try abandonBackfill(context, meta) }
        case .widen:
            try keepRows(of: welcome.lineage, meta)
            if var state = present, state.mode == .widen, welcome.continuesBackfill, state.scope == scope,
                state.lineage == welcome.lineage
            {
                state.isResuming = true
                state.lastMerged = welcome.lastMerged
                return try meta.set(backfill: state)
            }
            try abandonBackfill(context, meta)
            var state = BackfillState(mode: .widen, scope: scope, lineage: welcome.lineage)
            state.lastMerged = welcome.lastMerged
            try meta.set(backfill: state)
        case .snapshot:
            if var state = present, state.mode != .widen, welcome.continuesBackfill, state.scope == scope,
                state.lineage == welcome.lineage
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

    /// Nothing of the rows is beyond the server's history: they go on under its lineage.
    private func keepRows(of lineage: Lineage, _ meta: Meta) throws {
        try meta.connection.run(
            "UPDATE peyk_commit SET state = 2, position = coalesce(position, ?1) WHERE state = 5",
            [.integer(try meta.cursor)])
        try meta.set(lineage: lineage)
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
