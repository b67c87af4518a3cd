import PeykModel
import PeykSession

/// One hello, inside one transaction (rules I2, I3, I5, I6, S1).
struct Greeting {
    let workspace: Workspace
    let transaction: any StoreTransaction
    let hello: Hello
    let certificate: WorkspaceKeys.Certificate
    /// Unix milliseconds of the challenge that hello answers.
    let challengedAt: Int64
    let now: Int64
    let head: Position
    let identity: WorkspaceDocument
    let clock: ClockDocument
    let user: UserDocument

    init(
        workspace: Workspace, transaction: any StoreTransaction, hello: Hello, certificate: WorkspaceKeys.Certificate,
        challengedAt: Int64
    ) throws {
        self.workspace = workspace
        self.transaction = transaction
        self.hello = hello
        self.certificate = certificate
        self.challengedAt = challengedAt
        now = workspace.environment.now()
        head = try transaction.head()
        identity = try transaction.workspaceDocument()
        clock = try transaction.clockDocument()
        guard let user = try workspace.userCache.document(transaction, certificate.user.description) else {
            throw Refusal.userDisabled
        }
        self.user = user
    }

    mutating func admit() throws -> Admission {
        guard !user.isDisabled else { throw Refusal.userDisabled }
        guard try transaction.rollback() == nil else { throw try tellMore() }
        let known = try knownSite()
        try refuseOvertaken(known)
        let tokens = try provenTokens()
        let common = try commonHistory()
        var site: SiteDocument
        let reason = newSiteReason(known, common)
        if let known, reason == nil {
            site = known
            if hello.nonce == site.offered { site.nonce = site.offered }
            if certificate.deviceKey == site.offeredKey {
                site.deviceKey = certificate.deviceKey
                site.offeredKey = nil
            }
            // It goes on by itself: what was taken for its successor was a copy.
            try makeCopy(of: site, site.replacedBy)
            site.replacedBy = nil
            site.isUsed = true
            site.offered = workspace.environment.random(16)
        } else {
            site = try newSite(of: known)
            site.owesNames = common != .max || known?.owesNames == true
            site.origin = try origin(known, reason)
            try giveUpUnused(for: site)
            if var known, reason != .copied {
                known.replacedBy = site.site
                try transaction.set(known)
            } else if known == nil {
                try replaceFormer(by: site)
            }
        }
        site.helloNumber = max(site.helloNumber, hello.number)
        site.helloAt = now
        site.applied = reason == nil ? max(site.applied, min(hello.applied, head)) : min(hello.applied, head, common)
        site.reached = isFresh ? 0 : min(hello.cursor, head, common)
        site.noteContact(at: now, served: try workspace.served(transaction))
        // It is back: from here on it holds back what it needs again (rule T1).
        site.isExpired = false
        site.pending = hello.pending
        site.schemaVersion = hello.schemaVersion
        site.program = String(hello.program.prefix(100))
        for token in tokens { site.noteSent(token.position, in: token.epoch) }
        if reason == nil, common == .max, !site.owesNames, hello.pending == 0 { site.hasReturned = true }
        try transaction.set(site)
        if reason == nil { try transaction.dropAnswered(of: site) }
        let admission = try admission(site, known, reason, common)
        if try transaction.isRefilling() {
            let committer = try Committer(workspace, transaction)
            try committer.closeRefillIfComplete()
            try committer.finish()
        }
        return admission
    }

    // MARK: - Who

    /// All sites, as this transaction has them.
    private func sites() throws -> [SiteDocument] { try workspace.siteCache.documents(transaction) }

    /// The site that hello names; nil where it was enrolled in a history that is gone.
    private func knownSite() throws -> SiteDocument? {
        guard let site = try workspace.siteCache.document(transaction, hello.site.description) else {
            let family = try sites().filter { $0.family == certificate.family }
            if family.contains(where: \.isRevoked) { throw Refusal.deviceRevoked }
            return nil
        }
        guard site.user == certificate.user, site.family == certificate.family else {
            throw Refusal(.authentication, "The certificate is not this replica's. Nothing was changed.")
        }
        if site.isRevoked { throw Refusal.deviceRevoked }
        return site
    }

    /// A hello that is not above the last changes nothing (rule I2). A replica's numbers rise, so one that answers a
    /// newer challenge than the last hello is not late: it is a copy's or a restored image's.
    private func refuseOvertaken(_ site: SiteDocument?) throws {
        guard let site, hello.number <= site.helloNumber, challengedAt <= site.helloAt else { return }
        throw Refusal(.overtaken, "A later sync of this replica has overtaken this one. Nothing was changed.")
    }

    // MARK: - Which history

