import PeykMerge
import PeykModel
import PeykServer
import PeykSession
import Testing

@Suite("References and uniqueness")
struct ReferenceRuleTests {
    @Test("F50: a cascade is a delete for each child, also where the parent is named first (D1, P22)")
    func cascade() throws {
        let team = try Team()
        let parent = Sample.id(900)
        let children = (0..<100).map { Sample.id(UInt64(1_000 + $0)) }
        team.ann.insert("customer", parent, ["name": "P", "territory_id": Value(Office.north)])
        team.ann.commit(children.map { Sample.insert("contact", $0, ["name": "c", "customer_id": Value(parent)]) })
        try team.syncAll()
        let commit = team.ben.commit(
            [Sample.delete("customer", parent)] + children.map { Sample.delete("contact", $0) })
        try team.syncAll()
        #expect(team.ben.answers[commit.id]?.isPlain == true)
        for key in children.map({ Sample.key("contact", $0) }) + [Sample.key("customer", parent)] {
            #expect(try team.office.store.read { try $0.record(key)?.state.isAlive } == false)
        }
        let heard = try #require(team.ann.heard.last { $0.commit == commit.id })
        #expect(heard.effects.count == 101 && heard.effects.allSatisfy { $0.kind == .delete })
        try team.check()
    }

    @Test("F90: a parent deleted while a child is inserted elsewhere: the sync ends, the parent is back (D1, P22, P27)")
    func orphan() throws {
        let team = try Team()
        let parent = Sample.id(900)
        team.ann.insert("customer", parent, ["name": "P", "territory_id": Value(Office.north)])
        try team.syncAll()
        team.ann.delete("customer", parent)
        let child = team.ben.insert("contact", Sample.id(901), ["name": "c", "customer_id": Value(parent)])
        try team.syncAll()
        #expect(team.ben.answers[child.id]?.verdict == .merged)
        #expect(try team.office.value("customer", parent, "name") == "P")
        #expect(try team.office.value("contact", Sample.id(901), "customer_id") == Value(parent))
        try team.check()
    }

    // MARK: - Cycles

    /// A table of folders in folders, which the sample lacks.
    private func folders() throws -> (Team, Int) {
        let team = try Team()
        let index = Sample.schema.tables.count
        var next = try team.office.workspace.schema()
        next = Schema(
            version: next.version + 1,
            tables: Array(next.ownTables) + [
                Table(
                    "folder", .child(parents: ["folder_id", "customer_id"], owner: nil),
                    fields: [
                        Field("folder_id", .reference(table: "folder"), hard: true),
                        Field("customer_id", .reference(table: "customer"), hard: true), Field("name", .text),
                    ])
            ])
        try team.office.workspace.adopt(next)
        for device in [team.ann, team.ben, team.manager] { device.schemaVersion = 2 }
        return (team, index)
    }

    private func folder(_ table: Int, _ number: UInt64, _ kind: Change.Kind, _ values: [(Int, Value)]) -> Change {
        Change(
            table: table, record: Sample.id(number), kind: kind,
            cells: values.map { CellChange(cell: $0.0, write: .assign([$0.1])) })
    }

    private func push(_ device: Device, _ changes: [Change]) throws -> Answer? {
        try device.connect()
        let commit = device.commit(changes)
        try device.push([commit])
        device.pending = []
        return try device.office.log().first { $0.commit == commit.id }?.answer
    }

