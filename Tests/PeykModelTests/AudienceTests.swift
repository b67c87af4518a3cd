import PeykModel
import Testing

@Suite("Who belongs together (D3, S1, S2)")
struct AudienceTests {
    static let north = FieldSales.id(100)
    static let south = FieldSales.id(101)
    static let ana = FieldSales.id(200)
    static let bob = FieldSales.id(201)

    /// Records by table name and number.
    struct World {
        var rows: [RecordKey: Row] = [:]
        let rules = AudienceRules(schema: FieldSales.schema)

        @discardableResult
        mutating func put(_ table: String, _ number: UInt64, _ values: [String: Value]) throws -> RecordID {
            let index = try #require(FieldSales.schema.tableIndex(table))
            rows[RecordKey(table: index, record: FieldSales.id(number))] = try FieldSales.row(table, values)
            return FieldSales.id(number)
        }

        func audience(_ table: String, _ number: UInt64) throws -> Audience {
            let index = try #require(FieldSales.schema.tableIndex(table))
            let id = FieldSales.id(number)
            let row = try #require(rows[RecordKey(table: index, record: id)])
            return rules.audience(
                table: index, record: id, row: row, rows: { rows[RecordKey(table: $0, record: $1)] },
                borrowers: { table, record in
                    rows.filter { key, row in
                        rules.lent(table: key.table, row: row).map { $0.table == table && $0.record == record } ?? false
                    }.map { ($0.key.table, $0.value) }
                })
        }
    }

    static func world() throws -> World {
        var world = World()
        let customer = try world.put(
            "customer", 1, ["name": .text("C"), "territory": Value(north), "owner": Value(ana)])
        let opportunity = try world.put(
            "opportunity", 2, ["customer": Value(customer), "territory": Value(south), "owner": Value(bob)])
        try world.put("activity", 3, ["opportunity": Value(opportunity), "customer": Value(customer)])
        try world.put("activity", 4, ["customer": Value(customer)])
        try world.put("activity", 5, ["owner": Value(ana)])
        try world.put("activity", 6, [:])
        try world.put("comment", 7, ["activity": Value(FieldSales.id(4))])
        try world.put("task", 8, ["owner": Value(ana)])
        try world.put("stage", 9, [:])
        try world.put("customer", 10, ["name": .text("none")])
        try world.put(
            "customer", 11, ["name": .text("team"), "team": .text(ValueSet([ana.description, bob.description]).json)])
        return world
    }

    static func territory(_ id: RecordID) -> Bucket { .territory(id.description) }
    static func user(_ id: RecordID) -> Bucket { .user(id.description) }

    @Test("a root belongs to its territory and owner, and to the managers' whole")
    func root() throws {
        let audience = try Self.world().audience("opportunity", 2)
        #expect(audience.home == [.whole, Self.territory(Self.south), Self.user(Self.bob)].sorted())
        #expect(audience.readers == audience.home)
    }

    @Test("a root is lent to where an opportunity under it is: read, not written (S2)")
    func lent() throws {
        let audience = try Self.world().audience("customer", 1)
        #expect(audience.home == [.whole, Self.territory(Self.north), Self.user(Self.ana)].sorted())
        #expect(audience.readers == (audience.home + [Self.territory(Self.south), Self.user(Self.bob)]).sorted())
        let bob = Role.rep.grant(user: Self.bob.description, territories: [], version: 1)
        #expect(bob.reads(audience))
        #expect(!bob.writes(audience))
    }

    @Test("a child inherits from the first parent that is not null, through any number of parents (D3)")
    func children() throws {
        let world = try Self.world()
        #expect(try world.audience("activity", 3) == world.audience("opportunity", 2))
        #expect(try world.audience("activity", 4) == world.audience("customer", 1))
        #expect(try world.audience("comment", 7) == world.audience("customer", 1))
        #expect(try world.audience("activity", 5).home == [.whole, Self.user(Self.ana)].sorted())
        #expect(try world.audience("activity", 6).home == [.unassigned, .whole].sorted())
    }

    @Test("the buckets of an audience are sorted, each once, and its readers hold its home (S2)")
    func buckets() {
        let audience = Audience(
            home: [.user("b"), .territory("a"), .user("b")], lent: [.territory("a"), .user("a")])
        #expect(audience.home == [.territory("a"), .user("b")])
        #expect(audience.readers == [.territory("a"), .user("a"), .user("b")])
        #expect(Audience(home: [.whole]).readers == [.whole])
    }

