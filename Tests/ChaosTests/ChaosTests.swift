import Foundation
import ProgramKit
import Testing

/// Ten `peyk` and one `peykd` on a bad line, with kills, stops, wrong clocks, clones, restored images and revocations.
///
/// `PEYK_CHAOS_SECONDS` is how long it lasts, `PEYK_SEED` makes another schedule; what the machine's timing adds to it
/// cannot be replayed, so a failing run prints its journal.
@Suite("Chaos", .serialized)
struct ChaosTests {
    @Test(
        "F020: nothing is lost, doubled or torn, and all ends in one state (P1, P2, P4, P10, P11, P12, P16)",
        .timeLimit(.minutes(600)))
    func chaos() async throws {
        let seed = RunSettings.seed
        let seconds = RunSettings.number("PEYK_CHAOS_SECONDS", 60)
        try await World.with { world in
            let chaos = try await Chaos(world: world, seed: seed)
            let found = try await chaos.run(seconds: seconds)
            print(await chaos.summary)
            if !found.isEmpty {
                let journal = await chaos.journal.text
                Issue.record("seed \(seed):\n\(found.prefix(30).joined(separator: "\n"))\n\(journal)")
            }
        }
    }

    @Test("bytes altered on the way end the connection and change nothing (P29, F-2)", .timeLimit(.minutes(5)))
    func alteredBytes() async throws {
        try await World.with { world in
            var weather = FaultyLine.Weather()
            let line = try await FaultyLine(to: try #require(await world.server.address), seed: 5)
            var anna = Rep("Anna", try await world.join("Anna", territories: ["North"], through: line), index: 1)
            let territory = try await anna.replica.value("SELECT id FROM territory WHERE name = 'North'")
            try await anna.begin(territory: territory, makesShared: true)
            try await anna.replica.sync()
            weather.alterChance = 100
            line.weather = weather
            var refused = 0
            for _ in 0..<12 {
                try await anna.pair()
                let output = try await anna.replica.attempt(["sync", "--timeout", "10"])
                #expect([0, 69, 75, 76].contains(output.status), "\(output)")
                if output.status != 0 { refused += 1 }
            }
            #expect(refused >= 6, "most alterations met bytes that were sent")
            line.weather = .fair
            var reps = [anna]
            let found = try await world.settled(&reps)
            #expect(found.isEmpty, "\(found.joined(separator: "\n"))")
            await line.close()
        }
    }
}
