import Foundation
import ProgramKit
import SeededRandom
import Testing

/// SIGKILL of `peyk`: at each named failpoint, at the n-th SQL statement or transaction, and at random times.
///
/// `PEYK_KILLS` is the number of kills, `PEYK_SEED` makes another run of them.
@Suite("Killed clients", .serialized)
struct ClientKillTests {
    @Test(
        "reopen whole, keep what ended with exit 0, and send nothing twice (P15, P16, P12, P4)",
        .timeLimit(.minutes(50)))
    func kills() async throws {
        try await World.with { world in
            var run = try await ClientKills(world: world, seed: RunSettings.seed)
            try await run.run(kills: RunSettings.number("PEYK_KILLS", 60))
            for rep in [run.anna, run.babak] {
                let reopened = try await rep.replica.peyk("verify")
                #expect(reopened.status == 0)
            }
            print(run.summary)
        }
    }
}

/// What a kill interrupts.
enum Deed: String, CaseIterable, Sendable {
    case write
    case visit
    case sync
    /// The next sync brings a territory, in pages.
    case widen
    /// The next sync brings a further field.
    case migrate
    case join

    /// The places that this passes, each of which must be met in a full run.
    var failpoints: [String] {
        switch self {
        case .write:
            [
                "sqlite.transaction.begun", "replica.write.captured", "replica.seal.begun", "replica.seal.done",
                "replica.write.sealed", "sqlite.transaction.before-commit", "sqlite.transaction.committed",
                "sqlite.transaction.before-commit@2", "sqlite.transaction.committed@2",
            ]
        case .visit: ["replica.write.sealed", "sqlite.checkpoint.begun", "sqlite.checkpoint.done"]
        case .sync:
            [
                "replica.seal.done", "replica.adopt.before-commit", "replica.adopt.committed", "replica.outbox.read",
                "sync.push.sent", "replica.acknowledge.received", "replica.acknowledge.before-commit",
                "replica.acknowledge.stored", "replica.apply.before-commit", "replica.apply.committed",
                "replica.session.finished",
            ]
        case .widen:
            [
                "replica.page.before-commit", "replica.page.stored", "replica.switch.begun",
                "replica.switch.before-commit",
            ]
        case .migrate: ["replica.migrate.begun", "replica.migrate.upgraded"]
        case .join:
            [
                "join.key.written", "join.enrolment.received", "replica.create.drafted", "replica.create.moved",
                "join.enrolment.stored", "replica.page.stored", "replica.apply.committed",
            ]
        }
    }

    /// Of what is counted, the n-th to draw from: about as many as the command passes.
    var statements: Int {
        switch self {
        case .write, .visit: 15
        case .sync: 150
        case .widen, .migrate: 300
        case .join: 600
        }
    }
}

/// The run of one seed: Anna is killed, Babak writes beside her.
struct ClientKills {
    let world: World
    var anna: Rep
    var babak: Rep
    private var random: SplitMix64
    private let seed: UInt64
    private var kills = 0
    private var met: [String: Int] = [:]
    private var counted = 0
    private var timed = 0
    private var fields = 0
    private var devices = 0
    private var isWide = true

    init(world: World, seed: UInt64) async throws {
        self.world = world
        self.seed = seed
        random = SplitMix64(seed: seed)
        anna = Rep("Anna", try await world.join("Anna", territories: ["North", "South"]), index: 1)
        babak = Rep("Babak", try await world.join("Babak", territories: ["North", "South"]), index: 2)
        let rows = try await anna.replica.value(
            "SELECT id FROM territory WHERE name IN ('North', 'South') ORDER BY name")
        let territories = rows.split(separator: "\n").map(String.init)
        try #require(territories.count == 2)
        try await anna.begin(territory: territories[0], makesShared: true)
        try await babak.begin(territory: territories[0])
        let south = (0..<60).map {
            "('\(EditMaker.id(7, 900_000 + $0))', 'Southern \($0)', '\(territories[1])')"
        }
        try await babak.replica.peyk(
            "sql", "--write", "INSERT INTO customer(id, name, territory_id) VALUES \(south.joined(separator: ","))")
        for rep in [anna, babak, anna] { try await rep.replica.sync() }
    }

    var summary: String {
        let places = met.keys.sorted().map { "\($0) \(met[$0] ?? 0)" }.joined(separator: ", ")
        return "crash: \(kills) clients killed (seed \(seed)): \(met.values.reduce(0, +)) at \(met.count) failpoints, "
            + "\(counted) at a counted statement, \(timed) at a random time; of killed writes "
            + "\(anna.killedAfter) were there afterwards and \(anna.killedBefore) were not. \(places)"
    }

