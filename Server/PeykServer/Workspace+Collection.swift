import PeykFailpoint
import PeykMerge
public import PeykModel

/// One pass of collection, carried on slice by slice so that no transaction is long (rule T1).
public struct CollectionPass: Sendable {
    enum Phase: Sendable { case dropped, leases, tombstones, log, documents, ledger, done }

    var phase = Phase.dropped
    /// Devices whose lease ran out.
    public internal(set) var expired: [SiteID] = []
    public internal(set) var tombstones: Int64 = 0
    public internal(set) var outcomes: Int64 = 0
    public internal(set) var documents: Int64 = 0
    /// Ledger entries of records that are long gone (rule M7).
    public internal(set) var entries: Int64 = 0
    /// Records out of whose dropped fields or tables something was taken (rule T2).
    public internal(set) var emptied: Int64 = 0
    var emptiedUpTo: RecordKey?
    /// What other tombstones refer to and must therefore stay: a child that comes back needs its parent (rule D1).
    var named: Set<RecordKey>?
    var overdue: [RecordID]?

    public init() {}

    public var isDone: Bool { phase == .done }
    public var hasChanged: Bool { !expired.isEmpty || tombstones + outcomes + documents + entries + emptied > 0 }
}

extension Workspace {
    /// At most so many records, outcomes or documents in one slice: some milliseconds of the committer's time.
    public static let sliceMax = 256

    /// Does the next slice: leases first, then tombstones, outcomes, documents, ledger entries. One short transaction.
    ///
    /// - Throws: errors of the store; what earlier slices did stays done.
    public func collect(_ pass: inout CollectionPass) throws {
        var next = pass
        switch pass.phase {
        case .dropped: try empty(&next)
        case .leases:
            next.expired += try store.write { try expireLeases($0) }
            try step(&next, to: .tombstones) { try age(&$0, $2) }
        case .tombstones:
            if next.named == nil { next.named = try namedByTombstones() }
            try step(&next, to: .log) { try collectTombstones(&$0, &$1, $2) }
        case .log: try step(&next, to: .documents) { try trimLog(&$0, &$1, $2) }
        case .documents: try step(&next, to: .ledger) { try collectDocuments(&$1, $2) }
        case .ledger:
            if next.overdue == nil { next.overdue = try overdueEntries() }
            try sweepLedger(&next)
            try step(&next, to: .done) { collection, pass, _ in
                guard pass.overdue?.isEmpty != false else { return false }
                collection.finishedAt = environment.now()
                if pass.overdue != nil { collection.sweptAt = environment.now() }
                return true
            }
        case .done: break
        }
        pass = next
    }

    /// Rule T2: by the server's own acts, so that replicas follow as with any other.
    private func empty(_ pass: inout CollectionPass) throws {
        if let changes = try droppedValues(after: &pass.emptiedUpTo) {
            _ = try serverCommit(changes)
            pass.emptied += Int64(changes.count)
            return
        }
        try store.write { transaction in
            var collection = try transaction.collection()
            guard collection.emptiedVersion < transaction.schema.version else { return }
            collection.emptiedVersion = transaction.schema.version
            try transaction.set(collection)
        }
        pass.phase = .leases
    }

    /// - Parameter body: a slice; true where nothing of its kind is left.
    private func step(
        _ pass: inout CollectionPass, to next: CollectionPass.Phase,
        _ body: (inout CollectionDocument, inout CollectionPass, any StoreTransaction) throws -> Bool
    ) throws {
        pass = try store.write { transaction in
            var result = pass
            guard try transaction.mayCollect() else {
                result.phase = .done
                return result
            }
            var collection = try transaction.collection()
            if try body(&collection, &result, transaction) { result.phase = next }
            try transaction.set(collection)
            try Failpoint.hitOrThrow("retention.slice.before-commit")
            return result
        }
        Failpoint.hit("retention.slice.committed")
    }

