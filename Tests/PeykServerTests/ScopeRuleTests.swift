import PeykModel
import PeykServer
import PeykSession
import Testing

@Suite("Rules S: scope")
struct ScopeRuleTests {
    /// Ann has the north, Sam the south.
    struct Border {
        let office: Office
        let ann: Device
        let sam: Device
        let manager: Device
        let customer = Sample.id(500)
        let contact = Sample.id(510)

        init() throws {
            office = try Office()
            ann = try office.device(try office.user(1, "Ann", .rep, [Office.north]), key: 1)
            sam = try office.device(try office.user(2, "Sam", .rep, [Office.south]), key: 2)
            manager = try office.device(try office.user(3, "Mona", .manager), key: 3)
            try ann.sync()
            ann.commit([
                Sample.insert("customer", customer, ["name": "Acme", "territory_id": Value(Office.north)]),
                Sample.insert("contact", contact, ["name": "C", "customer_id": Value(customer)]),
            ])
            try syncAll()
        }

        func syncAll() throws {
            for _ in 0..<2 { for device in [ann, sam, manager] { try device.sync() } }
        }

        func check(sourceLocation: SourceLocation = #_sourceLocation) throws {
            for device in [ann, sam, manager] {
                #expect(try device.rows == device.expected(), sourceLocation: sourceLocation)
                #expect(device.digestFaults == 0, sourceLocation: sourceLocation)
            }
        }

        func move() throws {
            manager.set("customer", customer, ["territory_id": Value(Office.south)])
            try manager.sync()
        }
    }

    @Test("S1: a widened grant ends the session, brings the added rows by pages, and the log after them")
    func widen() throws {
        let border = try Border()
        try border.ann.connect()
        try border.office.user(1, "Ann", .rep, [Office.north, Office.south])
        border.sam.insert("customer", Sample.id(520), ["name": "South", "territory_id": Value(Office.south)])
        try border.sam.sync()
        #expect(throws: Refusal.self) { try border.ann.pull() }
        let context = try #require(border.ann.context)
        #expect(try border.office.workspace.standing(of: context)?.code == .scopeChanged)
        let welcome = try border.ann.connect()
        guard case .widen(let added) = welcome.entrance else {
            Issue.record("expected to widen, got \(welcome.entrance)")
            return
        }
        #expect(added == [.territory(Office.south.description)])
        try border.ann.pull()
        #expect(border.ann.value("customer", Sample.id(520), "name") == "South")
        try border.syncAll()
        try border.check()
    }

    @Test("S1: a narrowed grant lets the rest go at welcome; the server sends no list")
    func narrow() throws {
        let border = try Border()
        try border.office.user(1, "Ann", .rep, [])
        try border.ann.sync()
        #expect(border.ann.rows[Sample.key("customer", border.customer)] == nil)
        #expect(border.ann.rows[Sample.key("contact", border.contact)] == nil)
        try border.check()
    }

    @Test("S1, P20: with a changed grant no more pages, records, digests or histories come in the open session")
    func openSession() throws {
        let border = try Border()
        try border.ann.connect()
        let context = try #require(border.ann.context)
        let workspace = border.office.workspace
        let key = Sample.key("customer", border.customer)
        try border.office.user(1, "Ann", .rep, [])
        for ask in [
            ClientMessage.fetch([key]), .digest(DigestRequest()), .history(HistoryRequest(key: key)),
        ] {
            let refusal = #expect(throws: Refusal.self) { try workspace.answer(ask, for: context) }
            #expect(refusal?.code == .scopeChanged)
        }
        let mark = BackfillMark(scope: border.ann.held, table: 0, last: nil, firstPosition: 0, lastPosition: 0)
        #expect(throws: Refusal.self) { try workspace.page(for: context, after: mark) }
    }

    @Test("S2: a customer is read, not written, wherever an opportunity under it is")
    func lending() throws {
        let border = try Border()
        let deal = Sample.id(530)
        let values: [String: Value] = [
            "name": "Deal", "customer_id": Value(border.customer), "territory_id": Value(Office.south),
        ]
        border.manager.insert("opportunity", deal, values)
        try border.syncAll()
        #expect(border.sam.value("customer", border.customer, "name") == "Acme")
        #expect(border.sam.value("contact", border.contact, "name") == "C")
        let write = border.sam.set("customer", border.customer, ["phone": "1"])
        let child = border.sam.insert(
            "contact", Sample.id(531), ["name": "D", "customer_id": Value(border.customer)])
        let fine = border.sam.set("opportunity", deal, ["amount": 5, "currency": "EUR"])
        try border.syncAll()
        for commit in [write, child] {
            #expect(border.sam.answers[commit.id]?.notices.map(\.code) == [.scope])
        }
        #expect(border.sam.answers[fine.id]?.isPlain == true)
        try border.check()
        border.manager.delete("opportunity", deal)
        try border.syncAll()
        #expect(border.sam.rows[Sample.key("customer", border.customer)] == nil, "what was lent goes with it")
        try border.check()
    }

