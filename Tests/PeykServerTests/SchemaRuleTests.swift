import PeykMerge
import PeykModel
import PeykServer
import PeykSession
import Testing

@Suite("Rules T: schema")
struct SchemaRuleTests {
    @discardableResult
    private func apply(_ office: Office, _ document: JSON) throws -> JSON {
        switch Admin(office.workspace).run(.applySchema(document)) {
        case .done(let change): return change
        case .failed(let failure): throw failure
        }
    }

    private func refusal(_ office: Office, _ document: JSON) throws -> String {
        let version = try office.workspace.schema().version
        let checked = Admin(office.workspace).run(.checkSchema(document))
        guard case .failed(let failure) = Admin(office.workspace).run(.applySchema(document)) else {
            throw TestFailure("the schema was taken")
        }
        #expect(failure.kind == .data)
        #expect(checked == .failed(failure), "check says what apply says")
        #expect(try office.workspace.schema().version == version)
        return failure.message
    }

    @Test("T2: a value sealed before its field was retired is taken; one sealed after is refused")
    func sealedVersion() throws {
        let team = try Team()
        try apply(team.office, ["retire": ["customer.phone"]])
        let old = team.ann.set("customer", team.customer, ["phone": "old", "name": "by Ann"])
        team.ben.schemaVersion = 2
        let new = team.ben.set("customer", team.customer, ["phone": "new", "street": "by Ben"])
        try team.syncAll()
        #expect(team.ann.answers[old.id]?.notices.contains { $0.code.parks } == false)
        #expect(team.ben.answers[new.id]?.notices.map(\.code).contains(.retired) == true)
        #expect(try team.office.value("customer", team.customer, "phone") == "old")
        #expect(try team.office.value("customer", team.customer, "street") == "by Ben", "the other cell stands (M6)")
        try team.check()
    }