    /// A whole pass, for tests and for IT's command.
    @discardableResult
    public func collectAll() throws -> CollectionPass {
        var pass = CollectionPass()
        while !pass.isDone { try collect(&pass) }
        return pass
    }

    // MARK: - Leases

    private func expireLeases(_ transaction: any StoreTransaction) throws -> [SiteID] {
        let lease = try transaction.retention().leaseSeconds
        let served = try served(transaction)
        let head = try transaction.head()
        var expired: [SiteID] = []
        for var site in try transaction.documents(SiteDocument.self)
        where site.isLive && (served - site.servedAt) / 1_000 > lease {
            site.isExpired = true
            site.resyncBelow = head
            try transaction.set(site)
            expired.append(site.site)
        }
        return expired
    }

    // MARK: - Tombstones

    /// Moves on the position up to which everything is older than tombstones are kept.
    private func age(_ collection: inout CollectionDocument, _ transaction: any StoreTransaction) throws -> Bool {
        let cutoff = environment.now() - (try transaction.retention().tombstoneSeconds) * 1_000
        var aged = max(collection.aged, try transaction.clockDocument().logHorizon)
        var count = 0
        try transaction.log(after: aged, upTo: try transaction.head()) { entry in
            guard entry.time <= cutoff, count < Self.sliceMax else { return false }
            aged = entry.position
            count += 1
            return true
        }
        collection.aged = aged
        return count < Self.sliceMax
    }

    /// Tombstones that every live device has passed, that are old enough, and that no other tombstone refers to.
    private func collectTombstones(
        _ collection: inout CollectionDocument, _ pass: inout CollectionPass, _ transaction: any StoreTransaction
    ) throws -> Bool {
        let limit = min(collection.aged, try transaction.passedByAll())
        var candidates: [(key: RecordKey, position: Position)] = []
        let named = pass.named ?? []
        try transaction.tombstones(upTo: limit) { key, record in
            if !named.contains(key) { candidates.append((key, record.position)) }
            return candidates.count < Self.sliceMax
        }
        for (key, position) in candidates {
            try transaction.drop(key)
            try transaction.forgetEmptied(to: key)
            collection.tombstoneHorizon = max(collection.tombstoneHorizon, position)
        }
        collection.tombstones += Int64(candidates.count)
        pass.tombstones += Int64(candidates.count)
        return candidates.count < Self.sliceMax
    }

    /// What tombstones that stay refer to, with what these refer to in turn: bringing back one brings back the chain of
    /// its parents (rule D1). On a snapshot: a tombstone that is made later had living parents.
    /// - Complexity: O(tombstones), where there is anything to collect.
    private func namedByTombstones() throws -> Set<RecordKey> {
        try store.read { reader in
            let limit = min(try reader.collection().aged, try reader.passedByAll())
            var hasAny = false
            try reader.tombstones(upTo: limit) { _, _ in
                hasAny = true
                return false
            }
            var named: Set<RecordKey> = []
            guard hasAny else { return named }
            let schema = reader.schema
            var open: [RecordKey] = []
            try reader.tombstones(upTo: .max) { key, record in
                guard record.position > limit else { return true }
                open.append(contentsOf: schema.targets(of: record.state.row, table: key.table))
                while let target = open.popLast() {
                    guard !named.contains(target), let record = try reader.record(target), !record.state.isAlive else {
                        continue
                    }
                    named.insert(target)
                    open.append(contentsOf: schema.targets(of: record.state.row, table: target.table))
                }
                return true
            }
            return named
        }
    }

    // MARK: - The log