    /// The end of the common part of the two histories; `Position.max` where they are one (rule I6).
    private func commonHistory() throws -> Position {
        guard !hello.lineage.eras.isEmpty else { return .max }
        guard let common = hello.lineage.common(with: identity.lineage) else {
            throw Refusal(
                .foreign,
                "This replica belongs to another server's history. Nothing was changed; check the server's address.")
        }
        guard common != .max else {
            guard hello.cursor <= head else { throw Refusal.rolledBack }
            return common
        }
        let unknown = hello.lineage.eras.map(\.epoch).filter { epoch in
            !identity.lineage.eras.contains { $0.epoch == epoch } && !identity.superseded.contains(epoch)
        }
        guard unknown.isEmpty else {
            let ours = identity.lineage.eras
            if hello.lineage.eras.starts(with: ours) { throw Refusal.rolledBack }
            let epochs = unknown.prefix(3).map(\.description).joined(separator: " ")
            workspace.environment.warn(
                "a device of another history was refused; to take it back, losing nothing: peykd epoch supersede \(epochs)"
            )
            throw Refusal(
                .fork,
                "This replica followed another history of the workspace than the server. Nothing was changed; your "
                    + "administrator decides which one holds (peykd epoch supersede \(epochs)).")
        }
        return min(common, head)
    }

    // MARK: - Which site

    private func newSiteReason(_ site: SiteDocument?, _ common: Position) -> NewSiteReason? {
        guard let site else { return .newEpoch }
        // One that has its site of this epoch and is not yet through with its new pages keeps it.
        if common != .max, site.epoch != identity.lineage.epoch { return .newEpoch }
        // A key that the site has left behind: this is an image from before, or a copy of one.
        if certificate.deviceKey != site.deviceKey, certificate.deviceKey != site.offeredKey { return .copied }
        if hello.renew { return .restored }
        if hello.nonce != site.nonce, hello.nonce != site.offered { return .copied }
        if hello.number <= site.helloNumber { return .copied }
        if hello.lastSealed < site.lastSeq || site.mustRenew { return .restored }
        // A replica that asks for everything anew says 0.
        if hello.cursor < max(site.reached, site.applied), !isFresh { return .restored }
        if let kept = hello.lastKept, kept.seq == site.lastSeq, kept.id != site.lastID { return .restored }
        return nil
    }

    private var isFresh: Bool { hello.cursor == 0 && hello.scope.buckets.isEmpty }

    private func newSite(of known: SiteDocument?) throws -> SiteDocument {
        let nonce = workspace.environment.random(16)
        var site = SiteDocument(
            site: workspace.environment.site(), user: user.id, deviceKey: certificate.deviceKey,
            deviceName: known?.deviceName ?? "restored device", family: certificate.family, createdAt: now,
            nonce: nonce)
        site.offered = nonce
        site.former = hello.site
        if let known {
            site.sent = known.sent
        } else {
            // Its last site was made in a history that is gone; what the device was sent before that stands.
            for former in try sites() where former.family == certificate.family {
                for sent in former.sent { site.noteSent(sent.position, in: sent.epoch) }
            }
        }
        site.epoch = identity.lineage.epoch
        site.resyncBelow = known?.resyncBelow ?? 0
        return site
    }

    // MARK: - From where

    private func admission(
        _ site: SiteDocument, _ known: SiteDocument?, _ reason: NewSiteReason?, _ common: Position
    ) throws -> Admission {
        let grant = user.grant
        let (entrance, backfill) = try entrance(site, known, grant, common)
        var kept = hello.scope.buckets.filter { grant.read.contains($0) }
        if case .snapshot = entrance { kept = [] }
        let schema = transaction.schema
        let sites = try sites()
        guard let epoch = identity.lineage.epoch else { throw StoreError.corrupt("a workspace without an epoch") }
        let welcome = Welcome(
            site: site.site, newSiteReason: reason, entrance: entrance, lineage: identity.lineage, grant: grant,
            user: user.id, userName: user.name, role: user.role, head: head, stamp: clock.last, serverTime: now,
            lastMerged: site.lastSeq, lastMergedID: site.lastID, openAnswers: try openAnswers(site.site),
            schema: schema.version > hello.schemaVersion ? schema.json.text : nil, schemaVersion: schema.version,
            nonce: site.offered, backupHorizon: clock.backupHorizon, credit: SessionLimits.creditBytes,
            facts: try facts(of: sites), wantsNames: site.owesNames,
            lastBackup: try transaction.backups().items.last?.time ?? 0, wantsRekey: sharesKey(site, among: sites),
            continuesBackfill: (backfill?.lastPosition ?? 0) > 0,
            familyLastIDs: reason == nil ? [] : try familyLastIDs(sites))
        let context = SessionContext(
            site: site.site, user: user.id, grant: grant, kept: kept, head: head, schemaVersion: schema.version,
            number: workspace.beginSession(of: site.site), nonce: site.offered, epoch: epoch,
            sent: site.sent(in: epoch))
        return Admission(
            welcome: welcome, context: context, cursor: min(hello.cursor, head), backfill: backfill,
            credit: hello.credit)
    }