    @Test("with neither territory nor owner a root is unassigned; collaborators are readers and writers (S2)")
    func unassigned() throws {
        let world = try Self.world()
        #expect(try world.audience("customer", 10).home == [.unassigned, .whole].sorted())
        let team = try world.audience("customer", 11)
        #expect(team.home == [.unassigned, .whole, Self.user(Self.ana), Self.user(Self.bob)].sorted())
    }

    @Test("private records are their owner's alone, reference data everybody's")
    func others() throws {
        let world = try Self.world()
        #expect(try world.audience("task", 8) == Audience(home: [.personal(Self.ana.description)]))
        #expect(try world.audience("stage", 9) == Audience(home: [.everyone]))
        let admin = Role.admin.grant(user: Self.bob.description, territories: [], version: 1)
        #expect(!admin.reads(try world.audience("task", 8)))
        #expect(admin.writes(try world.audience("stage", 9)))
    }

    @Test("a record without its parent belongs to nobody, and so does one in a circle")
    func orphans() throws {
        var world = try Self.world()
        try world.put("activity", 20, ["customer": Value(FieldSales.id(999))])
        #expect(try world.audience("activity", 20) == .nobody)
        let loop = Table("loop", .child(parents: ["up"], owner: nil), fields: [Field("up", .reference(table: "loop"))])
        let rules = AudienceRules(schema: Schema(version: 1, tables: [loop]))
        let row = Row([Value(FieldSales.id(1))])
        let audience = rules.audience(
            table: 1, record: FieldSales.id(1), row: row, rows: { _, _ in row }, borrowers: { _, _ in [] })
        #expect(audience == .nobody)
        #expect(
            rules.audience(
                table: 9, record: FieldSales.id(1), row: row, rows: { _, _ in nil }, borrowers: { _, _ in [] })
                == .nobody)
    }

    @Test("a ledger entry goes where its record goes (M7)")
    func ledger() throws {
        var world = try Self.world()
        try world.put("peyk_ledger", 30, ["table_name": .text("activity"), "record_id": Value(FieldSales.id(4))])
        #expect(try world.audience("peyk_ledger", 30) == world.audience("customer", 1))
        let parent = world.rules.parent(table: 0, row: Row([.text("nowhere"), .text("x")]))
        #expect(parent == nil)
    }

    struct Grants: Sendable {
        var role: Role
        var territories: [String]
        var reads: [Bucket]
        var writes: [Bucket]
    }

    static let grants: [Grants] = {
        let own: [Bucket] = [.user("u"), .personal("u")]
        return [
            Grants(
                role: .rep, territories: ["n"], reads: own + [.territory("n"), .everyone],
                writes: own + [.territory("n")]),
            Grants(
                role: .manager, territories: ["n"], reads: own + [.territory("n"), .unassigned, .everyone],
                writes: own + [.territory("n"), .unassigned]),
            Grants(role: .manager, territories: [], reads: own + [.whole, .everyone], writes: own + [.whole]),
            Grants(
                role: .admin, territories: ["n"], reads: own + [.whole, .everyone], writes: own + [.whole, .everyone]),
            Grants(
                role: .viewer, territories: ["n"], reads: own + [.territory("n"), .everyone], writes: [.personal("u")]),
            Grants(role: .viewer, territories: [], reads: own + [.whole, .everyone], writes: [.personal("u")]),
        ]
    }()

    @Test("roles read and write their buckets", arguments: grants)
    func roles(_ value: Grants) {
        let grant = value.role.grant(user: "u", territories: value.territories, version: 3)
        #expect(grant == Grant(read: value.reads, write: value.writes, version: 3))
    }

    @Test("a scope holds what shares a bucket with it")
    func held() throws {
        let world = try Self.world()
        let scope = HeldScope(buckets: [Self.territory(Self.south), .everyone, .everyone], version: 1)
        #expect(scope.buckets.count == 2)
        #expect(scope.holds(try world.audience("customer", 1)))
        #expect(!scope.holds(try world.audience("customer", 10)))
        #expect(!HeldScope.empty.holds(try world.audience("stage", 9)))
    }
}
