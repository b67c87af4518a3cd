import Foundation
import ProgramKit
import SeededRandom
import Testing

/// SIGKILL of `peykd backup`, `restore` and `restore --in-place`: at each named failpoint, at the n-th SQL statement,
/// and at random times.
///
/// `PEYK_RESTORE_KILLS` is the number of kills of each that are not at a failpoint, `PEYK_SEED` makes another run.
@Suite("Killed backups and restores", .serialized)
struct RestoreKillTests {
    @Test(
        "a killed backup leaves the former file or a whole new one, and the next one works (P16)",
        .timeLimit(.minutes(30)))
    func backups() async throws {
        try await World.with { world in
            var run = try await RestoreKills(world)
            let moments = run.moments(["backup.copied", "backup.archived", "backup.renamed"], statements: 120)
            try await run.killBackups(moments)
            print(run.summary("backups"))
        }
    }

    @Test(
        "a killed restore leaves the old workspace or the new one, and a second one ends it (P15, P19)",
        .timeLimit(.minutes(50)))
    func restores() async throws {
        try await World.with { world in
            var run = try await RestoreKills(world)
            let moments = run.moments(
                ["restore.extracted", "restore.prepared", "restore.before-rename", "restore.swapped"], statements: 250)
            try await run.killRestores(moments)
            print(run.summary("restores"))
        }
    }

    @Test(
        "a restore into a new folder that was killed is refused in words, and a second one ends it (P19)",
        .timeLimit(.minutes(30)))
    func newFolders() async throws {
        try await World.with { world in
            var run = try await RestoreKills(world)
            let moments = run.moments(
                ["restore.extracted", "restore.prepared", "restore.before-rename", "restore.swapped"], statements: 250)
            try await run.killIntoNewFolders(moments)
            print(run.summary("restores into a new folder"))
        }
    }

    @Test(
        "a killed restore in place has begun a new epoch or has not, and a second one ends it (I5, P19)",
        .timeLimit(.minutes(30)))
    func inPlace() async throws {
        try await World.with { world in
            var run = try await RestoreKills(world)
            let moments = run.moments(
                ["server.journal.before-append", "server.journal.appended", "sqlite.transaction.committed"],
                statements: 60)
            try await run.killInPlace(moments)
            print(run.summary("restores in place"))
        }
    }
}

/// Two reps at work on a server that is backed up and restored.
struct RestoreKills {
    /// How a command is killed.
    enum Moment: Sendable, CustomStringConvertible {
        case failpoint(String)
        case after(milliseconds: Int)

        var description: String {
            switch self {
            case .failpoint(let text): text
            case .after(let milliseconds): "after \(milliseconds) ms"
            }
        }

        /// It must be met: the command passes there.
        var isNamed: Bool { if case .failpoint(let text) = self { !text.contains("@") } else { false } }
    }

    private let world: World
    private var reps: [Rep] = []
    private let seed = RunSettings.seed
    private var random: SplitMix64
    private var kills = 0
    private var wholeAfterKill = 0

    init(_ world: World) async throws {
        self.world = world
        random = SplitMix64(seed: RunSettings.seed)
        for (index, name) in ["Anna", "Babak"].enumerated() {
            reps.append(Rep(name, try await world.join(name, territories: ["North"]), index: index + 1))
        }
        let territory = try await reps[0].replica.value("SELECT id FROM territory WHERE name = 'North'")
        for index in reps.indices {
            try await reps[index].begin(territory: territory, makesShared: index == 0)
            try await reps[index].replica.sync()
        }
        for rep in reps { try await rep.replica.sync() }
        for rep in reps { try await rep.replica.sync() }
    }

    func summary(_ what: String) -> String {
        "crash: \(kills) \(what) killed (seed \(seed)), \(wholeAfterKill) were done by then"
    }

    /// The named places, and as many others as are asked for.
    mutating func moments(_ failpoints: [String], statements: Int) -> [Moment] {
        var moments = failpoints.map { Moment.failpoint("\($0)=kill") }
        for _ in 0..<RunSettings.number("PEYK_RESTORE_KILLS", 2) {
            moments.append(
                random.draw(2) == 0
                    ? .failpoint("sqlite.statement.begun=kill@\(1 + random.draw(statements))")
                    : .after(milliseconds: 5 + random.draw(150)))
        }
        return moments
    }

    /// What the reps write between two looks, sent or, of one of them, kept.
    private mutating func work() async throws {
        for index in reps.indices {
            try await reps[index].pair()
            try await reps[index].visit()
        }
        try await reps[0].replica.sync()
        if random.draw(2) == 0 { try await reps[1].replica.sync() }
    }

