import PeykModel
import PeykServer
import PeykSession
import Testing

@Suite("Rules S: what lies just outside")
struct PlacingRuleTests {
    @Test("S4: nobody puts a child of hers under a parent that she sees and may not write")
    func foreignParent() throws {
        let border = try ScopeRuleTests.Border()
        let own = Sample.id(540)
        let child = Sample.id(541)
        border.manager.insert(
            "opportunity", Sample.id(542),
            ["name": "Deal", "customer_id": Value(border.customer), "territory_id": Value(Office.south)])
        border.sam.commit([
            Sample.insert("customer", own, ["name": "Own", "territory_id": Value(Office.south)]),
            Sample.insert("contact", child, ["name": "D", "customer_id": Value(own)]),
        ])
        try border.syncAll()
        #expect(border.sam.value("customer", border.customer, "name") == "Acme", "lent, so it is seen")
        let move = border.sam.set("contact", child, ["customer_id": Value(border.customer)])
        try border.syncAll()
        #expect(border.sam.answers[move.id]?.notices.map(\.code) == [.scope])
        #expect(try border.office.value("contact", child, "customer_id") == Value(own))
        try border.check()
    }

    @Test("S3, P20: of a record that was never in a scope nothing is heard there, not even its id")
    func outsiders() throws {
        let border = try ScopeRuleTests.Border()
        border.ann.set("customer", border.customer, ["phone": "1"])
        border.ann.delete("contact", border.contact)
        try border.syncAll()
        let named = border.sam.heard.flatMap(\.effects).map(\.key.record)
        #expect(!named.contains(border.customer) && !named.contains(border.contact))
        try border.check()
    }
}
