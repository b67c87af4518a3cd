public import PeykModel

/// The answer to ``ClientMessage/fetch(_:)``: each asked record as of `position`, or gone from the scope.
public struct Records: Hashable, Sendable {
    public var position: Position
    public var effects: [Effect]
    public init(position: Position, effects: [Effect]) {
        self.position = position
        self.effects = effects
    }
}

/// Records of one table in id order: above `after` (nil: from the first) up to `upTo` (nil: to the last).
public struct DigestRange: Hashable, Sendable {
    public var table: Int
    public var after: RecordID?
    public var upTo: RecordID?

    public init(table: Int, after: RecordID? = nil, upTo: RecordID? = nil) {
        self.table = table
        self.after = after
        self.upTo = upTo
    }
}

/// Asks for digests of ranges (rule T5), at most ``SessionLimits/digestRanges``; of none: one digest a table.
public struct DigestRequest: Hashable, Sendable {
    public var ranges: [DigestRange]
    public init(ranges: [DigestRange] = []) { self.ranges = ranges }
}

/// The ranges that were asked for, each cut into at most ``SessionLimits/digestParts`` parts. It comes in the stream
/// right after the log up to its position, so that the replica stands exactly there when it compares (rule T5).
public struct DigestReply: Hashable, Sendable {
    /// Begins where the part before it of the same range ended. A part with a count of 1 ends at its one record.
    public struct Part: Hashable, Sendable {
        public var table: Int
        /// Index of the range in the request; 0 where whole tables were asked for.
        public var range: Int
        public var upTo: RecordID?
        public var count: Int64
        /// Wrapping sum of ``Row/digest(table:record:)``.
        public var digest: UInt64

        public init(table: Int, range: Int, upTo: RecordID?, count: Int64, digest: UInt64) {
            self.table = table
            self.range = range
            self.upTo = upTo
            self.count = count
            self.digest = digest
        }
    }
    public var position: Position
    /// In the order of the ranges, and of ids within each. A range's last part ends where the range does.
    public var parts: [Part]

    public init(position: Position, parts: [Part]) {
        self.position = position
        self.parts = parts
    }
}

public struct HistoryRequest: Hashable, Sendable {
    public var key: RecordKey
    public init(key: RecordKey) { self.key = key }
}

/// The outcomes that a record had, oldest first.
public struct HistoryReply: Hashable, Sendable {
    public var key: RecordKey
    /// The log before this position is gone.
    public var since: Position
    public var entries: [Batch.Entry]
    public init(key: RecordKey, since: Position, entries: [Batch.Entry]) {
        self.key = key
        self.since = since
        self.entries = entries
    }
}
