import PeykCRM
import PeykConsole
import PeykModel
import PropertyKit
import Testing

extension Choices {
    /// Opportunities in seeded stages: with and without amount, currency, owner, age, a probability set by hand.
    fileprivate mutating func opportunities() throws -> [RecordID: Row] {
        let table = try present(FieldSales.schema.table(named: "opportunity"))
        let stages = FieldSales.seedRows.filter { $0.table == "stage" }.map(\.record)
        var rows: [RecordID: Row] = [:]
        let list = list(upTo: 30, usual: 10) { choices -> [String: Value] in
            var values: [String: Value] = [
                "name": .text("x"), "stage_id": Value(choices.pick(stages)),
                "owner_id": choices.optional { $0.recordID(of: 3) }.map { Value($0) } ?? .null,
                "territory_id": choices.optional { $0.recordID(of: 2) }.map { Value($0) } ?? .null,
                "opened_at": .integer(PipelineReportTests.context.now - Int64(choices.below(400)) * 86_400_000),
            ]
            if choices.chance(80) {
                values["amount"] = .integer(Int64(choices.below(2_000_000)) - 1_000)
                values["currency"] = .text(choices.pick(["EUR", "IRR"]))
            }
            if choices.chance(20) { values["archived"] = .integer(1) }
            if choices.chance(30) {
                values["probability"] = .integer(Int64(choices.below(101)))
                values["probability_stage_id"] = Value(choices.pick(stages))
            }
            return values
        }
        for (number, values) in list.enumerated() {
            var row = Row.empty(table)
            for (name, value) in values { row[try present(table.fieldIndex(name), name)] = value }
            rows[RecordID(bits: UUIDBits(high: 9, low: UInt64(number)))] = row
        }
        return rows
    }
}

@Suite("Properties of reports")
struct ReportProperties {
    /// What a report counts and sums, in all and of each currency.
    private struct Sums: Equatable {
        var count: Int64 = 0
        var amounts: [String: Int64] = [:]

        static func + (left: Sums, right: Sums) -> Sums {
            Sums(
                count: left.count + right.count,
                amounts: left.amounts.merging(right.amounts) { $0 + $1 }.filter { $0.value != 0 })
        }
    }

    private static func sums(_ table: Report.Table) throws -> Sums {
        let (currency, count, amount) = (
            try present(table.index("currency")), try present(table.index("count")), try present(table.index("amount"))
        )
        return table.rows.reduce(Sums()) { sums, row in
            let amounts = row[currency].textValue.map { [$0: row[amount].integerValue ?? 0] } ?? [:]
            return sums + Sums(count: row[count].integerValue ?? 0, amounts: amounts)
        }
    }

    @Test(
        "totals are the sums of the rows, and owners' and territories' reports add up to the whole",
        .timeLimit(.minutes(2)))
    func partsMakeTheWhole() throws {
        let definition = try #require(ReportDefinition.named("pipeline"))
        let seeds = try PipelineReportTests.demo().rows.filter { ["stage", "pipeline"].contains($0.key) }
        Property(cases: 10) { choices in
            (try choices.opportunities(), choices.chance(50))
        }.holds { opportunities, byOwner in
            let table = try present(FieldSales.schema.table(named: "opportunity"))
            let field = try present(table.fieldIndex(byOwner ? "owner_id" : "territory_id"))
            func report(_ rows: [RecordID: Row], _ filter: ReportFilter = ReportFilter()) throws -> Report {
                try definition.run(
                    PlainWorkspace(seeds.merging(["opportunity": rows]) { $1 }), filter, PipelineReportTests.context)
            }
            let whole = try report(opportunities)
            try same(try Self.sums(whole.totals), try Self.sums(whole.main), "totals and rows")
            // Those of each owner, and those of nobody, which no filter names.
            let owners = Set(opportunities.values.compactMap { $0[field].recordID })
            var parts = try Self.sums(report(opportunities.filter { $0.value[field].isNull }).main)
            for owner in owners {
                let filter = byOwner ? ReportFilter(owner: owner) : ReportFilter(territory: owner)
                let filtered = try report(opportunities, filter)
                try same(
                    filtered.main.rows, try report(opportunities.filter { $0.value[field] == Value(owner) }).main.rows,
                    "a filter is the same as having nothing else")
                parts = parts + (try Self.sums(filtered.main))
            }
            try same(parts, try Self.sums(whole.main), "parts and whole")
        }
    }
}
