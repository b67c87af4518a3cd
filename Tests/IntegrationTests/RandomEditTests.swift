import Foundation
import ProgramKit
import SeededRandom
import Testing

/// Ten replicas in processes of their own, offline over the same 300 records, then syncing until all is quiet.
@Suite("Many replicas")
struct RandomEditTests {
    static let seeds: [UInt64] = {
        let environment = ProcessInfo.processInfo.environment
        if let only = environment["PEYK_SEED"].flatMap({ UInt64($0) }) { return [only] }
        return Array(1...(environment["PEYK_SEEDS"].flatMap { UInt64($0) } ?? 1))
    }()
    static let replicas = 10
    static let rounds = 4
    static let editsPerRound = 50

    @Test("end in one state and lose nothing in silence (P1, P2)", .timeLimit(.minutes(30)), arguments: seeds)
    func converge(seed: UInt64) async throws {
        try await World.with { world in
            var run = try await Run(world: world, seed: seed)
            for round in 1...Self.rounds {
                try await run.edit(Self.editsPerRound)
                try await run.syncUntilQuiet()
                try await run.check("round \(round), seed \(seed)")
            }
            for replica in run.replicas { try await replica.peyk("verify") }
        }
    }

    /// The replicas of one seed, and what is known of their edits.
    struct Run {
        let world: World
        let replicas: [ReplicaProcess]
        var random: SplitMix64
        var makers: [EditMaker] = []
        var ledgers: [Ledger]

        init(world: World, seed: UInt64) async throws {
            self.world = world
            random = SplitMix64(seed: seed)
            var replicas: [ReplicaProcess] = []
            for index in 0..<RandomEditTests.replicas {
                replicas.append(try await world.join("Rep\(index)", territories: ["North"]))
            }
            self.replicas = replicas
            ledgers = Array(repeating: Ledger(), count: replicas.count)
            let first = replicas[0]
            let stages = try await first.value("SELECT id FROM stage ORDER BY position").split(separator: "\n").map(
                String.init)
            let territory = try await first.value("SELECT id FROM territory WHERE name = 'North'")
            _ = try await first.sqlite(EditMaker.setup(territory: territory, stage: stages[0]))
            for replica in replicas { try await replica.sync() }
            makers = replicas.indices.map { EditMaker(author: $0, seed: seed, stages: stages) }
        }

        /// Each replica makes `count` edits, some by `sqlite3`, some by `peyk sql`, in transactions of several sizes.
        mutating func edit(_ count: Int) async throws {
            for index in replicas.indices {
                ledgers[index].beginRound()
                var left = count
                while left > 0 {
                    let size = min(left, 1 + random.draw(25))
                    left -= size
                    var edits: [Edit] = []
                    for _ in 0..<size { edits.append(makers[index].next()) }
                    for edit in try await accepted(edits, by: replicas[index]) { ledgers[index].note(edit) }
                }
            }
        }

        /// Runs the edits and says which of them changed anything: total_changes() rises then, and only then.
        private mutating func accepted(_ edits: [Edit], by replica: ReplicaProcess) async throws -> [Edit] {
            let isOneTransaction = random.draw(2) == 0
            var script = "PRAGMA foreign_keys = \(random.draw(2) == 0 ? "ON" : "OFF");\n.timeout 10000\n"
            if isOneTransaction { script += "BEGIN IMMEDIATE;\n" }
            for edit in edits { script += edit.sql + "\nSELECT 'n=' || total_changes();\n" }
            if isOneTransaction { script += "COMMIT;\n" }
            let output = try await Program.sqlite.run([replica.file], input: script)
            let totals = output.lines.compactMap { $0.hasPrefix("n=") ? Int($0.dropFirst(2)) : nil }
            try #require(totals.count == edits.count, "\(output)")
            // Any command seals what was captured, as one commit.
            try await replica.peyk("status")
            return edits.indices.filter { totals[$0] > ($0 == 0 ? 0 : totals[$0 - 1]) }.map { edits[$0] }
        }

        mutating func syncUntilQuiet() async throws {
            for pass in 1...8 {
                var moved = 0
                for index in random.shuffled(Array(replicas.indices)) {
                    let result = try await replicas[index].sync()
                    moved += (result["pushed"].number ?? 0) + (result["pulled"].number ?? 0)
                }
                if moved == 0 { return }
                try #require(pass < 8, "still moving changes after 8 passes")
            }
        }

        func check(_ place: String) async throws {
            let server = try await world.server.dump()
            for (index, replica) in replicas.enumerated() {
                let dump = try await replica.dump()
                expectEqual(dump, server, "\(place): replica \(index) and the server")
            }
            for (index, replica) in replicas.enumerated() {
                let issues = try await replica.value("SELECT quote(payload), quote(base) FROM peyk_issue")
                let lost = ledgers[index].tokens.filter { token in
                    !server.contains(token) && !issues.contains(hexadecimal(token))
                }
                #expect(lost.isEmpty, "\(place): replica \(index) lost these in silence: \(lost.prefix(10))")
            }
            try await checkSums(server, place)
        }

        /// Counters add up, and `max` and `min` are what they say, over records that nobody deleted.
        private func checkSums(_ dump: String, _ place: String) async throws {
            let rows = try await replicas[0].value(
                "SELECT id, visits, coalesce(last_activity_at, ''), coalesce(first_contact_at, '') FROM customer")
            for row in rows.split(separator: "\n") {
                let columns = row.split(separator: "|", omittingEmptySubsequences: false).map(String.init)
                let id = columns[0]
                guard !ledgers.contains(where: { $0.deleted.contains(id) }) else { continue }
                let visits = ledgers.reduce(0) { $0 + ($1.visits[id] ?? 0) }
                #expect(Int(columns[1]) == visits, "\(place): visits of \(id)")
                if let greatest = ledgers.compactMap({ $0.greatest[id] }).max() {
                    #expect(Int(columns[2]) == greatest, "\(place): last activity of \(id)")
                }
                if let least = ledgers.compactMap({ $0.least[id] }).min() {
                    #expect(Int(columns[3]) == least, "\(place): first contact of \(id)")
                }
            }
        }

        private func hexadecimal(_ text: String) -> String {
            text.utf8.map { byte in String(byte >> 4, radix: 16) + String(byte & 15, radix: 16) }.joined().uppercased()
        }
    }
}
