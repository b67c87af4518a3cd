public import PeykModel

/// What a store that a backup is to replace says of itself (rules I6, I10).
public struct ReplacedHistory: Hashable, Sendable {
    public var lineage: Lineage
    public var superseded: [Epoch]
    /// Up to here devices may have dropped their own copies of what the server had acknowledged.
    public var backupHorizon: Position

    public init(_ reader: any StoreReader) throws {
        let identity = try reader.workspaceDocument()
        lineage = identity.lineage
        superseded = identity.superseded
        backupHorizon = try reader.clockDocument().backupHorizon
    }

    /// Whether devices still have all that a backup of `position` lacks: otherwise restoring it needs IT's word.
    public func isCovered(by position: Position, of lineage: Lineage) -> Bool {
        position >= backupHorizon && position <= lineage.common(with: self.lineage) ?? 0
    }

    /// What the restore discards, or had been discarded before it.
    public var epochs: [Epoch] { lineage.eras.map(\.epoch) + superseded }
}

extension Workspace {
    /// What a restore does to the copy of a backup, before it takes the workspace's place (rules I5 to I10): the acts
    /// of IT that it lacks, a new epoch, and its own place among the backups. Call it on a workspace opened over the
    /// copy.
    ///
    /// - Parameter replaced: the store whose place it takes; nil where there is none, or none that can be read.
    /// - Returns: the new epoch, and how many acts the backup lacked.
    @discardableResult
    public func restored(
        from backup: BackupsDocument.Item, replacing replaced: ReplacedHistory?
    ) throws -> (epoch: Epoch, acts: Int) {
        let known = try store.read { try $0.journalNumber() }
        let epoch = try beginEpoch(superseding: replaced?.epochs ?? [])
        // The new epoch is an act itself.
        let acts = try store.read { try $0.journalNumber() } - known - 1
        try note(backup, keep: BackupRule.keepMax)
        if let replaced { try keepHorizon(of: replaced) }
        return (epoch, Int(max(0, acts)))
    }

    /// What devices have dropped under the replaced store stays dropped: no backup below that may follow this one
    /// (rule I10).
    private func keepHorizon(of replaced: ReplacedHistory) throws {
        try store.write { transaction in
            let lineage = try transaction.workspaceDocument().lineage
            let common = min(replaced.lineage.common(with: lineage) ?? 0, try transaction.head())
            var clock = try transaction.clockDocument()
            clock.backupHorizon = max(clock.backupHorizon, min(replaced.backupHorizon, common))
            try transaction.set(clock)
        }
    }
}
