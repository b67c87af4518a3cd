import PeykFailpoint
import PeykMerge
import PeykModel
import PeykSession

/// Takes a group of commits into the log, inside one transaction. Nothing of it outlives the transaction, so no
/// cache can be ahead of the store (rule A4).
final class Committer {
    let workspace: Workspace
    let transaction: any StoreTransaction
    let now: Int64
    let identity: WorkspaceDocument
    let epoch: Epoch
    /// The count of served milliseconds (rule T1).
    let served: Int64
    private(set) var clock: ClockDocument
    private(set) var head: Position
    /// Merges that met a record, for IT to look into; the first of them is at `firstPosition` or later.
    private var merges: [[UInt8]] = []
    private var mergesBytes = 0
    private let firstPosition: Position
    private var chain: UUIDBits
    private var sites: [SiteID: SiteDocument] = [:]
    private var users: [RecordID: UserDocument] = [:]
    var knownWaiting: [WaitingCommit]?
    var knownRefilling: Bool?
    var isReleasing = false

    init(_ workspace: Workspace, _ transaction: any StoreTransaction) throws {
        self.workspace = workspace
        self.transaction = transaction
        now = workspace.environment.now()
        identity = try transaction.workspaceDocument()
        guard let epoch = identity.lineage.epoch else { throw StoreError.corrupt("a workspace without an epoch") }
        self.epoch = epoch
        served = try workspace.served(transaction)
        clock = try transaction.clockDocument()
        head = try transaction.head()
        firstPosition = head + 1
        chain = try transaction.chain(at: head) ?? UUIDBits(high: 0, low: 0)
    }

    /// Writes what the group changed beside the log.
    func finish() throws {
        try transaction.set(clock)
        try workspace.recorder.keep(merges, first: firstPosition, in: transaction)
        for site in sites.values.sorted(by: { $0.site < $1.site }) { try transaction.set(site) }
    }

    /// The next stamp of the server's clock (rule C2).
    func tick() -> HLC {
        var hybrid = HybridClock(last: clock.last)
        clock.last = hybrid.tick(milliseconds: now)
        return clock.last
    }

    func nextServerDot() -> Dot {
        clock.serverSeq += 1
        return Dot(site: identity.serverSite, seq: clock.serverSeq)
    }

    // MARK: - Pushes

    func take(_ push: PushRequest) throws -> PushResult {
        let context = push.context
        if let refusal = try workspace.standing(of: context, transaction), refusal.code != .scopeChanged {
            if refusal.code == .revoked, var site = try site(context.site) {
                site.noteSent(context.sent, in: context.epoch)
                _ = try transaction.quarantine(push.commits, of: site, now: now)
                sites[site.site] = site
            }
            return .refuse(refusal)
        }
        guard var site = try site(context.site), let user = try user(context.user) else {
            return .refuse(.deviceRevoked)
        }
        if site.offered == context.nonce { site.nonce = site.offered }
        site.noteSent(context.sent, in: context.epoch)
        site.isUsed = true
        try takeNames(push, &site)
        var items: [Acknowledge.Item] = []
        var expect: Sequence64?
        let kept = try transaction.quarantined(site.site).filter { $0.position == 0 }
        for commit in push.commits {
            guard commit.envelope.dot.site == context.site, commit.envelope.dot.seq > 0 else {
                return .refuse(
                    Refusal(.protocolBroken, "A commit of another site was pushed. Nothing of it was taken."))
            }
            if commit.envelope.dot.seq <= site.lastSeq {
                guard let item = try knownDot(commit) else {
                    site.mustRenew = true
                    sites[site.site] = site
                    return .refuse(
                        Refusal(
                            .overtaken,
                            "This replica was restored from an older image. Nothing was lost; the next sync gives it a "
                                + "new identity."))
                }
                items.append(item)
                continue
            }
            guard commit.envelope.dot.seq == site.lastSeq + 1 else {
                expect = site.lastSeq + 1
                break
            }
            if let document = kept.first(where: { $0.commit == commit.id }) {
                items.append(try takeKept(commit, document, &site, user, context))
            } else {
                items.append(try take(commit, &site, user, context))
            }
            Failpoint.hit("server.commit.merged")
            // What the device had declared as unsent at hello (rule T4).
            site.pending = max(0, site.pending - 1)
            // A receipt for a commit is a reason to believe in what it had seen.
            site.noteContact(at: now, served: served)
        }
        sites[site.site] = site
        return .acknowledge(Acknowledge(items: items, credit: 0, expect: expect))
    }

    private func site(_ id: SiteID) throws -> SiteDocument? {
        if let site = sites[id] { return site }
        return try transaction.document(SiteDocument.self, id.description)
    }

    func user(_ id: RecordID) throws -> UserDocument? {
        if let user = users[id] { return user }
        let user = try transaction.document(UserDocument.self, id.description)
        users[id] = user
        return user
    }

