import PeykCRM
import PeykConsole
import PeykModel
import Testing

@Suite("Fields as people type them")
struct FieldReadingTests {
    let source: PlainWorkspace
    let names: RecordNames
    let target: MemoryTarget

    init() throws {
        target = try PipelineReportTests.demo()
        source = try PlainWorkspace(target.rows)
        names = RecordNames(schema: FieldSales.schema, source: source)
    }

    func read(_ assignments: [String], in name: String = "opportunity", over row: Row? = nil) throws -> [String: Value]
    {
        let table = try #require(FieldSales.schema.table(named: name))
        return try FieldReading(
            table: table, names: names, now: 1_795_348_800_000,
            presentation: Presentation(utcOffset: { _ in 12_600 })
        ).values(assignments, over: row)
    }

    @Test("amounts carry their currency, references are found by name, dates are of either calendar")
    func values() throws {
        let values = try read([
            "amount=1,200.5 USD", "owner=Sara", "stage=Proposal", "close_date=1405/09/30", "tags=vip, tender",
            "next_step_due=+7d", "opened_at=2026-11-22 14:30", "description=a=b",
        ])
        #expect(values["amount"] == .integer(120_050))
        #expect(values["currency"] == .text("USD"))
        #expect(values["owner_id"] == target.id("user", "name", "Sara Mohammadi").map { Value($0) })
        #expect(values["stage_id"] == target.id("stage", "name", "Proposal").map { Value($0) })
        #expect(values["close_date"] == .text("2026-12-21"))
        #expect(values["tags"] == .text(#"["tender","vip"]"#))
        #expect(values["next_step_due"] == .text("2026-11-29"))
        #expect(values.keys.contains("next_step"), "a group goes whole")
        #expect(values["opened_at"] == .integer(1_795_345_200_000))
        #expect(values["description"] == .text("a=b"))
        #expect(try read(["amount=۱۲۰ تومان"])["amount"] == .integer(1200))
    }

    @Test("lists and counters are added to and taken from")
    func additions() throws {
        let table = try #require(FieldSales.schema.table(named: "opportunity"))
        var row = Row.empty(table)
        row[try #require(table.fieldIndex("tags"))] = .text(#"["a","b"]"#)
        row[try #require(table.fieldIndex("visits"))] = .integer(4)
        let values = try read(["tags+=c", "tags-=a", "visits+=2"], over: row)
        #expect(values["tags"] == .text(#"["b","c"]"#))
        #expect(values["visits"] == .integer(6))
    }

    static let wrong: [(String, String)] = [
        ("nothing", "“nothing” is not of the form field=value. Nothing was saved."),
        ("amount=12", "Nothing was saved: amount needs a currency, as in amount=\"12 USD\"."),
        (
            "close_date=1404/12/30",
            "Nothing was saved: close_date is not a date: write 2026-11-22, 1405/09/01, today or +7d."
        ),
        ("stage=Nowhere", "There is no stage “Nowhere” here."),
        ("archived=perhaps", "Nothing was saved: archived is yes or no, not “perhaps”."),
    ]

    @Test("what is wrong is said in words", arguments: wrong)
    func refuses(_ assignment: String, _ message: String) throws {
        let failure = #expect(throws: Failure.self) { try read([assignment]) }
        #expect(failure?.message == message)
    }

    @Test("ids may be shortened while unique")
    func shortIDs() throws {
        let table = try #require(FieldSales.schema.table(named: "customer"))
        let ids = try #require(target.rows["customer"]).keys.map(\.description).sorted()
        for (id, short) in zip(ids, names.short(ids, in: table)) {
            #expect(id.hasPrefix(short))
            #expect(try names.find(short, in: table).description == id)
        }
        let stages = try #require(FieldSales.schema.table(named: "stage"))
        let failure = #expect(throws: Failure.self) { try names.find("7065796b", in: stages) }
        #expect(failure?.exit == .usage)
    }
}
