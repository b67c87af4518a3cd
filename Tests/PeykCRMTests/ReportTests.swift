import Foundation
import PeykCRM
import PeykConsole
import PeykModel
import PeykSQLite
import Testing

/// A workspace's tables in a SQLite file of their own, without anything of ours beside them.
final class PlainWorkspace: ReportSource {
    private let database: Database
    private let folder: URL

    init(_ rows: [String: [RecordID: Row]]) throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "peyk-report-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        database = try Database(path: folder.appending(path: "w.sqlite").path, access: .create, lockPath: nil)
        try database.write { connection in
            for table in FieldSales.schema.tables {
                let columns = table.fields.map { "\($0.name) \($0.type.storage.rawValue.uppercased())" }
                try connection.execute(
                    "CREATE TABLE \(table.name)(id TEXT PRIMARY KEY NOT NULL, \(columns.joined(separator: ", "))) STRICT"
                )
                let marks = Array(repeating: "?", count: table.fields.count + 1).joined(separator: ", ")
                for (record, row) in rows[table.name] ?? [:] {
                    try connection.run(
                        "INSERT INTO \(table.name) VALUES (\(marks))",
                        [Value(record)] + table.fields.indices.map { row[$0] })
                }
            }
        }
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func rows(_ sql: String, _ values: [Value]) throws -> [[Value]] {
        try database.read { try $0.rows(sql, values) }
    }
}

@Suite("The pipeline report")
struct PipelineReportTests {
    static func demo() throws -> MemoryTarget {
        let target = MemoryTarget()
        let folder = MavenData.root.appending(path: "seeds/demo")
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        where name.hasSuffix("csv") {
            _ = try ImportPlan.run(
                String(contentsOf: folder.appending(path: name.replacing(".csv", with: ".json")), encoding: .utf8),
                String(contentsOf: folder.appending(path: name), encoding: .utf8), into: target)
        }
        return target
    }

    /// The same figures by plain loops over the rows.
    struct Expected: Hashable {
        var count: Int64 = 0
        var amount: Int64 = 0
        var weighted: Int64 = 0
    }

