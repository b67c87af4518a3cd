import Foundation
import PeykMerge
import PeykModel
import PeykSQLite
import PeykSession
import PeykWire
import Synchronization
import Testing

@testable import PeykReplica

/// A small workspace: reference data, a root, a child, and a root that borrows the customer.
enum ApplyFixture {
    static let schema = Schema(
        version: 1,
        tables: [
            Table("stage", .reference, fields: [Field("name", .text)]),
            Table(
                "customer", .root(AudienceFields(territory: "territory", owner: "owner"), lends: nil),
                fields: [
                    Field("name", .text, required: true), Field("territory", .reference(table: "territory"), .review),
                    Field("owner", .reference(table: "person"), .review), Field("visits", .integer, .counter),
                    Field("tags", .set, .set), Field("memo", .text, .text),
                    Field("amount", .integer, .review, group: "money"),
                    Field("currency", .text, .review, group: "money"),
                ]),
            Table(
                "contact", .child(parents: ["customer"], owner: nil),
                fields: [
                    Field("customer", .reference(table: "customer"), required: true, hard: true),
                    Field("name", .text), Field("visits", .integer, .counter),
                ]),
            Table(
                "opportunity",
                .root(AudienceFields(territory: "territory", owner: "owner"), lends: "customer"),
                fields: [
                    Field("customer", .reference(table: "customer"), hard: true),
                    Field("stage", .reference(table: "stage"), hard: true),
                    Field("territory", .reference(table: "territory")),
                    Field("owner", .reference(table: "person")), Field("title", .text),
                ]),
            Table("territory", .reference, fields: [Field("name", .text)]),
            Table("person", .reference, fields: [Field("name", .text)]),
        ])
    static let stage = 1
    static let customer = 2
    static let contact = 3
    static let opportunity = 4
    static let north = id(501).description
    static let south = id(502).description
    static let epoch = Epoch(bits: UUIDBits(high: 7, low: 7))
    static let lineage = Lineage([Era(epoch: epoch, after: 0)])
    static let site = SiteID(rawValue: 0xA1)
    static let user = RecordID(bits: UUIDBits(high: 0xAA, low: 1))
    static let other = Dot(site: SiteID(rawValue: 0xB2), seq: 1)
    static let everything = Grant(read: [.whole, .everyone], write: [.whole], version: 1)

    static func id(_ number: UInt64) -> RecordID { RecordID(bits: UUIDBits(high: 0x0190_0000_0000_7000, low: number)) }
    static func key(_ table: Int, _ number: UInt64) -> RecordKey { RecordKey(table: table, record: id(number)) }

    static func customerRow(
        _ name: String, territory: String = north, visits: Int64 = 0, memo: String? = nil
    ) -> Row {
        Row([
            .text(name), .text(territory), .null, .integer(visits), .text("[]"), memo.map { .text($0) } ?? .null,
            .null, .null,
        ])
    }

    static func contactRow(of customer: UInt64, _ name: String, visits: Int64 = 0) -> Row {
        Row([Value(id(customer)), .text(name), .integer(visits)])
    }

    /// A replica in a folder that goes away with the test.
    static func replica(schema: Schema? = schema, now: @escaping @Sendable () -> Int64 = { 1_700_000_000_000 }) throws
        -> TemporaryReplica
    {
        try TemporaryReplica(schema: schema, now: now)
    }

    static func welcome(
        _ entrance: Entrance = .resume, site: SiteID = site, grant: Grant = everything, head: Position = 0,
        lineage: Lineage = lineage, lastMerged: Sequence64 = 0, openAnswers: [OpenAnswer] = [],
        reason: NewSiteReason? = nil, schema: Schema? = nil
    ) -> Welcome {
        Welcome(
            site: site, newSiteReason: reason, entrance: entrance, lineage: lineage, grant: grant, user: user,
            userName: "Sara", role: .rep, head: head, stamp: HLC(milliseconds: 1_700_000_000_000),
            serverTime: 1_700_000_000_500, lastMerged: lastMerged, openAnswers: openAnswers,
            schema: schema.map(\.json.text), schemaVersion: schema?.version ?? 1,
            nonce: [UInt8](repeating: 9, count: 16), backupHorizon: 0, credit: 1 << 20, facts: [])
    }

    static func batch(
        _ from: Position, _ to: Position, _ entries: [Batch.Entry], isWhole: Bool = false, horizon: Position = 0,
        stamp: HLC = HLC(milliseconds: 1_700_000_000_000)
    ) -> Batch {
        Batch(
            from: from, to: to, entries: entries, stamp: stamp, backupHorizon: horizon,
            anchorToken: [UInt8(truncatingIfNeeded: to)], head: to, isWhole: isWhole)
    }

