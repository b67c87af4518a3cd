import PeykModel
import PeykSQLite
public import PeykSession

/// Where commits stood that this replica has applied (rule I7.2): under which position of which epoch. `peyk_name` has
/// the writers that came with whole records, and everything of histories that are gone; for the present one `peyk_log`
/// has the rest.
extension Replica {
    /// Names of what lies beyond the server's history: at most `limit` of them after the first `skipping`, in an order
    /// that stays while a session lasts.
    ///
    /// - Throws: ``ReplicaError``
    /// - Complexity: O(skipping + limit)
    public func names(skipping: Int, limit: Int) throws -> [Witness] {
        try reading { connection in
            let meta = Meta(connection: connection)
            let (condition, values) = Self.foreign(to: try meta.serverLineage)
            let statement = try connection.statement(
                """
                SELECT epoch, position, commit_id FROM peyk_name WHERE \(condition)
                ORDER BY epoch, position, commit_id LIMIT \(max(0, limit)) OFFSET \(max(0, skipping))
                """)
            for (index, value) in values.enumerated() { try statement.bind(Int32(index + 1), value) }
            defer { statement.reset() }
            var found: [Witness] = []
            while try statement.step() {
                guard let epoch = UUIDBits(bytes: statement.blob(0)), let id = CommitID(bytes: statement.blob(2)) else {
                    throw ReplicaError.damaged("peyk_name cannot be read")
                }
                found.append(Witness(epoch: Epoch(bits: epoch), position: statement.int64(1), commit: id))
            }
            return found
        }
    }

    /// Which rows of `peyk_name` do not lie on `lineage`.
    private static func foreign(to lineage: Lineage) -> (condition: String, values: [Value]) {
        var conditions: [String] = []
        var values: [Value] = []
        for (index, era) in lineage.eras.enumerated() {
            let end = index + 1 < lineage.eras.count ? lineage.eras[index + 1].after : Position.max
            conditions.append("NOT (epoch = ?\(values.count + 1) AND position <= ?\(values.count + 2))")
            values += [.blob(era.epoch.bytes), .integer(end)]
        }
        return (conditions.isEmpty ? "true" : conditions.joined(separator: " AND "), values)
    }

    /// Notes, before it is too late, what was applied beyond the common part with `lineage`: at once with the welcome
    /// that tells of it, so that the names are there however often the session is cut.
    func keepNames(beyond lineage: Lineage, _ connection: Connection, _ meta: Meta) throws {
        let old = try meta.lineage
        let common = old.common(with: lineage) ?? 0
        guard common < .max else { return }
        for (index, era) in old.eras.enumerated() {
            let end = index + 1 < old.eras.count ? old.eras[index + 1].after : Position.max
            guard end > common else { continue }
            try connection.run(
                """
                INSERT OR IGNORE INTO peyk_name(epoch, position, commit_id)
                SELECT ?1, position, commit_id FROM peyk_log WHERE position > ?2 AND position <= ?3
                """, [.blob(era.epoch.bytes), .integer(max(common, era.after)), .integer(end)])
        }
    }

    /// What no restore can make useful any more: names of the present history up to the backup horizon, and those of
    /// former ones when no commit of ours is kept that was anchored there.
    func trimNames(upTo horizon: Position, _ connection: Connection, _ meta: Meta) throws {
        let present = try meta.serverLineage
        guard try meta.lineage == present, try meta.backfill == nil else { return }
        for (index, era) in present.eras.enumerated() where era.after < horizon {
            let end = index + 1 < present.eras.count ? present.eras[index + 1].after : Position.max
            try connection.run(
                "DELETE FROM peyk_name WHERE epoch = ?1 AND position <= ?2",
                [.blob(era.epoch.bytes), .integer(min(horizon, end))])
        }
        let (condition, values) = Self.foreign(to: present)
        guard try connection.value("SELECT 1 FROM peyk_name WHERE \(condition) LIMIT 1", values) != nil else { return }
        for row in try connection.rows("SELECT lineage, max(anchor) FROM peyk_commit GROUP BY lineage") {
            guard let id = row.first?.integerValue, let anchor = row[1].integerValue else { continue }
            if anchor > (try meta.lineage(id: id).common(with: present) ?? 0) { return }
        }
        try connection.run("DELETE FROM peyk_name WHERE \(condition)", values)
    }
}

extension ApplyContext {
    /// The writers that came with a whole record as of `position` (rule B3): each stood there at the latest, and
    /// that is where this replica saw it.
    func note(writers: some Sequence<CommitID>, at position: Position, in lineage: Lineage) throws {
        guard let epoch = lineage.epoch(of: position) else { return }
        for writer in writers {
            let statement = try connection.statement(
                "INSERT OR IGNORE INTO peyk_name(epoch, position, commit_id) VALUES (?1, ?2, ?3)")
            try statement.bind(1, .blob(epoch.bytes))
            try statement.bind(2, int64: position)
            try statement.bind(3, .blob(writer.bytes))
            try statement.run()
        }
    }
}
