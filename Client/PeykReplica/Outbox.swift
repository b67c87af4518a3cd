import PeykFailpoint
public import PeykModel
import PeykSQLite
public import PeykSession

/// Commits for the next push, in seq order.
public struct OutboxSlice: Hashable, Sendable {
    public var commits: [SealedCommit]
    public var hasMore: Bool

    public init(commits: [SealedCommit], hasMore: Bool) {
        self.commits = commits
        self.hasMore = hasMore
    }
}

extension Replica {
    /// The commits of the present site after `seq`, at most `bytesMax` bytes of them but one at least. Seals first.
    ///
    /// Also those that were merged under a former dot: a commit leaves the outbox only when its present dot is
    /// accepted (rule K9).
    public func outbox(after seq: Sequence64, bytesMax: Int) throws -> OutboxSlice {
        try seal()
        let slice = try reading { connection in
            let meta = Meta(connection: connection)
            let site = try meta.site
            let statement = try connection.statement(
                """
                SELECT \(OutboxCommit.columns) FROM peyk_commit
                WHERE seq > ?1 AND seq < ?2 AND site = ?3 AND state <> 3 ORDER BY seq
                """)
            try statement.bind(1, int64: max(0, seq))
            try statement.bind(2, int64: OutboxCommit.heldBase)
            try statement.bind(3, int64: Int64(bitPattern: site.rawValue))
            defer { statement.reset() }
            var slice = OutboxSlice(commits: [], hasMore: false)
            var bytes = 0
            while try statement.step() {
                let commit = try OutboxCommit(statement)
                bytes += commit.sealed.count + 256
                if !slice.commits.isEmpty, bytes > bytesMax {
                    slice.hasMore = true
                    break
                }
                slice.commits.append(try commit.sealedCommit(meta))
            }
            return slice
        }
        Failpoint.hit("replica.outbox.read")
        return slice
    }

    /// A commit that was taken in before the pages were read that show here now: no entry of the stream will come for
    /// it any more, so its acknowledgement takes it out of the overlay (rule B2).
    func leaveToRows(upTo position: Position) throws {
        let isReached = try reading { connection in
            let meta = Meta(connection: connection)
            return try meta.backfill == nil && position <= meta.cursor
        }
        guard isReached else { return }
        try applying { context, meta in try context.leaveToRows(upTo: try meta.cursor) }
    }

    /// The server has these commits for good (rule A1). Rows do not change: only the stream changes them.
    public func acknowledge(_ acknowledge: Acknowledge) throws {
        guard !acknowledge.items.isEmpty else { return }
        Failpoint.hit("replica.acknowledge.received")
        try changing { connection in
            let meta = Meta(connection: connection)
            var last = try meta.integer(.lastAcknowledged) ?? 0
            for item in acknowledge.items {
                try CommitPacking.pack(item.seq, connection)
                try connection.run(
                    """
                    UPDATE peyk_commit SET state = CASE state WHEN 0 THEN 1 ELSE state END, position = ?3, receipt = ?4
                    WHERE seq = ?1 AND id = ?2 AND state IN (0, 1, 5)
                    """,
                    [
                        .integer(item.seq), .blob(item.commit.bytes), .integer(item.position), .blob(item.receipt),
                    ])
                last = max(last, item.seq)
            }
            try meta.set(.lastAcknowledged, last)
            try Failpoint.hitOrThrow("replica.acknowledge.before-commit")
        }
        Failpoint.hit("replica.acknowledge.stored")
        try leaveToRows(upTo: acknowledge.items.map(\.position).min() ?? 0)
    }
}
