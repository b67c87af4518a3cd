import PeykMerge
public import PeykModel
public import PeykSession
import PeykWire

extension Workspace {
    /// Rows after the mark, of the first table that has any, in id order (rule B1).
    ///
    /// Its position is the head of the snapshot that it was read from.
    /// - Complexity: O(rows read), also of those outside the scope unless the store indexes audiences.
    public func page(for context: SessionContext, after mark: BackfillMark) throws -> Page {
        let page = try store.read { reader -> Page in
            try checkStanding(of: context, reader)
            let schema = reader.schema
            let position = try reader.head()
            let horizon = try reader.clockDocument().backupHorizon
            let lastMerged = try Self.lastMerged(of: context.site, reader)
            let buckets = mark.scope.buckets.filter { context.grant.read.contains($0) }
            var table = max(0, mark.table)
            var after = mark.last
            while let definition = schema.table(at: table) {
                var rows = 0
                var builder = RowPageBuilder(columnCount: definition.fields.count)
                var last: RecordID?
                var isFull = false
                try reader.scan(table: table, after: after, readableBy: buckets, above: horizon) { id, row, writers in
                    guard rows < SessionLimits.pageRows, builder.estimatedBytes < SessionLimits.pageBytes / 2 else {
                        isFull = true
                        return false
                    }
                    builder.append(id, row, writers: writers)
                    rows += 1
                    last = id
                    return true
                }
                let isLastTable = table == schema.tables.count - 1
                if rows > 0 || isFull || isLastTable {
                    return Page(
                        table: table, rowCount: rows, payload: builder.finish(), position: position,
                        last: isFull ? last : nil, endsTable: !isFull, endsBackfill: !isFull && isLastTable,
                        remaining: try context.remaining(after: rows) {
                            try schema.tables.indices.reduce(0) { try $0 + reader.count(of: $1, readableBy: buckets) }
                        }, lastMerged: lastMerged)
                }
                table += 1
                after = nil
            }
            // A mark beyond the last table: the pages had all come.
            return Page(
                table: max(0, schema.tables.count - 1), rowCount: 0,
                payload: RowPageBuilder(columnCount: schema.tables.last?.fields.count ?? 0).finish(),
                position: position, last: nil, endsTable: true, endsBackfill: true, remaining: 0,
                lastMerged: lastMerged)
        }
        context.noteSent(page.position)
        return page
    }

    /// Rule B2: up to which seq the rows have what the site pushed. A commit that waits is in no row (rule I7.5).
    private static func lastMerged(of site: SiteID, _ reader: any StoreReader) throws -> Sequence64 {
        let last = try reader.document(SiteDocument.self, site.description)?.lastSeq ?? 0
        let waiting = try reader.waitingCommits().lazy.filter { $0.dot.site == site }.map(\.dot.seq).min()
        return waiting.map { max(0, min(last, $0 - 1)) } ?? last
    }

    /// The asked records as of the head; what the session does not see is gone from its scope, whatever it is.
    ///
    /// At least the first of them; the reply closes at ``SessionLimits/recordsBytes``.
    public func records(_ keys: [RecordKey], for context: SessionContext) throws -> Records {
        try store.read { reader in
            try checkStanding(of: context, reader)
            let horizon = try reader.clockDocument().backupHorizon
            var effects: [Effect] = []
            var bytes = 0
            for key in keys.prefix(SessionLimits.fetchKeys) {
                var effect = Effect(key: key, kind: .evict(.moved))
                if let record = try reader.record(key), context.grant.reads(record.audience) {
                    // What the ledger says of a record that is gone stays; of one that was never to be seen, nothing.
                    effect.kind =
                        record.state.isAlive
                        ? .full(record.state.row, writers: record.writers(above: horizon)) : .delete
                }
                bytes += effect.estimatedBytes
                guard effects.isEmpty || bytes <= SessionLimits.recordsBytes else { break }
                effects.append(effect)
            }
            return Records(position: try reader.head(), effects: effects)
        }
    }

    /// Digests over the session's scope at the head (rule T5): of all tables, or of the ranges that are asked for.
    ///
    /// Always read from the rows, never from anything kept.
    /// - Complexity: O(rows in the ranges).
    public func digest(_ request: DigestRequest, for context: SessionContext) throws -> DigestReply {
        try store.read { reader in
            try checkStanding(of: context, reader)
            let schema = reader.schema
            var parts: [DigestReply.Part] = []
            func scan(_ range: DigestRange, _ body: (RecordID, UInt64) -> Void) throws {
                guard let table = schema.table(at: range.table) else { return }
                try reader.scan(
                    table: range.table, after: range.after, readableBy: context.grant.read, above: .max
                ) { id, row, _ in
                    if let end = range.upTo, id > end { return false }
                    body(id, row.digest(table: table, record: id))
                    return true
                }
            }
            if request.ranges.isEmpty {
                for table in schema.tables.indices {
                    var whole = DigestReply.Part(table: table, range: 0, upTo: nil, count: 0, digest: 0)
                    try scan(DigestRange(table: table)) { _, digest in
                        whole.count += 1
                        whole.digest &+= digest
                    }
                    parts.append(whole)
                }
            }
            for (number, range) in request.ranges.prefix(SessionLimits.digestRanges).enumerated() {
                var cut = DigestParts(range, number: number)
                try scan(range) { cut.add($0, $1) }
                parts += cut.finish()
            }
            return DigestReply(position: try reader.head(), parts: parts)
        }
    }

    /// The reply to a question of an open session.
    ///
    /// - Throws: ``Refusal`` where the session must end first.
    public func answer(_ message: ClientMessage, for context: SessionContext) throws -> ServerMessage {
        switch message {
        case .fetch(let keys): return .records(try records(keys, for: context))
        case .digest(let request): return .digest(try digest(request, for: context))
        case .history(let request): return .history(try history(request, for: context))
        default: throw Refusal(.protocolBroken, "“\(message.name)” is not a question.")
        }
    }

    /// Rows of a later schema are not for a replica that has not taken it up (rule T2): it would leave out what it does
    /// not know, and nothing would bring it again. Nor are those that the session may no longer see (P20).
    func checkStanding(of context: SessionContext, _ reader: any StoreReader) throws {
        if let refusal = try standing(of: context, reader) { throw refusal }
    }

    /// Everything up to `position` is stored by the replica: answers up to there may go (rules A2, T1).
    public func applied(_ position: Position, by context: SessionContext) throws {
        try change(context) { site, transaction in
            site.applied = max(site.applied, min(position, context.sent))
            site.reached = max(site.reached, site.applied)
            site.noteContact(at: environment.now(), served: try served(transaction))
            try transaction.dropAnswered(of: site)
        }
    }

    /// The nonce that welcome offered is the one in use from now on (rule I2).
    public func confirmNonce(of context: SessionContext) throws {
        try change(context) { _, _ in }
    }

    /// Changes the site's document, unless a later session has it (rule I2).
    private func change(
        _ context: SessionContext, _ body: (inout SiteDocument, any StoreTransaction) throws -> Void
    ) throws {
        try store.write { transaction in
            guard isCurrent(context), var site = try transaction.document(SiteDocument.self, context.site.description)
            else { return }
            if site.offered == context.nonce { site.nonce = site.offered }
            site.isUsed = true
            site.noteSent(context.sent, in: context.epoch)
            try body(&site, transaction)
            try transaction.set(site)
        }
    }
}