    /// The former answer to a dot that is taken; nil where another commit has it (P18).
    private func knownDot(_ commit: SealedCommit) throws -> Acknowledge.Item? {
        let dot = commit.envelope.dot
        if let moved = try transaction.document(DotDocument.self, DotDocument.key(dot)) {
            return item(commit, at: moved.position, .known)
        }
        guard let origin = try transaction.origin(of: commit.id) else { return nil }
        guard let entry = try transaction.entry(at: origin.position) else {
            return origin.site == dot.site ? item(commit, at: origin.position, .merged) : nil
        }
        guard entry.dot == dot else { return nil }
        return item(commit, at: origin.position, entry.answer.verdict)
    }

    func item(_ commit: SealedCommit, at position: Position, _ verdict: Answer.Verdict) -> Acknowledge.Item {
        Acknowledge.Item(
            seq: commit.envelope.dot.seq, commit: commit.id, position: position,
            receipt: workspace.keys.receipt(
                commit: commit.id, dot: commit.envelope.dot, epoch: identity.lineage.epoch(of: position) ?? epoch,
                position: position, verdict: verdict))
    }

    // MARK: - One commit

    func take(
        _ commit: SealedCommit, _ site: inout SiteDocument, _ user: UserDocument, _ context: SessionContext
    ) throws -> Acknowledge.Item {
        let dot = commit.envelope.dot
        let sent = commit.envelope.stamp
        let stamp = accepted(sent, after: site.lastStamp)
        var result: Merged
        var kind = LogEntry.Kind.commit
        if let first = try transaction.origin(of: commit.id) {
            kind = .known
            result = Merged(answer: try knownAnswer(first))
            try transaction.set(DotDocument(dot: dot, position: head + 1))
        } else if let known = try waiting(commit.id) {
            kind = .waiting
            result = Merged(answer: try renew(known, commit, stamp: stamp, user: user.id).answer)
        } else if let answer = commit.envelope.voidAnswer {
            result = Merged(answer: answer)
        } else if try !claimsHold(commit, site, user) {
            result = Merged(refused: .falseClaim)
        } else if let answer = try waitingAnswer(commit, stamp: stamp, user) {
            kind = .waiting
            result = Merged(answer: answer)
        } else {
            result = try merged(commit, stamp, user)
        }
        if kind == .waiting { try transaction.set(DotDocument(dot: dot, position: head + 1)) }
        if stamp != sent, kind == .commit { result.answer.restamped = stamp }
        try append(
            kind, dot: dot, commit: commit.id, stamp: stamp, user: user.id, clock: commit.envelope.clock, result)
        site.lastSeq = dot.seq
        site.lastID = commit.id
        site.lastStamp = stamp
        if kind != .known, let epoch = commit.envelope.clock.lineage.epoch,
            !result.answer.notices.contains(where: { $0.code == .falseClaim })
        {
            site.lastAnchor = SiteDocument.Sent(epoch: epoch, position: commit.envelope.clock.anchor)
        }
        let position = head
        if kind != .waiting, !result.answer.notices.isEmpty || result.answer.restamped != nil {
            try transaction.set(
                AnswerDocument(
                    site: site.site, commit: commit.id, seq: dot.seq, position: position, answer: result.answer))
        }
        if kind == .commit {
            try noteRefusedInserts(commit, result.answer)
            try release(after: commit)
        }
        return item(commit, at: position, result.answer.verdict)
    }

    /// Rule C3: a stamp of the future becomes the next tick; none is at or below the site's last.
    private func accepted(_ stamp: HLC, after last: HLC) -> HLC {
        var stamp = stamp
        if stamp.milliseconds > now + Self.futureMax { stamp = tick() }
        stamp = max(stamp, last.successor)
        clock.last = max(clock.last, stamp)
        return stamp
    }

    /// Milliseconds that a stamp may be ahead of the server (rule C3).
    static let futureMax: Int64 = 60_000

    /// The answer to a known id repeats its first answer (rule A2).
    private func knownAnswer(_ first: CommitOrigin) throws -> Answer {
        let key = AnswerDocument.key(first.site, first.position)
        let answer =
            try transaction.entry(at: first.position)?.answer
            ?? transaction.document(AnswerDocument.self, key)?.answer
        return Answer(verdict: .known, notices: answer?.notices ?? [])
    }

    /// Rule C6: what a vector clock says to have seen must have been sent, and must be its author's own otherwise.
    private func claimsHold(_ commit: SealedCommit, _ site: SiteDocument, _ user: UserDocument) throws -> Bool {
        let claim = commit.envelope.clock
        guard let epoch = claim.lineage.epoch else { return claim.anchor == 0 }
        // A replica that goes on at or below the fork was not sent anything of the present epoch yet: what it was
        // sent of the one that its anchor's position is of counts as well.
        let sent = max(site.sent(in: epoch), site.sent(in: claim.lineage.epoch(of: claim.anchor)))
        guard claim.anchor >= 0, claim.anchor <= sent else { return false }
        if let last = site.lastAnchor, last.epoch == epoch, claim.anchor < last.position { return false }
        for dot in claim.dots where dot.site != site.site {
            let other = try transaction.document(SiteDocument.self, dot.site.description)
            // In a restored workspace, a site of its own from a history that is gone.
            guard other == nil ? identity.lineage.eras.count > 1 : other?.user == user.id else { return false }
        }
        guard claim.seq(of: site.site) <= commit.envelope.dot.seq else { return false }
        for former in claim.former {
            guard let position = try transaction.position(of: former) else { continue }
            let entry = try transaction.entry(at: position)
            guard entry == nil || entry?.user == user.id else { return false }
        }
        return true
    }