    /// Runs a command that is killed at `moment`, unless it ends before.
    private mutating func kill(_ arguments: [String], data: URL, _ moment: Moment) async throws -> Program.Output {
        var environment = ["PEYKD_DATA": data.path]
        if case .failpoint(let text) = moment { environment["PEYK_FAILPOINT"] = text }
        let program = try Program.peykd.start(arguments, environment: environment)
        if case .after(let milliseconds) = moment {
            try await Task.sleep(for: .milliseconds(milliseconds))
            program.signal(SIGKILL)
        }
        let output = try await program.finish()
        if output.status == Rep.killed { kills += 1 } else { wholeAfterKill += 1 }
        #expect(output.status == Rep.killed || output.status == 0, "seed \(seed), \(moment): \(output)")
        if moment.isNamed { #expect(output.status == Rep.killed, "\(arguments) does not pass \(moment)") }
        return output
    }

    /// Everybody comes back, and nothing that anybody wrote is gone, doubled or torn.
    private mutating func check(_ moment: Moment) async throws {
        for _ in 0..<3 { for rep in reps { _ = try await rep.replica.attempt(["sync"]) } }
        let found = try await world.settled(&reps)
        #expect(found.isEmpty, "seed \(seed), \(moment): \(found.joined(separator: "\n"))")
        let verified = try await world.server.attempt(["verify"])
        #expect(verified.status == 0, "seed \(seed), \(moment): \(verified)")
    }

    // MARK: - Backups

    mutating func killBackups(_ moments: [Moment]) async throws {
        let server = world.server
        let folder = world.folder.appendingPathComponent("backups")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let file = folder.appendingPathComponent("b.peykd").path
        try await server.peykd("backup", file)
        for (index, moment) in moments.enumerated() {
            try await work()
            if index % 2 == 0, case .failpoint(let text) = moment {
                // The running server writes it.
                _ = try await server.stop()
                try? await server.start(environment: ["PEYK_FAILPOINT": text])
                let told = try await server.attempt(["backup", file])
                if try await server.hasDied() {
                    kills += 1
                    #expect(told.status != 0, "\(moment): \(told)")
                }
                await server.kill()
            } else {
                _ = try await server.stop()
                _ = try await kill(["backup", file], data: server.data, moment)
            }
            // Whatever is at the place is whole.
            let aside = world.folder.appendingPathComponent("aside-\(index)")
            try await ServerProcess(data: aside).peykd("restore", file)
            try FileManager.default.removeItem(at: aside)
            try await server.peykd("backup", file)
            let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            #expect(left == ["b.peykd"], "\(moment): \(left)")
            try await server.start()
            try await check(moment)
        }
    }

    // MARK: - Restores

    mutating func killRestores(_ moments: [Moment]) async throws {
        let server = world.server
        let file = world.folder.appendingPathComponent("b.peykd").path
        for (index, moment) in moments.enumerated() {
            try await work()
            try await server.peykd("backup", file)
            try await work()
            _ = try await server.stop()
            _ = try await kill(["restore", file], data: server.data, moment)
            if index % 2 == 0 {
                // Served as it is left, and restored again after that.
                try await server.start()
                try await check(moment)
                try await work()
                _ = try await server.stop()
            }
            try await server.peykd("restore", file)
            let left = try FileManager.default.contentsOfDirectory(atPath: server.data.path)
            #expect(!left.contains("restore.partial"), "\(moment): \(left)")
            try await server.start()
            try await check(moment)
        }
    }

    mutating func killIntoNewFolders(_ moments: [Moment]) async throws {
        let file = world.folder.appendingPathComponent("b.peykd").path
        try await world.server.peykd("backup", file)
        for (index, moment) in moments.enumerated() {
            let data = world.folder.appendingPathComponent("new-\(index)")
            let place = ServerProcess(data: data)
            let killed = try await kill(["restore", file], data: data, moment)
            let status = try await place.attempt(["status"])
            if killed.status == Rep.killed, !moment.description.contains("swapped") {
                #expect([0, 66, 78].contains(status.status), "seed \(seed), \(moment): \(status)")
                #expect(status.status == 0 || status.err.contains("restore") || status.err.contains("no workspace"))
            } else {
                #expect(status.status == 0, "seed \(seed), \(moment): \(status)")
            }
            try await place.peykd("restore", file)
            try await place.peykd("verify")
            try FileManager.default.removeItem(at: data)
        }
    }

    // MARK: - In place

    mutating func killInPlace(_ moments: [Moment]) async throws {
        let server = world.server
        let image = world.folder.appendingPathComponent("image")
        for moment in moments {
            try await work()
            _ = try await server.stop()
            try FileManager.default.copyItem(at: server.data, to: image)
            try await server.start()
            try await work()
            for rep in reps { try await rep.replica.sync() }
            _ = try await server.stop()
            try FileManager.default.removeItem(at: server.data)
            try FileManager.default.moveItem(at: image, to: server.data)
            try await server.start()
            for rep in reps { try await rep.replica.peyk(["sync"], status: 76) }
            _ = try await server.stop()
            _ = try await kill(["restore", "--in-place"], data: server.data, moment)
            let again = try await server.attempt(["restore", "--in-place"])
            #expect([0, 65].contains(again.status), "seed \(seed), \(moment): \(again)")
            try await server.start()
            try await check(moment)
        }
    }
}
