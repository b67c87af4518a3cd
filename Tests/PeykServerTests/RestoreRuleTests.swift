import PeykMerge
import PeykModel
import PeykServer
import PeykSession
import Testing

@Suite("Rules I5 to I8: a restored server")
struct RestoreRuleTests {
    let office: Office
    let ann: Device
    let bob: Device
    let customer = Sample.id(50)

    init() throws {
        office = try Office()
        ann = try office.device(try office.user(1, "Ann", .manager), key: 1)
        bob = try office.device(try office.user(2, "Bob", .manager), key: 2)
        try ann.sync()
        try bob.sync()
    }

    private func insert(_ device: Device, _ id: RecordID, _ values: [String: Value] = [:]) throws {
        device.insert(
            "customer", id,
            values.merging(["name": "Acme", "territory_id": .text(Office.north.description)]) { own, _ in own })
        try device.sync()
    }

    private func settle(_ devices: Device...) throws {
        for _ in 0..<3 { for device in devices { try device.sync() } }
        for device in devices {
            #expect(device.pending.isEmpty && device.waiting.isEmpty)
            #expect(try device.rows == device.expected())
            #expect(device.digestFaults == 0)
        }
    }

    @Test("I6, I7: what a restored server lacks comes back by id, once, under new sites")
    func everythingComesBack() throws {
        let backup = try office.backup()
        try insert(ann, customer)
        try bob.sync()
        bob.set("customer", customer, ["phone": "1", "visits": 2])
        try bob.sync()
        try ann.sync()
        let sites = [ann.site, bob.site]
        try office.restore(backup)
        #expect(try office.row("customer", customer) == nil)
        let welcome = try ann.connect()
        #expect(welcome.newSiteReason == .newEpoch && welcome.entrance == .snapshot(.restored))
        #expect(welcome.wantsNames && welcome.lineage.eras.count == 2)
        try settle(ann, bob)
        #expect(try office.value("customer", customer, "phone") == "1")
        #expect(try office.value("customer", customer, "visits") == 2)
        #expect(!sites.contains(ann.site) && !sites.contains(bob.site))
        #expect(try office.ledger().isEmpty, "nothing was in conflict, and nothing is")
        #expect(try office.workspace.refillStatus()?.isOpen == false, "all have come back")
    }

