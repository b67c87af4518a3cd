public import PeykModel

/// Commits in seq order, without gaps (rule I4).
public struct Push: Hashable, Sendable {
    public var commits: [SealedCommit]
    public init(commits: [SealedCommit]) { self.commits = commits }
}

/// Durable, and where (rule A1).
public struct Acknowledge: Hashable, Sendable {
    public struct Item: Hashable, Sendable {
        public var seq: Sequence64
        public var commit: CommitID
        public var position: Position
        public var receipt: [UInt8]
        public init(seq: Sequence64, commit: CommitID, position: Position, receipt: [UInt8]) {
            self.seq = seq
            self.commit = commit
            self.position = position
            self.receipt = receipt
        }
    }
    public var items: [Item]
    /// More credit for pushes, in bytes.
    public var credit: Int64
    /// The seq that must come next, where the push had a gap (rule I4).
    public var expect: Sequence64?
    /// Set where the push was not taken for want of room: seconds after which to push again, from `expect` on.
    public var retryAfter: Int64?

    public init(items: [Item], credit: Int64, expect: Sequence64? = nil, retryAfter: Int64? = nil) {
        self.items = items
        self.credit = credit
        self.expect = expect
        self.retryAfter = retryAfter
    }
}

/// The log from `from` (exclusive) to `to` (inclusive), as this session may see it.
public struct Batch: Hashable, Sendable {
    public var from: Position
    public var to: Position
    public var entries: [Entry]
    public var stamp: HLC
    public var backupHorizon: Position
    /// Proof of having been sent up to `to` (rule I5).
    public var anchorToken: [UInt8]
    /// The server's head when this was read.
    public var head: Position
    /// Whole records only: between the pages of a backfill and its switch (rule B1). The first starts at the lowest
    /// position of a page (a snapshot), or at the replica's cursor (added buckets). The switch is in the transaction
    /// that applies the one reaching the highest position of a page. At least one is always sent after the last
    /// page, with no entries and `from == to` if nothing happened.
    public var isWhole: Bool

    public init(
        from: Position, to: Position, entries: [Entry], stamp: HLC, backupHorizon: Position, anchorToken: [UInt8],
        head: Position, isWhole: Bool
    ) {
        self.from = from
        self.to = to
        self.entries = entries
        self.stamp = stamp
        self.backupHorizon = backupHorizon
        self.anchorToken = anchorToken
        self.head = head
        self.isWhole = isWhole
    }

    public struct Entry: Hashable, Sendable {
        public var position: Position
        public var dot: Dot
        public var commit: CommitID
        /// As merged.
        public var stamp: HLC
        /// The author; nil for the server's own acts.
        public var user: RecordID?
        public var clock: VectorClock
        /// For the author: corrections only (rule M4). For others: everything in scope.
        public var effects: [Effect]
        /// Set where this is the receiver's own commit.
        public var yours: Yours?

        public init(
            position: Position, dot: Dot, commit: CommitID, stamp: HLC, user: RecordID?, clock: VectorClock,
            effects: [Effect], yours: Yours? = nil
        ) {
            self.position = position
            self.dot = dot
            self.commit = commit
            self.stamp = stamp
            self.user = user
            self.clock = clock
            self.effects = effects
            self.yours = yours
        }
    }

    /// "Yours, seq n" (rule M4).
    public struct Yours: Hashable, Sendable {
        public var answer: Answer
        /// Sum (wrapping) of ``Row/digest(table:record:)`` over the records that the commit's changes name and
        /// that exist and are in the author's scope after the position; for the replica to compare.
        public var digest: UInt64
        public init(answer: Answer, digest: UInt64) {
            self.answer = answer
            self.digest = digest
        }
    }
}

/// Rows of one table in id order (rule B1).
public struct Page: Hashable, Sendable {
    public var table: Int
    public var rowCount: Int
    /// `RowPage` of PeykWire; compressed with zstd where `rawBytes` is above 0.
    public var payload: [UInt8]
    /// Size before compression; 0 = not compressed.
    public var rawBytes: Int
    /// The state of which position this page shows.
    public var position: Position
    /// The last id of the page: rows of this table up to it are now as of `position`; nil where the table is done.
    public var last: RecordID?
    /// The table's last page.
    public var endsTable: Bool
    /// The backfill's last page; the log follows, as whole records.
    public var endsBackfill: Bool
    /// Rows that are still to come, as far as the server knows; for progress.
    public var remaining: Int64
    /// The highest seq of the session's site that is merged as of `position` (rule B2): its commits up to there leave
    /// the overlay at the switch, also where the line was cut before their acknowledgement. 0 where nothing is known.
    public var lastMerged: Sequence64

    public init(
        table: Int, rowCount: Int, payload: [UInt8], rawBytes: Int = 0, position: Position, last: RecordID?,
        endsTable: Bool, endsBackfill: Bool, remaining: Int64, lastMerged: Sequence64 = 0
    ) {
        self.table = table
        self.rowCount = rowCount
        self.payload = payload
        self.rawBytes = rawBytes
        self.position = position
        self.last = last
        self.endsTable = endsTable
        self.endsBackfill = endsBackfill
        self.remaining = remaining
        self.lastMerged = lastMerged
    }
}
