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
            let pending = try connection.value("SELECT count(*) FROM peyk_commit WHERE state IN (0, 3)")
            return Hello(
                number: number, site: site, certificate: try meta.blob(.certificate) ?? [],
                nonce: try meta.blob(.nonce) ?? [], lineage: try meta.lineage, cursor: try meta.cursor,
                anchorToken: try meta.blob(.anchorToken) ?? [], lastSealed: try meta.lastSealed,
                lastAcknowledged: try meta.integer(.lastAcknowledged) ?? 0,
                lastKept: try Self.lastKept(connection, site), applied: try Self.applied(connection, meta),
                scope: try meta.scope, schemaVersion: schema.version, pending: pending?.integerValue ?? 0,
                backfill: try meta.backfill?.mark, wallTime: wallTime,
                program: program)
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

    /// Names of what was applied beyond the fork, and those kept of former epochs (rule I7.2), once a welcome has told
    /// of another history: at most `limit` of them after the first `skipping`, in an order that stays.
    ///
    /// - Throws: ``ReplicaError``
    public func names(skipping: Int, limit: Int) throws -> [Witness] {
        try changing { connection in
            let meta = Meta(connection: connection)
            let former = try meta.formerWitness
            var found = Array(former.dropFirst(skipping).prefix(limit))
            let lineage = try meta.lineage
            let common = lineage.common(with: try meta.serverLineage) ?? 0
            guard common < .max, found.count < limit else { return found }
            let statement = try connection.statement(
                "SELECT position, commit_id FROM peyk_log WHERE position > ?1 ORDER BY position LIMIT ?2 OFFSET ?3")
            try statement.bind(1, int64: common)
            try statement.bind(2, int64: Int64(limit - found.count))
            try statement.bind(3, int64: Int64(max(0, skipping - former.count)))
            defer { statement.reset() }
            while try statement.step() {
                let position = statement.int64(0)
                guard let id = CommitID(bytes: statement.blob(1)), let epoch = lineage.epoch(of: position) else {
                    continue
                }
                found.append(Witness(epoch: epoch, position: position, commit: id))
            }
            return found
        }
    }
}

extension Meta {
    /// Names kept from former epochs while own commits anchored there are kept (rule I7.2): 16 bytes of epoch, a
    /// position, 16 bytes of id each.
    var formerWitness: [Witness] {
        get throws {
            guard let bytes = try blob(.witness) else { return [] }
            var reader = ByteReader(bytes)
            var found: [Witness] = []
            while !reader.isAtEnd {
                let epoch = Epoch(bits: try reader.bits())
                let position = try reader.natural()
                found.append(Witness(epoch: epoch, position: position, commit: CommitID(bits: try reader.bits())))
            }
            return found
        }
    }

    func set(formerWitness: [Witness]) throws {
        var writer = ByteWriter(capacity: formerWitness.count * 36)
        for name in formerWitness {
            writer.bits(name.epoch.bits)
            writer.varint(UInt64(bitPattern: name.position))
            writer.bits(name.commit.bits)
        }
        try set(.witness, writer.bytes.isEmpty ? .null : .blob(writer.bytes))
    }
}