    @Test(
        "T2: a version that is newer than the server's waits for it, one that never was is refused", arguments: [0, 7])
    func unknownVersion(version: Int64) throws {
        let team = try Team()
        team.ann.schemaVersion = version
        let commit = team.ann.set("customer", team.customer, ["name": "x"])
        try team.syncAll()
        #expect(team.ann.answers[commit.id]?.verdict != .merged)
        if version == 0 { #expect(team.ann.answers[commit.id]?.notices.map(\.code) == [.invalid]) }
        #expect(try team.office.value("customer", team.customer, "name") == "Acme")
        try team.check()
    }

    @Test("T2: a drop is refused while a live device may have edits of the old shape, and names it")
    func dropRefused() throws {
        let team = try Team()
        #expect(try refusal(team.office, ["drop": ["customer.phone"]]).contains("retire it first"))
        #expect(
            try refusal(team.office, ["retire": ["customer.phone"], "drop": ["customer.phone"]]).contains(
                "retire it first"))
        let edit = team.ben.set("customer", team.customer, ["phone": "unsynced"])
        try apply(team.office, ["retire": ["customer.phone"]])
        for device in [team.ann, team.manager] { try device.sync() }
        let held = try refusal(team.office, ["drop": ["customer.phone"]])
        #expect(
            held.contains("Ben’s laptop") && !held.contains("Ann") && held.contains("unsynced edits of the old shape"))
        // Pulled past the retirement, and the edit still on the way.
        try team.ben.connect()
        try team.ben.pull()
        try team.ben.confirm()
        #expect(try refusal(team.office, ["drop": ["customer.phone"]]).contains("1 unsynced commits declared"))
        try team.ben.sync()
        #expect(team.ben.answers[edit.id]?.isPlain == true)
        #expect(try apply(team.office, ["drop": ["customer.phone"]])["dropped"] == ["customer.phone"])
    }

    @Test("T2: what is dropped is emptied everywhere, and stays empty whatever an expired device brings")
    func dropped() throws {
        let team = try Team()
        let workspace = team.office.workspace
        try workspace.setRetention(lease: 86_400)
        let ids = (0..<300).map { Sample.id(UInt64(7_000 + $0)) }
        team.manager.commit(
            ids.map {
                Sample.insert(
                    "customer", $0, ["name": "x", "phone": "5", "territory_id": Value(Office.north), "visits": 3])
            })
        try team.syncAll()
        let late = team.ben.set("customer", ids[0], ["phone": "late", "name": "late"])
        let visit = team.ben.commit([Sample.update("customer", ids[1], ["visits": 1], on: nil)])
        try apply(team.office, ["retire": ["customer.phone", "customer.visits"]])
        try team.office.serve(minutes: 1_300)
        for device in [team.ann, team.manager] { try device.sync() }
        try team.office.serve(minutes: 150)
        #expect(try workspace.collectAll().expired == [team.ben.site])
        try apply(team.office, ["drop": ["customer.phone", "customer.visits"]])
        for id in ids {
            #expect(try team.office.value("customer", id, "phone") == .null)
            #expect(try team.office.value("customer", id, "visits") == 0, "its standing value")
        }
        try team.syncAll()
        #expect(team.ben.answers[late.id]?.notices.map(\.code).contains(.retired) == true)
        #expect(team.ben.answers[visit.id]?.verdict == .refused)
        #expect(try team.office.value("customer", ids[0], "phone") == .null)
        #expect(try team.office.value("customer", ids[0], "name") == "late")
        #expect(team.manager.value("customer", ids[9], "phone") == .null)
        try team.check()
        let head = try workspace.head()
        try workspace.collectAll()
        #expect(try workspace.head() == head, "there is nothing more to empty")
    }

    @Test("T2: a retired table takes no new records, a dropped one has none")
    func table() throws {
        let team = try Team()
        let task = Sample.id(800)
        team.ann.insert("task", task, ["subject": "call", "owner_id": Value(team.ann.user)])
        try team.syncAll()
        try apply(team.office, ["retire": ["task"]])
        let old = team.ann.insert("task", Sample.id(801), ["subject": "old", "owner_id": Value(team.ann.user)])
        try team.syncAll()
        team.ann.schemaVersion = 2
        let new = team.ann.insert("task", Sample.id(802), ["subject": "new", "owner_id": Value(team.ann.user)])
        let gone = team.ann.delete("task", Sample.id(801))
        try team.syncAll()
        #expect(team.ann.answers[old.id]?.isPlain == true)
        #expect(team.ann.answers[new.id]?.notices.map(\.code) == [.retired])
        #expect(team.ann.answers[gone.id]?.isPlain == true)
        try apply(team.office, ["drop": ["task"]])
        try team.syncAll()
        #expect(try team.office.row("task", task) == nil)
        #expect(team.ann.rows.keys.allSatisfy { $0.table != Sample.table("task") })
        try team.check()
    }

    @Test("T2: a dropped field is emptied in a retired table, and in one whose records never change")
    func droppedInClosedTables() throws {
        let team = try Team()
        let (task, activity) = (Sample.id(810), Sample.id(811))
        team.ann.insert("task", task, ["subject": "call", "owner_id": Value(team.ann.user)])
        team.ann.insert("activity", activity, ["subject": "met", "customer_id": Value(team.customer)])
        try team.syncAll()
        try apply(team.office, ["retire": ["task", "task.subject", "activity.subject"]])
        try team.syncAll()
        try apply(team.office, ["drop": ["task.subject", "activity.subject"]])
        #expect(try team.office.value("task", task, "subject") == .null)
        #expect(try team.office.value("task", task, "owner_id") == Value(team.ann.user))
        #expect(try team.office.value("activity", activity, "subject") == .null)
        try team.syncAll()
        try team.check()
    }

    @Test("T2, D2: what comes back has nothing of what was dropped meanwhile, and into a dropped table nothing comes")
    func revivedAfterDrop() throws {
        let team = try Team()
        let (customer, task) = (Sample.id(830), Sample.id(831))
        team.manager.insert("customer", customer, ["name": "C", "phone": "5", "territory_id": Value(Office.north)])
        team.manager.insert("task", task, ["subject": "call", "owner_id": Value(team.manager.user)])
        try team.syncAll()
        team.manager.delete("customer", customer)
        team.manager.delete("task", task)
        try team.syncAll()
        try apply(team.office, ["retire": ["customer.phone", "task"]])
        try team.syncAll()
        try apply(team.office, ["drop": ["customer.phone", "task"]])
        team.manager.commit([], [Operation(kind: .revive, table: Sample.table("customer"), record: customer)])
        let other = team.manager.commit([], [Operation(kind: .revive, table: Sample.table("task"), record: task)])
        try team.syncAll()
        #expect(try team.office.value("customer", customer, "name") == "C")
        #expect(try team.office.value("customer", customer, "phone") == .null)
        #expect(team.manager.answers[other.id]?.notices.map(\.code) == [.retired])
        #expect(try team.office.row("task", task) == nil)
        try team.check()
    }

    @Test("T2, B1: pages, records and digests of a later schema are not for a session of the former one")
    func laterSchema() throws {
        let team = try Team()
        try team.ann.connect()
        let context = try #require(team.ann.context)
        let mark = BackfillMark(scope: team.ann.held, table: 0, last: nil, firstPosition: 0, lastPosition: 0)
        let workspace = team.office.workspace
        _ = try workspace.page(for: context, after: mark)
        try apply(team.office, ["add": ["fields": ["customer": [["name": "size", "type": "integer"]]]]])
        let key = RecordKey(table: Sample.table("customer"), record: team.customer)
        for ask in [
            { _ = try workspace.page(for: context, after: mark) },
            { _ = try workspace.records([key], for: context) },
            { _ = try workspace.digest(DigestRequest(), for: context) },
        ] {
            let refusal = #expect(throws: Refusal.self) { try ask() }
            #expect(refusal?.code == .scopeChanged, "the device comes again, and is told of the schema")
        }
    }

    @Test("T2: an enum gets more words by a whole schema, once")
    func words() throws {
        let team = try Team()
        let addition: JSON = [
            "add": ["fields": ["customer": [["name": "rating", "type": "enum", "values": ["a", "b"]]]]]
        ]
        try apply(team.office, addition)
        let text = try team.office.workspace.schema().json.text
        let wider = try JSON(parsing: text.replacing(#"["a","b"]"#, with: #"["a","b","c"]"#))
        #expect(try apply(team.office, wider)["changed"] == ["customer.rating"])
        let schema = try team.office.workspace.schema()
        #expect(schema.version == 3)
        let customer = try #require(schema.table(named: "customer"))
        let rating = try #require(customer.fieldIndex("rating"))
        #expect(customer.fields[rating].type == .enumeration(["a", "b", "c"]))
        let again = try apply(team.office, wider)
        #expect(again["changes"] == false && again["changed"] == [])
    }

    static let needed: [(String, JSON, String)] = [
        ("an audience field", ["retire": ["customer.territory_id"]], "whose the records are"),
        ("a parent", ["retire": ["contact.customer_id"]], "what they belong to"),
        ("a required field without a default", ["retire": ["customer.name"]], "required"),
        ("half of a group", ["retire": ["customer.street"]], "group"),
        ("a field that is not there", ["retire": ["customer.fax"]], "no such field"),
        ("a table that is not there", ["drop": ["invoice"]], "no such table"),
        ("a table that others need", ["retire": ["territory"], "drop": ["territory"]], "still needed"),
    ]

    @Test("T2: what cannot be given up is refused with its reason", arguments: needed)
    func refused(_ name: String, _ document: JSON, _ reason: String) throws {
        let office = try Office()
        #expect(try refusal(office, document).contains(reason))
    }

    @Test("T2: type, policy, group, parent and order never change, and the reason says so")
    func neverChanges() throws {
        let office = try Office()
        let text = try office.workspace.schema().json.text
        for (old, new, reason) in [
            (#""name":"visits","policy":"counter""#, #""name":"visits","policy":"lww""#, "never change"),
            (
                #""name":"city","policy":"lww","type":"text""#, #""name":"city","policy":"lww","type":"integer""#,
                "never change"
            ),
            (#""group":"address","name":"street""#, #""name":"street""#, "never change"),
            (#""parents":["customer_id"]"#, #""owner":"x","parents":["customer_id"]"#, "kind never changes"),
        ] {
            let changed = text.replacing(old, with: new)
            #expect(changed != text, "\(old) is not in \(text)")
            #expect(try refusal(office, JSON(parsing: changed)).contains(reason))
        }
    }

    @Test("P25: what a newer schema added survives the edits of an older client")
    func olderClient() throws {
        let team = try Team()
        try apply(
            team.office,
            [
                "add": [
                    "fields": ["customer": [["name": "size", "type": "integer"]]],
                    "tables": [["name": "brand", "kind": "reference", "fields": [["name": "label", "type": "text"]]]],
                ]
            ])
        let size = Sample.schema.table(named: "customer")?.fields.count ?? 0
        let brand = Sample.schema.tables.count
        try team.office.workspace.serverCommit([
            Change(
                table: Sample.table("customer"), record: team.customer, kind: .update,
                cells: [CellChange(cell: size, write: .assign([7]))]),
            Change(
                table: brand, record: Sample.id(900), kind: .insert,
                cells: [CellChange(cell: 0, write: .assign(["Peyk"]))]),
        ])
        // Ann is offline with the first schema; her commit is sealed under it.
        team.ann.set("customer", team.customer, ["name": "by Ann", "city": "Shiraz"])
        team.ann.commit([Sample.update("customer", team.customer, ["visits": 2], on: nil)])
        try team.ann.connect()
        try team.ann.push()
        let row = try #require(try team.office.row("customer", team.customer))
        #expect(row[size] == 7)
        #expect(row[Sample.field("customer", "name")] == "by Ann")
        #expect(row[Sample.field("customer", "visits")] == 2)
        let welcome = try team.ben.connect()
        #expect(welcome.schemaVersion == 2 && welcome.schema != nil)
    }
}
