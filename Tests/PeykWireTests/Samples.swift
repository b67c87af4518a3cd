import PeykModel
import PeykSession

/// One fixed message of each kind, with every field filled in somewhere.
enum Samples {
    static func bits(_ number: UInt64) -> UUIDBits {
        UUIDBits(high: 0x0190_0000_0000_7000 + number, low: 0x8000_0000_0000_0000 + number * 0x0101)
    }
    static func record(_ number: UInt64) -> RecordID { RecordID(bits: bits(number)) }
    static func commit(_ number: UInt64) -> CommitID { CommitID(bits: bits(0x1000 + number)) }
    static func epoch(_ number: UInt64) -> Epoch { Epoch(bits: bits(0x2000 + number)) }
    static let site = SiteID(rawValue: 0x1122_3344_5566_7788)
    static let otherSite = SiteID(rawValue: 0x99AA_BBCC_DDEE_FF00)
    static let stamp = HLC(milliseconds: 1_790_000_000_000, counter: 7)
    static let oldLineage = Lineage([Era(epoch: epoch(1), after: 0)])
    static let lineage = Lineage([Era(epoch: epoch(1), after: 0), Era(epoch: epoch(2), after: 41)])
    static let text = "سلام «Acme» ✓"
    static func filled(_ count: Int, _ byte: UInt8) -> [UInt8] { Array(repeating: byte, count: count) }

    static let scope = HeldScope(buckets: [.everyone, .territory("north"), .user("u")], version: 3)
    static let grant = Grant(read: [.everyone, .whole], write: [.whole], version: 4)
    static let clock = VectorClock(
        lineage: lineage, anchor: 50, dots: [Dot(site: site, seq: 8), Dot(site: otherSite, seq: 3)],
        former: [commit(9)])
    static let answer = Answer(
        verdict: .refused,
        notices: [
            Answer.Notice(change: -1, code: .schemaVersion),
            Answer.Notice(change: 2, cell: 4, code: .invalid, detail: text),
        ],
        restamped: stamp)

    static let effects = [
        Effect(
            key: RecordKey(table: 1, record: record(1)),
            kind: .full(
                Row([.null, .integer(-7), .real(1.5), .text(text), .blob([0, 255])]), writers: [commit(1), commit(2)])),
        Effect(
            key: RecordKey(table: 2, record: record(2)),
            kind: .delta([FieldValue(field: 3, value: .text("won")), FieldValue(field: 300, value: .null)])),
        Effect(key: RecordKey(table: 2, record: record(3)), kind: .delete),
        Effect(key: RecordKey(table: 2, record: record(4)), kind: .evict(.moved)),
        Effect(key: RecordKey(table: 2, record: record(5)), kind: .evict(.grant)),
        Effect(key: RecordKey(table: 0, record: record(6)), kind: .touched),
    ]

    static let entries = [
        Batch.Entry(
            position: 51, dot: Dot(site: site, seq: 9), commit: commit(1), stamp: stamp, user: record(90),
            clock: clock, effects: effects),
        Batch.Entry(
            position: 52, dot: Dot(site: otherSite, seq: 4), commit: commit(2), stamp: stamp.successor, user: nil,
            clock: VectorClock(lineage: oldLineage, anchor: 12), effects: [],
            yours: Batch.Yours(answer: answer, digest: 0xFEED_FACE_CAFE_BEEF)),
        Batch.Entry(
            position: 53, dot: Dot(site: site, seq: 10), commit: commit(3), stamp: stamp, user: record(90),
            clock: VectorClock(lineage: lineage, anchor: 50, dots: [Dot(site: site, seq: 9)]), effects: [],
            yours: Batch.Yours(answer: Answer(), digest: 0)),
    ]

    static let hello = Hello(
        number: 12, site: site, certificate: filled(80, 1), signature: filled(64, 2), nonce: filled(16, 3),
        lineage: lineage, cursor: 50, anchorToken: filled(72, 4), lastSealed: 9, lastAcknowledged: 8,
        lastKept: KeptCommit(seq: 8, id: commit(8)), applied: 49, scope: scope, schemaVersion: 2, pending: 1,
        backfill: BackfillMark(
            scope: scope, table: 3, last: record(7), firstPosition: 40, lastPosition: 44, epoch: epoch(2)),
        wallTime: -5, formerTokens: [filled(72, 14), filled(72, 15)], program: "peyk 0.1")

    static let welcome = Welcome(
        site: site, newSiteReason: .newEpoch, entrance: .widen(added: [.territory("south")]), lineage: lineage,
        grant: grant, user: record(90), userName: "Sara", role: .manager, head: 60, stamp: stamp,
        serverTime: 1_790_000_000_001, lastMerged: 7, lastMergedID: commit(7),
        openAnswers: [OpenAnswer(commit: commit(5), seq: 5, position: 30, answer: answer)], schema: "{}",
        schemaVersion: 3, nonce: filled(16, 5), backupHorizon: 20, credit: 1 << 24,
        facts: [
            DeviceFact(
                site: otherSite, user: record(91), userName: "Reza", deviceName: "laptop",
                lastContact: 1_789_000_000_000,
                pending: 4)
        ], wantsNames: true, lastBackup: 1_789_900_000_000, familyLastIDs: [commit(7), commit(9)])