    @Test("S3: a move carries full images down the tree; what leaves is evicted, not deleted")
    func moves() throws {
        let border = try Border()
        try border.move()
        let entry = try #require(try border.office.log().last)
        #expect(Set(entry.effects.filter(\.isMove).map(\.key.record)) == [border.customer, border.contact])
        try border.ann.connect()
        try border.ann.pull()
        let seen = try #require(border.ann.heard.last)
        #expect(Set(seen.effects.map(\.kind)) == [.evict(.moved)])
        #expect(border.ann.rows[Sample.key("contact", border.contact)] == nil)
        try border.syncAll()
        #expect(border.sam.value("contact", border.contact, "name") == "C")
        try border.check()
    }

    @Test("K7, P20: a fetched record was deleted, or is nothing to one who may not read it, as if it had never been")
    func fetchedRecords() throws {
        let border = try Border()
        let fetched = { (device: Device, record: RecordID) in
            let context = try #require(device.context)
            return try border.office.workspace.records([Sample.key("customer", record)], for: context).effects
        }
        let hidden = Sample.id(530)
        border.sam.insert("customer", hidden, ["name": "South", "territory_id": Value(Office.south)])
        try border.syncAll()
        border.ann.commit([
            Sample.delete("contact", border.contact), Sample.delete("customer", border.customer),
        ])
        border.sam.delete("customer", hidden)
        try border.syncAll()
        try border.ann.connect()
        #expect(try fetched(border.ann, border.customer).map(\.kind) == [.delete])
        #expect(try fetched(border.ann, hidden).map(\.kind) == [.evict(.moved)])
        #expect(try fetched(border.ann, Sample.id(531)).map(\.kind) == [.evict(.moved)])
    }

    @Test("S4: edits made while she had the record are merged and handed off; the new rep has it all")
    func handedOff() throws {
        let border = try Border()
        let edit = border.ann.set("customer", border.customer, ["phone": "offline"])
        let child = border.ann.insert(
            "contact", Sample.id(540), ["name": "New", "customer_id": Value(border.customer)])
        let own = border.ann.insert("customer", Sample.id(541), ["name": "Own", "territory_id": Value(Office.north)])
        try border.move()
        try border.syncAll()
        for commit in [edit, child] {
            #expect(border.ann.answers[commit.id]?.notices.map(\.code) == [.handedOff])
        }
        #expect(border.ann.answers[own.id]?.isPlain == true)
        #expect(border.ann.rows[Sample.key("customer", border.customer)] == nil)
        #expect(border.sam.value("customer", border.customer, "phone") == "offline")
        #expect(border.sam.value("contact", Sample.id(540), "name") == "New")
        try border.check()
        // After she has heard of the move, she may not write it any more.
        let late = border.ann.commit([Sample.update("customer", border.customer, ["phone": "late"], on: nil)])
        try border.syncAll()
        #expect(border.ann.answers[late.id]?.notices.map(\.code) == [.scope])
        try border.check()
    }

    @Test("S4: the new rep finds in the ledger who wrote what after the move, and what was there before")
    func handedOffLedger() throws {
        let border = try Border()
        border.ann.set("customer", border.customer, ["phone": "1"])
        border.ann.set("customer", border.customer, ["phone": "2", "name": "Renamed"])
        border.ann.insert("contact", Sample.id(542), ["name": "New", "customer_id": Value(border.customer)])
        let gone = border.ann.delete("contact", border.contact)
        try border.move()
        try border.syncAll()
        let entries = try border.office.ledger().filter { $0["kind"] == "handed-off" }
        #expect(entries.map { $0["state"] } == ["noted", "noted", "noted"])
        func entry(_ record: RecordID) throws -> (base: JSON, winner: JSON) {
            let found = try #require(entries.first { $0["record_id"] == Value(record) })
            func json(_ name: String) throws -> JSON {
                try found[name]?.textValue.map { try JSON(parsing: $0) } ?? .null
            }
            return (try json("base"), try json("winner"))
        }
        // Two commits of one author stand together: as it was before both, and as she left it.
        let edited = try entry(border.customer)
        #expect(edited.base == ["phone": .null, "name": "Acme"])
        #expect(edited.winner["value"] == ["phone": "2", "name": "Renamed"])
        #expect(edited.winner["user"]?.stringValue == border.ann.user.description)
        #expect(try entry(Sample.id(542)).winner["value"] == [:])
        let deleted = try entry(border.contact)
        #expect(deleted.winner["value"] == nil && deleted.winner["commit"]?.stringValue == gone.id.description)
        // They are where the records are, and nowhere else.
        let ledger = Schema.ledgerIndex
        #expect(border.sam.rows.keys.count { $0.table == ledger } == 3)
        #expect(border.ann.rows.keys.count { $0.table == ledger } == 0)
        try border.check()
    }

