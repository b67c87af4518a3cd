import PeykModel
import PeykSQLite
import PeykSession

/// Former anchor tokens, by which a server that was rolled back finds the last position that it shares with this
/// replica, and by which one that does not know this site believes what commits of former epochs had seen (I5, C6).
extension Replica {
    /// How many are kept of the present epoch: the latest ones close together, older ones wider apart.
    static let tokensMax = 64

    func keepToken(of batch: Batch, _ connection: Connection, _ meta: Meta) throws {
        guard !batch.anchorToken.isEmpty, batch.to > 0, let epoch = try meta.lineage.epoch else { return }
        let key = Value.blob(epoch.bytes)
        try connection.run(
            "INSERT OR REPLACE INTO peyk_token(epoch, position, token) VALUES (?1, ?2, ?3)",
            [key, .integer(batch.to), .blob(batch.anchorToken)])
        // The last one at or below the horizon stays: nothing older can be restored.
        try connection.run(
            """
            DELETE FROM peyk_token WHERE epoch = ?1 AND position <
                (SELECT max(position) FROM peyk_token WHERE epoch = ?1 AND position <= ?2)
            """, [key, .integer(batch.backupHorizon)])
        let positions = try connection.rows(
            "SELECT position FROM peyk_token WHERE epoch = ?1 ORDER BY position", [key])
        guard positions.count > Self.tokensMax else { return }
        for index in stride(from: 1, to: positions.count / 2, by: 2) {
            try connection.run("DELETE FROM peyk_token WHERE epoch = ?1 AND position = ?2", [key, positions[index][0]])
        }
    }

    /// After a refusal `rolled-back`: the next hello tells former tokens.
    public func tellFormerTokens() throws {
        try changing { try Meta(connection: $0).set(.tellTokens, 1) }
    }

    /// For hello. Newest first.
    func formerTokens(_ connection: Connection, _ meta: Meta) throws -> [[UInt8]] {
        guard let epoch = try meta.lineage.epoch else { return [] }
        let sql =
            try meta.integer(.tellTokens) == 1
            ? "SELECT token FROM peyk_token WHERE epoch = ?1 ORDER BY position DESC LIMIT \(SessionLimits.formerTokens)"
            : """
            SELECT token FROM (SELECT token, max(position) FROM peyk_token WHERE epoch <> ?1 GROUP BY epoch)
            LIMIT \(SessionLimits.formerTokens)
            """
        return try connection.rows(sql, [.blob(epoch.bytes)]).compactMap { row in
            if case .blob(let token)? = row.first { token } else { nil }
        }
    }

    /// Of a history that is gone only the last token is of use, while a commit of ours is anchored there.
    func trimTokens(_ connection: Connection, _ meta: Meta) throws {
        guard let epoch = try meta.lineage.epoch, try meta.backfill == nil else { return }
        guard try connection.value("SELECT 1 FROM peyk_token WHERE epoch <> ?1 LIMIT 1", [.blob(epoch.bytes)]) != nil
        else { return }
        var anchored: Set<Epoch> = []
        for row in try connection.rows("SELECT lineage, max(anchor) FROM peyk_commit GROUP BY lineage") {
            guard let id = row.first?.integerValue, let anchor = row[1].integerValue else { continue }
            if let epoch = try meta.lineage(id: id).epoch(of: anchor) { anchored.insert(epoch) }
        }
        let kept = try connection.rows(
            "SELECT epoch, max(position) FROM peyk_token WHERE epoch <> ?1 GROUP BY epoch", [.blob(epoch.bytes)])
        for row in kept {
            guard case .blob(let bytes)? = row.first, let bits = UUIDBits(bytes: bytes) else { continue }
            let isNeeded = anchored.contains(Epoch(bits: bits))
            try connection.run(
                "DELETE FROM peyk_token WHERE epoch = ?1 AND position < ?2",
                [row[0], isNeeded ? row[1] : .integer(.max)])
        }
    }
}
