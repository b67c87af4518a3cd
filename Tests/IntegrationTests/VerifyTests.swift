import Foundation
import ProgramKit
import Testing

@Suite("Verify", .serialized)
struct VerifyTests {
    @Test(
        "a row that somebody changed behind our back is found among 10,000 in a few KB, and mended alone (T5, F30)",
        .timeLimit(.minutes(10)))
    func corrupted() async throws {
        try await World.with { world in
            let anna = try await world.join("Anna", territories: ["North"])
            let csv = world.folder.appendingPathComponent("many.csv")
            let territory = try await anna.value("SELECT id FROM territory WHERE name = 'North'")
            let lines = (0..<10_000).map { "Customer \($0),industry \($0 % 50),\(territory)" }
            try Data((["name,industry,territory_id"] + lines).joined(separator: "\n").utf8).write(to: csv)
            try await anna.peyk("import", csv.path, "--into", "customer", "--key", "name")
            try await anna.sync()
            let whole = try await anna.peyk("verify", "--format", "json").json()
            #expect(whole["equal"].number == 1)

            // An edit that is not sent yet, beside a cell that rots without any trigger.
            let edited = try await anna.value("SELECT id FROM customer WHERE name = 'Customer 77'")
            try await anna.peyk("customer", "set", edited, "industry=edited offline")
            let rotten = try await anna.value("SELECT id FROM customer WHERE name = 'Customer 8345'")
            _ = try await anna.sqlite(
                """
                INSERT INTO peyk_mute VALUES (1);
                UPDATE customer SET industry = 'rot' WHERE id = '\(rotten)';
                DELETE FROM peyk_mute;
                """)
            await world.server.kill()
            let offline = try await anna.attempt(["verify"])
            #expect(offline.status == 69, "\(offline)")
            try await world.server.start()

            let found = try await anna.peyk(["verify", "--format", "json"], status: 65).json()
            #expect(found["records"] == .array([.string("customer/\(rotten)")]), "\(found)")
            let bytes = (found["bytes_in"].number ?? .max) + (found["bytes_out"].number ?? .max)
            #expect(bytes < 12_000, "\(found)")
            #expect((found["questions"].number ?? .max) <= 5, "\(found)")
            try await anna.peyk("customer", "set", edited, "website=new.example")

            let mended = try await anna.peyk("verify", "--repair", "--format", "json").json()
            #expect(mended["repaired"].number == 1 && mended["equal"].number == 1, "\(mended)")
            #expect(try await anna.value("SELECT industry FROM customer WHERE id = '\(rotten)'") == "industry 45")
            #expect(try await anna.value("SELECT website FROM customer WHERE id = '\(edited)'") == "new.example")
            try await anna.sync()
            expectEqual(try await anna.dump(), try await world.server.dump(), "Anna and the server")
        }
    }
}