    /// Outcomes that every live device has passed and that are older than the log is kept. The last one stays.
    private func trimLog(
        _ collection: inout CollectionDocument, _ pass: inout CollectionPass, _ transaction: any StoreTransaction
    ) throws -> Bool {
        var clock = try transaction.clockDocument()
        let cutoff = environment.now() - (try transaction.retention().logSeconds) * 1_000
        let limit = min(try transaction.passedByAll(), try transaction.head() - 1)
        var end = clock.logHorizon
        var count: Int64 = 0
        guard limit > end else { return true }
        try transaction.log(after: end, upTo: limit) { entry in
            guard entry.time <= cutoff, count < Int64(Self.sliceMax) else { return false }
            end = entry.position
            count += 1
            return true
        }
        guard count > 0 else { return true }
        try transaction.trimLog(upTo: end)
        clock.logHorizon = end
        try transaction.set(clock)
        collection.outcomes += count
        pass.outcomes += count
        return count < Int64(Self.sliceMax)
    }

    // MARK: - Documents

    /// What was kept for single commits and will not be asked for again: answers and dots of devices that are gone,
    /// dots that a device has passed, invites a month after their end.
    private func collectDocuments(_ pass: inout CollectionPass, _ transaction: any StoreTransaction) throws -> Bool {
        var gone: [(collection: String, key: String)] = []
        func note(_ document: some Document) { gone.append((type(of: document).collection, document.key)) }
        for site in try transaction.documents(SiteDocument.self) where gone.count < Self.sliceMax {
            let isGone = site.isRevoked || site.replacedBy != nil
            for dot in try transaction.documents(DotDocument.self, prefix: DotDocument.prefix(site.site))
            where isGone || dot.position <= site.applied { note(dot) }
            guard site.isRevoked else { continue }
            for answer in try transaction.documents(AnswerDocument.self, prefix: AnswerDocument.prefix(site.site)) {
                note(answer)
            }
        }
        let cutoff = environment.now() - Self.invitesKeptMilliseconds
        for invite in try transaction.documents(InviteDocument.self) where invite.expiresAt < cutoff { note(invite) }
        for (collection, key) in gone.prefix(Self.sliceMax) { try transaction.setDocument(collection, key, nil) }
        pass.documents += Int64(min(gone.count, Self.sliceMax))
        return gone.count <= Self.sliceMax
    }

    private static let invitesKeptMilliseconds: Int64 = 30 * 86_400_000

    // MARK: - The ledger

    /// Entries of records that do not live: settled, or of a deletion that the log no longer reaches (rule M7).
    /// Nil where it is not yet time: once a day, on a snapshot of its own.
    private func overdueEntries() throws -> [RecordID]? {
        try store.read { reader in
            guard environment.now() - (try reader.collection().sweptAt) >= 86_400_000 else { return nil }
            let rules = AudienceRules(schema: reader.schema)
            let horizon = try reader.clockDocument().logHorizon
            var overdue: [RecordID] = []
            try reader.records(of: Schema.ledgerIndex, after: nil) { id, entry in
                guard let parent = rules.parent(table: Schema.ledgerIndex, row: entry.state.row) else { return true }
                let key = RecordKey(table: parent.table, record: parent.record)
                let record = try reader.record(key)
                guard record?.state.isAlive != true else { return true }
                let last = try max(record?.position ?? 0, reader.positions(of: key).last ?? 0)
                let isLongGone = horizon > 0 && last <= horizon
                if isLongGone || LedgerRow(entry.state.row).isSettled { overdue.append(id) }
                return overdue.count < Self.overdueMax
            }
            return overdue
        }
    }

    /// Entries looked after in one pass; the next takes more.
    private static let overdueMax = 10_000

    /// The entries leave the replicas, too: the server's own act.
    private func sweepLedger(_ pass: inout CollectionPass) throws {
        guard let overdue = pass.overdue, !overdue.isEmpty, try store.read({ try $0.mayCollect() }) else { return }
        let slice = overdue.prefix(Self.sliceMax)
        _ = try serverCommit(slice.map { Change(table: Schema.ledgerIndex, record: $0, kind: .delete) })
        pass.entries += Int64(slice.count)
        pass.overdue = Array(overdue.dropFirst(Self.sliceMax))
    }
}
