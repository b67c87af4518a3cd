import Foundation
import Testing

/// One server and the replicas that joined it, in one folder that goes when the world ends.
final class World: Sendable {
    let folder: URL
    let server: ServerProcess

    private init(folder: URL, server: ServerProcess) {
        self.folder = folder
        self.server = server
    }

    /// Makes a world, runs `body` in it, and takes it away whatever happens.
    static func with<Result>(
        workspace: String = "acme", serving: Bool = true, _ body: (World) async throws -> Result
    ) async throws -> Result {
        let folder = try Scratch.folder("world")
        let server = ServerProcess(data: folder.appendingPathComponent("server"))
        let world = World(folder: folder, server: server)
        do {
            _ = try await server.peykd("init", "--workspace", workspace)
            if serving { try await server.start() }
            let result = try await body(world)
            await world.end()
            return result
        } catch {
            await world.end()
            throw error
        }
    }

    private func end() async {
        await server.kill()
        try? FileManager.default.removeItem(at: folder)
    }

    /// A replica that has not joined yet.
    func replica(_ name: String) -> ReplicaProcess {
        ReplicaProcess(home: folder.appendingPathComponent("home-\(name)"))
    }

    /// Adds a user, invites her and joins with a new replica.
    func join(_ name: String, role: String = "rep", territories: [String] = []) async throws -> ReplicaProcess {
        let places = territories.flatMap { ["--territory", $0] }
        try await server.peykd(["user", "add", name, "--role", role] + places)
        return try await joinAgain(name)
    }

    /// A further device of a user who is there already.
    func joinAgain(_ name: String, as device: String? = nil) async throws -> ReplicaProcess {
        let replica = replica(device ?? name)
        try await replica.peyk("join", try await server.invite(name))
        return replica
    }
}

/// `peykd` over one data folder: as commands, and as the server that runs.
actor ServerProcess {
    nonisolated let data: URL
    private var running: RunningProgram?
    /// As it was printed when it first served; kept over restarts, since invites and replicas name it.
    private(set) var address: String?

    init(data: URL) { self.data = data }

    /// Runs a command; throws unless it ends with `status`.
    @discardableResult
    nonisolated func peykd(_ arguments: [String], status: Int32 = 0, input: String? = nil) async throws
        -> Program.Output
    {
        let output = try await Program.peykd.run(arguments, environment: ["PEYKD_DATA": data.path], input: input)
        guard output.status == status else {
            throw Program.Failure(description: "expected exit \(status) of \(output)")
        }
        return output
    }

    @discardableResult
    nonisolated func peykd(_ arguments: String..., status: Int32 = 0) async throws -> Program.Output {
        try await peykd(arguments, status: status)
    }

    func start() async throws {
        let arguments = ["serve", "--listen", address ?? "127.0.0.1:0"]
        let program = try Program.peykd.start(arguments, environment: ["PEYKD_DATA": data.path])
        running = program
        let line = try await program.line(beginning: "listening ")
        address = String(line.dropFirst("listening ".count))
    }

    /// What the server wrote to standard error since its last start.
    var log: String { running?.err ?? "" }

    var isUp: Bool { running?.isRunning ?? false }

    /// Ends it as an administrator does.
    func stop() async throws -> Program.Output? {
        running?.signal(SIGTERM)
        let output = try await running?.finish(within: 30)
        running = nil
        return output
    }

    /// Ends it as a power cut does.
    func kill() async {
        running?.signal(SIGKILL)
        _ = try? await running?.finish(within: 30)
        running = nil
    }

    func invite(_ user: String, _ more: String...) async throws -> String {
        let output = try await peykd(["invite", user] + more)
        let words = output.out.split { $0.isWhitespace }
        return try #require(words.first { $0.hasPrefix("peyk://") }.map(String.init), "no invite in \(output)")
    }

    /// The canonical dump of the server.
    nonisolated func dump(_ more: String...) async throws -> String { try await peykd(["dump"] + more).out }
}

/// `peyk` over one home folder.
struct ReplicaProcess: Sendable {
    let home: URL

    var file: String { home.appendingPathComponent("replica.sqlite").path }

    @discardableResult
    func peyk(
        _ arguments: [String], status: Int32 = 0, input: String? = nil, environment: [String: String] = [:]
    ) async throws -> Program.Output {
        let environment = environment.merging(["PEYK_HOME": home.path]) { $1 }
        let output = try await Program.peyk.run(arguments, environment: environment, input: input)
        guard output.status == status else {
            throw Program.Failure(description: "expected exit \(status) of \(output)")
        }
        return output
    }

    @discardableResult
    func peyk(_ arguments: String..., status: Int32 = 0) async throws -> Program.Output {
        try await peyk(arguments, status: status)
    }

    func start(_ arguments: String...) throws -> RunningProgram {
        try Program.peyk.start(arguments, environment: ["PEYK_HOME": home.path])
    }

    /// What `sync` says that it did.
    @discardableResult
    func sync(environment: [String: String] = [:]) async throws -> JSON {
        try await peyk(["sync", "--format", "json"], environment: environment).json()
    }

    /// Runs a script in the plain `sqlite3` program, under the lock that other programs take (rule K4).
    func sqlite(_ script: String) async throws -> Program.Output {
        let output = try await Program.sqlite.run(["-bail", file], input: ".timeout 10000\n" + script)
        guard output.status == 0 else { throw Program.Failure(description: "\(output)") }
        return output
    }

    /// One value of the replica's tables.
    func value(_ query: String) async throws -> String { try await sqlite(query).trimmed }

    func dump(_ more: String...) async throws -> String { try await peyk(["dump"] + more).out }
}

/// Expects two dumps to be equal; says at most ten lines in which they differ, not the dumps.
func expectEqual(
    _ left: String, _ right: String, _ what: String, at location: SourceLocation = #_sourceLocation
) {
    guard left != right else { return }
    let a = Set(left.split(separator: "\n"))
    let b = Set(right.split(separator: "\n"))
    let onlyLeft = a.subtracting(b).sorted().prefix(5).map { "− \($0)" }
    let onlyRight = b.subtracting(a).sorted().prefix(5).map { "+ \($0)" }
    Issue.record(
        "\(what) differ:\n\((onlyLeft + onlyRight).joined(separator: "\n"))", sourceLocation: location)
}