    static func expected(_ target: MemoryTarget, owner: RecordID? = nil) throws -> [String: Expected] {
        let table = try #require(FieldSales.schema.table(named: "opportunity"))
        let stages = try #require(FieldSales.schema.table(named: "stage"))
        func field(_ name: String) throws -> Int { try #require(table.fieldIndex(name)) }
        var out: [String: Expected] = [:]
        for row in (target.rows["opportunity"] ?? [:]).values {
            if let owner, row[try field("owner_id")] != Value(owner) { continue }
            let stageID = try #require(row[try field("stage_id")].recordID)
            let stage = try #require(target.rows["stage"]?[stageID])
            guard stage.text(stages, "kind") == "open" else { continue }
            let currency = row[try field("currency")].textValue
            let key = (stage.text(stages, "name") ?? "") + " " + (currency ?? "-")
            out[key, default: Expected()].count += 1
            guard currency != nil, let amount = row[try field("amount")].integerValue else { continue }
            out[key]?.amount += amount
            let place = try #require(stages.fieldIndex("probability"))
            out[key]?.weighted += amount * (stage[place].integerValue ?? 0)
        }
        return out.mapValues { Expected(count: $0.count, amount: $0.amount, weighted: $0.weighted / 100) }
    }

    func figures(_ report: Report) throws -> [String: Expected] {
        func index(_ key: String) throws -> Int { try #require(report.main.index(key)) }
        var out: [String: Expected] = [:]
        for row in report.main.rows {
            let key = "\(row[try index("stage")].textValue ?? "") \(row[try index("currency")].textValue ?? "-")"
            let expected = Expected(
                count: row[try index("count")].integerValue ?? 0, amount: row[try index("amount")].integerValue ?? 0,
                weighted: row[try index("weighted")].integerValue ?? 0)
            if expected.count > 0 { out[key] = expected }
        }
        return out
    }

    static let context = ReportContext(
        now: 1_795_348_800_000, position: 42, asOf: 1_795_348_800_000, ownPending: 2,
        devices: [
            ReportDevice(user: "Reza", device: "laptop", lastContact: 1_795_000_000_000, pending: 3),
            ReportDevice(user: "Sara", device: "old", lastContact: nil, pending: 0),
        ])

    @Test("counts, sums and weighs the open opportunities of each stage and currency, like a loop over the rows")
    func figures() throws {
        let target = try Self.demo()
        let source = try PlainWorkspace(target.rows)
        let definition = try #require(ReportDefinition.named("pipeline"))
        let report = try definition.run(source, ReportFilter(), Self.context)
        #expect(try figures(report) == Self.expected(target))
        let owner = try #require(target.id("user", "name", "Reza Karimi"))
        let narrowed = try definition.run(source, ReportFilter(owner: owner), Self.context)
        #expect(try figures(narrowed) == Self.expected(target, owner: owner))
        #expect(try figures(narrowed) != figures(report))
        let nobody = try definition.run(
            source, ReportFilter(territory: RecordID(bits: UUIDBits(high: 1, low: 1))), Self.context)
        #expect(nobody.main.rows.count == 4, "each open stage has its line, also an empty one")
        #expect(nobody.totals.rows.isEmpty)
    }

    @Test("totals are the sums of the rows, and shares of one currency make up the whole")
    func totals() throws {
        let source = try PlainWorkspace(try Self.demo().rows)
        let report = try #require(ReportDefinition.named("pipeline")).run(source, ReportFilter(), Self.context)
        for total in report.totals.rows {
            let rows = report.main.rows.filter { $0[5] == total[0] && $0[6] != .integer(0) }
            #expect(rows.reduce(0) { $0 + ($1[6].integerValue ?? 0) } == total[1].integerValue)
            #expect(rows.reduce(0) { $0 + ($1[8].integerValue ?? 0) } == total[3].integerValue ?? 0)
            if !total[0].isNull {
                let shares = rows.compactMap { $0[10].integerValue }.reduce(0, +)
                #expect(abs(shares - 1000) <= Int64(rows.count))
            }
        }
    }

    @Test("a hand-set probability counts only in the stage that it was set in")
    func probability() throws {
        var target = MemoryTarget().rows
        let table = try #require(FieldSales.schema.table(named: "opportunity"))
        let stages = FieldSales.seedRows.filter { $0.table == "stage" }.map(\.record)
        for (number, setIn) in [stages[0], stages[1]].enumerated() {
            var row = Row.empty(table)
            for (name, value) in [
                "name": .text("x"), "stage_id": Value(stages[0]), "amount": .integer(999), "currency": .text("USD"),
                "probability": .integer(70), "probability_stage_id": Value(setIn),
                "opened_at": .integer(Self.context.now - 10 * 86_400_000),
            ] as [String: Value] {
                row[try #require(table.fieldIndex(name))] = value
            }
            target["opportunity", default: [:]][RecordID(bits: UUIDBits(high: 7, low: UInt64(number)))] = row
        }
        let report = try #require(ReportDefinition.named("pipeline"))
            .run(PlainWorkspace(target), ReportFilter(), Self.context)
        let row = try #require(report.main.rows.first { $0[6] == .integer(2) })
        // 999 · 70 + 999 · 10 = 79,920 hundredths, rounded down.
        #expect(Array(row[7...10]) == [.integer(1998), .integer(799), .integer(10), .integer(1000)])
    }

    @Test("the header says as of when, who has not been heard from, and the money under open conflicts")
    func header() throws {
        let target = try Self.demo()
        let ledger = Schema.ledger
        let opportunity = try #require(target.rows["opportunity"]?.first { !$0.value[6].isNull })
        for (number, state) in ["open", "open", "noted"].enumerated() {
            var row = Row.empty(ledger)
            row[try #require(ledger.fieldIndex("table_name"))] = .text("opportunity")
            row[try #require(ledger.fieldIndex("record_id"))] = Value(opportunity.key)
            row[try #require(ledger.fieldIndex("state"))] = .text(state)
            target.rows["peyk_ledger", default: [:]][RecordID(bits: UUIDBits(high: 9, low: UInt64(number)))] = row
        }
        let report = try #require(ReportDefinition.named("pipeline"))
            .run(PlainWorkspace(target.rows), ReportFilter(), Self.context)
        #expect(report.header.openConflicts == 2)
        #expect(report.header.declaredPending == 3)
        #expect(report.header.devices.map(\.user) == ["Sara", "Reza"])
        let table = try #require(FieldSales.schema.table(named: "opportunity"))
        let amount = opportunity.value[try #require(table.fieldIndex("amount"))].integerValue
        #expect(report.header.conflictMoney.map(\.amount) == [amount].compactMap { $0 })
        let json = report.json
        #expect(json["header"]?["conflicts_open"] == 2)
        #expect(json["header"]?["as_of"] == "2026-11-22T12:00:00.000Z")
        let lines = report.header.lines(Presentation())
        #expect(lines.contains("Reza (laptop): last heard from 2026-11-18 11:06, had declared 3 unsent edits"))
    }
}