    /// Rule A4: a commit that fails is undone alone, parked and answered.
    func merged(_ commit: SealedCommit, _ stamp: HLC, _ user: UserDocument) throws -> Merged {
        guard !workspace.isPoison(commit.id) else {
            workspace.environment.warn(
                "commit \(commit.id) (\(commit.envelope.dot)) was under way at two crashes and was parked")
            return Merged(refused: .failed, detail: "the server ended twice while it merged this commit")
        }
        let body: CommitBody
        do {
            body = try CommitBody(decoding: commit.sealed)
        } catch {
            return Merged(refused: .invalid, detail: error.description)
        }
        guard body.id == commit.id else { return Merged(refused: .invalid, detail: "the id is not the envelope's") }
        guard body.schemaVersion <= transaction.schema.version else { return Merged(refused: .schemaVersion) }
        let sealedSchema: Schema
        do {
            // Version 0 is that of a replica before its first welcome: it has nothing but the ledger to write to.
            guard let known = try workspace.schemaVersions.schema(body.schemaVersion, transaction) else {
                return Merged(refused: .invalid, detail: "schema version \(body.schemaVersion) was never here")
            }
            sealedSchema = known
        } catch {
            workspace.environment.warn("schema version \(body.schemaVersion) cannot be read: \(error)")
            return Merged(refused: .failed)
        }
        let dot = commit.envelope.dot
        do {
            return try merge(
                body, sealedSchema, dot: dot, stamp: stamp, clock: seen(commit), author: .user(user),
                former: commit.envelope.formerAnswer)
        } catch let refusal as WholeRefusal {
            return Merged(answer: Answer(verdict: .refused, notices: refusal.notices))
        } catch {
            // No commit is to blame for the disk: none is parked, all are pushed again.
            if let failure = transaction.failure { throw failure }
            workspace.environment.warn("commit \(commit.id) (\(dot)) failed and was parked: \(error)")
            return Merged(refused: .failed)
        }
    }

    /// What the author had seen: also its own earlier commits, always (rule C5).
    func seen(_ commit: SealedCommit) -> VectorClock {
        let dot = commit.envelope.dot
        return VectorClock(
            lineage: commit.envelope.clock.lineage, anchor: commit.envelope.clock.anchor,
            dots: commit.envelope.clock.dots + [Dot(site: dot.site, seq: dot.seq - 1)],
            former: commit.envelope.clock.former)
    }

    func merge(
        _ body: CommitBody, _ sealedSchema: Schema, dot: Dot, stamp: HLC, clock: VectorClock,
        author: CommitMerge.Author, former: Answer? = nil
    ) throws -> Merged {
        let isRefilling = try isRefilling()
        let writer = Writer(position: head + 1, epoch: epoch, dot: dot, stamp: stamp, commit: body.id)
        return try transaction.savepoint {
            let merge = CommitMerge(
                transaction, body: body, sealedSchema: sealedSchema, writer: writer, clock: clock, author: author,
                lineage: identity.lineage, backupHorizon: self.clock.backupHorizon, now: now,
                isRefilling: isRefilling, isRelabelled: identity.isRelabelled, former: former,
                recordedMax: MergeRecorder.groupBytesMax - mergesBytes)
            let merged = try merge.run()
            merges += merge.recorded
            mergesBytes += merge.recordedBytes
            return merged
        }
    }

    // MARK: - The log

    func append(
        _ kind: LogEntry.Kind, dot: Dot, commit: CommitID, stamp: HLC, user: RecordID?, clock: VectorClock,
        _ merged: Merged
    ) throws {
        let position = head + 1
        let next = WorkspaceKeys.chain(chain, epoch: epoch, position: position, commit: commit, dot: dot)
        try transaction.append(
            LogEntry(
                position: position, kind: kind, dot: dot, commit: commit, stamp: stamp, user: user, clock: clock,
                effects: merged.effects, answer: merged.answer, time: now, chain: next))
        head = position
        chain = next
    }
}

/// What a commit became.
struct Merged {
    var effects: [LogEffect] = []
    var answer: Answer

    init(effects: [LogEffect] = [], answer: Answer) {
        self.effects = effects
        self.answer = answer
    }

    /// Nothing of it was taken.
    init(refused code: NoticeCode, detail: String = "") {
        answer = Answer(verdict: .refused, notices: [Answer.Notice(change: -1, code: code, detail: detail)])
    }
}

/// One refusal refused the whole commit (rule M6); what it had written is undone.
struct WholeRefusal: Error {
    var notices: [Answer.Notice]
}

extension StoreReader {
    /// The log's entry at `position`; nil where the log does not have it.
    func entry(at position: Position) throws -> LogEntry? {
        var found: LogEntry?
        try log(after: position - 1, upTo: position) { entry in
            if entry.position == position { found = entry }
            return false
        }
        return found
    }
}
