public import PeykModel
public import PeykSession

extension Workspace {
    /// The log after `from`, as this session may see it (rules S1, S3, M4), until `upTo`, a size or a number of
    /// entries.
    ///
    /// Positions that have nothing for the session are passed over; `to` moves on all the same (rule S5).
    ///
    /// - Parameters:
    ///   - upTo: nil for the head.
    ///   - bytesMax: the batch closes at about this size; one larger entry goes alone.
    ///   - whole: every record whole, the author's own too, without "yours" (rule B1).
    /// - Throws: ``Refusal`` where the session must end: a later one of its site has begun, or its user's grant or the
    ///   schema changed after its welcome.
    /// - Complexity: O(log entries read).
    public func batch(
        for context: SessionContext, from: Position, upTo: Position? = nil,
        bytesMax: Int = SessionLimits.batchBytes, scope: ServerSession.ReadScope = .all, whole: Bool = false
    ) throws -> Batch {
        let batch = try store.read { reader -> Batch in
            let head = try reader.head()
            let identity = try reader.workspaceDocument()
            let clock = try reader.clockDocument()
            guard from >= clock.logHorizon, from <= head else {
                throw Refusal(.protocolBroken, "The log was asked for where it does not reach. Nothing was changed.")
            }
            let view = SessionView(
                schema: reader.schema, site: context.site, buckets: context.buckets(scope), isWhole: whole)
            var end = max(from, min(upTo ?? head, head))
            var entries: [Batch.Entry] = []
            var bytes = 0
            var ending: Refusal?
            try reader.log(after: from, upTo: end) { entry in
                if entry.position > context.head, let refusal = Self.ending(context, entry) {
                    ending = refusal
                    end = entry.position - 1
                    return false
                }
                if let shown = view.shown(entry) {
                    let size = shown.estimatedBytes
                    guard entries.isEmpty || bytes + size <= bytesMax, entries.count < SessionLimits.batchEntries else {
                        end = entry.position - 1
                        return false
                    }
                    bytes += size
                    entries.append(shown)
                }
                return true
            }
            if let ending, end <= from { throw ending }
            let chain = try reader.chain(at: end) ?? UUIDBits(high: 0, low: 0)
            guard let epoch = identity.lineage.epoch else { throw StoreError.corrupt("a workspace without an epoch") }
            let token = AnchorToken(position: end, epoch: epoch, chain: chain)
            return Batch(
                from: from, to: end, entries: entries, stamp: clock.last, backupHorizon: clock.backupHorizon,
                anchorToken: keys.token(token), head: head, isWhole: whole)
        }
        // Asked after the log was read: what a later session of the site pushed is not this one's own (rule I2).
        guard isCurrent(context) else { throw Refusal.laterSession }
        context.noteSent(batch.to)
        return batch
    }

    /// Why a session may not go beyond this entry.
    private static func ending(_ context: SessionContext, _ entry: LogEntry) -> Refusal? {
        switch entry.kind {
        case .grant where entry.user == context.user:
            Refusal(.scopeChanged, "What you may see has changed; the next sync brings it.")
        case .schema: .schemaGrown
        default: nil
        }
    }

    /// The outcomes that a record had, as far as the session could see them then.
    public func history(_ request: HistoryRequest, for context: SessionContext) throws -> HistoryReply {
        try store.read { reader in
            try checkStanding(of: context, reader)
            let view = SessionView(
                schema: reader.schema, site: SiteID(rawValue: 0), buckets: context.grant.read, isWhole: false)
            var entries: [Batch.Entry] = []
            for position in try reader.positions(of: request.key).suffix(Self.historyMax) {
                guard let entry = try reader.entry(at: position),
                    let shown = view.shown(entry, only: request.key)
                else { continue }
                entries.append(shown)
            }
            return HistoryReply(key: request.key, since: try reader.clockDocument().logHorizon, entries: entries)
        }
    }

    /// A history shows at most so many outcomes, the latest.
    static let historyMax = 1_000
}
