import Foundation
import ProgramKit
import Testing

/// SIGKILL at one statement after another of a replica's largest step: pages, and the switch that makes them visible.
@Suite("Killed in a resync", .serialized)
struct ResyncKillTests {
    @Test(
        "F070: a resync killed at every step goes on, and shows the old rows or the new (P15, P21)",
        .timeLimit(.minutes(50)))
    func everyStep() async throws {
        try await World.with { world in
            var anna = Rep("Anna", try await world.join("Anna", territories: ["North"]), index: 1)
            let babak = Rep("Babak", try await world.join("Babak", territories: ["North", "South"]), index: 2)
            let rows = try await babak.replica.value(
                "SELECT id FROM territory WHERE name IN ('North', 'South') ORDER BY name")
            let territories = rows.split(separator: "\n").map(String.init)
            try #require(territories.count == 2)
            try await anna.begin(territory: territories[0], makesShared: true)
            try await anna.replica.sync()
            let south = (0..<200).map { "('\(EditMaker.id(7, $0))', 'Southern \($0)', '\(territories[1])')" }
            try await babak.replica.peyk(
                "sql", "--write", "INSERT INTO customer(id, name, territory_id) VALUES \(south.joined(separator: ","))")
            try await babak.replica.sync()

            var statement = 1
            var kills = 0
            var rounds = 0
            while rounds < 40 {
                rounds += 1
                try await world.server.peykd("user", "set", "Anna", "--territory", "North")
                try await anna.replica.sync()
                try await anna.addContact()
                try await world.server.peykd("user", "set", "Anna", "--territory", "North", "--territory", "South")
                // The same resync is killed again and again, each time a little later, until it comes through.
                var output = try await kill(anna, at: statement)
                while output.status == Rep.killed {
                    kills += 1
                    let southern = try await anna.replica.value(
                        "SELECT count(*) FROM customer WHERE territory_id = '\(territories[1])'")
                    #expect(southern == "0" || southern == "200", "half a territory after statement \(statement)")
                    let found = try await anna.findings()
                    #expect(found.isEmpty, "statement \(statement): \(found.joined(separator: "\n"))")
                    statement += 7
                    output = try await kill(anna, at: statement)
                }
                #expect(output.status == 0, "\(output)")
                if rounds >= RunSettings.number("PEYK_ROUNDS", 3) { break }
                statement = 1 + rounds * 2
            }
            var reps = [anna]
            let found = try await world.settled(&reps)
            #expect(found.isEmpty, "\(found.joined(separator: "\n"))")
            #expect(kills > 10)
            print("crash: \(kills) clients killed in \(rounds) resyncs")
        }
    }

    private func kill(_ rep: Rep, at statement: Int) async throws -> Program.Output {
        try await rep.replica.attempt(
            ["sync"], environment: ["PEYK_FAILPOINT": "sqlite.statement.begun=kill@\(statement)"])
    }
}
