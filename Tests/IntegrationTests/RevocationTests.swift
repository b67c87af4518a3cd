import Foundation
import ProgramKit
import Testing

/// A stolen laptop, a rep who left: through the real programs.
@Suite("Revoked", .serialized)
struct RevocationTests {
    private func site(of replica: ReplicaProcess) async throws -> String {
        try #require(try await replica.peyk("status", "--format", "json").json()["site"].text)
    }

    @Test(
        "a watching device is cut within 5 s; what it wrote lies in quarantine until IT decides (P30, S4, F114)",
        .timeLimit(.minutes(5)))
    func stolen() async throws {
        try await World.with { world in
            let anna = try await world.join("Anna", territories: ["North"])
            let boss = try await world.join("Boss", role: "manager")
            try await anna.peyk("customer", "add", "--name", "First")
            try await anna.sync()
            let site = try await site(of: anna)
            let watching = try anna.start("sync", "--watch")
            _ = try await watching.line(beginning: "Connected")
            let start = ContinuousClock.now
            try await world.server.peykd("device", "revoke", String(site.prefix(8)))
            let ended = try await watching.finish(within: 20)
            #expect(ContinuousClock.now - start < .seconds(5))
            #expect(ended.status == 77 && ended.err.contains("access was taken away"), "\(ended)")

            let second = try await anna.peyk("customer", "add", "--name", "Second").trimmed
            try await anna.peyk("customer", "set", second, "website=blue.example")
            let refused = try await anna.peyk(["sync"], status: 77)
            #expect(refused.err.contains("(2 commits) was handed in"), "\(refused)")
            #expect(try await anna.peyk("status", "--format", "json").json()["pending"].number == 2)
            let listed = try await world.server.peykd("quarantine", "list", "--format", "json").json().rows
            #expect(listed.count == 2 && listed.allSatisfy { $0["user"].text == "Anna" }, "\(listed)")
            let shown = try await world.server.peykd("quarantine", "show", String(site.prefix(8))).out
            #expect(shown.contains("Second") && shown.contains("blue.example"), "\(shown)")
            try await boss.sync()
            #expect(try await boss.value("SELECT count(*) FROM customer") == "1")

            try await world.server.peykd("quarantine", "release", String(site.prefix(8)))
            try await boss.sync()
            #expect(try await boss.value("SELECT website FROM customer WHERE name = 'Second'") == "blue.example")
            try await world.server.peykd("device", "allow", String(site.prefix(8)))
            try await anna.sync()
            #expect(try await anna.peyk("status", "--format", "json").json()["pending"].number == 0)
            expectEqual(try await anna.dump(), try await world.server.dump(), "Anna and the server")
        }
    }
}