    @Test("S4: what she wrote to her own new record is handed off with it, also where its parent had moved before")
    func handedOffChild() throws {
        let border = try Border()
        let added = Sample.id(511)
        let insert = border.ann.insert("contact", added, ["name": "D", "customer_id": Value(border.customer)])
        let edit = border.ann.set("contact", added, ["name": "E"])
        try border.move()
        try border.syncAll()
        #expect(border.ann.answers[insert.id]?.notices.map(\.code) == [.handedOff])
        #expect(border.ann.answers[edit.id]?.notices.map(\.code) == [.handedOff])
        #expect(try border.office.value("contact", added, "name") == "E")
        try border.check()
    }

    @Test("S4: changed buckets hand off; a role that was taken away refuses")
    func changedGrant() throws {
        let border = try Border()
        let edit = border.ann.set("customer", border.customer, ["phone": "1"])
        try border.office.user(1, "Ann", .rep, [])
        try border.syncAll()
        #expect(border.ann.answers[edit.id]?.notices.map(\.code) == [.handedOff])
        #expect(try border.office.value("customer", border.customer, "phone") == "1")
        let other = border.sam.insert(
            "customer", Sample.id(550), ["name": "South", "territory_id": Value(Office.south)])
        try border.office.user(2, "Sam", .viewer, [Office.south])
        try border.syncAll()
        #expect(border.sam.answers[other.id]?.notices.map(\.code) == [.scope])
        try border.check()
    }

    @Test("S4: a revoked device and a disabled user are refused at once")
    func revoked() throws {
        let border = try Border()
        try border.ann.connect()
        border.ann.set("customer", border.customer, ["phone": "1"])
        try border.office.workspace.revoke(border.ann.site)
        guard case .refuse(let refusal) = try border.ann.push() else {
            Issue.record("a revoked device was heard")
            return
        }
        #expect(refusal.code == .revoked)
        let error = try #require(throws: Refusal.self) { try border.ann.connect() }
        #expect(error.code == .revoked)
        try border.sam.connect()
        try border.office.workspace.setDisabled(border.sam.user, true)
        #expect(try border.office.workspace.standing(of: try #require(border.sam.context))?.code == .revoked)
        #expect(try border.office.value("customer", border.customer, "phone") == .null)
    }

    @Test("S4: who knows the id of another territory's deleted record does not bring it back to hers (P20)")
    func insertOverTombstone() throws {
        let border = try Border()
        let hidden = Sample.id(570)
        border.sam.insert(
            "customer", hidden, ["name": "Hidden", "phone": "secret", "territory_id": Value(Office.south)])
        try border.syncAll()
        border.sam.delete("customer", hidden)
        try border.syncAll()
        let guess = border.ann.insert("customer", hidden, ["name": "Guess", "territory_id": Value(Office.north)])
        try border.syncAll()
        #expect(border.ann.answers[guess.id]?.notices.map(\.code) == [.scope])
        #expect(try border.office.row("customer", hidden) == nil)
        // Who could write it may: it is the same record with what it was.
        border.sam.insert("customer", hidden, ["name": "Again", "territory_id": Value(Office.south)])
        try border.syncAll()
        #expect(try border.office.value("customer", hidden, "name") == "Again")
        try border.check()
    }

    @Test("S4: nobody writes outside her scope: other territories, reference data, the ledger, others' tasks")
    func outside() throws {
        let border = try Border()
        let hidden = Sample.id(560)
        border.sam.insert("customer", hidden, ["name": "Hidden", "territory_id": Value(Office.south)])
        try border.syncAll()
        let changes = [
            Sample.update("customer", hidden, ["name": "Mine"], on: nil), Sample.delete("customer", hidden),
            Sample.insert("customer", hidden, ["name": "Mine", "territory_id": Value(Office.north)]),
            Sample.insert("customer", Sample.id(561), ["name": "X", "territory_id": Value(Office.south)]),
            Sample.update("stage", Sample.stage("Won"), ["name": "Mine"], on: nil),
            Sample.insert("task", Sample.id(562), ["subject": "X", "owner_id": Value(border.sam.user)]),
            Change(table: Schema.ledgerIndex, record: Sample.id(563), kind: .insert),
        ]
        let before = try border.office.rows(for: Grant(read: [.whole, .everyone], write: [Bucket](), version: 1))
        let commits = changes.map { border.ann.commit([$0]) }
        try border.syncAll()
        for commit in commits {
            let answer = try #require(border.ann.answers[commit.id])
            #expect(answer.verdict == .refused, "\(answer)")
            #expect([[.scope], [.serverField]].contains(answer.notices.map(\.code)), "\(answer)")
        }
        #expect(
            try border.office.rows(for: Grant(read: [.whole, .everyone], write: [Bucket](), version: 1)) == before)
        try border.check()
    }
}