    static let push = Push(commits: [
        SealedCommit(
            id: commit(1),
            envelope: Envelope(
                dot: Dot(site: site, seq: 9), stamp: stamp, clock: clock, receipt: filled(16, 6)),
            sealed: [1, 2, 3, 0]),
        SealedCommit(
            id: commit(2),
            envelope: Envelope(
                dot: Dot(site: site, seq: 10), stamp: stamp.successor,
                clock: VectorClock(lineage: oldLineage, anchor: 50, dots: [Dot(site: site, seq: 9)]),
                formerAnswer: answer), sealed: []),
    ])

    static let names = Names(
        items: [
            Witness(epoch: epoch(1), position: 45, commit: commit(7)),
            Witness(epoch: epoch(2), position: 46, commit: commit(8)),
        ], isLast: true)

    static let client: [(name: String, message: ClientMessage)] = [
        (
            "enrol",
            .enrol(
                Enrol(
                    code: "AAAAAAAAAAAAAAAAAAAAAA", deviceKey: filled(32, 7), deviceName: text,
                    signature: filled(64, 8)))
        ),
        ("hello", .hello(hello)),
        ("rekey", .rekey(Rekey(deviceKey: filled(32, 14), signature: filled(64, 15)))),
        ("names", .names(names)),
        ("push", .push(push)),
        ("credit", .credit(bytes: 1 << 22)),
        ("applied", .applied(position: 60)),
        ("fetch", .fetch([RecordKey(table: 1, record: record(1)), RecordKey(table: 2, record: record(2))])),
        (
            "digest",
            .digest(
                DigestRequest(ranges: [
                    DigestRange(table: 0, after: record(1)), DigestRange(table: 1, upTo: record(2)),
                ]))
        ),
        ("digest-all", .digest(DigestRequest())),
        ("history", .history(HistoryRequest(key: RecordKey(table: 2, record: record(2))))),
        ("ping", .ping(-1)),
        ("pong", .pong(1)),
        ("bye", .bye(nonceStored: true)),
    ]

    static let server: [(name: String, message: ServerMessage)] = [
        (
            "challenge",
            .challenge(
                Challenge(nonce: filled(32, 9), workspace: "acme", serverTime: 1_790_000_000_000, versions: 1...2))
        ),
        (
            "enrolled",
            .enrolled(
                Enrolled(
                    user: record(90), userName: "Sara", role: .rep, site: site, nonce: filled(16, 10),
                    certificate: filled(80, 11)))
        ),
        ("welcome", .welcome(welcome)),
        ("rekeyed", .rekeyed(Rekeyed(deviceKey: filled(32, 14), certificate: filled(80, 16)))),
        ("refuse", .refuse(Refusal(.invite, "The invite has expired; ask for another."))),
        (
            "refuse-hand-in",
            .refuse(Refusal(.revoked, "The device was revoked.", retryAfter: 30, handInAfter: 7))
        ),
        (
            "acknowledge-later",
            .acknowledge(Acknowledge(items: [], credit: 1_000, expect: 10, retryAfter: 30))
        ),
        (
            "acknowledge",
            .acknowledge(
                Acknowledge(
                    items: [.init(seq: 9, commit: commit(1), position: 51, receipt: filled(16, 12))], credit: 1_000,
                    expect: 10))
        ),
        (
            "batch",
            .batch(
                Batch(
                    from: 50, to: 53, entries: entries, stamp: stamp, backupHorizon: 20, anchorToken: filled(72, 13),
                    head: 60, isWhole: true))
        ),
        (
            "page",
            .page(
                Page(
                    table: 1, rowCount: 2, payload: [1, 2, 3], rawBytes: 300, position: 44, last: record(9),
                    endsTable: true, endsBackfill: true, remaining: 12, lastMerged: 7))
        ),
        ("records", .records(Records(position: 53, effects: effects))),
        (
            "digest",
            .digest(
                DigestReply(
                    position: 53,
                    parts: [
                        .init(table: 0, range: 0, upTo: nil, count: 0, digest: 0),
                        .init(table: 1, range: 1, upTo: record(1), count: 1, digest: .max),
                    ]))
        ),
        (
            "history",
            .history(HistoryReply(key: RecordKey(table: 1, record: record(1)), since: 3, entries: entries))
        ),
        ("ping", .ping(5)),
        ("pong", .pong(.max)),
        ("bye", .bye(Refusal(.shutdown, "The server is going down; sync again later."))),
    ]
}