    /// Somebody else's commit.
    static func entry(_ position: Position, _ effects: [Effect]) -> Batch.Entry {
        Batch.Entry(
            position: position, dot: Dot(site: other.site, seq: position),
            commit: CommitID(bits: UUIDBits(high: 0xC0, low: UInt64(bitPattern: position))),
            stamp: HLC(milliseconds: 1_700_000_000_000 + position), user: id(999),
            clock: VectorClock(lineage: lineage, anchor: position - 1), effects: effects)
    }

    static func full(_ table: Int, _ number: UInt64, _ row: Row) -> Effect {
        Effect(key: key(table, number), kind: .full(row, writers: []))
    }

    /// The server's word on an own commit.
    static func yours(
        _ position: Position, _ commit: SealedCommit, answer: Answer = Answer(), effects: [Effect] = [],
        digest: UInt64
    ) -> Batch.Entry {
        Batch.Entry(
            position: position, dot: commit.envelope.dot, commit: commit.id, stamp: commit.envelope.stamp, user: user,
            clock: commit.envelope.clock, effects: effects, yours: Batch.Yours(answer: answer, digest: digest))
    }

    static func page(
        _ table: Int, _ rows: [(UInt64, Row)], at position: Position, endsTable: Bool = true,
        endsBackfill: Bool = false, writers: [UInt64: [CommitID]] = [:]
    ) -> Page {
        var builder = RowPageBuilder(columnCount: schema.tables[table].fields.count)
        for (number, row) in rows { builder.append(id(number), row, writers: writers[number] ?? []) }
        return Page(
            table: table, rowCount: rows.count, payload: builder.finish(), position: position,
            last: endsTable ? nil : rows.last.map { id($0.0) }, endsTable: endsTable, endsBackfill: endsBackfill,
            remaining: 0)
    }
}

/// A replica and its folder.
final class TemporaryReplica {
    let home: String
    let replica: Replica

    init(schema: Schema?, now: @escaping @Sendable () -> Int64) throws {
        home = NSTemporaryDirectory() + "peyk-apply-\(UUID().uuidString)"
        let facts = WorkspaceFacts(
            workspace: "test", site: ApplyFixture.site, user: ApplyFixture.user, userName: "Sara", role: .rep)
        let counter = Counter()
        replica = try Replica.create(
            at: home, facts: facts, schema: schema,
            environment: ReplicaEnvironment(now: now, uptime: { 1_000 }, random: { counter.next() }))
    }

    deinit {
        try? replica.close()
        try? FileManager.default.removeItem(atPath: home)
    }

    /// Brings an empty replica to position 0 with everything in scope.
    func begin(grant: Grant = ApplyFixture.everything, _ pages: [Page] = [], head: Position = 0) throws {
        _ = try replica.adopt(ApplyFixture.welcome(.snapshot(.first), grant: grant, head: head))
        for page in pages { try replica.store(page) }
        if pages.isEmpty { try replica.store(ApplyFixture.page(4, [], at: 0, endsBackfill: true)) }
        let applied = try replica.apply(ApplyFixture.batch(head, head, [], isWhole: true))
        #expect(applied.switched)
    }

    @discardableResult
    func apply(_ from: Position, _ entries: [Batch.Entry]) throws -> Applied {
        try replica.apply(ApplyFixture.batch(from, entries.last?.position ?? from, entries))
    }

    func outbox() throws -> [SealedCommit] { try replica.outbox(after: 0, bytesMax: 1 << 30).commits }

    /// What a person sees.
    func shown(_ key: RecordKey) throws -> Row? {
        try replica.read { try $0.row(ApplyFixture.schema.tables[key.table].name, key.record) }
    }

    func confirmed(_ key: RecordKey) throws -> Row? {
        try replica.applying { context, _ in try context.confirmed(key) }
    }

    /// All rows, confirmed or shown.
    func all(confirmed: Bool) throws -> [RecordKey: Row] {
        try replica.applying { context, _ in
            var rows: [RecordKey: Row] = [:]
            for table in context.schema.tables.indices {
                for record in try context.confirmedIDs(table) {
                    let key = RecordKey(table: table, record: record)
                    let row = confirmed ? try context.confirmed(key) : try context.tables[table].shown(record)
                    if let row { rows[key] = row }
                }
            }
            return rows
        }
    }

    func foreignKeyProblems() throws -> Int {
        try replica.reading { try $0.rows("PRAGMA foreign_key_check").count }
    }
}

private final class Counter: Sendable {
    private let state = Mutex<UInt64>(42)
    func next() -> UInt64 {
        state.withLock { state in
            state &+= 0x9E37_79B9_7F4A_7C15
            var mixed = state
            mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
            return mixed ^ (mixed >> 31)
        }
    }
}

/// The digest that ends "yours" (rule M4).
func digest(_ rows: [(RecordKey, Row?)]) -> UInt64 {
    rows.reduce(0) { sum, item in
        guard let row = item.1 else { return sum }
        return sum &+ row.digest(table: ApplyFixture.schema.tables[item.0.table], record: item.0.record)
    }
}
