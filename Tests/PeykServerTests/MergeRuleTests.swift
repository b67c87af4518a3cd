import PeykMerge
import PeykModel
import PeykServer
import PeykSession
import Testing

/// Two reps of the north and a manager, with one customer and one opportunity that all have.
struct Team {
    let office: Office
    let ann: Device
    let ben: Device
    let manager: Device
    let customer = Sample.id(500)
    let deal = Sample.id(600)

    init(_ office: Office? = nil) throws {
        let office = try office ?? Office()
        self.office = office
        ann = try office.device(try office.user(1, "Ann", .rep, [Office.north]), key: 1)
        ben = try office.device(try office.user(2, "Ben", .rep, [Office.north]), key: 2)
        manager = try office.device(try office.user(3, "Mona", .manager), key: 3)
        try ann.sync()
        ann.commit([
            Sample.insert(
                "customer", customer, ["name": "Acme", "territory_id": Value(Office.north), "notes": "a\n-\nb"]),
            Sample.insert(
                "opportunity", deal,
                [
                    "name": "Deal", "customer_id": Value(customer), "territory_id": Value(Office.north),
                    "stage_id": Value(Sample.stage("Lead")), "amount": 100, "currency": "EUR",
                ]),
        ])
        try syncAll()
    }

    func syncAll() throws {
        for _ in 0..<2 { for device in [ann, ben, manager] { try device.sync() } }
    }

    /// Every device holds exactly its scope, and no digest differed on the way.
    func check(_ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation) throws {
        for device in [ann, ben, manager] {
            #expect(try device.rows == device.expected(), comment, sourceLocation: sourceLocation)
            #expect(device.digestFaults == 0, comment, sourceLocation: sourceLocation)
        }
    }
}

@Suite("Rules M: merging")
struct MergeRuleTests {
    @Test("M2: a second once, a server field and leaving a closed stage are turned down and answered")
    func bounds() throws {
        let team = try Team()
        team.ann.commit([
            Sample.update(
                "customer", team.customer, ["since": "2024-01-01"], on: team.ann.shown("customer", team.customer)),
            Sample.update(
                "opportunity", team.deal, ["stage_id": Value(Sample.stage("Won"))],
                on: team.ann.shown("opportunity", team.deal)),
        ])
        try team.syncAll()
        let once = team.ann.set("customer", team.customer, ["since": "2025-01-01", "phone": "1"])
        let score = team.ann.set("customer", team.customer, ["score": 5])
        let leave = team.ann.set("opportunity", team.deal, ["stage_id": Value(Sample.stage("Lead"))])
        try team.syncAll()
        #expect(team.ann.answers[once.id]?.notices.map(\.code) == [.onceWritten])
        #expect(team.ann.answers[score.id]?.notices.first?.code == .serverField)
        #expect(team.ann.answers[leave.id]?.notices.first?.code == .closedStage)
        #expect(try office(team, "phone") == "1", "the other cell of the update stands (rule M6)")
        #expect(team.ann.value("customer", team.customer, "since") == "2024-01-01")
        let reopened = team.ann.commit(
            [
                Sample.update(
                    "opportunity", team.deal, ["stage_id": Value(Sample.stage("Lead"))],
                    on: team.ann.shown("opportunity", team.deal))
            ], [Operation(kind: .reopen, table: Sample.table("opportunity"), record: team.deal)])
        try team.syncAll()
        #expect(team.ann.answers[reopened.id]?.isPlain == true)
        #expect(team.ben.value("opportunity", team.deal, "stage_id") == Value(Sample.stage("Lead")))
        try team.check()
    }

    private func office(_ team: Team, _ field: String) throws -> Value? {
        try team.office.value("customer", team.customer, field)
    }

    @Test("M2: Won against Lost gives Lost, and the entry is open")
    func wonOrLost() throws {
        let team = try Team()
        team.ann.set("opportunity", team.deal, ["stage_id": Value(Sample.stage("Lost"))])
        team.ben.set("opportunity", team.deal, ["stage_id": Value(Sample.stage("Won"))])
        try team.syncAll()
        #expect(team.ann.value("opportunity", team.deal, "stage_id") == Value(Sample.stage("Lost")))
        let ledger = try team.office.ledger()
        #expect(ledger.map { $0["state"] } == ["open"])
        try team.check()
    }

    @Test("M4: corrections turn the author's plain effect into what the server has")
    func corrections() throws {
        let team = try Team()
        team.ann.commit([
            Sample.update(
                "customer", team.customer,
                ["name": "Ann's", "visits": 2, "tags": "[\"a\"]", "notes": "A\n-\nb"],
                on: team.ann.shown("customer", team.customer))
        ])
        team.office.time.advance(1_000)
        team.ben.commit([
            Sample.update(
                "customer", team.customer,
                ["name": "Ben's", "visits": 3, "tags": "[\"b\"]", "notes": "a\n-\nB"],
                on: team.ben.shown("customer", team.customer))
        ])
        try team.ben.sync()
        try team.syncAll()
        #expect(team.ann.value("customer", team.customer, "name") == "Ben's")
        #expect(team.ann.value("customer", team.customer, "visits") == 5)
        #expect(team.ann.value("customer", team.customer, "tags") == "[\"a\",\"b\"]")
        #expect(team.ann.value("customer", team.customer, "notes") == "A\n-\nB")
        try team.check()
    }

