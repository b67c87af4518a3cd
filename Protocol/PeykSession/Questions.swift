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

/// Asks for digests at one position (rule T5): of all tables, or of the records of one.
public struct DigestRequest: Hashable, Sendable {
    /// Nil: one digest a table. Otherwise: one digest a record of this table, in id order after `after`.
    public var table: Int?
    public var after: RecordID?
    public init(table: Int? = nil, after: RecordID? = nil) {
        self.table = table
        self.after = after
    }
}

public struct DigestReply: Hashable, Sendable {
    public struct Item: Hashable, Sendable {
        public var table: Int
        /// Nil for a whole table.
        public var record: RecordID?
        public var count: Int64
        public var digest: UInt64
        public init(table: Int, record: RecordID?, count: Int64, digest: UInt64) {
            self.table = table
            self.record = record
            self.count = count
            self.digest = digest
        }
    }
    /// The replica catches up to exactly this position before it compares.
    public var position: Position
    public var items: [Item]
    /// More records follow; ask again after the last.
    public var hasMore: Bool
    public init(position: Position, items: [Item], hasMore: Bool) {
        self.position = position
        self.items = items
        self.hasMore = hasMore
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