    @Test("I6: two restores from one backup are one after the other, not a fork; another's branch is a fork")
    func lineages() throws {
        let backup = try office.backup()
        try insert(ann, customer)
        try office.restore(backup)
        try ann.sync()
        try office.restore(backup)
        try settle(ann, bob)
        #expect(try office.row("customer", customer) != nil)
        #expect(try office.workspace.refillStatus()?.isOpen == false, "nobody waits for a site of before")

        let (first, second) = (office, try Office(store: MemoryStore(copying: backup), existing: office.keys))
        try second.workspace.beginEpoch()
        #expect(first.workspace.name == second.workspace.name)
        let (hello, challenge) = try ann.hello()
        let refusal = try #require(throws: Refusal.self) {
            try second.workspace.admit(hello, challenge: challenge, fingerprint: second.fingerprint)
        }
        #expect(refusal.code == .fork && refusal.message.contains("epoch supersede"))
        for era in hello.lineage.eras.dropFirst() { #expect(try second.workspace.supersede(era.epoch)) }
        #expect(throws: Never.self) {
            try second.workspace.admit(hello, challenge: challenge, fingerprint: second.fingerprint)
        }
    }

    @Test("I7.5: an update whose insert is on a device that has not come back waits, whole, and later ones go on")
    func waits() throws {
        let backup = try office.backup()
        try insert(ann, customer)
        try bob.sync()
        bob.commit([
            Sample.update("customer", customer, ["phone": "2"], on: bob.shown("customer", customer)),
            Sample.insert("contact", Sample.id(60), ["name": "Zoe", "customer_id": .text(customer.description)]),
        ])
        try bob.sync()
        let other = Sample.id(51)
        try insert(bob, other, ["name": "Other"])
        try office.restore(backup)
        try bob.sync()
        #expect(bob.waiting.count == 1 && bob.pending.isEmpty, "later commits of the site went on")
        #expect(try office.row("customer", other) != nil)
        #expect(try office.row("contact", Sample.id(60)) == nil, "whole")
        let welcome = try bob.connect()
        #expect(welcome.openAnswers.map(\.answer.verdict) == [.waiting])
        #expect(welcome.openAnswers.first?.answer.notices.map(\.code) == [.waitsForRecord])
        let status = try #require(try office.workspace.refillStatus())
        #expect(status.isOpen && status.waiting == 1 && status.awaited.map(\.site) == [ann.site])
        try ann.sync()
        #expect(try office.value("customer", customer, "phone") == "2", "merged right after the record arrived")
        try settle(ann, bob)
        #expect(try office.row("contact", Sample.id(60)) != nil)
        #expect(bob.answers[bob.kept[0].commit.id]?.verdict == .merged)
    }

    @Test("I7.5: what depends on an insert that was refused is refused; closing merges the rest as it is")
    func closes() throws {
        let backup = try office.backup()
        try insert(ann, customer)
        try bob.sync()
        bob.set("customer", customer, ["phone": "2"])
        try bob.sync()
        try office.restore(backup)
        try bob.sync()
        #expect(bob.waiting.count == 1)
        #expect(try office.workspace.closeRefill() == 1)
        try bob.sync()
        #expect(bob.waiting.isEmpty)
        let answer = try #require(bob.answers.values.first { $0.verdict == .refused })
        #expect(answer.notices.map(\.code) == [.unknownRecord])
        #expect(try office.workspace.closeRefill() == nil)
    }

    @Test("I7.4: a commit that a remembered writer had seen is late: it does not enter and is no conflict")
    func late() throws {
        try insert(ann, customer, ["phone": "0"])
        try bob.sync()
        let backup = try office.backup()
        ann.set("customer", customer, ["phone": "1", "visits": 3, "name": "Old"])
        try ann.sync()
        try bob.sync()
        bob.set("customer", customer, ["phone": "2"])
        try bob.sync()
        try ann.sync()
        try office.restore(backup)
        try bob.sync()
        #expect(try office.value("customer", customer, "phone") == "2")
        try ann.sync()
        #expect(try office.value("customer", customer, "phone") == "2", "late")
        #expect(try office.value("customer", customer, "name") == "Old", "nobody wrote that cell after it")
        #expect(try office.value("customer", customer, "visits") == 3, "counters still add")
        #expect(try office.ledger().isEmpty)
        try settle(ann, bob)
    }

    @Test("I7.1, I7.2: names let a clock of the lost history cover what comes back, without them it is a conflict")
    func names() throws {
        for tells in [true, false] {
            let test = try RestoreRuleTests()
            let (office, ann, bob) = (test.office, test.ann, test.bob)
            try test.insert(ann, customer, ["phone": "0"])
            try bob.sync()
            let backup = try office.backup()
            ann.set("customer", customer, ["phone": "1"])
            try ann.sync()
            try bob.sync()
            // Ann's clock is behind from here on: only having seen it makes Bob's write win.
            bob.skew = -1_000_000
            bob.hybrid = HybridClock()
            bob.set("customer", customer, ["phone": "2"])
            try office.restore(backup)
            bob.tellsNames = tells
            try ann.sync()
            if !tells {
                let refusal = try bob.connect()
                #expect(refusal.wantsNames)
                continue
            }
            try bob.sync()
            #expect(try office.value("customer", customer, "phone") == "2")
            #expect(try office.ledger().isEmpty)
        }
    }

    @Test("P13, I7.4: a delete that came back first keeps the record deleted when what it had seen comes late")
    func lateUnderDelete() throws {
        try insert(ann, customer)
        try bob.sync()
        let backup = try office.backup()
        ann.set("customer", customer, ["phone": "1"])
        try ann.sync()
        try bob.sync()
        bob.delete("customer", customer)
        try bob.sync()
        try ann.sync()
        try office.restore(backup)
        try bob.sync()
        #expect(try office.row("customer", customer) == nil)
        try ann.sync()
        #expect(try office.row("customer", customer) == nil, "it had been seen by the delete")
        try settle(ann, bob)
        #expect(try office.ledger().isEmpty)
    }

    @Test("I7.4: a delete that only meets children which it had deleted, or seen, waits for their deletes")
    func deleteWaits() throws {
        let contact = Sample.id(60)
        try insert(ann, customer)
        ann.insert("contact", contact, ["name": "Zoe", "customer_id": .text(customer.description)])
        try ann.sync()
        try bob.sync()
        let backup = try office.backup()
        ann.delete("contact", contact)
        try ann.sync()
        try bob.sync()
        bob.delete("customer", customer)
        try bob.sync()
        try ann.sync()
        #expect(try office.row("customer", customer) == nil)
        try office.restore(backup)
        try bob.sync()
        #expect(try office.row("customer", customer) != nil, "the child still lives here")
        #expect(bob.answers.values.contains { $0.notices.map(\.code) == [.deleteWaits] })
        #expect(try office.workspace.refillStatus()?.waitingDeletes == 1)
        try ann.sync()
        #expect(try office.row("customer", customer) == nil, "tried again when the child was deleted")
        try settle(ann, bob)
        #expect(try office.ledger().isEmpty)
    }

    @Test("I7.4: a late child under a parent whose delete had seen it comes back deleted")
    func lateChild() throws {
        let contact = Sample.id(60)
        try insert(ann, customer)
        try bob.sync()
        let backup = try office.backup()
        ann.insert("contact", contact, ["name": "Zoe", "customer_id": .text(customer.description)])
        try ann.sync()
        try bob.sync()
        ann.delete("contact", contact)
        try ann.sync()
        try bob.sync()
        bob.delete("customer", customer)
        try bob.sync()
        try ann.sync()
        #expect(try office.row("customer", customer) == nil)
        try office.restore(backup)
        try bob.sync()
        #expect(try office.row("customer", customer) == nil, "it has no child here")
        let insert = try #require(ann.kept.first { $0.position > ann.cursor - 3 })
        try ann.connect()
        try ann.push([ann.pending[0]])
        #expect(ann.pending[0].id == insert.commit.id)
        #expect(try office.row("contact", contact) == nil)
        #expect(try office.row("customer", customer) == nil, "nor has it brought its parent back")
        try ann.sync()
        #expect(try office.row("customer", customer) == nil)
        #expect(try office.row("contact", contact) == nil)
        try settle(ann, bob)
    }

    @Test("I7.3: while the refill is open no tombstone is collected, and who wrote is known across deletes")
    func remembers() throws {
        let gone = Sample.id(61)
        try insert(ann, gone)
        try insert(ann, customer, ["phone": "0"])
        try bob.sync()
        bob.delete("customer", gone)
        for device in [bob, ann, bob] { try device.sync() }
        let backup = try office.backup()
        ann.set("customer", customer, ["phone": "1"])
        try ann.sync()
        try bob.sync()
        bob.delete("customer", customer)
        try bob.sync()
        try ann.sync()
        try office.restore(backup)
        try office.workspace.setRetention(tombstones: 0)
        for _ in 0..<2 { try bob.sync() }
        #expect(try office.record("customer", customer)?.state.isAlive == false)
        #expect(try office.workspace.collectAll().tombstones == 0, "all had passed one; who may come had not")
        #expect(try office.record("customer", gone)?.state.isAlive == false)
        try ann.sync()
        #expect(try office.record("customer", customer)?.state.isAlive == false, "remembered under the delete")
        try settle(ann, bob)
        #expect(try office.workspace.refillStatus()?.isOpen == false)
        #expect(try office.workspace.collectAll().tombstones == 2, "and then they go")
        #expect(try office.ledger().isEmpty)
    }

    @Test("I8: a part that its author knows to be refused is void, also where it would be taken now")
    func voidPart() throws {
        try insert(ann, customer)
        try bob.sync()
        let backup = try office.backup()
        bob.set("customer", customer, ["since": "2024-01-01"])
        try bob.sync()
        try ann.sync()
        ann.set("customer", customer, ["since": "2025-01-01", "phone": "7"])
        try ann.sync()
        #expect(ann.kept.last?.answer.notices.map(\.code) == [.onceWritten])
        try office.restore(backup)
        try ann.sync()
        #expect(try office.value("customer", customer, "phone") == "7")
        #expect(try office.value("customer", customer, "since") == .null, "nobody has written it here yet")
        #expect(ann.kept.last?.answer.notices.map(\.code) == [.onceWritten])
        try settle(ann, bob)
        #expect(try office.value("customer", customer, "since") == "2024-01-01")
    }

    @Test("I8: what its author knows to be refused is void, and its answer is repeated")
    func void() throws {
        try insert(ann, customer, ["since": "2024-01-01"])
        let backup = try office.backup()
        ann.commit([
            Sample.update(
                "customer", customer, ["since": "2025-01-01", "phone": "7"], on: ann.shown("customer", customer))
        ])
        ann.set("customer", Sample.id(99), ["phone": "8"])
        try ann.sync()
        let codes = ann.kept.suffix(2).map { $0.answer.notices.map(\.code) }
        #expect(codes == [[.onceWritten], [.unknownRecord]])
        try office.restore(backup)
        // What was refused would be taken now.
        try office.act([Sample.insert("customer", Sample.id(99), ["name": "New"])])
        try ann.sync()
        #expect(try office.value("customer", customer, "phone") == "7")
        #expect(try office.value("customer", Sample.id(99), "phone") == .null)
        #expect(ann.kept.suffix(2).map { $0.answer.notices.map(\.code) } == codes)
        try settle(ann, bob)
    }

    @Test("A3: a commit that was sealed under a newer schema waits until the server has it")
    func waitsForSchema() throws {
        let body = CommitBody(
            id: CommitID(bits: UUIDBits(high: 7, low: 7)), schemaVersion: 2,
            changes: [Sample.insert("customer", customer, ["name": "New"])])
        ann.insert("customer", Sample.id(51), ["name": "x", "territory_id": .text(Office.north.description)])
        ann.pending[0].sealed = body.encoded()
        ann.pending[0].id = body.id
        try ann.sync()
        #expect(ann.waiting.map(\.id) == [body.id])
        #expect(ann.answers[body.id]?.notices.map(\.code) == [.waitsForSchema])
        ann.insert("customer", Sample.id(52), ["name": "y", "territory_id": .text(Office.north.description)])
        try ann.sync()
        #expect(try office.row("customer", Sample.id(52)) != nil, "the rest goes on")
        var next = Sample.schema
        next.version = 2
        try office.workspace.adopt(next)
        #expect(try office.row("customer", customer) != nil)
        #expect(try office.store.read { try $0.documents("waiting", prefix: "").count } == 0)
    }

    @Test("I5: a token beyond the log means rolled back: nobody is admitted, IT is told, in place begins a new epoch")
    func rolledBack() throws {
        let old = try office.backup()
        try insert(ann, customer)
        try office.replace(with: old)
        for device in [ann, bob] {
            let refusal = try #require(throws: Refusal.self) { try device.connect() }
            #expect(refusal.code == .rolledBack)
        }
        #expect(office.warnings.all.contains { $0.contains("ROLLED BACK") && $0.contains("--in-place") })
        let proof = try #require(try office.store.read { try $0.rollback() })
        #expect(proof.site == ann.site && proof.lost == ann.cursor)
        #expect(try office.workspace.restoreInPlace() == (try office.workspace.head()))
        try settle(ann, bob)
        #expect(try office.row("customer", customer) != nil)
        #expect(try office.workspace.restoreInPlace() == nil)
    }

    @Test("I5: where the log went on after the rollback, the new epoch begins at the last common position")
    func rolledBackAndWentOn() throws {
        let old = try office.backup()
        let common = try office.workspace.head()
        try insert(ann, customer)
        try insert(ann, Sample.id(51))
        try office.replace(with: old)
        try insert(bob, Sample.id(52), ["name": "Bob's"])
        bob.set("customer", Sample.id(52), ["phone": "5"])
        try bob.sync()
        #expect(throws: Refusal.self) { try ann.connect() }
        #expect(throws: Refusal.self, "not even one that fits") { try bob.connect() }
        let fork = try #require(try office.workspace.restoreInPlace())
        #expect(fork <= common)
        try settle(ann, bob)
        for id in [customer, Sample.id(51), Sample.id(52)] { #expect(try office.row("customer", id) != nil) }
        #expect(try office.value("customer", Sample.id(52), "phone") == "5")
        bob.set("customer", Sample.id(52), ["phone": "6"])
        try settle(ann, bob)
        #expect(try office.value("customer", Sample.id(52), "phone") == "6")
        #expect(try office.ledger().isEmpty)
    }
}
