import PeykModel
import PeykSQLite
import PeykSession
import Synchronization

extension Replica {
    /// A new lineage (rules I6 to I8): what the restored server may not know is offered again.
    ///
    /// Positions of commits are of the server's history as of the last welcome, while rows and cursor may still be of
    /// an earlier one: a snapshot that was to bring them over may have been cut by the next restore.
    func adoptHistory(_ welcome: Welcome, _ connection: Connection, _ meta: Meta) throws {
        let known = try meta.serverLineage
        try meta.set(.serverLineage, welcome.lineage.encoded())
        guard !known.eras.isEmpty, known != welcome.lineage else { return }
        guard let fork = known.common(with: welcome.lineage) else {
            throw ReplicaError.broken("the server's history has nothing in common with this replica's")
        }
        try keepNames(beyond: welcome.lineage, connection, meta)
        // What is merged shows in the rows until these are replaced, so it must not lie over them as well.
        try connection.run(
            """
            UPDATE peyk_commit SET position = NULL, state = CASE state WHEN 2 THEN 5 WHEN 5 THEN 5 ELSE 0 END
            WHERE position > ?1 AND state IN (1, 2, 4, 5)
            """, [.integer(fork)])
        try forgetWaiting(connection)
        overlay.index.withLock { $0 = nil }
    }

    /// A former server's word that it keeps a commit until what it needs arrives is worth nothing at this one.
    private func forgetWaiting(_ connection: Connection) throws {
        let rows = try connection.rows(
            "SELECT seq, answer FROM peyk_commit WHERE position IS NULL AND answer IS NOT NULL")
        for row in rows {
            guard let seq = row.first?.integerValue, case .blob(let bytes) = row[1],
                let answer = try? Answer(stored: bytes), answer.verdict == .waiting
            else { continue }
            try connection.run("UPDATE peyk_commit SET answer = NULL WHERE seq = ?1", [.integer(seq)])
        }
    }

    /// A new site (rules I3, C5): commits without an answer get new dots and keep their ids; merged ones make room.
    func redot(to site: SiteID, _ connection: Connection, _ meta: Meta) throws {
        let last = try meta.hlc
        let formerSite = try meta.site
        try meta.set(hlc: last)
        try makeRoom(connection)
        let earlier = try FormerCommits(connection, meta)
        let unanswered = try connection.rows(
            "SELECT seq FROM peyk_commit WHERE state <> 2 AND seq < ?1 ORDER BY seq",
            [.integer(OutboxCommit.heldBase)])
        // A re-offered commit of a former site may have a negative key; such ones come first, as they were first.
        let old = unanswered.compactMap { $0.first?.integerValue }
        let spare = OutboxCommit.heldBase / 2
        for (index, seq) in old.enumerated() {
            try connection.run(
                "UPDATE peyk_commit SET seq = ?2 WHERE seq = ?1", [.integer(seq), .integer(spare + Int64(index))])
        }
        for (index, seq) in old.enumerated() {
            let statement = try connection.statement(
                "SELECT \(OutboxCommit.columns) FROM peyk_commit WHERE seq = ?1")
            try statement.bind(1, int64: spare + Int64(index))
            guard try statement.step() else { continue }
            var commit = try OutboxCommit(statement)
            statement.reset()
            let next = Int64(index) + 1
            commit.seq = seq
            let clock = try earlier.clock(
                of: commit, under: try commit.vectorClock(meta), formerSite: formerSite, Dot(site: site, seq: next))
            try connection.run(
                """
                UPDATE peyk_commit SET seq = ?2, site = ?3, clock = ?4, position = NULL,
                    state = CASE state WHEN 5 THEN 5 ELSE 0 END
                WHERE seq = ?1
                """,
                [
                    .integer(spare + Int64(index)), .integer(next), .integer(Int64(bitPattern: site.rawValue)),
                    .blob(clock.encoded()),
                ])
        }
        try meta.set(site: site)
        try meta.set(.seqFloor, Int64(old.count))
        try meta.set(.lastAcknowledged, 0)
        try meta.set(.renew, .null)
        try meta.set(former: earlier.unanswered)
        try meta.set(hlc: last)
        overlay.index.withLock { $0 = nil }
    }