    @Test("M6: an insert is refused whole with what needs it; another update of the commit stands")
    func smallestPart() throws {
        let team = try Team()
        let commit = team.ann.commit([
            Sample.insert("customer", Sample.id(700), ["phone": "5"]),
            Sample.insert("contact", Sample.id(701), ["name": "C", "customer_id": Value(Sample.id(700))]),
            Sample.update("customer", team.customer, ["phone": "6"], on: team.ann.shown("customer", team.customer)),
        ])
        try team.syncAll()
        let answer = try #require(team.ann.answers[commit.id])
        #expect(answer.verdict == .merged)
        #expect(answer.notices.map(\.code) == [.required, .needsParked])
        #expect(answer.notices.map(\.change) == [0, 1])
        #expect(try team.office.value("customer", team.customer, "phone") == "6")
        #expect(team.ann.rows[Sample.key("customer", Sample.id(700))] == nil)
        #expect(team.ann.rows[Sample.key("contact", Sample.id(701))] == nil)
        try team.check()
    }

    @Test("M6: with `whole`, one refusal refuses the commit and nothing of it stays")
    func whole() throws {
        let team = try Team()
        let commit = team.ann.commit(
            [
                Sample.update("customer", team.customer, ["phone": "6"], on: nil),
                Sample.insert("customer", Sample.id(700), ["phone": "5"]),
            ], [Operation(kind: .whole)])
        let before = try team.office.row("customer", team.customer)
        try team.syncAll()
        let answer = try #require(team.ann.answers[commit.id])
        #expect(answer.verdict == .refused)
        #expect(Set(answer.notices.map(\.code)) == [.required, .whole])
        #expect(try team.office.row("customer", team.customer) == before)
        try team.check()
    }

    @Test("M6: a group is never torn")
    func groups() throws {
        let team = try Team()
        team.ann.set("customer", team.customer, ["street": "A street", "city": "A city"])
        team.office.time.advance(10)
        team.ben.set("customer", team.customer, ["street": "B street", "city": "B city"])
        try team.syncAll()
        let row = try #require(try team.office.row("customer", team.customer))
        #expect(row[Sample.field("customer", "street")] == "B street")
        #expect(row[Sample.field("customer", "city")] == "B city")
        try team.check()
    }

    @Test("M7: one entry for a cell and conflict, joined by a third write, closed by one that covers all")
    func ledgerEntry() throws {
        let team = try Team()
        for (number, device) in [team.ann, team.ben, team.manager].enumerated() {
            device.set("customer", team.customer, ["name": .text("name \(number)")])
            team.office.time.advance(1_000)
        }
        try team.syncAll()
        var ledger = try team.office.ledger()
        #expect(ledger.count == 1)
        #expect(ledger[0]["state"] == "noted" && ledger[0]["kind"] == "field" && ledger[0]["cell"] == "name")
        let losers = try #require(ledger[0]["losers"]?.textValue.flatMap { try? JSON(parsing: $0) }?.arrayValue)
        #expect(Set(losers.compactMap { $0["value"]?.stringValue }) == ["name 0", "name 1"])
        let winner = try #require(ledger[0]["winner"]?.textValue.flatMap { try? JSON(parsing: $0) })
        #expect(winner["value"] == "name 2" && winner["user"]?.stringValue == team.manager.user.description)
        #expect(winner["clock"]?["dots"] != nil && winner["clock"]?["epoch"]?.stringValue != nil)
        try team.check()
        team.ann.set("customer", team.customer, ["name": "final"])
        try team.syncAll()
        ledger = try team.office.ledger()
        #expect(ledger.map { $0["state"] } == ["settled"])
        #expect(ledger[0]["settled_by"] == Value(team.ann.user))
        try team.check("the settled entry reached all")
    }

    @Test("M7: settle closes an open entry")
    func settle() throws {
        let team = try Team()
        team.ann.set("opportunity", team.deal, ["amount": 200, "currency": "EUR"])
        team.ben.set("opportunity", team.deal, ["amount": 300, "currency": "EUR"])
        try team.syncAll()
        let entry = try #require(team.ann.rows.first { $0.key.table == Schema.ledgerIndex })
        #expect(entry.value.text(Schema.ledger, "state") == "open")
        let commit = team.ann.commit([], [Operation(kind: .settle, record: entry.key.record)])
        try team.syncAll()
        #expect(team.ann.answers[commit.id]?.isPlain == true)
        #expect(team.ben.rows[entry.key]?.text(Schema.ledger, "state") == "settled")
        try team.check()
    }

    @Test("M8: an undo is refused where somebody has built upon what it undoes, unless forced")
    func undo() throws {
        let team = try Team()
        let edit = team.ann.set("customer", team.customer, ["name": "typo"])
        try team.syncAll()
        team.ben.set("customer", team.customer, ["name": "better"])
        try team.ben.sync()
        let back = [Sample.update("customer", team.customer, ["name": "Acme"], on: nil)]
        let refused = team.ann.commit(back, [Operation(kind: .undo, argument: edit.id.description)])
        try team.syncAll()
        #expect(team.ann.answers[refused.id]?.notices.contains { $0.code == .builtUpon } == true)
        #expect(try team.office.value("customer", team.customer, "name") == "better")
        try team.check()
        team.ann.commit(back, [Operation(kind: .undo, argument: edit.id.description + " force")])
        try team.syncAll()
        #expect(try team.office.value("customer", team.customer, "name") == "Acme")
        try team.check()
    }
}
