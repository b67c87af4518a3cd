import PeykModel
import PeykSQLite
public import PeykSession

extension Replica {
    /// Everything that tells the server who this replica is and where it stands (rule I2). Seals first; the hello's
    /// number rises with each call, durably. The caller signs.
    ///
    /// - Parameters:
    ///   - program: the program's version, for IT.
    ///   - wallTime: the device's clock in Unix milliseconds, uncorrected.
    /// - Throws: ``ReplicaError``
    public func hello(program: String, wallTime: Int64) throws -> Hello {
        try changing { connection in
            let meta = Meta(connection: connection)
            let number = (try meta.integer(.helloNumber) ?? 0) + 1
            try meta.set(.helloNumber, number)
            let site = try meta.site
            let pending = try connection.value("SELECT count(*) FROM peyk_commit WHERE \(OutboxCommit.unsent)")
            return Hello(
                number: number, site: site, certificate: try meta.blob(.certificate) ?? [],
                nonce: try meta.blob(.nonce) ?? [], lineage: try meta.lineage, cursor: try meta.cursor,
                anchorToken: try meta.blob(.anchorToken) ?? [], lastSealed: try meta.lastSealed,
                lastAcknowledged: try meta.integer(.lastAcknowledged) ?? 0,
                lastKept: try Self.lastKept(connection, site), applied: try Self.applied(connection, meta),
                scope: try meta.scope, schemaVersion: schema.version, pending: pending?.integerValue ?? 0,
                backfill: try meta.backfill?.mark(held: try meta.scope), wallTime: wallTime,
                formerTokens: try formerTokens(connection, meta), program: program,
                renew: try meta.integer(.renew) == 1)
        }
    }

    private static func lastKept(_ connection: Connection, _ site: SiteID) throws -> KeptCommit? {
        let statement = try connection.statement(
            "SELECT seq, id FROM peyk_commit WHERE seq BETWEEN 1 AND ?1 AND site = ?2 ORDER BY seq DESC LIMIT 1")
        try statement.bind(1, int64: OutboxCommit.heldBase - 1)
        try statement.bind(2, int64: Int64(bitPattern: site.rawValue))
        defer { statement.reset() }
        guard try statement.step(), let id = CommitID(bytes: statement.blob(1)) else { return nil }
        return KeptCommit(seq: statement.int64(0), id: id)
    }

    /// Rule T1: the lower of the cursor and the anchors of all commits without an answer; those that wait for
    /// `pending confirm` too, whose keys are above those of later commits. An anchor of another history counts only
    /// as far as that history is shared (rule I7).
    static func applied(_ connection: Connection, _ meta: Meta) throws -> Position {
        var report = try meta.cursor
        let statement = try connection.statement(
            "SELECT lineage, min(anchor) FROM peyk_commit WHERE seq > 0 AND state <> 2 GROUP BY lineage")
        defer { statement.reset() }
        while try statement.step() {
            let anchor = statement.int64(1)
            guard let common = try meta.lineage(id: statement.int64(0)).common(with: try meta.serverLineage) else {
                return 0
            }
            report = min(report, anchor, common)
        }
        return report
    }
}
