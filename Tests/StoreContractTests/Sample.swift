import PeykMerge
import PeykModel
import PeykServer

/// Records, clocks and log entries that are easy to tell apart.
enum Sample {
    static let schema = Schema(
        version: 1,
        tables: [
            Table(
                "territory", .reference,
                fields: [Field("name", .text, required: true), Field("parent_id", .reference(table: "territory"))]),
            Table(
                "customer", .root(AudienceFields(territory: "territory_id", owner: "owner_id"), lends: nil),
                fields: [
                    Field("name", .text, required: true), Field("phone", .text),
                    Field("territory_id", .reference(table: "territory"), hard: true),
                    Field("owner_id", .reference(table: "territory")), Field("tags", .set, .set),
                    Field("amount", .money(currency: "currency"), .review, group: "amount"),
                    Field("currency", .text, .review, group: "amount"), Field("score", .double),
                    Field("photo", .blob), Field("visits", .integer, .counter, default: .integer(0)),
                ], unique: [["phone"], ["name", "currency"]]),
            Table(
                "order", .child(parents: ["customer_id"], owner: nil),
                fields: [Field("customer_id", .reference(table: "customer"), hard: true), Field("note", .text, .text)]),
        ])

    static let territory = 1
    static let customer = 2
    static let order = 3

    static func id(_ number: UInt64) -> RecordID {
        RecordID(bits: UUIDBits(high: 0x0190_0000_0000_7000, low: 0x8000_0000_0000_0000 | number))
    }
    static func key(_ table: Int, _ number: UInt64) -> RecordKey { RecordKey(table: table, record: id(number)) }
    static func commit(_ number: UInt64) -> CommitID { CommitID(bits: UUIDBits(high: 7, low: number)) }
    static func epoch(_ number: UInt64) -> Epoch { Epoch(bits: UUIDBits(high: 3, low: number)) }
    static let site = SiteID(rawValue: 0xFEDC_BA98_7654_3210)

    static func writer(_ position: Position, epoch: UInt64 = 1) -> Writer {
        Writer(
            position: position, epoch: self.epoch(epoch), dot: Dot(site: site, seq: position),
            stamp: HLC(milliseconds: 1_700_000_000_000 + position, counter: 3), commit: commit(UInt64(position)))
    }

    static let whole = Audience(home: [.whole, .territory("north")])

    static func record(
        _ row: Row, at position: Position = 1, alive: Bool = true, audience: Audience = whole,
        insertedBy: RecordID? = id(900), clock: RowClock? = nil
    ) -> StoredRecord {
        StoredRecord(
            state: RecordState(
                row: row, clock: clock ?? RowClock(created: [writer(position)]), isAlive: alive),
            audience: audience, position: position, insertedBy: insertedBy)
    }

    static func customerRow(
        _ name: String, phone: Value = .null, territory: Value = .null, owner: Value = .null
    ) -> Row {
        Row([
            .text(name), phone, territory, owner, .text("[\"a\",\"ب\"]"), .integer(-5), .text("EUR"), .real(1.5),
            .blob([0, 255, 7]), .integer(3),
        ])
    }

    static func territoryRow(_ name: String) -> Row { Row([.text(name), .null]) }

    static func entry(
        _ position: Position, kind: LogEntry.Kind = .commit, commit number: UInt64? = nil,
        effects: [LogEffect] = []
    ) -> LogEntry {
        LogEntry(
            position: position, kind: kind, dot: Dot(site: site, seq: position),
            commit: commit(number ?? UInt64(position)),
            stamp: HLC(milliseconds: 1_700_000_000_000 + position, counter: 9), user: position % 2 == 0 ? nil : id(900),
            clock: VectorClock(
                lineage: Lineage([Era(epoch: epoch(1), after: 0)]), anchor: position - 1,
                dots: [Dot(site: site, seq: position)], former: [commit(77)]),
            effects: effects, answer: Answer(), time: 1_700_000_000_500 + position,
            chain: UUIDBits(high: 1, low: UInt64(position)))
    }

    static func effect(_ key: RecordKey, after: Row? = nil) -> LogEffect {
        LogEffect(
            key: key, replaced: [], after: after, audienceBefore: nil, audienceAfter: after == nil ? nil : whole,
            isMove: false, isNamed: true, correction: .none, writers: [])
    }
}
