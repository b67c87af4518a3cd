package import Foundation
package import Testing

/// One server and the replicas that joined it, in one folder that goes when the world ends.
package final class World: Sendable {
    package let folder: URL
    package let server: ServerProcess

    private init(folder: URL, server: ServerProcess) {
        self.folder = folder
        self.server = server
    }

    /// Makes a world, runs `body` in it, and takes it away whatever happens.
    package static func with<Result>(
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
        // For those who want to look into the files of a run that failed.
        guard ProcessInfo.processInfo.environment["PEYK_KEEP"] == nil else { return print("kept: \(folder.path)") }
        try? FileManager.default.removeItem(at: folder)
    }

    /// A replica that has not joined yet.
    package func replica(_ name: String) -> ReplicaProcess {
        ReplicaProcess(home: folder.appendingPathComponent("home-\(name)"))
    }

    /// Adds a user, invites her and joins with a new replica.
    package func join(_ name: String, role: String = "rep", territories: [String] = []) async throws -> ReplicaProcess {
        let places = territories.flatMap { ["--territory", $0] }
        try await server.peykd(["user", "add", name, "--role", role] + places)
        return try await joinAgain(name)
    }

    /// A further device of a user who is there already.
    package func joinAgain(_ name: String, as device: String? = nil) async throws -> ReplicaProcess {
        let replica = replica(device ?? name)
        try await replica.peyk("join", try await server.invite(name))
        return replica
    }
}

/// `peykd` over one data folder: as commands, and as the server that runs.
package actor ServerProcess {
    package nonisolated let data: URL
    private var running: RunningProgram?
    /// As it was printed when it first served; kept over restarts, since invites and replicas name it.
    package private(set) var address: String?

    /// - Parameter address: where to serve; nil for a free port.
    package init(data: URL, address: String? = nil) {
        self.data = data
        self.address = address
    }

    /// Runs a command; throws unless it ends with `status`.
    @discardableResult
    package nonisolated func peykd(_ arguments: [String], status: Int32 = 0, input: String? = nil) async throws
        -> Program.Output
    {
        let output = try await Program.peykd.run(arguments, environment: ["PEYKD_DATA": data.path], input: input)
        guard output.status == status else {
            throw Program.Failure(description: "expected exit \(status) of \(output)")
        }
        return output
    }

    @discardableResult
    package nonisolated func peykd(_ arguments: String..., status: Int32 = 0) async throws -> Program.Output {
        try await peykd(arguments, status: status)
    }

    /// Runs a command to its end, however it ends.
    package nonisolated func attempt(_ arguments: [String], input: String? = nil) async throws -> Program.Output {
        try await Program.peykd.run(arguments, environment: ["PEYKD_DATA": data.path], input: input)
    }

    package func start(arguments more: [String] = [], environment: [String: String] = [:]) async throws {
        let arguments = ["serve", "--listen", address ?? "127.0.0.1:0"] + more
        let program = try Program.peykd.start(
            arguments, environment: environment.merging(["PEYKD_DATA": data.path]) { $1 })
        running = program
        let line = try await program.line(beginning: "listening ")
        address = String(line.dropFirst("listening ".count))
    }

    /// What the server wrote to standard error since its last start.
    package var log: String { running?.err ?? "" }

    package var isUp: Bool { running?.isRunning ?? false }

    /// Processor time that it has used; nil where there is no /proc.
    package var cpuSeconds: Double? {
        guard let running, let text = try? String(contentsOfFile: "/proc/\(running.identifier)/stat", encoding: .utf8),
            let end = text.lastIndex(of: ")")
        else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return nil }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// The most memory that it has used, and what it uses now.
    package var peakMegabytes: Int? { memory("VmHWM:") }
    package var megabytes: Int? { memory("VmRSS:") }

    package var openFiles: Int? {
        running.flatMap { try? FileManager.default.contentsOfDirectory(atPath: "/proc/\($0.identifier)/fd").count }
    }

    private func memory(_ name: String) -> Int? {
        guard let running, let text = try? String(contentsOfFile: "/proc/\(running.identifier)/status", encoding: .utf8)
        else { return nil }
        let line = text.split(separator: "\n").first { $0.hasPrefix(name) }
        return line?.split { !$0.isNumber }.first.flatMap { Int($0) }.map { $0 / 1_024 }
    }

    /// Whether it has died, as a failpoint makes it: its clients may know before its parent does.
    package func hasDied(within seconds: Double = 1) async throws -> Bool {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while isUp, ContinuousClock.now < deadline { try await Task.sleep(for: .milliseconds(5)) }
        return !isUp
    }

    /// Ends it as an administrator does.
    package func stop() async throws -> Program.Output? {
        running?.signal(SIGTERM)
        let output = try await running?.finish(within: 30)
        running = nil
        return output
    }

    package func signal(_ number: Int32) { running?.signal(number) }

    /// Ends it as a power cut does.
    package func kill() async {
        running?.signal(SIGKILL)
        _ = try? await running?.finish(within: 30)
        running = nil
    }

    package func invite(_ user: String, _ more: String...) async throws -> String {
        let output = try await peykd(["invite", user] + more)
        let words = output.out.split { $0.isWhitespace }
        return try #require(words.first { $0.hasPrefix("peyk://") }.map(String.init), "no invite in \(output)")
    }

    /// The canonical dump of the server.
    package nonisolated func dump(_ more: String...) async throws -> String { try await peykd(["dump"] + more).out }
}

/// `peyk` over one home folder.
package struct ReplicaProcess: Sendable {
    package let home: URL

    package init(home: URL) { self.home = home }

    package var file: String { home.appendingPathComponent("replica.sqlite").path }

    @discardableResult
    package func peyk(
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
    package func peyk(_ arguments: String..., status: Int32 = 0) async throws -> Program.Output {
        try await peyk(arguments, status: status)
    }

    package func start(_ arguments: String...) throws -> RunningProgram { try start(arguments) }

    package func start(_ arguments: [String], environment: [String: String] = [:]) throws -> RunningProgram {
        try Program.peyk.start(arguments, environment: environment.merging(["PEYK_HOME": home.path]) { $1 })
    }

    /// Runs a command to its end, however it ends.
    package func attempt(_ arguments: [String], environment: [String: String] = [:]) async throws -> Program.Output {
        try await start(arguments, environment: environment).finish()
    }

    /// What `sync` says that it did.
    @discardableResult
    package func sync(environment: [String: String] = [:]) async throws -> JSON {
        try await peyk(["sync", "--format", "json"], environment: environment).json()
    }

    /// Runs a script in the plain `sqlite3` program, under the lock that other programs take (rule K4).
    package func sqlite(_ script: String) async throws -> Program.Output {
        let output = try await Program.sqlite.run(["-bail", file], input: ".timeout 10000\n" + script)
        guard output.status == 0 else { throw Program.Failure(description: "\(output)") }
        return output
    }

    /// One value of the replica's tables.
    package func value(_ query: String) async throws -> String { try await sqlite(query).trimmed }

    package func dump(_ more: String...) async throws -> String { try await peyk(["dump"] + more).out }
}

/// Expects two dumps to be equal; says at most ten lines in which they differ, not the dumps.
package func expectEqual(
    _ left: String, _ right: String, _ what: String, at location: SourceLocation = #_sourceLocation
) {
    guard left != right else { return }
    Issue.record("\(what) differ:\n\(difference(left, right))", sourceLocation: location)
}
