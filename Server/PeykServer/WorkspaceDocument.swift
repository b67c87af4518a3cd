public import PeykModel

/// What a workspace is: its name and its history's epochs (rules I6, I9).
public struct WorkspaceDocument: Document {
    public static let collection = "workspace"
    public static let key = "identity"
    public var key: String { Self.key }

    public var name: String
    public var lineage: Lineage
    /// Epochs that IT has declared dead, or that a restore discarded (rule I6).
    public var superseded: [Epoch]
    /// The server's own site in the present epoch (rule I9).
    public var serverSite: SiteID
    /// Unix milliseconds.
    public var createdAt: Int64
    /// A restore in place gave positions of an older epoch to a newer one (rule I5): clocks name the older still.
    public var isRelabelled = false

    public init(
        name: String, lineage: Lineage, superseded: [Epoch] = [], serverSite: SiteID, createdAt: Int64
    ) {
        self.name = name
        self.lineage = lineage
        self.superseded = superseded
        self.serverSite = serverSite
        self.createdAt = createdAt
    }

    public var json: JSON {
        [
            "name": .string(name), "lineage": lineage.json,
            "superseded": .array(superseded.map { .string($0.description) }),
            "server_site": .string(serverSite.description), "created_at": .integer(createdAt),
            "relabelled": .bool(isRelabelled),
        ]
    }

    public init?(json: JSON) {
        guard let name = json["name"]?.stringValue, let lineage = Lineage(json: json["lineage"]),
            let site = json["server_site"]?.stringValue.flatMap({ SiteID($0) }),
            let createdAt = json["created_at"]?.integerValue
        else { return nil }
        self.init(
            name: name, lineage: lineage,
            superseded: (json["superseded"]?.arrayValue ?? []).compactMap { $0.stringValue.flatMap { Epoch($0) } },
            serverSite: site, createdAt: createdAt)
        isRelabelled = json["relabelled"]?.boolValue ?? false
    }
}

/// What moves with every group of commits.
public struct ClockDocument: Document {
    public static let collection = "workspace"
    public static let key = "clock"
    public var key: String { Self.key }

    /// The server's clock, learned from each accepted stamp (rule C2).
    public var last: HLC
    /// The server site's last seq.
    public var serverSeq: Sequence64
    /// Positions up to here are no longer in the log (rule T1).
    public var logHorizon: Position
    /// Acknowledged commits up to here are in every backup that may be restored (rule I10).
    public var backupHorizon: Position

    public init(
        last: HLC = .zero, serverSeq: Sequence64 = 0, logHorizon: Position = 0, backupHorizon: Position = 0
    ) {
        self.last = last
        self.serverSeq = serverSeq
        self.logHorizon = logHorizon
        self.backupHorizon = backupHorizon
    }

    public var json: JSON {
        [
            "hlc": .integer(Int64(bitPattern: last.rawValue)), "server_seq": .integer(serverSeq),
            "log_horizon": .integer(logHorizon), "backup_horizon": .integer(backupHorizon),
        ]
    }

    public init?(json: JSON) {
        guard let raw = json["hlc"]?.integerValue, let seq = json["server_seq"]?.integerValue,
            let log = json["log_horizon"]?.integerValue, let backup = json["backup_horizon"]?.integerValue
        else { return nil }
        self.init(
            last: HLC(rawValue: UInt64(bitPattern: raw)), serverSeq: seq, logHorizon: log, backupHorizon: backup)
    }
}

extension WorkspaceDocument {
    /// It changes with a restore or a word of IT's, and is asked for several times in each session. Shared by all
    /// workspaces of the process, since what is taken from it is known by its bytes.
    fileprivate static let cache = DocumentCache<WorkspaceDocument>()
}

extension StoreReader {
    public func workspaceDocument() throws -> WorkspaceDocument {
        guard let document = try WorkspaceDocument.cache.document(self, WorkspaceDocument.key) else {
            throw StoreError.corrupt("no workspace in it")
        }
        return document
    }

    public func clockDocument() throws -> ClockDocument {
        try document(ClockDocument.self, ClockDocument.key) ?? ClockDocument()
    }
}
