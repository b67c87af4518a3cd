import Foundation
import ProgramKit
import SeededRandom

/// One rep, and the copies that were made of her laptop, until the time is up.
struct Worker: Sendable {
    private let world: World
    private let chaos: Chaos
    private let seed: UInt64
    private let first: Rep
    /// Days by which her clock is wrong throughout.
    private let shiftDays: Int

    private static let shifts = [0, 0, 0, 1, -1, 400, -400, 3_650, -7_300, 18_250]
    private static let copiesMax = 2

    init(_ rep: Rep, world: World, chaos: Chaos, seed: UInt64) {
        first = rep
        self.world = world
        self.chaos = chaos
        self.seed = seed
        shiftDays = ShiftedClock.canBeMade ? Self.shifts[Int(seed % 10)] : 0
    }

    func work(until end: ContinuousClock.Instant) async throws -> (reps: [Rep], findings: [String]) {
        var random = SplitMix64(seed: seed)
        var mine = [first]
        var findings: [String] = []
        var image: URL?
        while ContinuousClock.now < end {
            let index = random.draw(mine.count)
            switch random.draw(100) {
            case ..<14: _ = try await mine[index].addContact(disturbed(&random))
            case ..<26: _ = try await mine[index].visit(disturbed(&random))
            case ..<42: _ = try await mine[index].say(disturbed(&random))
            case ..<56: try await mine[index].pair()
            case ..<90: try await sync(mine[index].replica, &random)
            case ..<96:
                let found = try await mine[index].findings()
                for line in found { await chaos.journal.note("FOUND \(line)") }
                findings += found
            case ..<98 where mine.count < Self.copiesMax:
                mine.append(try await copied(mine[index], number: mine.count))
                await chaos.did("clone")
            default: try await imageOrRestore(&mine[0], &image)
            }
            try await Task.sleep(for: .milliseconds(random.draw(200)))
        }
        if let image { try FileManager.default.removeItem(at: image) }
        return (mine, findings)
    }

    /// Her clock, and now and then a kill in the middle.
    private func disturbed(_ random: inout SplitMix64) async throws -> [String: String] {
        var environment = try await clock(&random)
        if random.draw(5) == 0 {
            environment["PEYK_FAILPOINT"] = "sqlite.statement.begun=kill@\(1 + random.draw(15))"
            await chaos.did("write with a kill")
        } else {
            await chaos.did("write")
        }
        return environment
    }

    private func clock(_ random: inout SplitMix64) async throws -> [String: String] {
        guard ShiftedClock.canBeMade else { return [:] }
        // Mostly wrong by the same; sometimes it jumps.
        let days = random.draw(12) == 0 ? random.draw(20_000) - 10_000 : shiftDays
        guard days != 0 else { return [:] }
        return try await ShiftedClock.environment(days: days, in: first.replica.home.deletingLastPathComponent())
    }

    private func sync(_ replica: ReplicaProcess, _ random: inout SplitMix64) async throws {
        let program = try replica.start(
            ["sync", "--timeout", "6"], environment: try await clock(&random))
        switch random.draw(10) {
        case 0, 1:
            try await Task.sleep(for: .milliseconds(random.draw(400)))
            program.signal(SIGKILL)
            await chaos.did("sync with a kill")
        case 2:
            try await Task.sleep(for: .milliseconds(random.draw(300)))
            program.signal(SIGSTOP)
            try await Task.sleep(for: .milliseconds(random.draw(1_500)))
            program.signal(SIGCONT)
            await chaos.did("sync with a stop")
        default: await chaos.did("sync")
        }
        let output = try await program.finish(within: 60)
        await chaos.journal.note("\(replica.home.lastPathComponent) sync \(output.status)")
        guard [0, 69, 75, 76, Rep.killed].contains(output.status) else {
            throw Program.Failure(description: "a sync ended in an error without a name: \(output)")
        }
        if output.status == 0 { await chaos.did("sync to the end") }
    }

    // MARK: Copies

    private func copied(_ rep: Rep, number: Int) async throws -> Rep {
        let name = String(rep.name.prefix { $0 != "~" }) + "~\(number)"
        let home = rep.replica.home.deletingLastPathComponent().appendingPathComponent("home-\(name)")
        try FileManager.default.copyItem(at: rep.replica.home, to: home)
        await chaos.journal.note("\(name) is a copy of \(rep.name)")
        return Rep(name, ReplicaProcess(home: home), copyOf: rep)
    }

    /// Takes an image of the laptop; or, where there is one, puts it back, once all since then has been sent.
    private func imageOrRestore(_ rep: inout Rep, _ image: inout URL?) async throws {
        let output = try await rep.replica.attempt(["sync", "--timeout", "6"])
        guard output.status == 0 else { return }
        let files = FileManager.default
        if let kept = image {
            try files.removeItem(at: rep.replica.home)
            try files.moveItem(at: kept, to: rep.replica.home)
            image = nil
            rep.wasRestored()
            await chaos.journal.note("\(rep.name) went back to an old image")
            await chaos.did("restored image")
            // What she had sent since then comes back with the next sync; until then she does not have it.
            for _ in 0..<20 where try await rep.replica.attempt(["sync", "--timeout", "6"]).status != 0 {
                try await Task.sleep(for: .milliseconds(200))
            }
        } else {
            let place = rep.replica.home.deletingLastPathComponent().appendingPathComponent("image-\(rep.name)")
            try files.copyItem(at: rep.replica.home, to: place)
            image = place
            await chaos.did("image")
        }
    }
}
