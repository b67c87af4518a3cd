import PeykModel
import PeykServer
import Testing

@Suite("Rules D: deletes, references, duplicates")
struct DeleteRuleTests {
    @Test("D1: a delete loses to a concurrent update, whichever comes first", arguments: [true, false])
    func deleteAgainstUpdate(deleteFirst: Bool) throws {
        let team = try Team()
        let contact = Sample.id(800)
        team.ann.insert("contact", contact, ["name": "C", "customer_id": Value(team.customer)])
        try team.syncAll()
        let delete = team.ann.delete("contact", contact)
        team.ben.set("contact", contact, ["name": "D"])
        for device in deleteFirst ? [team.ann, team.ben] : [team.ben, team.ann] { try device.sync() }
        try team.syncAll()
        #expect(try team.office.value("contact", contact, "name") == "D")
        let entries = try team.office.ledger()
        #expect(entries.map { $0["kind"] } == ["delete"])
        if !deleteFirst { #expect(team.ann.answers[delete.id]?.notices.map(\.code) == [.deleteLost]) }
        try team.check()
    }

    @Test("D1: a delete that leaves a living child loses; deleted with its children it takes effect")
    func livingChild() throws {
        let team = try Team()
        team.ann.delete("customer", team.customer)
        try team.syncAll()
        #expect(try team.office.row("customer", team.customer) != nil, "the opportunity needs it")
        #expect(try team.office.ledger().map { $0["rule"] } == ["living-child"])
        // In the wrong order, too: the server deletes children first.
        team.ann.commit([Sample.delete("customer", team.customer), Sample.delete("opportunity", team.deal)])
        try team.syncAll()
        #expect(try team.office.row("customer", team.customer) == nil)
        #expect(try team.office.row("opportunity", team.deal) == nil)
        try team.check()
    }

    @Test("D1: a child that arrives brings back its chain of parents, as one entry; deleted siblings stay deleted")
    func bringsBack() throws {
        let team = try Team()
        let sibling = Sample.id(801)
        let visit = Sample.id(802)
        team.ann.insert("contact", sibling, ["name": "S", "customer_id": Value(team.customer)])
        try team.syncAll()
        team.ann.commit([
            Sample.delete("contact", sibling), Sample.delete("opportunity", team.deal),
            Sample.delete("customer", team.customer),
        ])
        team.ben.insert("activity", visit, ["subject": "visit", "opportunity_id": Value(team.deal)])
        try team.ann.sync()
        try team.syncAll()
        #expect(try team.office.row("activity", visit) != nil)
        #expect(try team.office.value("opportunity", team.deal, "name") == "Deal")
        #expect(try team.office.value("customer", team.customer, "name") == "Acme")
        #expect(try team.office.row("contact", sibling) == nil)
        let revived = try team.office.ledger().filter { $0["kind"] == "revived" }
        #expect(revived.count == 1 && revived[0]["record_id"] == Value(team.deal))
        try team.check()
    }

    @Test("D2: an insert by somebody who saw the delete begins anew; what did not see it stands in the ledger")
    func incarnation() throws {
        let team = try Team()
        let contact = Sample.id(803)
        team.ann.insert("contact", contact, ["name": "old", "customer_id": Value(team.customer)])
        try team.syncAll()
        team.ann.delete("contact", contact)
        try team.ann.sync()
        team.ann.insert("contact", contact, ["name": "new", "customer_id": Value(team.customer)])
        try team.ann.sync()
        let late = team.ben.set("contact", contact, ["name": "late"])
        try team.syncAll()
        #expect(try team.office.value("contact", contact, "name") == "new")
        #expect(try team.office.ledger().contains { $0["kind"] == "incarnation" })
        #expect(team.ben.answers[late.id]?.notices.map(\.code) == [.lost])
        try team.check()
    }

    @Test("D2: revive is the undo of a delete, with the children that went with it")
    func revive() throws {
        let team = try Team()
        let contact = Sample.id(804)
        team.ann.insert("contact", contact, ["name": "C", "customer_id": Value(team.customer)])
        try team.syncAll()
        team.ann.commit([
            Sample.delete("contact", contact), Sample.delete("opportunity", team.deal),
            Sample.delete("customer", team.customer),
        ])
        try team.syncAll()
        #expect(team.ben.rows[Sample.key("customer", team.customer)] == nil)
        let commit = team.ann.commit(
            [], [Operation(kind: .revive, table: Sample.table("customer"), record: team.customer)])
        try team.syncAll()
        #expect(team.ann.answers[commit.id]?.isPlain == true)
        #expect(team.ben.value("customer", team.customer, "name") == "Acme")
        #expect(team.ben.value("contact", contact, "name") == "C")
        try team.check()
    }

    @Test("D3: a soft reference is emptied by the server's own act when its target is deleted")
    func softReference() throws {
        let team = try Team()
        let other = Sample.id(501)
        team.ann.insert("customer", other, ["name": "Other", "territory_id": Value(Office.north)])
        try team.syncAll()
        team.ann.set("customer", team.customer, ["referrer_id": Value(other)])
        try team.syncAll()
        team.ben.delete("customer", other)
        try team.syncAll()
        #expect(try team.office.value("customer", team.customer, "referrer_id") == .null)
        #expect(team.ann.value("customer", team.customer, "referrer_id") == .null)
        // A reference to what is already dead comes out empty.
        team.manager.set("customer", team.customer, ["referrer_id": Value(other)])
        try team.syncAll()
        #expect(team.manager.value("customer", team.customer, "referrer_id") == .null)
        try team.check()
    }

    private func refer(_ team: Team, to other: RecordID) throws {
        team.ann.insert("customer", other, ["name": "Other", "territory_id": Value(Office.north)])
        try team.syncAll()
        team.ann.set("customer", team.customer, ["referrer_id": Value(other)])
        try team.syncAll()
    }

    private func revive(_ record: RecordID) -> PeykModel.Operation {
        PeykModel.Operation(kind: .revive, table: Sample.table("customer"), record: record)
    }

    /// As `undo` of a delete seals it: the values of then, and what they are for.
    private func takeBack(_ deleted: CommitID, of other: RecordID, by device: Device) -> CommitID {
        device.commit(
            [Sample.insert("customer", other, ["name": "Other", "territory_id": Value(Office.north)])],
            [PeykModel.Operation(kind: .undo, argument: deleted.description), revive(other)]
        ).id
    }

    @Test("D3: what was emptied with a record comes back with it, also what was written while it was away")
    func referenceComesBack() throws {
        let team = try Team()
        let other = Sample.id(501)
        try refer(team, to: other)
        let late = Sample.id(505)
        team.manager.insert(
            "customer", late, ["name": "Late", "territory_id": Value(Office.north), "referrer_id": Value(other)])
        team.ben.delete("customer", other)
        try team.ben.sync()
        try team.syncAll()
        #expect(team.manager.value("customer", late, "referrer_id") == .null)
        let undo = team.ben.commit([], [revive(other)])
        try team.syncAll()
        #expect(team.ben.answers[undo.id]?.isPlain == true, "\(String(describing: team.ben.answers[undo.id]))")
        #expect(team.ann.value("customer", other, "name") == "Other")
        for record in [team.customer, late] {
            #expect(try team.office.value("customer", record, "referrer_id") == Value(other))
            #expect(team.ann.value("customer", record, "referrer_id") == Value(other))
        }
        try team.check()
    }

    @Test("D2: an undone delete is the same life again: what others wrote meanwhile stands, references come back")
    func undoneDelete() throws {
        let team = try Team()
        let other = Sample.id(501)
        try refer(team, to: other)
        // Nobody knew of the delete.
        team.ann.set("customer", other, ["name": "Better"])
        let hidden = takeBack(team.ben.delete("customer", other).id, of: other, by: team.ben)
        try team.ann.sync()
        try team.syncAll()
        #expect(team.ben.answers[hidden]?.isPlain == true)
        #expect(try team.office.value("customer", other, "name") == "Better")
        #expect(team.ann.value("customer", team.customer, "referrer_id") == Value(other))
        // It took effect before.
        let deleted = team.ben.delete("customer", other).id
        try team.syncAll()
        #expect(team.ann.value("customer", team.customer, "referrer_id") == .null)
        let plain = takeBack(deleted, of: other, by: team.ben)
        try team.syncAll()
        #expect(team.ben.answers[plain]?.isPlain == true)
        #expect(team.ann.value("customer", other, "name") == "Better")
        #expect(team.ann.value("customer", team.customer, "referrer_id") == Value(other))
        try team.check()
    }

    @Test("D1, D2: taking back a delete that had lost is a write: a delete that had not seen it loses")
    func undoneLostDelete() throws {
        let team = try Team()
        let other = Sample.id(501)
        try refer(team, to: other)
        team.ann.set("customer", other, ["name": "Better"])
        let deleted = team.ben.delete("customer", other).id
        _ = takeBack(deleted, of: other, by: team.ben)
        try team.ann.sync()
        // It has seen the update that Ben's delete loses against, and nothing of Ben's.
        try team.manager.sync()
        let delete = team.manager.delete("customer", other).id
        try team.ben.sync()
        try team.syncAll()
        #expect(team.manager.answers[delete]?.notices.map(\.code) == [.deleteLost])
        #expect(try team.office.value("customer", other, "name") == "Better")
        try team.check()
    }

    @Test("D2, P2: a delete that whoever takes another one back had not seen is in the ledger")
    func undoneOverAnother() throws {
        let team = try Team()
        let other = Sample.id(501)
        try refer(team, to: other)
        let deleted = team.ben.delete("customer", other).id
        let second = team.manager.delete("customer", other).id
        try team.ben.sync()
        _ = takeBack(deleted, of: other, by: team.ben)
        try team.manager.sync()
        try team.syncAll()
        #expect(try team.office.value("customer", other, "name") == "Other")
        let losers = try team.office.ledger().compactMap { $0["losers"]?.textValue }.joined()
        #expect(losers.contains(second.description) && !losers.contains(deleted.description))
        try team.check()
    }

    @Test("D3: what was emptied stays as somebody wrote it since, and where its record is gone")
    func referenceWrittenSince() throws {
        let team = try Team()
        let (other, third) = (Sample.id(501), Sample.id(506))
        try refer(team, to: other)
        team.ann.insert(
            "customer", third, ["name": "Third", "territory_id": Value(Office.north), "referrer_id": Value(other)])
        try team.syncAll()
        team.ben.delete("customer", other)
        try team.syncAll()
        team.ann.set("customer", team.customer, ["referrer_id": .null, "name": "Acme 2"])
        team.manager.delete("customer", third)
        try team.syncAll()
        team.ben.commit([], [revive(other)])
        try team.syncAll()
        #expect(try team.office.value("customer", team.customer, "referrer_id") == .null)
        #expect(try team.office.row("customer", third) == nil)
        // Again without anything kept from the first time.
        team.ben.delete("customer", other)
        try team.syncAll()
        team.ben.commit([], [revive(other)])
        try team.syncAll()
        #expect(try team.office.value("customer", team.customer, "referrer_id") == .null)
        try team.check()
    }

    @Test("D3: a record that is inserted anew gets nothing back: nobody has referred to it yet (P14)")
    func referenceToAnotherIncarnation() throws {
        let team = try Team()
        let other = Sample.id(501)
        try refer(team, to: other)
        team.ben.delete("customer", other)
        try team.syncAll()
        team.ben.insert("customer", other, ["name": "Anew", "territory_id": Value(Office.north)])
        try team.syncAll()
        #expect(team.ann.value("customer", other, "name") == "Anew")
        #expect(team.ann.value("customer", team.customer, "referrer_id") == .null)
        try team.check()
    }

    @Test("D3: a record that comes back does not refer to what was deleted while it was away, until that is back too")
    func revivedReferrer() throws {
        let team = try Team()
        let other = Sample.id(501)
        try refer(team, to: other)
        team.ann.commit([
            Sample.delete("opportunity", team.deal), Sample.delete("customer", team.customer),
        ])
        try team.syncAll()
        team.ben.delete("customer", other)
        try team.syncAll()
        team.ann.commit([], [revive(team.customer)])
        try team.syncAll()
        #expect(team.ann.value("customer", team.customer, "name") == "Acme")
        #expect(team.ann.value("customer", team.customer, "referrer_id") == .null)
        team.ben.commit([], [revive(other)])
        try team.syncAll()
        #expect(team.ann.value("customer", team.customer, "referrer_id") == Value(other))
        try team.check()
    }

    @Test("D3: reference data is not deleted while something refers to it")
    func referenceData() throws {
        let team = try Team()
        let outcome = try team.office.workspace.serverCommit([Sample.delete("territory", Office.north)])
        #expect(outcome.answer.notices.map(\.code) == [.deleteLost])
        #expect(try team.office.row("territory", Office.north) != nil)
    }

    @Test("D3: a reference to what does not exist, or to what the author cannot see, does not enter")
    func unseenReference() throws {
        let team = try Team()
        let hidden = Sample.id(502)
        try team.office.act([
            Sample.insert("customer", hidden, ["name": "Hidden", "territory_id": Value(Office.south)])
        ])
        let soft = team.ann.set("customer", team.customer, ["referrer_id": Value(hidden)])
        let parent = team.ann.insert("contact", Sample.id(805), ["name": "C", "customer_id": Value(hidden)])
        let nowhere = team.ann.insert("contact", Sample.id(806), ["name": "C", "customer_id": Value(Sample.id(999))])
        try team.syncAll()
        #expect(team.ann.answers[soft.id]?.notices.first?.code == .reference)
        #expect(team.ann.answers[parent.id]?.notices.first?.code == .unknownParent)
        #expect(
            team.ann.answers[parent.id]?.notices == team.ann.answers[nowhere.id]?.notices,
            "hidden and unknown look the same")
        try team.check()
    }

    @Test("D4: colliding rows both stay; the later is a probable duplicate, without the other's id")
    func duplicates() throws {
        let team = try Team()
        let (first, second) = (Sample.id(503), Sample.id(504))
        team.ann.insert("customer", first, ["name": "A", "phone": "77", "territory_id": Value(Office.north)])
        let commit = team.ben.insert(
            "customer", second, ["name": "B", "phone": "77", "territory_id": Value(Office.north)])
        try team.syncAll()
        #expect(try team.office.row("customer", first) != nil)
        #expect(try team.office.row("customer", second) != nil)
        let entries = try team.office.ledger()
        #expect(entries.count == 1 && entries[0]["kind"] == "duplicate" && entries[0]["state"] == "open")
        #expect(entries[0]["record_id"] == Value(second))
        #expect(entries[0]["base"] == "{\"phone\":\"77\"}")
        #expect(!entries[0].values.contains { $0.textValue?.contains(first.description) == true })
        #expect(team.ben.answers[commit.id]?.notices.map(\.code) == [.duplicate])
        try team.check()
    }
}
