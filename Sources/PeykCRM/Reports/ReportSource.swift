public import PeykModel

/// Where a report's SQL runs: a replica, the server's store, any SQLite or PostgreSQL database with the schema.
///
/// The SQL is in the common subset of both: parameters are `$1`, `$2`… (each first used in this order, so that
/// they can be bound by place), every use of a parameter has a CAST, times are integers, no date functions.
public protocol ReportSource {
    /// All rows of a query that changes nothing.
    func rows(_ sql: String, _ values: [Value]) throws -> [[Value]]
}

/// What a report is narrowed to; nil takes all.
public struct ReportFilter: Hashable, Sendable {
    public var territory: RecordID?
    public var owner: RecordID?
    public var product: RecordID?
    public var pipeline: RecordID?

    public init(
        territory: RecordID? = nil, owner: RecordID? = nil, product: RecordID? = nil, pipeline: RecordID? = nil
    ) {
        self.territory = territory
        self.owner = owner
        self.product = product
        self.pipeline = pipeline
    }

    var json: JSON {
        func text(_ id: RecordID?) -> JSON { id.map { .string($0.description) } ?? .null }
        return [
            "territory": text(territory), "owner": text(owner), "product": text(product), "pipeline": text(pipeline),
        ]
    }
}

/// A device as a report's header names it (rule T4).
public struct ReportDevice: Hashable, Sendable {
    public var user: String
    public var device: String
    /// Unix milliseconds of its last contact with the server; nil if never.
    public var lastContact: Int64?
    /// Commits that it had not sent then.
    public var pending: Int64

    public init(user: String, device: String, lastContact: Int64?, pending: Int64) {
        self.user = user
        self.device = device
        self.lastContact = lastContact
        self.pending = pending
    }
}

/// What a report must know beside the rows.
public struct ReportContext: Hashable, Sendable {
    /// Unix milliseconds: ages of deals count up to this day (UTC).
    public var now: Int64
    /// The position whose state the rows are.
    public var position: Position
    /// When that position was the newest known, Unix milliseconds: the last sync, or now on the server.
    public var asOf: Int64?
    /// Own commits shown in the rows that the server does not have yet.
    public var ownPending: Int64
    public var devices: [ReportDevice]

    public init(now: Int64, position: Position, asOf: Int64?, ownPending: Int64 = 0, devices: [ReportDevice] = []) {
        self.now = now
        self.position = position
        self.asOf = asOf
        self.ownPending = ownPending
        self.devices = devices
    }

    /// Days since 1970 in UTC.
    var today: Int64 { Instant.floor(now, 86_400_000) }
}

/// One report: a name, what it answers, and how. A further report is one more file with one more of these.
public struct ReportDefinition: Sendable {
    public let name: String
    /// By language.
    public let summary: [String: String]
    public let run: @Sendable (any ReportSource, ReportFilter, ReportContext) throws -> Report

    /// All reports, in the order of `report list`.
    public static let all: [ReportDefinition] = [pipeline]

    public static func named(_ name: String) -> ReportDefinition? { all.first { $0.name == name } }
}
