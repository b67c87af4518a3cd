import PeykMerge
import PeykModel
import PeykServer
import PeykSession
import Testing

@Suite("Rules T: retention")
struct RetentionRuleTests {
    static let day: Int64 = 86_400_000

    /// A team whose tombstones need no age, so that reports alone decide.
    private func team() throws -> Team {
        let team = try Team()
        try team.office.workspace.setRetention(tombstones: 0)
        return team
    }

    private func tombstone(_ team: Team) throws -> Bool {
        try team.office.record("customer", team.customer)?.state.isAlive == false
    }

    /// The manager deletes the customer and its deal, and knows it.
    private func delete(_ team: Team) throws {
        team.manager.commit([Sample.delete("opportunity", team.deal), Sample.delete("customer", team.customer)])
        try team.manager.sync()
    }

    @Test("T1: a tombstone goes when every live device has passed it, and not before")
    func passed() throws {
        let team = try team()
        try delete(team)
        try team.ann.sync()
        #expect(try team.office.workspace.collectAll().tombstones == 0)
        #expect(try tombstone(team), "Ben has not passed it")
        try team.ben.sync()
        #expect(try team.office.workspace.collectAll().tombstones == 2)
        #expect(try team.office.record("customer", team.customer) == nil)
        try team.syncAll()
        try team.check()
    }

    @Test("T1: never by a timer alone: ten years change nothing while one live device is behind")
    func noTimer() throws {
        let team = try team()
        try delete(team)
        try team.ann.sync()
        team.office.time.advance(3_650 * Self.day)
        let pass = try team.office.workspace.collectAll()
        #expect(pass.tombstones == 0 && pass.expired.isEmpty)
        #expect(try tombstone(team))
    }

    @Test("T1: a deleted record is kept for its time, so that the deletion can be undone")
    func undoable() throws {
        let team = try Team()
        try delete(team)
        try team.syncAll()
        team.office.time.advance(29 * Self.day)
        try team.office.workspace.collectAll()
        #expect(try tombstone(team))
        team.office.time.advance(2 * Self.day)
        #expect(try team.office.workspace.collectAll().tombstones == 2)
    }

    @Test("m13: a tombstone stays under a pending edit whose author has pulled past the deletion")
    func pendingEdit() throws {
        let team = try team()
        team.ann.set("customer", team.customer, ["phone": "9"])
        try delete(team)
        try team.ben.sync()
        // Ann's push is lost; her pull passes the deletion.
        try team.ann.connect()
        try team.ann.pull()
        try team.ann.confirm()
        try team.office.workspace.collectAll()
        #expect(try tombstone(team))
        try team.syncAll()
        #expect(try team.office.value("customer", team.customer, "phone") == "9", "the update wins, as it always does")
        #expect(try team.office.value("customer", team.customer, "name") == "Acme", "with its last values")
        try team.check()
    }

    @Test("T1: leases count served time only, and a stopped process does not serve")
    func servedTime() throws {
        let team = try team()
        let workspace = team.office.workspace
        try workspace.setRetention(lease: 86_400)
        team.office.time.advance(400 * Self.day)
        #expect(try workspace.collectAll().expired.isEmpty, "the server was down")
        try team.office.serve(minutes: 1_400)
        team.office.time.advance(80 * Self.day)
        try workspace.noteServed()
        #expect(try workspace.collectAll().expired.isEmpty, "a process that stood still for 80 days")
        for device in [team.ann, team.manager] { try device.sync() }
        try team.office.serve(minutes: 60)
        #expect(try workspace.collectAll().expired == [team.ben.site])
    }

    @Test("T1: a lease does not end under an open session that has nothing to say")
    func openSession() throws {
        let team = try team()
        try team.office.workspace.setRetention(lease: 86_400)
        try team.ben.connect()
        let context = try #require(team.ben.context)
        for _ in 0..<3 {
            try team.office.serve(minutes: 720)
            try team.office.workspace.noteContact(of: [context])
        }
        #expect(try team.office.workspace.collectAll().expired.contains(team.ben.site) == false)
    }

