import Foundation
import ProgramKit
import SeededRandom
import Testing

/// SIGKILL at any moment of a sync of 10,000 changes: of the client, of the server, in both directions.
@Suite("Killed in the middle", .serialized)
struct KillTests {
    static let records = 5_000
    static let commits = 20

    /// 20 commits with 500 changes each: 5,000 new customers, then 5,000 updates of which each adds to a counter.
    private func work(_ replica: ReplicaProcess, _ commits: Range<Int>) async throws {
        let territory = try await replica.value("SELECT id FROM territory WHERE name = 'North'")
        let perCommit = Self.records / (Self.commits / 2)
        for commit in commits {
            let start = commit % (Self.commits / 2) * perCommit
            let lines = (start..<start + perCommit).map { index in
                let id = EditMaker.id(7, index)
                return commit < Self.commits / 2
                    ? "INSERT INTO customer(id, name, territory_id) VALUES ('\(id)', 'Customer \(index)', '\(territory)');"
                    : "UPDATE customer SET visits = visits + 1, industry = 'i\(index)' WHERE id = '\(id)';"
            }
            _ = try await replica.sqlite((["BEGIN;"] + lines + ["COMMIT;"]).joined(separator: "\n"))
            // Any command seals.
            try await replica.peyk("status")
        }
    }

    enum Victim: Sendable { case client, server }

    /// Kills `victim` in the middle of a sync, again and again, each time a little later, until one has come
    /// through. Returns how often it was killed.
    private func sync(
        _ replica: ReplicaProcess, _ world: World, killing victim: Victim, seed: UInt64, kills: Int = 12,
        invite: String? = nil
    ) async throws -> Int {
        var random = SplitMix64(seed: seed)
        for round in 0..<kills {
            let hasJoined = invite == nil || FileManager.default.fileExists(atPath: replica.file)
            let program = try hasJoined ? replica.start("sync") : replica.start("join", invite ?? "")
            try await Task.sleep(for: .milliseconds(20 + round * 60 + random.draw(80)))
            switch victim {
            case .client: program.signal(SIGKILL)
            case .server: await world.server.kill()
            }
            let output = try await program.finish(within: 120)
            if victim == .server { try await world.server.start() }
            if output.status == 0 { return round }
            let expected: [Int32] = victim == .client ? [137] : [69, 76, 75]
            #expect(expected.contains(output.status), "an error with a name: \(output)")
        }
        try await replica.sync()
        return kills
    }

    @Test(
        "converges, with nothing twice and nothing missing (P15, P16, P4)",
        .timeLimit(.minutes(20)), arguments: [Victim.client, .server])
    func kill(victim: Victim) async throws {
        try await World.with { world in
            let anna = try await world.join("Anna", territories: ["North"])
            var before = ""
            var kills = 0
            // In four parts: a commit that was under way at two crashes of the server is parked (rule A4), so what a
            // killed server had under way goes through before it is killed again.
            for part in 0..<4 {
                try await work(anna, part * Self.commits / 4..<(part + 1) * Self.commits / 4)
                before = try await anna.dump()
                kills += try await sync(
                    anna, world, killing: victim, seed: UInt64(1 + part), kills: victim == .server ? 1 : 6)
                try await anna.sync()
            }
            #expect(kills > 0, "each sync came through before it could be killed")

            // The other direction: the first sync of a second device, in pages.
            try await world.server.peykd("user", "add", "Babak", "--role", "rep", "--territory", "North")
            let babak = world.replica("babak")
            let invite = try await world.server.invite("Babak")
            _ = try await sync(babak, world, killing: victim, seed: 2, invite: invite)
            for replica in [babak, anna] { try await replica.sync() }

            let server = try await world.server.dump()
            for (name, replica) in [("Anna", anna), ("Babak", babak)] {
                let dump = try await replica.dump()
                expectEqual(dump, server, "\(name) and the server")
                try await replica.peyk("verify")
            }
            #expect(try await babak.value("SELECT count(*), min(visits), max(visits) FROM customer") == "5000|1|1")
            // Acts of the server may come on top (users, territories); what Anna wrote is as she wrote it.
            let kept = Set(server.split(separator: "\n"))
            let lost = before.split(separator: "\n").filter { $0.contains("Customer ") && !kept.contains($0) }
            #expect(lost.isEmpty, "\(lost.count) of Anna's records are not as she wrote them: \(lost.prefix(3))")
        }
    }
}
