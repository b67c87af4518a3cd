public import PeykMerge
public import PeykModel

/// Where a workspace is kept. Synchronous inside a transaction; one writer at a time.
///
/// Two implementations pass one contract suite: ``MemoryStore`` (the reference) and the SQLite store.
public protocol Store: AnyObject, Sendable {
    /// Runs `body` in one transaction that is durable when this returns, and undone whole when `body` throws.
    func write<Result>(_ body: (any StoreTransaction) throws -> Result) throws -> Result
    /// As ``write(_:)``, but the result need only outlive this process, not the machine: a note that costs no sync of
    /// the disk. The next ``write(_:)`` makes it durable, too.
    func note(_ body: (any StoreTransaction) throws -> Void) throws
    /// Runs `body` on one snapshot.
    func read<Result>(_ body: (any StoreReader) throws -> Result) throws -> Result
    /// Read-only SQL for reports, where the store speaks it: rows of values. Others throw ``StoreError/noSQL``.
    func query(_ sql: String, _ values: [Value]) throws -> [[Value]]
    /// Gives back what the store keeps beside its data and needs no more, such as a write-ahead log. Where readers keep
    /// it in use it stays; a later call succeeds.
    func checkpoint() throws
}

extension Store {
    public func note(_ body: (any StoreTransaction) throws -> Void) throws { try write(body) }
}

public enum StoreError: Error, Hashable, Sendable, CustomStringConvertible {
    case noSQL
    case corrupt(String)

    public var description: String {
        switch self {
        case .noSQL: "This store answers no SQL."
        case .corrupt(let what):
            "The store holds something unreadable (\(what)). Nothing was changed; restore a backup."
        }
    }
}

/// A record as the server keeps it: alive, or a tombstone with its whole last row (rule T1).
public struct StoredRecord: Hashable, Sendable {
    public var state: RecordState
    public var audience: Audience
    /// The last position that wrote it.
    public var position: Position
    /// Who inserted it first; nil for the server itself.
    public var insertedBy: RecordID?

    public init(state: RecordState, audience: Audience, position: Position, insertedBy: RecordID?) {
        self.state = state
        self.audience = audience
        self.position = position
        self.insertedBy = insertedBy
    }
}

/// A reference field of a living row.
public struct Referrer: Hashable, Sendable {
    public var key: RecordKey
    public var field: Int
    public init(key: RecordKey, field: Int) {
        self.key = key
        self.field = field
    }
}

public protocol StoreReader {
    var schema: Schema { get }
    /// The last position; 0 in an empty log.
    func head() throws -> Position

    /// A record, alive or tombstone; nil if it was never there or its tombstone was collected.
    func record(_ key: RecordKey) throws -> StoredRecord?
    /// Records that do not live and that no position after `upTo` wrote, by that position, the later tables first
    /// (children before their parents), until `body` returns false.
    func tombstones(upTo: Position, _ body: (RecordKey, StoredRecord) throws -> Bool) throws
    /// How many tombstones there are.
    func tombstoneCount() throws -> Int64
    /// Living records of a table in id order after `after`, until `body` returns false. No copy of the whole table.
    func records(of table: Int, after: RecordID?, _ body: (RecordID, StoredRecord) throws -> Bool) throws
    /// How many records of a table live.
    func count(of table: Int) throws -> Int64
    /// Living rows whose reference field `field` of `table` holds `record`, in id order.
    func referrers(table: Int, field: Int, to record: RecordID) throws -> [RecordID]
    /// Living ledger entries of a record, in id order.
    func ledgerEntries(of key: RecordKey) throws -> [RecordID]
    /// Living records of `table` that a holder of one of `buckets` reads, in id order after `after`, until `body`
    /// returns false: their rows, and the ids of their uncovered writers above `horizon` (rule B3). Pages and
    /// digests come from here; a store that indexes audiences answers faster than the default, which reads all.
    func scan(
        table: Int, after: RecordID?, readableBy buckets: [Bucket], above horizon: Position,
        _ body: (RecordID, Row, [CommitID]) throws -> Bool) throws
    /// How many living records of `table` a holder of one of `buckets` reads.
    func count(of table: Int, readableBy buckets: [Bucket]) throws -> Int64
    /// Living rows of `table` that have these values in these fields (declared unique sets), in id order.
    func records(of table: Int, matching fields: [Int], _ values: [Value]) throws -> [RecordID]

    /// Outcomes after `after` up to `upTo`, in order, until `body` returns false.
    func log(after: Position, upTo: Position, _ body: (LogEntry) throws -> Bool) throws
    /// Positions whose outcome names the record, ascending.
    func positions(of key: RecordKey) throws -> [Position]
    /// Where a commit was merged, or refused (rule C1: by its id), and under which site; also where the log does not
    /// reach back any more. Nil while it waits.
    func origin(of commit: CommitID) throws -> CommitOrigin?
    /// The first position that the log has; nil for an empty one.
    func firstPosition() throws -> Position?

    /// A small document (sites, users, invites, answers, keys): JSON or bytes, by collection and key.
    func document(_ collection: String, _ key: String) throws -> [UInt8]?
    /// Documents of a collection whose key starts with `prefix`, in key order.
    func documents(_ collection: String, prefix: String) throws -> [(key: String, value: [UInt8])]
}