    @Test("two moves that would close a circle of parents: the second is refused (D3, P22)")
    func circle() throws {
        let (team, table) = try folders()
        let top = Value(team.customer)
        #expect(
            try push(
                team.ann,
                [folder(table, 1, .insert, [(1, top)]), folder(table, 2, .insert, [(1, top)])])?.isPlain == true)
        #expect(try push(team.ann, [folder(table, 1, .update, [(0, Value(Sample.id(2)))])])?.isPlain == true)
        let second = try push(team.ben, [folder(table, 2, .update, [(0, Value(Sample.id(1)))])])
        #expect(second?.notices.map(\.code) == [.reference])
        let inOne = try push(
            team.ben,
            [
                folder(table, 3, .insert, [(0, Value(Sample.id(4)))]),
                folder(table, 4, .insert, [(0, Value(Sample.id(3)))]),
            ])
        #expect(inOne?.verdict == .refused, "two new folders, each in the other")
        let rules = AudienceRules(schema: try team.office.workspace.schema())
        try team.office.store.read { reader in
            try reader.records(of: table, after: nil) { id, record in
                var seen: Set<RecordID> = [id]
                var next = rules.parent(table: table, row: record.state.row)
                while let parent = next, parent.table == table {
                    #expect(seen.insert(parent.record).inserted, "a circle at \(id)")
                    guard seen.count < 100 else { break }
                    next = try reader.record(RecordKey(table: table, record: parent.record))
                        .flatMap { rules.parent(table: table, row: $0.state.row) }
                }
                return true
            }
        }
    }

    @Test("a record cannot be its own parent; a soft reference to itself, or in a circle, stands (D3)")
    func selfReference() throws {
        let (team, table) = try folders()
        let own = try push(team.ann, [folder(table, 7, .insert, [(0, Value(Sample.id(7)))])])
        #expect(own?.notices.map(\.code) == [.reference])
        team.manager.schemaVersion = 1
        let a = Sample.id(910)
        let b = Sample.id(911)
        let north = Value(Office.north)
        team.manager.commit([
            Sample.insert("customer", a, ["name": "a", "territory_id": north, "referrer_id": Value(b)]),
            Sample.insert("customer", b, ["name": "b", "territory_id": north, "referrer_id": Value(a)]),
        ])
        team.manager.set("customer", team.customer, ["referrer_id": Value(team.customer)])
        try team.manager.sync()
        #expect(try team.office.value("customer", a, "referrer_id") == Value(b))
        #expect(try team.office.value("customer", team.customer, "referrer_id") == Value(team.customer))
        team.manager.delete("customer", a)
        try team.manager.sync()
        #expect(try team.office.value("customer", b, "referrer_id") == .null, "the target is gone")
    }

    // MARK: - Parents out of scope

    @Test(
        "F88: a parent out of scope: the child is refused; a lender's customer comes with it, to be read (S2, P21, P22)"
    )
    func outOfScope() throws {
        let office = try Office()
        let ann = try office.device(try office.user(1, "Ann", .rep, [Office.north]), key: 1)
        let sara = try office.device(try office.user(2, "Sara", .rep, [Office.south]), key: 2)
        let mona = try office.device(try office.user(3, "Mona", .manager), key: 3)
        let customer = Sample.id(500)
        let deal = Sample.id(600)
        ann.insert("customer", customer, ["name": "Acme", "territory_id": Value(Office.north)])
        try ann.sync()
        try sara.sync()
        let child = sara.insert("contact", Sample.id(501), ["name": "c", "customer_id": Value(customer)])
        try sara.sync()
        #expect(sara.answers[child.id]?.notices.map(\.code) == [.unknownParent], "as if it did not exist")
        #expect(sara.rows[Sample.key("customer", customer)] == nil)
        // An opportunity of the south under a customer of the north.
        try mona.sync()
        mona.insert(
            "opportunity", deal,
            ["name": "Deal", "customer_id": Value(customer), "territory_id": Value(Office.south)])
        for _ in 0..<2 { for device in [mona, sara, ann] { try device.sync() } }
        #expect(sara.value("customer", customer, "name") == "Acme", "no dangling reference on her replica")
        let edit = sara.set("customer", customer, ["name": "hers"])
        try sara.sync()
        #expect(sara.answers[edit.id]?.notices.map(\.code) == [.scope])
        for device in [ann, sara, mona] {
            try device.sync()
            #expect(try device.rows == device.expected())
        }
        // It moves away: the customer leaves with it.
        mona.set("opportunity", deal, ["territory_id": Value(Office.north)])
        for device in [mona, sara] { try device.sync() }
        #expect(sara.rows[Sample.key("customer", customer)] == nil && sara.rows[Sample.key("opportunity", deal)] == nil)
        #expect(try sara.rows == sara.expected())
    }

    // MARK: - Uniqueness

    @Test(
        "D4, P23: concurrent rows that collide both stay, whoever comes first; sync stops for nobody",
        arguments: [true, false])
    func collision(annFirst: Bool) throws {
        let team = try Team()
        let a = Sample.id(920)
        let b = Sample.id(921)
        let north = Value(Office.north)
        team.ann.insert("customer", a, ["name": "a", "phone": "5", "territory_id": north])
        team.ben.insert("customer", b, ["name": "b", "phone": "5", "territory_id": north])
        let order = annFirst ? [team.ann, team.ben] : [team.ben, team.ann]
        for device in order { try device.sync() }
        try team.syncAll()
        for id in [a, b] { #expect(try team.office.value("customer", id, "phone") == "5") }
        let entries = try team.office.ledger().filter { $0["kind"] == "duplicate" }
        #expect(
            entries.map { $0["record_id"] } == [Value(annFirst ? b : a)], "the later position is the probable duplicate"
        )
        #expect(entries.map { $0["state"] } == ["open"])
        try team.check()
        // A third one, by update.
        team.manager.set("customer", team.customer, ["phone": "5"])
        try team.manager.sync()
        try team.syncAll()
        #expect(try team.office.ledger().filter { $0["kind"] == "duplicate" }.count == 2)
        try team.check()
    }
}
