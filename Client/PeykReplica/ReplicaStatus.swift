public import PeykModel
import PeykSQLite
public import PeykSession

/// Where a replica stands: `peyk status`.
public struct ReplicaStatus: Hashable, Sendable {
    public var site: SiteID
    public var workspace: String
    public var server: String
    public var user: RecordID?
    public var userName: String
    public var role: Role?
    public var epoch: Epoch?
    /// The highest position whose whole prefix this replica has applied.
    public var anchor: Position
    /// The server's head as of the last sync.
    public var head: Position
    /// Commits that the server has not acknowledged, held ones included.
    public var pending: Int64
    /// Of these, commits that wait for `pending confirm` (rule D7).
    public var held: Int64
    /// Commits that the server keeps until what they need arrives.
    public var waiting: Int64
    /// Issues that the user must settle.
    public var parked: Int64
    /// Open entries of the ledger.
    public var conflictsOpen: Int64
    /// Unix milliseconds; nil before the first.
    public var lastSync: Int64?
    public var clockOffset: Int64
    public var scope: HeldScope
    public var schemaVersion: Int64
    /// The very first sync has not ended yet: the tables are incomplete.
    public var isLoading: Bool
    public var lastSealed: Sequence64
    /// Why this replica got another identity, and when; nil while it has the one that it joined with.
    public var newIdentity: NewIdentity?
    /// Records that this replica held and that a restored server does not have (rule I8).
    public var lacking: Int64
    /// Unix milliseconds of the server's last backup, as of the last sync; 0 if it never had one (rule I10).
    public var lastBackup: Int64
    /// Unix milliseconds of the server at the first sync; 0 before it.
    public var joinedAt: Int64

    /// A site that the server gave instead of the former one (rule I3).
    public struct NewIdentity: Hashable, Sendable {
        public var reason: NewSiteReason
        public var former: SiteID
        /// Unix milliseconds of the server.
        public var at: Int64
    }

    /// Whether IT should be reminded of backups: acknowledged work is on the server alone then, and on the devices that
    /// wrote it.
    public func lacksBackup(now: Int64) -> Bool {
        guard joinedAt > 0 else { return false }
        return now &+ clockOffset &- max(lastBackup, joinedAt) > 30 * 86_400_000
    }
}

extension Replica {
    public func status() throws -> ReplicaStatus {
        try reading { connection in
            let meta = Meta(connection: connection)
            func count(_ sql: String) throws -> Int64 { try connection.value(sql)?.integerValue ?? 0 }
            let facts = try meta.facts
            return ReplicaStatus(
                site: try meta.site, workspace: facts?.workspace ?? "", server: facts?.server ?? "",
                user: facts?.user, userName: facts?.userName ?? "", role: facts?.role, epoch: try meta.lineage.epoch,
                anchor: try meta.cursor, head: try meta.integer(.head) ?? 0,
                pending: try count("SELECT count(*) FROM peyk_commit WHERE \(OutboxCommit.unsent)"),
                held: try count("SELECT count(*) FROM peyk_commit WHERE state = 3"),
                waiting: try count("SELECT count(*) FROM peyk_commit WHERE state = 4"),
                parked: try count("SELECT count(*) FROM peyk_issue WHERE state = 'open'"),
                conflictsOpen: try count("SELECT count(*) FROM peyk_ledger WHERE state = 'open'"),
                lastSync: try meta.integer(.lastSync), clockOffset: try meta.integer(.clockOffset) ?? 0,
                scope: try meta.scope, schemaVersion: schema.version, isLoading: try meta.integer(.loading) == 1,
                lastSealed: try meta.lastSealed, newIdentity: try meta.newIdentity,
                lacking: try connection.value(
                    "SELECT count(*) FROM peyk_issue WHERE code = ?1", [.text(NoticeCode.lacking.rawValue)]
                )?.integerValue ?? 0,
                lastBackup: try meta.integer(.lastBackup) ?? 0, joinedAt: try meta.integer(.joinedAt) ?? 0)
        }
    }

    /// What enrolment gave; nil in a file that was never joined.
    public func facts() throws -> WorkspaceFacts? { try reading { try Meta(connection: $0).facts } }
}

extension Meta {
    var newIdentity: ReplicaStatus.NewIdentity? {
        get throws {
            guard
                let reason = try integer(.newSiteReason).flatMap({ UInt8(exactly: $0) })
                    .flatMap({ NewSiteReason(rawValue: $0) })
            else { return nil }
            return ReplicaStatus.NewIdentity(
                reason: reason, former: SiteID(rawValue: UInt64(bitPattern: try integer(.formerSite) ?? 0)),
                at: try integer(.newSiteAt) ?? 0)
        }
    }
}
