import PeykMerge
public import PeykModel

/// What IT does when history was lost (rules I5 to I9). Needs no files: a simulation restores with these calls, too.
extension Workspace {
    /// Begins a new epoch, after a restore (rule I6): a server site of its own (I9), an open refill (I7). Call it on a
    /// workspace opened over the restored store, before it serves anybody.
    ///
    /// - Parameters:
    ///   - fork: the last position that the lost history and this one share; nil for the head. Positions above it count
    ///     to the new epoch (rule I5: in place).
    ///   - lost: epochs that the restore discards, beside those of this history: devices that followed one of them are
    ///     taken back, not refused as a fork.
    /// - Returns: the new epoch.
    @discardableResult
    public func beginEpoch(after fork: Position? = nil, superseding lost: [Epoch] = []) throws -> Epoch {
        let epoch = Epoch(bits: environment.bits())
        try act("epoch") { transaction, line in
            var identity = try transaction.workspaceDocument()
            let head = try transaction.head()
            let began = identity.lineage.eras.last?.after ?? 0
            let end = max(began, min(fork ?? head, head))
            identity.lineage.eras.append(Era(epoch: epoch, after: end))
            let own = Set(identity.lineage.eras.map(\.epoch))
            identity.superseded = Set(identity.superseded + lost).subtracting(own).sorted()
            identity.serverSite = environment.site()
            if end < head { identity.isRelabelled = true }
            try transaction.set(identity)
            var clock = try transaction.clockDocument()
            clock.serverSeq = 0
            try transaction.set(clock)
            try transaction.set(RefillDocument(isOpen: true, openedAt: environment.now(), fork: end))
            try transaction.setDocument(RollbackDocument.collection, RollbackDocument.key, nil)
            // The acts that the store lacks are of the new epoch: at these positions devices may have had something
            // else, and the server's former site may have given these seqs to other commits (rules I6, I9).
            try replayJournal(transaction)
            line.epoch = epoch
        }
        environment.warn("a new epoch \(epoch) has begun; devices will fill the server again")
        return epoch
    }

    /// IT's word that an epoch is dead (rule I6): devices that followed it are taken back instead of refused.
    ///
    /// - Returns: false where it is the present epoch or one that this history went through.
    public func supersede(_ epoch: Epoch) throws -> Bool {
        try act("supersede") { transaction, line in
            var identity = try transaction.workspaceDocument()
            guard !identity.lineage.eras.contains(where: { $0.epoch == epoch }) else { return false }
            identity.superseded = Set(identity.superseded + [epoch]).sorted()
            try transaction.set(identity)
            line.epoch = epoch
            return true
        }
    }

    /// Ends the refill by IT's word: what waits is merged as it is, nothing more is remembered.
    ///
    /// - Returns: how many commits waited; nil where no refill was open.
    @discardableResult
    public func closeRefill() throws -> Int? {
        try store.write { transaction in
            guard try transaction.isRefilling() else { return nil }
            let committer = try Committer(self, transaction)
            let count = try committer.closeRefill()
            try committer.finish()
            return count
        }
    }

    /// Nil where the workspace was never restored.
    public func refillStatus() throws -> RefillStatus? {
        try store.read { try RefillStatus($0) }
    }
}

extension Committer {
    /// What was remembered goes; names stay, since clocks that need them may still come.
    func closeRefill() throws -> Int {
        guard var refill = try transaction.refill(), refill.isOpen else { return 0 }
        refill.isOpen = false
        refill.closedAt = now
        try transaction.set(refill)
        knownRefilling = false
        let count = try waiting().count
        try release()
        for delete in try transaction.waitingDeletes() {
            try transaction.setDocument(WaitingDelete.collection, delete.documentKey, nil)
        }
        for collection in [RecordMemory.collection, RefusedInsert.collection] {
            for (key, _) in try transaction.documents(collection, prefix: "") {
                try transaction.setDocument(collection, key, nil)
            }
        }
        return count
    }

    /// Closes the refill once every live device that is known has come back.
    func closeRefillIfComplete() throws {
        guard try isRefilling(), try transaction.awaitedSites().isEmpty else { return }
        let count = try closeRefill()
        workspace.environment.warn("every device has come back: the refill is closed, \(count) commits had waited")
    }
}

/// Where a refill stands, for IT (rule I8).
public struct RefillStatus: Hashable, Sendable {
    public struct Device: Hashable, Sendable {
        public var site: SiteID
        public var user: RecordID
        public var deviceName: String
        /// Unix milliseconds.
        public var lastContact: Int64
        /// It has begun to fill the server again, and is not done.
        public var hasBegun: Bool
    }

    public var isOpen: Bool
    public var openedAt: Int64
    public var closedAt: Int64?
    public var fork: Position
    /// Live devices that have not come back.
    public var awaited: [Device]
    /// Commits that wait for a record or for a schema.
    public var waiting: Int
    /// Deletes that wait for the deletes of what is below.
    public var waitingDeletes: Int
}

extension RefillStatus {
    public init?(_ reader: any StoreReader) throws {
        guard let refill = try reader.refill() else { return nil }
        let epoch = try reader.workspaceDocument().lineage.epoch
        isOpen = refill.isOpen
        openedAt = refill.openedAt
        closedAt = refill.closedAt
        fork = refill.fork
        awaited =
            refill.isOpen
            ? try reader.awaitedSites().map { site in
                Device(
                    site: site.site, user: site.user, deviceName: site.deviceName, lastContact: site.lastContact,
                    hasBegun: site.epoch == epoch)
            } : []
        waiting = try reader.waitingCommits().count
        waitingDeletes = try reader.waitingDeletes().count
    }
}

extension StoreReader {
    /// The log's chain hash at `position`, as text, for a backup's manifest (rule I5).
    public func chainText(at position: Position) throws -> String { try chain(at: position)?.text ?? "" }
}
