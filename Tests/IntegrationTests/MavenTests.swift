import Foundation
import ProgramKit
import Testing

/// Real, dirty data of a company with three regional offices, imported, synced and reported on.
///
/// The data is no part of the repository: it is read from `../shared/data` where that is there.
@Suite("An import of real data", .serialized)
struct MavenTests {
    static let data = DemoTests.root.deletingLastPathComponent().appendingPathComponent("shared/data/maven-crm")
    static var isThere: Bool {
        FileManager.default.fileExists(atPath: data.appendingPathComponent("sales_pipeline.csv").path)
    }
    /// In the order in which they refer to each other.
    static let files = ["sales_teams", "accounts", "products", "sales_pipeline"]
    static let regions = ["Central", "East", "West"]

    /// A line of the CSV; none of the files quotes anything.
    private func rows(_ file: String) throws -> [[String: String]] {
        let text = try String(contentsOf: Self.data.appendingPathComponent(file + ".csv"), encoding: .utf8)
        let lines = text.split(whereSeparator: \.isNewline).map {
            $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        }
        let header = try #require(lines.first)
        return lines.dropFirst().map { line in Dictionary(uniqueKeysWithValues: zip(header, line)) }
    }

    @discardableResult
    private func importAll(by replica: ReplicaProcess) async throws -> [JSON] {
        var outcomes: [JSON] = []
        for file in Self.files {
            let map = DemoTests.root.appendingPathComponent("seeds/import/maven/\(file).json").path
            let csv = Self.data.appendingPathComponent("\(file).csv").path
            let output = try await Program.peyk.run(
                ["import", csv, "--map", map, "--format", "json"], environment: ["PEYK_HOME": replica.home.path],
                seconds: 300)
            // 65: some rows were refused, the others taken.
            try #require(output.status == 0 || output.status == 65, "\(output)")
            let json = try output.json()
            let list = json.rows.isEmpty || json["table"].text != nil ? [json] : json.rows
            outcomes += list
        }
        return outcomes
    }

    private func check(imports outcomes: [JSON]) throws {
        let deals = try #require(outcomes.last)
        func number(_ key: String) -> Int { deals[key].number ?? 0 }
        let refused = deals["refused"].list
        #expect(
            number("inserted") + number("repeated") + refused.count == 8_800, "every row is in or refused: \(deals)")
        for row in refused {
            #expect((row["line"].number ?? 0) > 1, "a refused row has its line: \(row)")
            #expect(row["reason"].text?.isEmpty == false, "a refused row has its reason: \(row)")
        }
    }

    @Test(
        "is whole, idempotent, in scope and equal everywhere",
        .enabled(if: isThere, "there is no ../shared/data/maven-crm here"), .timeLimit(.minutes(15)))
    func maven() async throws {
        try await World.with { world in
            let admin = try await world.join("Ada", role: "admin")
            try check(imports: try await importAll(by: admin))
            let before = try await admin.dump()
            try await importAll(by: admin)
            expectEqual(try await admin.dump(), before, "the states before and after a second import")
            let misspelt = try rows("sales_pipeline").count { $0["product"] == "GTXPro" }
            let put = "SELECT count(*) FROM opportunity JOIN product p ON p.id = product_id WHERE p.name = 'GTX Pro'"
            #expect(misspelt > 0)
            #expect(try await admin.value(put) == String(misspelt))
            #expect(try await admin.value("SELECT count(*) FROM product WHERE name = 'GTXPro'") == "0")
            #expect(try await admin.value("SELECT count(*) FROM customer WHERE industry = 'technolgy'") == "0")
            try await admin.sync()

            let manager = try await world.join("Mona", role: "manager")
            let server = try await world.server.dump()
            let dump = try await manager.dump()
            expectEqual(dump, server, "the manager and the server")
            for region in Self.regions { try await check(region: region, in: world) }
            try await checkReport(manager: manager, world: world)
        }
    }

    /// A rep of the region holds exactly its opportunities and the customers under them.
    private func check(region: String, in world: World) async throws {
        let rep = try await world.join("Rep of \(region)", territories: [region])
        let agents = Set(
            try rows("sales_teams").filter { $0["regional_office"] == region }.compactMap { $0["sales_agent"] })
        let deals = try rows("sales_pipeline").filter { agents.contains($0["sales_agent"] ?? "") }
        let held = try await rep.value("SELECT external_id FROM opportunity ORDER BY 1")
        #expect(
            held == deals.compactMap { $0["opportunity_id"] }.sorted().joined(separator: "\n"),
            "opportunities of \(region)")
        let accounts = Set(deals.compactMap { $0["account"] }.filter { !$0.isEmpty })
        let customers = try await rep.value("SELECT external_id FROM customer")
        #expect(Set(customers.split(separator: "\n").map(String.init)) == accounts, "customers under them")
        expectEqual(
            try await world.server.dump("--as", "Rep of \(region)"), try await rep.dump(),
            "the rep of \(region) and the server")
    }

    /// The same report three ways: the server's, the manager's, and a query that this test wrote itself.
    private func checkReport(manager: ReplicaProcess, world: World) async throws {
        let server = try await world.server.peykd("report", "pipeline", "--format", "json").json()["rows"]
        let replica = try await manager.peyk("report", "pipeline", "--format", "json").json()["rows"]
        #expect(server == replica)
        let own = try await manager.value(
            """
            SELECT stage.name, opportunity.currency, count(*), sum(amount) FROM opportunity
            JOIN stage ON stage.id = opportunity.stage_id WHERE stage.kind NOT IN ('won', 'lost')
            GROUP BY stage.id, opportunity.currency ORDER BY stage.position, opportunity.currency
            """)
        let reported = replica.list.filter { $0["count"].number != 0 }.map { row in
            let amount = row["amount"].number.map(String.init) ?? ""
            return "\(row["stage"].text ?? "")|\(row["currency"].text ?? "")|\(row["count"].number ?? -1)|\(amount)"
        }
        #expect(reported.sorted() == own.split(separator: "\n").map(String.init).sorted())
        // And from the file itself: Prospecting and Engaging are what is open.
        let open = try rows("sales_pipeline").filter { ["Prospecting", "Engaging"].contains($0["deal_stage"] ?? "") }
        #expect(replica.list.reduce(0) { $0 + ($1["count"].number ?? 0) } == open.count)
    }
}