    /// Rule B2: what the server has of this replica's commits under other dots, although no answer ever came. They get
    /// their answers under the new dots as all others; but pages have them from the first one on.
    func noteKnown(_ ids: [CommitID], _ connection: Connection, _ meta: Meta) throws {
        let places = ids.indices.map { "?\($0 + 2)" }.joined(separator: ", ")
        let last =
            try connection.value(
                "SELECT max(seq) FROM peyk_commit WHERE seq BETWEEN 1 AND ?1 AND id IN (\(places))",
                [.integer(OutboxCommit.heldBase - 1)] + ids.map { .blob($0.bytes) })?.integerValue ?? 0
        try meta.set(.knownUpTo, last)
    }

    /// Merged commits of the former site get keys below 0, above those of the sites before it: keys go on telling in
    /// which order the commits were sealed.
    private func makeRoom(_ connection: Connection) throws {
        let top =
            try connection.value(
                "SELECT max(seq) FROM peyk_commit WHERE state = 2 AND seq BETWEEN 1 AND ?1",
                [.integer(OutboxCommit.heldBase - 1)])?.integerValue ?? 0
        guard top > 0 else { return }
        // By way of keys that nobody has, since two rows must not meet on the way.
        let far = OutboxCommit.heldBase
        try connection.run("UPDATE peyk_commit SET seq = seq - ?1 - ?2 WHERE seq < 0", [.integer(far), .integer(top)])
        try connection.run("UPDATE peyk_commit SET seq = seq + ?1 WHERE seq < ?2", [.integer(far), .integer(-far / 2)])
        try connection.run(
            "UPDATE peyk_commit SET seq = seq - 1 - ?1 WHERE state = 2 AND seq BETWEEN 1 AND ?1", [.integer(top)])
    }
}

/// The author's own commits that an anchor may not cover, by the records that they changed.
///
/// A clock needs to name only those of them that touched a record which its own commit touches, since nothing else
/// is ever asked of it: so a long outbox does not get clocks as long as itself.
struct FormerCommits {
    private struct Earlier {
        var seq: Sequence64
        var id: CommitID
        var position: Position?
    }

    private var byRecord: [RecordKey: [Earlier]] = [:]
    /// Ids of all that have no answer, oldest first.
    private(set) var unanswered: [CommitID] = []

    /// The history that positions of commits belong to.
    private let history: Lineage

    init(_ connection: Connection, _ meta: Meta) throws {
        history = try meta.serverLineage
        var anchor = Position.max
        for row in try connection.rows("SELECT lineage, min(anchor) FROM peyk_commit WHERE state <> 2 GROUP BY lineage")
        {
            guard let lineage = row.first?.integerValue, let lowest = row[1].integerValue else { continue }
            anchor = min(anchor, lowest, try meta.lineage(id: lineage).common(with: history) ?? 0)
        }
        let statement = try connection.statement(
            """
            SELECT seq, id, state, position, sealed FROM peyk_commit
            WHERE seq < ?1 AND (state <> 2 OR position > ?2) ORDER BY seq
            """)
        try statement.bind(1, int64: OutboxCommit.heldBase)
        try statement.bind(2, int64: anchor)
        defer { statement.reset() }
        while try statement.step() {
            guard let id = CommitID(bytes: statement.blob(1)) else { continue }
            let isMerged = statement.int64(2) == OutboxCommit.State.merged.rawValue
            if !isMerged { unanswered.append(id) }
            let earlier = Earlier(
                seq: statement.int64(0), id: id, position: isMerged ? statement.int64(3) : nil)
            for change in try CommitBody(decoding: try statement.unpacked(4)).changes {
                byRecord[RecordKey(table: change.table, record: change.record), default: []].append(earlier)
            }
        }
    }

    /// The clock of a commit under its new dot.
    func clock(of commit: OutboxCommit, under clock: VectorClock, formerSite: SiteID, _ dot: Dot) throws -> VectorClock
    {
        var former = clock.former
        // Anchors are never compared with positions of another history (rule C5).
        let seen = min(clock.anchor, clock.lineage.common(with: history) ?? 0)
        for change in try commit.body().changes {
            for earlier in byRecord[RecordKey(table: change.table, record: change.record)] ?? []
            where earlier.seq < commit.seq && (earlier.position ?? .max) > seen {
                former.append(earlier.id)
            }
        }
        // Dots of the former site say too much where the replica is a copy: the original went on under them.
        var dots = clock.dots.filter { $0.site != formerSite && $0.site != dot.site }
        if dot.seq > 1 { dots.append(Dot(site: dot.site, seq: dot.seq - 1)) }
        return VectorClock(lineage: clock.lineage, anchor: clock.anchor, dots: dots, former: former)
    }
}
