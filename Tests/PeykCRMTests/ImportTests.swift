import Foundation
import PeykConsole
import PeykModel
import Testing

@Suite("CSV import")
struct ImportTests {
    static let mapping = """
        {"table": "customer", "key": "external_id", "date_format": "dd/MM/yyyy",
         "replace": {"sector": {"technolgy": "technology"}},
         "fields": {"external_id": "code", "name": "name", "industry": "sector", "employees": "staff",
                    "tags": {"column": "tags", "separator": "|"}, "first_contact_at": "since",
                    "revenue": {"column": "revenue", "currency_column": "cur", "multiply": 1000},
                    "parent_id": {"column": "parent", "lookup": {"table": "customer", "field": "external_id"}}}}
        """
    static let header = "code,name,sector,staff,tags,since,revenue,cur,parent\r\n"

    @Test("takes the good rows and lists the others with line and reason")
    func refusals() throws {
        let file =
            Self.header
            + "a,Alpha,technolgy,\"1,200\",x|y,31/12/2020,1.5,USD,b\r\n"  // 2
            + "b,\"Beta\nLtd\",,,,,,,\r\n"  // 3 and 4
            + "c,Gamma,,many,,,,,\r\n"  // 5
            + "d,,,,,,,,\r\n"  // 6
            + "\r\n"  // 7
            + "e,Delta,,,,30/02/2020,,,\r\n"  // 8
            + "f,Eps,,,,,5,,\r\n"  // 9
            + "g,Zeta,,,,,,,nobody\r\n"  // 10
            + "h,short\r\n"  // 11
            + "a,Alpha,technolgy,1200,y|x,31/12/2020,1.5,USD,b\r\n"  // 12
            + "a,Other,,,,,,,\r\n"  // 13
            + "i,bad\"quote,,,,,,,\r\n"  // 14
            + "j,Eta,,,,,,,d\r\n"  // 15
            + ",No key,,,,,,,\r\n"  // 16
            + "k,Theta,,,,,1.001,IRR,\r\n"  // 17
        let target = MemoryTarget()
        let outcome = try #require(try ImportPlan.run(Self.mapping, file, into: target).first)
        #expect(outcome.inserted == 3)
        #expect(outcome.repeated == 1)
        #expect(
            outcome.refused.map { "\($0.line): \($0.reason)" } == [
                "5: employees: “many” is not a number",
                "6: name must not be empty",
                "8: first_contact_at: “30/02/2020” is not a time with its zone",
                "9: revenue: the amount has no currency",
                "10: parent_id: there is no customer whose external_id is “nobody”",
                "11: has 2 values where the header has 9",
                "13: has the key of line 2, and other values",
                "14: a quote stands inside an unquoted value",
                "15: it refers to a row of this file that was refused",
                "16: external_id: the key is empty",
            ])
        let alpha = try #require(target.find("customer", "external_id", "a"))
        #expect(alpha["industry"] == .text("technology"))
        #expect(alpha["employees"] == .integer(1200))
        #expect(alpha["tags"] == .text(#"["x","y"]"#))
        #expect(alpha["revenue"] == .integer(150_000))
        #expect(alpha["first_contact_at"] == .integer(1_609_372_800_000))
        #expect(alpha["parent_id"] == target.id("customer", "external_id", "b").map { Value($0) })
        #expect(target.find("customer", "external_id", "b")?["name"] == .text("Beta\nLtd"))
        #expect(target.find("customer", "external_id", "k")?["revenue"] == .integer(1001))
    }

    @Test("changes nothing when it is run again, and writes only what differs")
    func idempotence() throws {
        let target = MemoryTarget()
        let file = Self.header + "a,Alpha,s,1,,,5,USD,\nb,Beta,s,2,,,,,a\n"
        _ = try ImportPlan.run(Self.mapping, file, into: target)
        let first = target.rows
        let again = try #require(try ImportPlan.run(Self.mapping, file, into: target).first)
        #expect((again.inserted, again.updated, again.unchanged) == (0, 0, 2))
        #expect(target.rows == first)
        #expect(target.writes == 2)
        let changed = Self.header + "a,Alpha,s,7,,,5,EUR,\nb,Beta,,,,,,,\n"
        let third = try #require(try ImportPlan.run(Self.mapping, changed, into: target).first)
        #expect((third.inserted, third.updated, third.unchanged) == (0, 1, 1))
        #expect(target.find("customer", "external_id", "a")?["revenue_currency"] == .text("EUR"))
        #expect(target.find("customer", "external_id", "b")?["industry"] == .text("s"), "empty cells change nothing")
    }

    @Test("D6: a key gives the same record in each replica, and another one in another workspace")
    func derivedIDs() {
        let id = ImportPlan.derivedID(workspace: "w", table: "customer", key: "external_id", value: "a")
        #expect(id == ImportPlan.derivedID(workspace: "w", table: "customer", key: "external_id", value: "a"))
        #expect(id != ImportPlan.derivedID(workspace: "v", table: "customer", key: "external_id", value: "a"))
        #expect(id.description.dropFirst(14).first == "8", "a UUIDv8: \(id)")
    }

    @Test("rehearses without writing, also from one table of a file to the next")
    func rehearsal() throws {
        let target = MemoryTarget()
        let mapping = """
            {"imports": [
              {"table": "territory", "key": "name", "fields": {"name": "region"}},
              {"table": "user", "key": "name", "fields": {"name": "agent",
                "territory_id": {"column": "region", "lookup": {"table": "territory", "field": "name"}}}}]}
            """
        let file = "agent,region\nAnna,East\nBen,East\n"
        let rehearsed = try ImportPlan.run(mapping, file, into: RehearsalTarget(target))
        #expect(target.writes == 0)
        let real = try ImportPlan.run(mapping, file, into: target)
        #expect(rehearsed == real)
        #expect(real.map(\.inserted) == [1, 2])
        #expect(real.map(\.repeated) == [1, 0])
    }

    @Test("takes back what was exported, by the ids in it")
    func byID() throws {
        let target = MemoryTarget()
        _ = try ImportPlan.run(Self.mapping, Self.header + "a,Alpha,s,1,x|y,,5,USD,\n", into: target)
        let id = try #require(target.id("customer", "external_id", "a"))
        let table = try #require(target.schema.table(named: "customer"))
        let header = ["id", "name", "revenue", "revenue_currency", "tags", "credit_limit", "visits"]
        func run(_ lines: [String]) throws -> ImportOutcome {
            let mapping = try ImportMapping.byName(of: table, header: header, key: nil, dateFormat: .iso)
            let file = ([header.joined(separator: ",")] + lines).joined(separator: "\n")
            return try ImportPlan(mapping, into: target).run(Array(file.utf8))
        }
        let same = try run(["\(id),Alpha,5000.00,USD,x;y,,0"])
        #expect((same.inserted, same.updated, same.unchanged, same.refused) == (0, 0, 1, []))
        let changed = try run(["\(id),Beta,5000.00,USD,x;y,,0", "nonsense,Gamma,,,,,", ",New,,,,,"])
        #expect((changed.inserted, changed.updated) == (1, 1))
        #expect(changed.refused.map(\.reason) == ["id: “nonsense” is not the id of a record"])
        #expect(target.find("customer", "external_id", "a")?["name"] == .text("Beta"))
    }

    static let wrongMappings: [(String, String)] = [
        (#"{"table": "nothing", "fields": {"a": "b"}}"#, "there is no table “nothing”"),
        (#"{"table": "customer", "fields": {"nmae": "name"}}"#, "customer has no field “nmae”"),
        (
            #"{"table": "customer", "key": "legal_id", "fields": {"name": "name"}}"#,
            "the key “legal_id” is not among the fields that the mapping fills"
        ),
        (
            #"{"table": "customer", "fields": {"name": {"colum": "name"}}}"#,
            "the mapping for customer.name has the unknown key “colum”"
        ),
        (#"{"table": "customer", "fields": {"name": "title"}}"#, "the file has no column “title”"),
        ("{", "the mapping is not valid JSON at byte 1: expected a key"),
    ]

    @Test("refuses a mapping that does not fit, before anything is written", arguments: wrongMappings)
    func wrongMapping(_ mapping: String, _ message: String) {
        let target = MemoryTarget()
        let error = #expect(throws: ImportMapping.Problem.self) {
            try ImportPlan.run(mapping, "name\nA\n", into: target)
        }
        #expect(error?.description == message)
        #expect(target.writes == 0)
    }
}

/// The real data of this test is kept beside the checkout, never in it; without it there is nothing to test.
@Suite("The Maven data", .enabled(if: MavenData.folder != nil))
struct MavenImportTests {
    @Test("imports whole: every row is in, with stage, owner, customer, product and region; twice changes nothing")
    func imports() throws {
        let target = MemoryTarget()
        var outcomes: [ImportOutcome] = []
        for name in ["products", "sales_teams", "accounts", "sales_pipeline"] {
            outcomes += try ImportPlan.run(MavenData.mapping(name), MavenData.file(name), into: target)
        }
        #expect(outcomes.flatMap(\.refused) == [])
        #expect(outcomes.map(\.inserted) == [7, 3, 6, 35, 85, 8800])
        let won = try #require(target.find("opportunity", "external_id", "Z063OYW0"))
        #expect(won["product_id"] == target.id("product", "name", "GTX Pro").map { Value($0) })
        #expect(won["owner_id"] == target.id("user", "name", "Darcel Schlecht").map { Value($0) })
        #expect(won["territory_id"] == target.id("territory", "name", "Central").map { Value($0) })
        #expect(won["customer_id"] == target.id("customer", "name", "Isdom").map { Value($0) })
        #expect(won["stage_id"] == target.id("stage", "name", "Won").map { Value($0) })
        #expect(won["amount"] == .integer(451_400))
        #expect(won["closed_on"] == .text("2017-03-11"))
        let bluth = try #require(target.find("customer", "name", "Bluth Company"))
        #expect(bluth["parent_id"] == target.id("customer", "name", "Acme Corporation").map { Value($0) })
        #expect(bluth["industry"] == .text("technology"))
        #expect(bluth["revenue"] == .integer(124_232_000_000))
        let writes = target.writes
        for name in ["products", "sales_teams", "accounts", "sales_pipeline"] {
            for outcome in try ImportPlan.run(MavenData.mapping(name), MavenData.file(name), into: target) {
                #expect(outcome.inserted == 0 && outcome.updated == 0 && outcome.refused.isEmpty, "\(name)")
            }
        }
        #expect(target.writes == writes)
    }
}

enum MavenData {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let folder: URL? = {
        let folder = root.deletingLastPathComponent().appending(path: "shared/data/maven-crm")
        return FileManager.default.fileExists(atPath: folder.appending(path: "accounts.csv").path) ? folder : nil
    }()

    static func mapping(_ name: String) throws -> String {
        try String(contentsOf: root.appending(path: "seeds/import/maven/\(name).json"), encoding: .utf8)
    }

    static func file(_ name: String) throws -> String {
        try String(contentsOf: #require(folder).appending(path: "\(name).csv"), encoding: .utf8)
    }
}