    private func entrance(
        _ site: SiteDocument, _ known: SiteDocument?, _ grant: Grant, _ common: Position
    ) throws -> (Entrance, BackfillMark?) {
        let held = hello.scope.buckets
        // What was forgotten (rule T1): outcomes, tombstones, and whatever the device's lease gave up.
        let forgotten = max(clock.logHorizon, try transaction.collection().tombstoneHorizon, site.resyncBelow)
        let added = grant.read.filter { !held.contains($0) }
        let entrance: Entrance
        if isFresh {
            entrance = .snapshot(known == nil || known?.applied == 0 ? .first : .asked)
        } else if hello.cursor > common {
            entrance = .snapshot(.restored)
        } else if hello.cursor < forgotten {
            entrance = .snapshot(.horizon)
        } else {
            entrance = added.isEmpty ? .resume : .widen(added: added)
        }
        let target: HeldScope
        switch entrance {
        case .resume: return (entrance, nil)
        case .widen: target = HeldScope(buckets: added, version: grant.version)
        case .snapshot: target = HeldScope(buckets: grant.read, version: grant.version)
        }
        if let mark = hello.backfill, isOurs(mark, common), mark.scope == target,
            mark.firstPosition >= clock.logHorizon, mark.lastPosition <= head,
            mark.table <= transaction.schema.tables.count
        {
            return (
                entrance,
                BackfillMark(
                    scope: target, table: mark.table, last: mark.last, firstPosition: mark.firstPosition,
                    lastPosition: mark.lastPosition)
            )
        }
        return (entrance, BackfillMark(scope: target, table: 0, last: nil, firstPosition: 0, lastPosition: 0))
    }

    /// Pages of another history are of no use.
    private func isOurs(_ mark: BackfillMark, _ common: Position) -> Bool {
        mark.epoch.map { $0 == identity.lineage.epoch } ?? (common == .max)
    }

    /// Whether an older replica that is still in use has the same device key (rule I3).
    private func sharesKey(_ site: SiteDocument, among sites: [SiteDocument]) -> Bool {
        sites.contains { other in
            other.site != site.site && other.deviceKey == site.deviceKey && other.family == site.family
                && other.replacedBy == nil && !other.isRevoked
                && (other.createdAt, other.site) < (site.createdAt, site.site)
        }
    }

    private func openAnswers(_ site: SiteID) throws -> [OpenAnswer] {
        let answers = try transaction.documents(AnswerDocument.self, prefix: AnswerDocument.prefix(site)).map {
            OpenAnswer(commit: $0.commit, seq: $0.seq, position: $0.position, answer: $0.answer)
        }
        // For as long as they wait, whatever the device has confirmed (rule A3).
        let waiting = try transaction.waitingCommits().filter { $0.dot.site == site }.map {
            OpenAnswer(commit: $0.commit, seq: $0.dot.seq, position: $0.position, answer: $0.answer)
        }
        return answers + waiting
    }

    /// Devices of users who share a bucket with this one (rule T4).
    private func facts(of sites: [SiteDocument]) throws -> [DeviceFact] {
        let mine = user.grant.read.filter { $0 != .everyone }
        let users = try workspace.userCache.documents(transaction).filter { other in
            guard !other.isDisabled else { return false }
            return other.id == user.id || mine.contains(.whole)
                || other.grant.read.contains { $0 != .everyone && mine.contains($0) }
        }
        let byID = Dictionary(users.map { ($0.id, $0) }) { first, _ in first }
        return sites.compactMap { site in
            guard !site.isRevoked, site.replacedBy == nil, let owner = byID[site.user] else { return nil }
            return DeviceFact(
                site: site.site, user: owner.id, userName: owner.name, deviceName: site.deviceName,
                lastContact: site.lastContact, pending: site.pending)
        }
    }
}

extension StoreReader {
    /// The chain hash at `position`; zero before the first; nil where the log does not reach back.
    func chain(at position: Position) throws -> UUIDBits? {
        guard position > 0 else { return UUIDBits(high: 0, low: 0) }
        var found: UUIDBits?
        try log(after: position - 1, upTo: position) { entry in
            if entry.position == position { found = entry.chain }
            return false
        }
        return found
    }
}
