import PeykModel
import PeykSQLite
import PeykSession
import Synchronization

extension Replica {
    /// A new lineage (rules I6 to I8): what the restored server may not know is offered again.
    func adoptHistory(_ welcome: Welcome, _ connection: Connection, _ meta: Meta) throws {
        let former = try meta.lineage
        try meta.set(.serverLineage, welcome.lineage.encoded())
        guard !former.eras.isEmpty, former != welcome.lineage else { return }
        guard let fork = former.common(with: welcome.lineage) else {
            throw ReplicaError.broken("the server's history has nothing in common with this replica's")
        }
        guard fork < .max else { return }
        let statement = try connection.statement(
            "SELECT seq, state, answer FROM peyk_commit WHERE state IN (1, 2, 4) AND position > ?1 ORDER BY seq")
        try statement.bind(1, int64: fork)
        var again: [(seq: Sequence64, answer: Answer?)] = []
        while try statement.step() {
            again.append((statement.int64(0), try? Answer(stored: statement.blob(2))))
        }
        statement.reset()
        for commit in again {
            // What its author knows to be refused is void (rule I8): refused whole, it stays where it is.
            if commit.answer?.verdict == .refused { continue }
            if let answer = commit.answer, answer.notices.contains(where: \.code.parks) {
                try void(answer, in: commit.seq, connection)
            }
            try connection.run(
                "UPDATE peyk_commit SET state = 0, position = NULL WHERE seq = ?1", [.integer(commit.seq)])
        }
    }

    /// Leaves the refused parts of a commit without effect; the others keep their places.
    private func void(_ answer: Answer, in seq: Sequence64, _ connection: Connection) throws {
        guard
            case .blob(let sealed)? = try connection.value(
                "SELECT sealed FROM peyk_commit WHERE seq = ?1", [.integer(seq)])
        else { return }
        var body = try CommitBody(decoding: sealed)
        for notice in answer.notices where notice.code.parks {
            for index in body.changes.indices where notice.change == index || notice.change < 0 {
                if notice.cell < 0 || body.changes[index].kind != .update {
                    body.changes[index].kind = .update
                    body.changes[index].cells = []
                } else {
                    body.changes[index].cells.removeAll { $0.cell == notice.cell }
                }
            }
        }
        try connection.run(
            "UPDATE peyk_commit SET sealed = ?2 WHERE seq = ?1", [.integer(seq), .blob(body.encoded())])
    }

    /// A new site (rules I3, C5): commits without an answer get new dots and keep their ids; merged ones make room.
    func redot(to site: SiteID, _ connection: Connection, _ meta: Meta) throws {
        let last = try meta.hlc
        let formerSite = try meta.site
        try meta.set(hlc: last)
        let earlier = try FormerCommits(connection)
        let top =
            try connection.value(
                "SELECT max(seq) FROM peyk_commit WHERE state = 2 AND seq BETWEEN 1 AND ?1",
                [.integer(OutboxCommit.heldBase - 1)])?.integerValue ?? 0
        let lowest = min(0, try connection.value("SELECT min(seq) FROM peyk_commit")?.integerValue ?? 0)
        try connection.run(
            "UPDATE peyk_commit SET seq = ?1 - 1 - (?2 - seq) WHERE state = 2 AND seq BETWEEN 1 AND ?2",
            [.integer(lowest), .integer(top)])
        let unanswered = try connection.rows(
            "SELECT seq FROM peyk_commit WHERE state <> 2 AND seq BETWEEN -9223372036854775807 AND ?1 ORDER BY seq",
            [.integer(OutboxCommit.heldBase - 1)])
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
                UPDATE peyk_commit SET seq = ?2, site = ?3, clock = ?4, state = 0, position = NULL WHERE seq = ?1
                """,
                [
                    .integer(spare + Int64(index)), .integer(next), .integer(Int64(bitPattern: site.rawValue)),
                    .blob(clock.encoded()),
                ])
        }
        try meta.set(site: site)
        try meta.set(.seqFloor, Int64(old.count))
        try meta.set(.lastAcknowledged, 0)
        try meta.set(former: earlier.unanswered)
        try meta.set(hlc: last)
        overlay.index.withLock { $0 = nil }
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

    init(_ connection: Connection) throws {
        let anchor = try connection.value("SELECT min(anchor) FROM peyk_commit WHERE state <> 2")?.integerValue ?? 0
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
            for change in try CommitBody(decoding: statement.blob(4)).changes {
                byRecord[RecordKey(table: change.table, record: change.record), default: []].append(earlier)
            }
        }
    }

    /// The clock of a commit under its new dot.
    func clock(of commit: OutboxCommit, under clock: VectorClock, formerSite: SiteID, _ dot: Dot) throws -> VectorClock
    {
        var former = clock.former
        for change in try commit.body().changes {
            for earlier in byRecord[RecordKey(table: change.table, record: change.record)] ?? []
            where earlier.seq < commit.seq && (earlier.position ?? .max) > clock.anchor {
                former.append(earlier.id)
            }
        }
        // Dots of the former site say too much where the replica is a copy: the original went on under them.
        var dots = clock.dots.filter { $0.site != formerSite && $0.site != dot.site }
        if dot.seq > 1 { dots.append(Dot(site: dot.site, seq: dot.seq - 1)) }
        return VectorClock(lineage: clock.lineage, anchor: clock.anchor, dots: dots, former: former)
    }
}
