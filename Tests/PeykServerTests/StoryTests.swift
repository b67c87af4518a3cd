import PeykModel
import PeykServer
import Testing

/// What the main job must show, without wires and files.
@Suite("Two reps")
struct StoryTests {
    @Test("different fields of one record: both stand, no ledger entry")
    func differentFields() throws {
        let team = try Team()
        team.ann.set("customer", team.customer, ["name": "Acme Ltd"])
        team.ben.set("customer", team.customer, ["phone": "123"])
        try team.syncAll()
        for device in [team.ann, team.ben, team.manager] {
            #expect(device.value("customer", team.customer, "name") == "Acme Ltd")
            #expect(device.value("customer", team.customer, "phone") == "123")
        }
        #expect(try team.office.ledger().isEmpty)
        try team.check()
    }

    @Test("same field: the later stamp wins, the other is in the ledger of both, and comes back as a new edit")
    func sameField() throws {
        let team = try Team()
        team.ann.set("customer", team.customer, ["name": "Ann's"])
        team.office.time.advance(60_000)
        team.ben.set("customer", team.customer, ["name": "Ben's"])
        try team.syncAll()
        #expect(try team.office.value("customer", team.customer, "name") == "Ben's")
        for device in [team.ann, team.ben] {
            let entries = device.rows.filter { $0.key.table == Schema.ledgerIndex }
            #expect(entries.count == 1)
        }
        let entry = try #require(team.ann.rows.first { $0.key.table == Schema.ledgerIndex })
        let losers = entry.value.text(Schema.ledger, "losers").flatMap { try? JSON(parsing: $0) }?.arrayValue
        let lost = try #require(losers?.first?["value"]?.stringValue)
        team.ann.commit(
            [Sample.update("customer", team.customer, ["name": .text(lost)], on: nil)],
            [Operation(kind: .settle, record: entry.key.record)])
        try team.syncAll()
        #expect(try team.office.value("customer", team.customer, "name") == "Ann's")
        #expect(try team.office.ledger().map { $0["state"] } == ["settled"])
        try team.check()
    }

    @Test("who saw the other's edit wins with a clock three days slow: causality beats wall clocks (P10)")
    func slowClock() throws {
        let team = try Team()
        team.ann.set("customer", team.customer, ["name": "first"])
        try team.syncAll()
        team.ben.skew = -3 * 86_400_000
        team.ben.hybrid = HybridClock()
        team.ben.set("customer", team.customer, ["name": "second"])
        try team.syncAll()
        #expect(try team.office.value("customer", team.customer, "name") == "second")
        #expect(try team.office.ledger().isEmpty)
        try team.check()
    }

    @Test("a fast clock does not beat what its owner had not seen without a word: the ledger has it")
    func fastClock() throws {
        let team = try Team()
        team.ann.skew = 3 * 86_400_000
        team.ann.set("customer", team.customer, ["name": "fast"])
        team.ben.set("customer", team.customer, ["name": "honest"])
        try team.syncAll()
        #expect(try team.office.ledger().count == 1)
        try team.check()
    }
}
