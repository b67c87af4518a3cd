import Foundation
import ProgramKit

/// What happened, in order, for those who must find out why a run failed.
actor Journal {
    private var lines: [String] = []
    private let start = ContinuousClock.now

    func note(_ line: String) {
        let elapsed = (ContinuousClock.now - start).components
        lines.append("\(elapsed.seconds).\(elapsed.attoseconds / 10_000_000_000_000_000) \(line)")
    }

    var text: String { lines.joined(separator: "\n") }
}

/// One run: the reps at work, and the one who makes their life hard.
actor Chaos {
    static let people = ["Anna", "Babak", "Cyrus", "Dara", "Elham", "Farid", "Giti", "Homa", "Iraj", "Jale"]

    let world: World
    let journal = Journal()
    private let line: FaultyLine
    private let seed: UInt64
    private var reps: [Rep] = []
    private var deeds: [String: Int] = [:]

    init(world: World, seed: UInt64) async throws {
        self.world = world
        self.seed = seed
        guard let address = await world.server.address else { throw Program.Failure(description: "no server") }
        line = try await FaultyLine(to: address, seed: seed)
        for (index, name) in Self.people.enumerated() {
            let replica = try await world.join(name, territories: ["North"], through: line)
            reps.append(Rep(name, replica, index: index + 1))
        }
        let territory = try await reps[0].replica.value("SELECT id FROM territory WHERE name = 'North'")
        for (index, rep) in reps.enumerated() {
            try await rep.begin(territory: territory, makesShared: index == 0)
            try await rep.replica.sync()
        }
        for rep in reps { try await rep.replica.sync() }
    }

    func did(_ deed: String) { deeds[deed, default: 0] += 1 }

    var summary: String {
        let counts = line.counts
        let list = deeds.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        let words = reps.reduce(0) { $0 + $1.words.count }
        let reads = reps.reduce(0) { $0 + $1.read.count }
        return "chaos (seed \(seed)): \(list). The line: \(counts.connections) connections, \(counts.cut) cut, "
            + "\(counts.holes) swallowed, \(counts.throttled) throttled, \(counts.doubled) doubled. "
            + "\(words) words written, \(reads) reads of other words."
    }

    /// - Returns: what is wrong; empty where nothing is.
    func run(seconds: Int) async throws -> [String] {
        let end = ContinuousClock.now + .seconds(seconds)
        line.weather = .storm
        let nemesis = Nemesis(world: world, line: line, chaos: self, seed: seed, homes: reps.map(\.replica))
        var findings: [String] = []
        async let harm = nemesis.work(until: end)
        let ended = try await withThrowingTaskGroup(of: (reps: [Rep], findings: [String]).self) { group in
            for (index, rep) in reps.enumerated() {
                let worker = Worker(rep, world: world, chaos: self, seed: seed &* 100 &+ UInt64(index))
                group.addTask { try await worker.work(until: end) }
            }
            var ended: [Rep] = []
            for try await result in group {
                ended += result.reps
                findings += result.findings
            }
            return ended
        }
        findings += try await harm
        reps = ended.sorted { $0.name < $1.name }
        line.weather = .fair
        await journal.note("the storm is over")
        var settled = reps
        findings += try await world.settled(&settled)
        reps = settled
        await line.close()
        return findings
    }
}

extension World {
    /// Adds a user whose device reaches the server over `line`.
    func join(_ name: String, territories: [String], through line: FaultyLine) async throws -> ReplicaProcess {
        try await server.peykd(["user", "add", name] + territories.flatMap { ["--territory", $0] })
        let replica = replica(name)
        try await replica.peyk("join", try await server.invite(name, "--public", line.address))
        return replica
    }
}
