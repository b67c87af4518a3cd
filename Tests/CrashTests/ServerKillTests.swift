import Foundation
import ProgramKit
import SeededRandom
import Testing

/// SIGKILL of `peykd serve`: at each named failpoint, at the n-th SQL statement, and at random times, while three reps
/// sync and IT administers.
///
/// `PEYK_SERVER_KILLS` is the number of kills, `PEYK_SEED` makes another run of them.
@Suite("Killed servers", .serialized)
struct ServerKillTests {
    @Test("start again whole and keep all that they acknowledged (P16, P12, P4, P17)", .timeLimit(.minutes(50)))
    func kills() async throws {
        try await World.with { world in
            var run = try await ServerKills(world: world, seed: RunSettings.seed)
            try await run.run(kills: RunSettings.number("PEYK_SERVER_KILLS", 24))
            print(run.summary)
        }
    }

    @Test("leave a whole workspace or a clear word when killed in init", .timeLimit(.minutes(5)))
    func initialisation() async throws {
        let places = [
            "init.keys.written", "init.certificate.written", "server.own.before-commit", "init.store.written",
        ]
        let moments = places.map { "\($0)=kill" } + [5, 20, 45].map { "sqlite.statement.begun=kill@\($0)" }
        for moment in moments {
            let folder = try Scratch.folder("init")
            defer { try? FileManager.default.removeItem(at: folder) }
            let data = folder.appendingPathComponent("server").path
            let killed = try await Program.peykd.run(
                ["init", "--workspace", "acme"], environment: ["PEYKD_DATA": data, "PEYK_FAILPOINT": moment])
            #expect(killed.status == Rep.killed, "\(moment): \(killed)")
            let server = ServerProcess(data: URL(fileURLWithPath: data))
            let status = try await Program.peykd.run(["status"], environment: ["PEYKD_DATA": data])
            #expect(status.status == 78 || status.status == 66, "\(moment): \(status)")
            #expect(status.err.contains("init"), "says what to do: \(status)")
            try FileManager.default.removeItem(atPath: data)
            try await server.peykd("init", "--workspace", "acme")
        }
    }
}

/// The run of one seed.
struct ServerKills {
    let world: World
    private var reps: [Rep] = []
    private var random: SplitMix64
    private let seed: UInt64
    private var kills = 0
    private var met: [String: Int] = [:]
    private var counted = 0
    private var timed = 0
    private var acts = 0
    private var devices = 0

    /// What happens while the server may be killed.
    enum Deed: CaseIterable {
        case sync
        case join
        case grant
        case invite
        case schema
        case territory
        case revoke

        var failpoints: [String] {
            switch self {
            case .sync:
                [
                    "server.hello.before-commit", "server.welcome.sent", "server.group.begun", "server.commit.merged",
                    "server.group.merged", "server.group.before-commit", "server.group.committed",
                    "server.acknowledge.sent", "server.group.answered", "server.batch.sent",
                ]
            case .join: ["server.enrol.before-commit", "server.page.sent"]
            case .grant: ["server.grant.before-commit"]
            case .invite: ["server.invite.before-commit"]
            case .schema: ["server.schema.adopted", "server.schema.before-commit"]
            case .territory: ["server.own.before-commit"]
            case .revoke: ["server.revoke.before-commit"]
            }
        }
    }

    init(world: World, seed: UInt64) async throws {
        self.world = world
        self.seed = seed
        random = SplitMix64(seed: seed)
        for (index, name) in ["Anna", "Babak", "Cyrus"].enumerated() {
            reps.append(Rep(name, try await world.join(name, territories: ["North"]), index: index + 1))
        }
        let territory = try await reps[0].replica.value("SELECT id FROM territory WHERE name = 'North'")
        for index in reps.indices {
            try await reps[index].begin(territory: territory, makesShared: index == 0)
            try await reps[index].replica.sync()
        }
        for rep in reps { try await rep.replica.sync() }
    }

    var summary: String {
        let places = met.keys.sorted().map { "\($0) \(met[$0] ?? 0)" }.joined(separator: ", ")
        return "crash: \(kills) servers killed (seed \(seed)): \(met.values.reduce(0, +)) at \(met.count) failpoints, "
            + "\(counted) at a counted statement, \(timed) at a random time. \(places)"
    }

    mutating func run(kills target: Int) async throws {
        for deed in Deed.allCases {
            for failpoint in deed.failpoints {
                let before = kills
                try await perform(deed, "\(failpoint)=kill")
                if kills > before {
                    met[failpoint, default: 0] += 1
                } else {
                    Issue.record("\(deed) does not pass \(failpoint)")
                }
            }
        }
        var attempts = 0
        while kills < target, attempts < target * 3 {
            attempts += 1
            let deed = random.pick([.sync, .sync, .sync, .join, .grant, .schema] as [Deed])
            let before = kills
            switch random.draw(3) {
            case 0:
                let failpoint = random.pick(deed.failpoints)
                try await perform(deed, "\(failpoint)=kill@\(1 + random.draw(3))")
                if kills > before { met[failpoint, default: 0] += 1 }
            case 1:
                try await perform(deed, "sqlite.statement.begun=kill@\(10 + random.draw(400))")
                counted += kills - before
            default:
                try await perform(deed, nil)
                timed += kills - before
            }
        }
        #expect(kills >= target, "only \(kills) of \(target) kills")
        let found = try await world.settled(&reps)
        #expect(found.isEmpty, "seed \(seed), at the end: \(found.joined(separator: "\n"))")
    }