/// Where a commit was first taken in.
public struct CommitOrigin: Hashable, Sendable {
    public var position: Position
    public var site: SiteID
    public init(position: Position, site: SiteID) {
        self.position = position
        self.site = site
    }
}

extension StoreReader {
    public func position(of commit: CommitID) throws -> Position? { try origin(of: commit)?.position }

    public func scan(
        table: Int, after: RecordID?, readableBy buckets: [Bucket], above horizon: Position,
        _ body: (RecordID, Row, [CommitID]) throws -> Bool
    ) throws {
        let grant = Grant(read: buckets, write: [Bucket](), version: 0)
        try records(of: table, after: after) { id, record in
            guard grant.reads(record.audience) else { return true }
            return try body(id, record.state.row, record.writers(above: horizon))
        }
    }

    public func count(of table: Int, readableBy buckets: [Bucket]) throws -> Int64 {
        var total: Int64 = 0
        try scan(table: table, after: nil, readableBy: buckets, above: .max) { _, _, _ in
            total += 1
            return true
        }
        return total
    }
}

extension StoredRecord {
    /// Ids of the record's uncovered writers above the backup horizon, earliest first (rule B3).
    public func writers(above horizon: Position) -> [CommitID] {
        state.clock.record.filter { $0.position > horizon }.map(\.commit)
    }
}

public protocol StoreTransaction: StoreReader {
    /// Writes a record, alive or as a tombstone.
    func put(_ record: StoredRecord, at key: RecordKey) throws
    /// Forgets a tombstone (rule T1).
    func drop(_ key: RecordKey) throws
    /// Appends an outcome; its position must be head + 1.
    func append(_ entry: LogEntry) throws
    /// Drops outcomes up to `upTo`, never the last one. What stays of each is where its commit was taken in.
    func trimLog(upTo: Position) throws
    /// Changes the tables to this schema, which only adds (rule T2).
    func adopt(_ schema: Schema) throws
    func setDocument(_ collection: String, _ key: String, _ value: [UInt8]?) throws
    /// The error of the store's own, not of what was asked of it, that a savepoint met: a disk that is full or cannot
    /// be read. Nothing of this transaction can become durable any more.
    var failure: (any Error)? { get }
    /// Runs `body`; what it wrote is undone when it throws, the rest of the transaction stays (rule A4).
    func savepoint<Result>(_ body: () throws -> Result) throws -> Result
}

extension StoreTransaction {
    public var failure: (any Error)? { nil }
}

/// One position: what a commit, or an act of the server, became.
public struct LogEntry: Hashable, Sendable {
    public enum Kind: UInt8, Hashable, Sendable {
        case commit = 0
        /// A known id under another dot: no effect (rule A1).
        case known = 1
        /// A user's grant changed; `user` says whose (rule S1).
        case grant = 2
        /// The schema changed (rule T2).
        case schema = 3
        /// The server's own writes: administration, imports by IT.
        case server = 4
        /// Taken in and not merged yet, or offered again meanwhile: no effect (rule A3). The commit's outcome has a
        /// later position.
        case waiting = 5
    }

    public var position: Position
    public var kind: Kind
    public var dot: Dot
    public var commit: CommitID
    /// As merged.
    public var stamp: HLC
    /// The author; nil for the server.
    public var user: RecordID?
    public var clock: VectorClock
    public var effects: [LogEffect]
    public var answer: Answer
    /// Unix milliseconds of the server when it was merged.
    public var time: Int64
    /// Hash over the names of all positions up to this one (rule I5).
    public var chain: UUIDBits

    public init(
        position: Position, kind: Kind, dot: Dot, commit: CommitID, stamp: HLC, user: RecordID?, clock: VectorClock,
        effects: [LogEffect], answer: Answer, time: Int64, chain: UUIDBits = UUIDBits(high: 0, low: 0)
    ) {
        self.position = position
        self.kind = kind
        self.dot = dot
        self.commit = commit
        self.stamp = stamp
        self.user = user
        self.clock = clock
        self.effects = effects
        self.answer = answer
        self.time = time
        self.chain = chain
    }
}

/// What one position did to one record, before any scope is applied.
public struct LogEffect: Hashable, Sendable {
    /// How the author's own view must be mended (rule M4).
    public enum Correction: Hashable, Sendable {
        case none
        case delta([FieldValue])
        case full
        case delete
    }

    public var key: RecordKey
    /// Old values of the fields that changed; empty where the record did not live before.
    public var replaced: [FieldValue]
    /// The row after; nil where the record does not live after.
    public var after: Row?
    /// Who could see it before; nil where it did not live before.
    public var audienceBefore: Audience?
    public var audienceAfter: Audience?
    /// The record's parent changed, or its audience: sessions for which it stays get the full image (rule S3).
    public var isMove: Bool
    /// The commit's changes name this record.
    public var isNamed: Bool
    public var correction: Correction
    /// Ids of the record's uncovered writers after (rule B3).
    public var writers: [CommitID]

    public init(
        key: RecordKey, replaced: [FieldValue], after: Row?, audienceBefore: Audience?, audienceAfter: Audience?,
        isMove: Bool, isNamed: Bool, correction: Correction, writers: [CommitID]
    ) {
        self.key = key
        self.replaced = replaced
        self.after = after
        self.audienceBefore = audienceBefore
        self.audienceAfter = audienceAfter
        self.isMove = isMove
        self.isNamed = isNamed
        self.correction = correction
        self.writers = writers
    }
}
