import Foundation
import ProgramKit
import Testing

@Suite("Territories", .serialized)
struct TerritoryTests {
    /// The id of the territory of this name, as any replica has it.
    private func territory(_ name: String, on replica: ReplicaProcess) async throws -> String {
        try await replica.value("SELECT id FROM territory WHERE name = '\(name)'")
    }

    @Test(
        "edits made offline to a customer that moved away are merged and handed off (S3, S4)", .timeLimit(.minutes(5)))
    func handOff() async throws {
        try await World.with { world in
            let anna = try await world.join("Anna", territories: ["North"])
            let omid = try await world.join("Omid", territories: ["South"])
            let maria = try await world.join("Maria", role: "manager")
            let north = try await territory("North", on: maria)
            let south = try await territory("South", on: maria)
            let customer = try await maria.peyk(
                "customer", "add", "--name", "Blue Harbour", "--territory", north
            ).trimmed
            let contact = try await maria.peyk("contact", "add", "--name", "Sara", "--customer", customer).trimmed
            for replica in [maria, anna, omid] { try await replica.sync() }
            #expect(try await anna.value("SELECT count(*) FROM contact") == "1")
            #expect(try await omid.value("SELECT count(*) FROM customer") == "0")

            // Anna works on without a network; meanwhile the customer moves south.
            try await anna.peyk("customer", "set", customer, "industry=Shipping")
            try await maria.peyk("customer", "set", customer, "territory_id=\(south)")
            try await maria.sync()
            let result = try await anna.peyk("sync", "--format", "json")
            let summary = try result.json()
            #expect(summary["handed_off"].number == 1, "\(result)")
            #expect((summary["evicted"].number ?? 0) >= 1, "\(result)")
            #expect(
                result.err.contains("Blue Harbour") || result.err.lowercased().contains("moved"), "says so: \(result)")

            #expect(try await anna.value("SELECT count(*) FROM customer") == "0", "it left her replica")
            #expect(try await anna.value("SELECT count(*) FROM contact") == "0", "with its contact")
            try await omid.sync()
            #expect(try await omid.value("SELECT industry FROM customer WHERE id = '\(customer)'") == "Shipping")
            #expect(try await omid.value("SELECT name FROM contact WHERE id = '\(contact)'") == "Sara")
            // Omid sees what Anna wrote when it was no longer hers, and what was there before; he puts that back.
            let handed = try await omid.peyk("conflicts", "list", "--format", "json").json().rows
            #expect(handed.count == 1 && handed.first?["kind"].text == "handed-off", "\(handed)")
            let entry = try #require(handed.first?["id"].text)
            let shown = try await omid.peyk("conflicts", "show", entry)
            #expect(shown.out.contains("written by who had it: Industry: Shipping"), "\(shown)")
            #expect(shown.out.contains("before: Industry: (empty)"), "\(shown)")
            let persian = try await omid.peyk("conflicts", "show", entry, "--lang", "fa")
            #expect(persian.out.contains("نوشتهٔ مسئول پیشین: صنعت: Shipping"), "\(persian)")
            try await omid.peyk("conflicts", "restore", entry)
            #expect(try await omid.value("SELECT industry IS NULL FROM customer WHERE id = '\(customer)'") == "1")
            try await omid.sync()
            try await omid.sync()
            #expect(try await omid.peyk("conflicts", "list", "--format", "json").json().rows == [], "it is settled")

            try await anna.sync()
            #expect(try await anna.peyk("pending", "--format", "json").json().rows == [], "nothing waits for ever")
        }
    }

    @Test(
        "a rep sees her territory, her own, and the customers under her opportunities; nothing else (S2, P20)",
        .timeLimit(.minutes(5)))
    func scope() async throws {
        try await World.with { world in
            let anna = try await world.join("Anna", territories: ["North"])
            let maria = try await world.join("Maria", role: "manager")
            let north = try await territory("North", on: maria)
            let customers = try await [
                maria.peyk("customer", "add", "--name", "Ours", "--territory", north),
                maria.peyk("customer", "add", "--name", "Lent"),
                maria.peyk("customer", "add", "--name", "Theirs"),
            ].map(\.trimmed)
            let opportunity = try await maria.peyk(
                "opp", "add", "--name", "Deal", "--customer", customers[1], "--stage", "Proposal", "--territory",
                north
            ).trimmed
            for replica in [maria, anna] { try await replica.sync() }
            #expect(
                try await anna.value("SELECT group_concat(name) FROM (SELECT name FROM customer ORDER BY name)")
                    == "Lent,Ours")

            // Lent is to read, not to write; the refusal is hers to see, and her row is put right.
            try await anna.peyk("customer", "set", customers[1], "industry=Rail")
            try await anna.sync()
            try await anna.sync()
            #expect(try await anna.value("SELECT coalesce(industry, '-') FROM customer WHERE name = 'Lent'") == "-")
            #expect(try await anna.peyk("parked", "list", "--format", "json").json().rows.count == 1)

            // With the opportunity goes what it lent.
            try await maria.peyk("opp", "delete", "--yes", opportunity)
            try await maria.sync()
            try await anna.sync()
            #expect(try await anna.value("SELECT group_concat(name) FROM customer") == "Ours")
            #expect(try await anna.dump().contains("Theirs") == false)
            expectEqual(try await world.server.dump("--as", "Anna"), try await anna.dump(), "Anna and the server")
        }
    }
}