    /// Serves with `failpoint` (nil: killed at a random time), lets `deed` happen, and looks at what is left.
    private mutating func perform(_ deed: Deed, _ failpoint: String?) async throws {
        for index in reps.indices {
            try await reps[index].pair()
            if random.draw(2) == 0 { try await reps[index].visit() } else { try await reps[index].say() }
        }
        _ = try await world.server.stop()
        do {
            try await world.server.start(environment: failpoint.map { ["PEYK_FAILPOINT": $0] } ?? [:])
        } catch  where failpoint != nil {
            // Killed while it started.
        }
        let assassin = Task { [world, delay = 20 + random.draw(500)] in
            guard failpoint == nil else { return }
            try await Task.sleep(for: .milliseconds(delay))
            await world.server.kill()
        }
        let after = try await happen(deed)
        try await assassin.value
        if try await world.server.hasDied() { kills += 1 }
        await world.server.kill()
        var found = try await world.serverFindings(reps.map(\.replica))
        try await world.server.start()
        for index in reps.indices { found += try await reps[index].findings() }
        #expect(
            found.isEmpty,
            "seed \(seed), \(deed) with \(failpoint ?? "a random kill"): \(found.joined(separator: "\n"))")
        try await after(world)
        // What is under way at two crashes is parked (rule A4), so everything goes through in between.
        for rep in reps { try await rep.replica.sync() }
        if kills % 10 == 0 {
            let found = try await world.settled(&reps)
            #expect(found.isEmpty, "seed \(seed), after \(kills) kills: \(found.joined(separator: "\n"))")
        }
    }

    private typealias Check = @Sendable (World) async throws -> Void

    /// Returns what must hold once the server runs again.
    private mutating func happen(_ deed: Deed) async throws -> Check {
        acts += 1
        let number = acts
        switch deed {
        case .sync:
            try await syncAll()
            return { _ in }
        case .join: return try await join()
        case .grant:
            return try await act(["user", "add", "User \(number)", "--territory", "North"]) {
                try await $0.server.peykd("user", "list").out.contains("User \(number)")
            }
        case .territory:
            return try await act(["territory", "add", "Place \(number)"]) {
                try await $0.server.peykd("territory", "list").out.contains("Place \(number)")
            }
        case .schema:
            let field = #"{"add": {"fields": {"customer": [{"name": "extra_\#(number)", "type": "text"}]}}}"#
            return try await act(["schema", "apply", "-"], input: field) {
                try await $0.server.peykd("schema", "show").out.contains("extra_\(number)")
            }
        case .invite:
            let output = try await attempt(["invite", "Anna"])
            guard output.status == 0, let invite = Self.invite(in: output) else { return { _ in } }
            return { try await $0.replica("invited-\(number)").peyk("join", invite) }
        case .revoke:
            let device = try await world.replicaOfSpare(number)
            let site = try await device.peyk("status", "--format", "json").json()["site"].text ?? ""
            let output = try await attempt(["device", "revoke", site])
            guard output.status == 0 else { return { _ in } }
            return { _ in try await device.peyk(["sync"], status: 77) }
        }
    }

    private static func invite(in output: Program.Output) -> String? {
        output.out.split { $0.isWhitespace }.first { $0.hasPrefix("peyk://") }.map(String.init)
    }

    private func attempt(_ arguments: [String], input: String? = nil) async throws -> Program.Output {
        let output = try await Program.peykd.run(
            arguments, environment: ["PEYKD_DATA": world.server.data.path], input: input)
        // A server killed in the middle leaves the command without an answer.
        let expected: [Int32] = [0, 69, 70, 74, 75, 76]
        #expect(expected.contains(output.status), "seed \(seed): an error with a name: \(output)")
        return output
    }

    /// What an administrator was told to be done is done (P16).
    private func act(
        _ arguments: [String], input: String? = nil, _ isDone: @escaping @Sendable (World) async throws -> Bool
    ) async throws -> Check {
        let output = try await attempt(arguments, input: input)
        guard output.status == 0 else { return { _ in } }
        return { world in
            let done = try await isDone(world)
            #expect(done, "said done, and it is not there: \(output)")
        }
    }

    /// All at once, so that a group has commits of several.
    private func syncAll() async throws {
        let seed = seed
        try await withThrowingTaskGroup(of: Void.self) { group in
            for rep in reps {
                group.addTask {
                    let output = try await rep.replica.attempt(["sync"])
                    let expected: [Int32] = [0, 69, 75, 76]
                    #expect(expected.contains(output.status), "seed \(seed): an error with a name: \(output)")
                }
            }
            try await group.waitForAll()
        }
    }

    private mutating func join() async throws -> Check {
        devices += 1
        let device = world.replica("late-\(devices)")
        let output = try await attempt(["invite", "Babak"])
        guard output.status == 0, let invite = Self.invite(in: output) else { return { _ in } }
        let first = try await device.attempt(["join", invite])
        return { world in
            if first.status != 0 {
                let isMade = FileManager.default.fileExists(atPath: device.file)
                try await device.peyk(isMade ? ["sync"] : ["join", invite])
            }
            try await device.sync()
            let found = difference(try await device.dump(), try await world.server.dump("--as", "Babak"))
            #expect(found.isEmpty, "a device that joined while the server was killed: \(found)")
            try FileManager.default.removeItem(at: device.home)
        }
    }
}

extension World {
    /// A device made for one act alone.
    fileprivate func replicaOfSpare(_ number: Int) async throws -> ReplicaProcess {
        let replica = replica("spare-\(number)")
        try await replica.peyk("join", try await server.invite("Cyrus"))
        return replica
    }
}
