public import PeykModel
import Synchronization

/// How long things are kept at least (rule T1). Whatever it says, nothing goes that a live device has not passed.
public struct RetentionDocument: Document {
    public static let collection = "workspace"
    public static let key = "retention"
    public var key: String { Self.key }

    /// Seconds of service without contact after which a device holds nothing back any more.
    public var leaseSeconds: Int64 = 90 * 86_400
    /// Seconds that outcomes stay in the log, for `why`; never below 400 days.
    public var logSeconds = Self.logSecondsMin
    /// Seconds that a deleted record can be brought back by an undo.
    public var tombstoneSeconds: Int64 = 30 * 86_400

    public static let logSecondsMin: Int64 = 400 * 86_400
    public static let leaseSecondsMin: Int64 = 86_400

    public init() {}

    public var json: JSON {
        [
            "lease_seconds": .integer(leaseSeconds), "log_seconds": .integer(logSeconds),
            "tombstone_seconds": .integer(tombstoneSeconds),
        ]
    }

    public init?(json: JSON) {
        guard let lease = json["lease_seconds"]?.integerValue, let log = json["log_seconds"]?.integerValue,
            let tombstones = json["tombstone_seconds"]?.integerValue
        else { return nil }
        leaseSeconds = lease
        logSeconds = log
        tombstoneSeconds = tombstones
    }
}

/// What collection has come to.
public struct CollectionDocument: Document {
    public static let collection = "workspace"
    public static let key = "collection"
    public var key: String { Self.key }

    /// Tombstones up to here may be gone: a replica whose cursor is below must resync.
    public var tombstoneHorizon: Position = 0
    /// Positions up to here are older than tombstones are kept.
    public var aged: Position = 0
    /// Unix milliseconds of the server: the last pass that was carried to its end, and the last look at the ledger.
    public var finishedAt: Int64 = 0
    public var sweptAt: Int64 = 0
    /// What this version of the schema and those before have dropped is emptied (rule T2).
    public var emptiedVersion: Int64 = 0
    /// Since the workspace was made.
    public var tombstones: Int64 = 0
    public var outcomes: Int64 = 0

    public init() {}

    public var json: JSON {
        [
            "tombstone_horizon": .integer(tombstoneHorizon), "aged": .integer(aged),
            "emptied_version": .integer(emptiedVersion), "finished_at": .integer(finishedAt),
            "swept_at": .integer(sweptAt), "tombstones": .integer(tombstones),
            "outcomes": .integer(outcomes),
        ]
    }

    public init?(json: JSON) {
        func number(_ key: String) -> Int64 { json[key]?.integerValue ?? 0 }
        guard json["tombstone_horizon"] != nil else { return nil }
        tombstoneHorizon = number("tombstone_horizon")
        aged = number("aged")
        emptiedVersion = number("emptied_version")
        finishedAt = number("finished_at")
        sweptAt = number("swept_at")
        tombstones = number("tombstones")
        outcomes = number("outcomes")
    }
}

/// For how long a server has served this workspace, over all its runs: what leases are counted in (rule T1).
struct ServedDocument: Document {
    static let collection = "workspace"
    static let key = "served"
    var key: String { Self.key }
    var milliseconds: Int64

    init(milliseconds: Int64) { self.milliseconds = milliseconds }
    var json: JSON { ["milliseconds": .integer(milliseconds)] }

    init?(json: JSON) {
        guard let milliseconds = json["milliseconds"]?.integerValue else { return nil }
        self.milliseconds = milliseconds
    }
}

/// When this process noted the served time last, by its monotonic clock; nil while it does not serve.
final class ServedTime: Sendable {
    private let notedAt = Mutex<Int64?>(nil)

    func begin(at uptime: Int64) { notedAt.withLock { $0 = uptime } }

    /// Milliseconds served since the last note. A gap longer than two notes was no service: a stopped process.
    func since(_ uptime: Int64) -> Int64 {
        notedAt.withLock { $0.map { min(max(0, uptime - $0), 2 * Workspace.noteServedMilliseconds) } ?? 0 }
    }
}

extension StoreReader {
    public func retention() throws -> RetentionDocument {
        try document(RetentionDocument.self, RetentionDocument.key) ?? RetentionDocument()
    }

    public func collection() throws -> CollectionDocument {
        try document(CollectionDocument.self, CollectionDocument.key) ?? CollectionDocument()
    }

    /// Whether anything may be forgotten now. Not while a refill is open: what comes back must find the tombstones
    /// that it had seen (rule I7.3).
    func mayCollect() throws -> Bool { try !isRefilling() }

    /// What every live device has passed; the head where there is none.
    public func passedByAll() throws -> Position {
        try documents(SiteDocument.self).filter(\.isLive).reduce(try head()) { min($0, $1.passed) }
    }
}

extension StoreTransaction {
    /// Answers up to the device's report have reached it (rule A2); its own dots up to there never come again.
    func dropAnswered(of site: SiteDocument) throws {
        for answer in try documents(AnswerDocument.self, prefix: AnswerDocument.prefix(site.site))
        where answer.position <= site.applied { try remove(answer) }
    }
}

extension Workspace {
    /// How often a serving process calls ``noteServed()``.
    public static let noteServedMilliseconds: Int64 = 60_000

    /// The served time begins to run.
    public func beginServing() { servedTime.begin(at: environment.uptime()) }

    /// Milliseconds of service up to now (rule T1).
    public func served(_ reader: any StoreReader) throws -> Int64 {
        let noted = try reader.document(ServedDocument.self, ServedDocument.key)?.milliseconds ?? 0
        return noted + servedTime.since(environment.uptime())
    }

    /// Makes the served time durable; once a minute, and when serving ends.
    public func noteServed() throws {
        let uptime = environment.uptime()
        try store.write { transaction in
            let noted = try transaction.document(ServedDocument.self, ServedDocument.key)?.milliseconds ?? 0
            try transaction.set(ServedDocument(milliseconds: noted + servedTime.since(uptime)))
        }
        servedTime.begin(at: uptime)
    }

    /// Sessions that are open are contact, however little is said in them: a lease does not end under one.
    public func noteContact(of contexts: [SessionContext]) throws {
        guard !contexts.isEmpty else { return }
        try store.write { transaction in
            let served = try served(transaction)
            for context in contexts where isCurrent(context) {
                guard var site = try transaction.document(SiteDocument.self, context.site.description) else { continue }
                site.noteContact(at: environment.now(), served: served)
                try transaction.set(site)
            }
        }
    }

    /// Changes what is kept; nil stays as it is.
    ///
    /// - Throws: ``AdminFailure`` where a time is too short.
    @discardableResult
    public func setRetention(lease: Int64? = nil, log: Int64? = nil, tombstones: Int64? = nil) throws
        -> RetentionDocument
    {
        try store.write { transaction in
            var kept = try transaction.retention()
            kept.leaseSeconds = lease ?? kept.leaseSeconds
            kept.logSeconds = log ?? kept.logSeconds
            kept.tombstoneSeconds = tombstones ?? kept.tombstoneSeconds
            guard kept.leaseSeconds >= RetentionDocument.leaseSecondsMin else {
                throw AdminFailure(.usage, "A lease is one day or longer. Nothing was changed.")
            }
            guard kept.logSeconds >= RetentionDocument.logSecondsMin else {
                throw AdminFailure(.usage, "The log is kept for 400 days or longer. Nothing was changed.")
            }
            guard kept.tombstoneSeconds >= 0 else {
                throw AdminFailure(.usage, "Deleted records cannot be kept for a negative time.")
            }
            try transaction.set(kept)
            return kept
        }
    }
}