    @Test("T1: an expired device resyncs however far the log reaches, keeps its pending commits and replays them (F42)")
    func expired() throws {
        let team = try team()
        let workspace = team.office.workspace
        try workspace.setRetention(lease: 86_400)
        let lost = team.ben.set("customer", team.customer, ["phone": "1"])
        let own = team.ben.insert("customer", Sample.id(700), ["name": "New", "territory_id": Value(Office.north)])
        try delete(team)
        try team.ann.sync()
        try team.office.serve(minutes: 1_440)
        for device in [team.ann, team.manager] { try device.sync() }
        try team.office.serve(minutes: 2)
        let pass = try workspace.collectAll()
        #expect(pass.expired == [team.ben.site] && pass.tombstones == 2)
        #expect(try site(team.ben, team)?.state == "expired")
        let welcome = try team.ben.connect()
        #expect(welcome.entrance == .snapshot(.horizon))
        #expect(team.ben.pending.map(\.id) == [lost.id, own.id])
        #expect(try site(team.ben, team)?.state == "live")
        try team.syncAll()
        #expect(
            team.ben.answers[lost.id]?.notices.map(\.code) == [.unknownRecord], "parked, not lost and not alive again")
        #expect(try team.office.value("customer", Sample.id(700), "name") == "New")
        #expect(try team.ben.connect().entrance == .resume)
        try team.check()
    }

    @Test("T1: an expired device that is cut while it resyncs must still resync")
    func expiredAndCut() throws {
        let team = try team()
        try team.office.workspace.setRetention(lease: 86_400)
        try delete(team)
        try team.office.serve(minutes: 1_442)
        try team.office.workspace.collectAll()
        let (hello, challenge) = try team.ben.hello()
        let admission = try team.office.workspace.admit(
            hello, challenge: challenge, fingerprint: team.office.fingerprint)
        #expect(admission.welcome.entrance == .snapshot(.horizon))
        // The welcome is lost: the device comes again as it was.
        #expect(try team.ben.connect().entrance == .snapshot(.horizon))
        #expect(try team.ben.connect().entrance == .resume)
    }

    private func site(_ device: Device, _ team: Team) throws -> SiteDocument? {
        try team.office.store.read { try $0.document(SiteDocument.self, device.site.description) }
    }

    @Test("m14, A2: a refusal outlives the log and the lease; the resync welcome carries it")
    func refusalKept() throws {
        let team = try team()
        let workspace = team.office.workspace
        try workspace.setRetention(lease: 86_400)
        try team.ben.connect()
        let bad = team.ben.insert("customer", Sample.id(700), ["phone": "5"])
        try team.ben.push()
        // The reply is lost, the lease ends, the log is cut.
        try team.office.serve(minutes: 1_442)
        for device in [team.ann, team.manager] { try device.sync() }
        team.office.time.advance(401 * Self.day)
        let pass = try workspace.collectAll()
        #expect(pass.expired == [team.ben.site] && pass.outcomes > 0)
        #expect(try team.office.store.read { try $0.origin(of: bad.id)?.site } == team.ben.site)
        let welcome = try team.ben.connect()
        #expect(welcome.openAnswers.map(\.commit) == [bad.id])
        #expect(welcome.openAnswers.first?.answer.notices.map(\.code) == [.required])
        #expect(welcome.lastMerged == bad.envelope.dot.seq)
        try team.syncAll()
        #expect(try team.ben.connect().openAnswers.isEmpty)
        try team.check()
    }

    @Test(
        "T1: outcomes stay for 400 days at least, and until every live device has passed them", arguments: [399, 401])
    func logKept(days: Int64) throws {
        let team = try team()
        let head = try team.office.workspace.head()
        team.office.time.advance(days * Self.day)
        team.ann.set("customer", team.customer, ["phone": "1"])
        try team.ann.sync()
        try team.office.workspace.collectAll()
        let passed = try team.office.store.read { try $0.passedByAll() }
        #expect(passed == head, "Ben and the manager were here before Ann's edit")
        let first = try team.office.store.read { try $0.firstPosition() }
        #expect(first == (days < 400 ? 1 : head + 1))
        #expect(try team.office.store.read { try $0.clockDocument().logHorizon } == (days < 400 ? 0 : head))
        try team.syncAll()
        try team.check()
        team.office.time.advance(401 * Self.day)
        try team.office.workspace.collectAll()
        let all = try team.office.store.read { (try $0.head(), try $0.firstPosition()) }
        #expect(all.0 == all.1, "the last outcome stays: the next position and hash follow it")
        team.ben.set("customer", team.customer, ["phone": "2"])
        try team.syncAll()
        try team.check()
    }

    @Test("I3, A2: a known id is known beyond the log, with its first answer")
    func knownBeyondTheLog() throws {
        let team = try team()
        try team.ben.connect()
        let bad = team.ben.insert("customer", Sample.id(700), ["phone": "5"])
        let visit = team.ben.commit([Sample.update("customer", team.customer, ["visits": 1], on: nil)])
        let image = Device(copying: team.ben)
        try team.ben.push()
        for device in [team.ann, team.manager] { try device.sync() }
        try team.office.workspace.setRetention(lease: 86_400)
        try team.office.serve(minutes: 1_442)
        for device in [team.ann, team.manager] { try device.sync() }
        team.office.time.advance(401 * Self.day)
        #expect(try team.office.workspace.collectAll().outcomes > 0)
        // Ben comes once more, without confirming what he hears; then the image, as another site, with the same.
        try team.ben.connect()
        try team.ben.push([])
        try image.sync()
        #expect(image.site != team.ben.site)
        #expect(image.answers[visit.id]?.verdict == .known)
        #expect(image.answers[bad.id]?.notices.map(\.code) == [.required])
        #expect(try team.office.value("customer", team.customer, "visits") == 1, "counted once")
    }

    @Test("D1: the tombstone of a parent stays while that of a child stays")
    func parentStays() throws {
        let team = try team()
        try delete(team)
        try team.syncAll()
        let deal = Sample.key("opportunity", team.deal)
        // As when a late write met the dead child.
        team.ann.set("customer", Sample.id(9), ["phone": "x"])
        try team.ann.sync()
        try team.office.store.write { transaction in
            guard var record = try transaction.record(deal) else { return }
            record.position = try transaction.head()
            try transaction.put(record, at: deal)
        }
        try team.office.workspace.collectAll()
        #expect(try tombstone(team), "Ben and the manager have not passed what was written to the child")
        try team.syncAll()
        #expect(try team.office.workspace.collectAll().tombstones == 2)
    }

    @Test("P28: what is kept for single commits goes when its device has passed it, or is revoked")
    func documents() throws {
        let team = try team()
        let store = team.office.store
        let good = team.ann.set("customer", team.customer, ["phone": "1"])
        try team.ann.sync()
        team.ann.commit([Sample.update("customer", team.customer, ["phone": "1"], on: nil)], id: good.id)
        try team.ann.connect()
        try team.ann.push()
        #expect(try store.read { try $0.documents("dot", prefix: "").count } == 1)
        try team.office.workspace.collectAll()
        #expect(try store.read { try $0.documents("dot", prefix: "").count } == 1, "its answer is on the way")
        try team.ann.sync()
        try team.ben.connect()
        team.ben.insert("customer", Sample.id(701), ["phone": "5"])
        try team.ben.push()
        #expect(try store.read { try $0.documents("answer", prefix: "").count } == 1)
        try team.office.workspace.revoke(team.ben.site)
        team.office.time.advance(40 * Self.day)
        try team.office.workspace.collectAll()
        for collection in ["dot", "answer", "invite"] {
            #expect(try store.read { try $0.documents(collection, prefix: "").isEmpty }, "\(collection)")
        }
    }

    @Test("M7: the ledger's entries of a deleted record leave when they are settled")
    func ledger() throws {
        let team = try team()
        team.ann.set("opportunity", team.deal, ["amount": 5])
        team.ben.set("opportunity", team.deal, ["amount": 7])
        try team.syncAll()
        let entries = team.manager.rows.keys.filter { $0.table == Schema.ledgerIndex }
        let entry = try #require(entries.first)
        try delete(team)
        try team.syncAll()
        try team.office.workspace.collectAll()
        #expect(team.manager.rows[entry] != nil, "open: it stays")
        _ = try team.office.workspace.serverCommit(
            [], operations: [Operation(kind: .settle, record: entry.record)])
        team.office.time.advance(2 * Self.day)
        try team.syncAll()
        let pass = try team.office.workspace.collectAll()
        try team.syncAll()
        if pass.entries == 0 {
            // Its record's tombstone went first, so the entry cannot be settled any more: it goes with the log.
            team.office.time.advance(401 * Self.day)
            try team.office.workspace.collectAll()
            team.office.time.advance(2 * Self.day)
            try team.office.workspace.collectAll()
            try team.syncAll()
        }
        #expect(team.manager.rows[entry] == nil)
        try team.check()
    }

    @Test("P28: a pass goes on in slices, and commits go between them")
    func slices() throws {
        let team = try team()
        let ids = (0..<600).map { Sample.id(UInt64(5_000 + $0)) }
        team.manager.commit(
            ids.map { Sample.insert("customer", $0, ["name": "x", "territory_id": Value(Office.north)]) })
        try team.syncAll()
        team.manager.commit(ids.map { Sample.delete("customer", $0) })
        try team.syncAll()
        var pass = CollectionPass()
        var counts: [Int64] = []
        while !pass.isDone {
            let before = pass.tombstones
            try team.office.workspace.collect(&pass)
            if pass.tombstones > before { counts.append(pass.tombstones - before) }
            team.ann.set("customer", team.customer, ["phone": .text("\(counts.count)")])
            try team.ann.sync()
        }
        #expect(counts == [256, 256, 88])
        try team.syncAll()
        try team.check()
    }

    @Test(
        "a lease below a day, a log below 400 days are refused with their reason",
        arguments: [(86_399, nil, nil), (nil, 400 * 86_400 - 1, nil), (nil, nil, -1)] as [(Int64?, Int64?, Int64?)])
    func limits(lease: Int64?, log: Int64?, tombstones: Int64?) throws {
        let office = try Office()
        let reply = Admin(office.workspace).run(.setRetention(lease: lease, log: log, tombstones: tombstones))
        guard case .failed(let failure) = reply else { throw TestFailure("it was taken: \(reply)") }
        #expect(failure.kind == .usage)
        #expect(try office.store.read { try $0.retention() } == RetentionDocument())
    }

    @Test("status says what holds collection back")
    func status() throws {
        let team = try team()
        try delete(team)
        try team.ann.sync()
        guard case .done(let document) = Admin(team.office.workspace).run(.status) else {
            throw TestFailure("no status")
        }
        let retention = try #require(document["retention"])
        #expect(retention["tombstones"] == 2)
        #expect(retention["held_back_by"]?.arrayValue?.map { $0["user"]?.stringValue } == ["Ben"])
        guard case .done(let ran) = Admin(team.office.workspace).run(.runRetention) else { throw TestFailure("no run") }
        #expect(ran["done"] == true && ran["tombstones"] == 0)
    }
}