    mutating func run(kills target: Int) async throws {
        for deed in Deed.allCases {
            for failpoint in deed.failpoints {
                let before = kills
                try await perform(deed, .at(failpoint))
                if kills == before, !failpoint.hasPrefix("sqlite.checkpoint") {
                    Issue.record("\(deed) does not pass \(failpoint)")
                }
            }
        }
        var attempts = 0
        while kills < target, attempts < target * 3 {
            attempts += 1
            let deed = random.pick(
                [.write, .write, .visit, .sync, .sync, .sync, .sync, .widen, .migrate, .join] as [Deed])
            switch random.draw(4) {
            case 0: try await perform(deed, .at(random.pick(deed.failpoints)))
            case 1: try await perform(deed, .counted(1 + random.draw(deed.statements)))
            default: try await perform(deed, .after(milliseconds: 10 + random.draw(deed == .join ? 600 : 250)))
            }
        }
        #expect(kills >= target, "only \(kills) of \(target) kills")
        let found = try await settle()
        #expect(found.isEmpty, "seed \(seed), at the end: \(found.joined(separator: "\n"))")
    }

    /// When the process is killed.
    enum Moment: CustomStringConvertible {
        case at(String)
        case counted(Int)
        case after(milliseconds: Int)

        var environment: [String: String] {
            switch self {
            case .at(let place):
                // `name@2` is its second passage: opening a replica is a transaction, too.
                switch place.split(separator: "@") {
                case let parts where parts.count == 2: ["PEYK_FAILPOINT": "\(parts[0])=kill@\(parts[1])"]
                default: ["PEYK_FAILPOINT": "\(place)=kill"]
                }
            case .counted(let n): ["PEYK_FAILPOINT": "sqlite.statement.begun=kill@\(n)"]
            case .after: [:]
            }
        }

        var description: String {
            switch self {
            case .at(let name): name
            case .counted(let n): "statement \(n)"
            case .after(let time): "\(time) ms"
            }
        }
    }

    private mutating func perform(_ deed: Deed, _ moment: Moment) async throws {
        let status: Int32
        switch deed {
        case .write: status = try await anna.addContact(moment.environment).status
        case .visit:
            status =
                try await random.draw(2) == 0
                ? anna.visit(moment.environment).status : anna.say(moment.environment).status
        case .sync:
            try await work()
            status = try await killed(["sync"], of: anna.replica, moment)
        case .widen:
            if isWide {
                try await world.server.peykd("user", "set", "Anna", "--territory", "North")
                try await syncUntilDone()
            }
            try await world.server.peykd("user", "set", "Anna", "--territory", "North", "--territory", "South")
            isWide = true
            status = try await killed(["sync"], of: anna.replica, moment)
        case .migrate:
            try await addField()
            status = try await killed(["sync"], of: anna.replica, moment)
        case .join: status = try await join(moment)
        }
        guard status != 0 else { return }
        try #require(status == Rep.killed, "\(deed) with a kill at \(moment) ended with \(status), seed \(seed)")
        kills += 1
        switch moment {
        case .at(let name): met[name, default: 0] += 1
        case .counted: counted += 1
        case .after: timed += 1
        }
        let found = try await anna.findings()
        #expect(found.isEmpty, "seed \(seed), \(deed) killed at \(moment): \(found.joined(separator: "\n"))")
        if random.draw(3) == 0 { try await syncUntilDone() }
        if kills % 25 == 0 {
            let found = try await settle()
            #expect(found.isEmpty, "seed \(seed), after \(kills) kills: \(found.joined(separator: "\n"))")
        }
    }

    /// Something to send and something to fetch, now and then in conflict.
    private mutating func work() async throws {
        switch random.draw(4) {
        case 0: try await anna.visit()
        case 1: try await anna.say()
        default: try await anna.pair()
        }
        if random.draw(3) == 0 { try await babak.say() } else { try await babak.pair() }
        try await babak.replica.sync()
    }

    private mutating func killed(
        _ arguments: [String], of replica: ReplicaProcess, _ moment: Moment
    ) async throws -> Int32 {
        let program = try replica.start(arguments, environment: moment.environment)
        if case .after(let time) = moment {
            try await Task.sleep(for: .milliseconds(time))
            program.signal(SIGKILL)
        }
        let output = try await program.finish()
        if output.status != 0, output.status != Rep.killed { Issue.record("seed \(seed): \(output)") }
        return output.status
    }

    private mutating func settle() async throws -> [String] {
        var reps = [anna, babak]
        defer { (anna, babak) = (reps[0], reps[1]) }
        return try await world.settled(&reps)
    }

    private func syncUntilDone() async throws { try await anna.replica.sync() }

    private mutating func addField() async throws {
        fields += 1
        try await world.server.peykd(
            ["schema", "apply", "-"],
            input: #"{"add": {"fields": {"customer": [{"name": "extra_\#(fields)", "type": "text"}]}}}"#)
    }

    /// A new device of Anna's is killed while it joins; the same invite must still do.
    private mutating func join(_ moment: Moment) async throws -> Int32 {
        devices += 1
        let device = world.replica("anna-\(devices)")
        let invite = try await world.server.invite("Anna")
        let status = try await killed(["join", invite], of: device, moment)
        if status != 0 {
            let isMade = FileManager.default.fileExists(atPath: device.file)
            try await device.peyk(isMade ? ["sync"] : ["join", invite])
        }
        let found = difference(try await device.dump(), try await world.server.dump("--as", "Anna"))
        #expect(found.isEmpty, "seed \(seed), join killed at \(moment): \(found)")
        try FileManager.default.removeItem(at: device.home)
        return status
    }
}
