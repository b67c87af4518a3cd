import PeykModel
import PeykSession

/// Values that the session tests share; none of them means anything.
enum Sample {
    static let epoch = Epoch(bits: UUIDBits(high: 1, low: 1))
    static let site = SiteID(rawValue: 7)
    static let user = RecordID(bits: UUIDBits(high: 2, low: 2))
    static let lineage = Lineage([Era(epoch: epoch, after: 0)])
    static let challenge = Challenge(nonce: [1], workspace: "acme", serverTime: 1_000, versions: 1...1)

    static let hello = Hello(
        number: 1, site: site, certificate: [], nonce: [], lineage: lineage, cursor: 10, anchorToken: [], lastSealed: 0,
        lastAcknowledged: 0, lastKept: nil, applied: 10, scope: .empty, schemaVersion: 1, pending: 0, backfill: nil,
        wallTime: 0, program: "test")

    static func welcome(
        head: Position = 10, entrance: Entrance = .resume, lastMerged: Sequence64 = 0, credit: Int64 = 1_000
    ) -> Welcome {
        Welcome(
            site: site, newSiteReason: nil, entrance: entrance, lineage: lineage,
            grant: Grant(read: [.everyone], write: [], version: 1), user: user, userName: "Sara", role: .rep,
            head: head,
            stamp: .zero, serverTime: 0, lastMerged: lastMerged, openAnswers: [], schema: nil, schemaVersion: 1,
            nonce: [],
            backupHorizon: 0, credit: credit, facts: [])
    }

    static func batch(from: Position, to: Position, head: Position? = nil, isWhole: Bool = false) -> Batch {
        Batch(
            from: from, to: to, entries: [], stamp: .zero, backupHorizon: 0, anchorToken: [], head: head ?? to,
            isWhole: isWhole)
    }

    static func page(table: Int, position: Position, endsTable: Bool, endsBackfill: Bool) -> Page {
        Page(
            table: table, rowCount: 1, payload: [], position: position, last: user, endsTable: endsTable,
            endsBackfill: endsBackfill, remaining: 0)
    }

    static func commit(seq: Sequence64) -> SealedCommit {
        let id = CommitID(bits: UUIDBits(high: 3, low: UInt64(seq)))
        let clock = VectorClock(lineage: lineage, anchor: 10)
        return SealedCommit(
            id: id, envelope: Envelope(dot: Dot(site: site, seq: seq), stamp: .zero, clock: clock), sealed: [1, 2, 3])
    }

    static func acknowledge(seq: Sequence64, position: Position, credit: Int64 = 100) -> Acknowledge {
        Acknowledge(
            items: [.init(seq: seq, commit: commit(seq: seq).id, position: position, receipt: [])], credit: credit)
    }
}
