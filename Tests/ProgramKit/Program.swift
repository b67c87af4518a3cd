package import Foundation
import Synchronization

/// Runs the built programs as processes of their own, as people and scripts do.
package struct Program: Sendable {
    /// The folder with `peyk` and `peykd`: beside the tests, or where `PEYK_BIN` says.
    package static let folder: URL = {
        if let chosen = ProcessInfo.processInfo.environment["PEYK_BIN"] {
            return URL(fileURLWithPath: chosen, isDirectory: true)
        }
        return URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    }()

    package static let peyk = Program(url: folder.appendingPathComponent("peyk"))
    package static let peykd = Program(url: folder.appendingPathComponent("peykd"))
    package static let sqlite = Program(url: URL(fileURLWithPath: "/usr/bin/sqlite3"))

    package let url: URL

    package init(url: URL) { self.url = url }

    package var isThere: Bool { FileManager.default.isExecutableFile(atPath: url.path) }

    /// What a process printed and how it ended.
    package struct Output: Sendable, CustomStringConvertible {
        package var command: String
        /// The exit code; 128 + signal where a signal ended it.
        package var status: Int32
        package var out: String
        package var err: String

        package var description: String { "$ \(command)\n\(out)\(err)[exit \(status)]" }
        package var lines: [String] { out.split(separator: "\n").map(String.init) }
        package var trimmed: String { out.trimmingCharacters(in: .whitespacesAndNewlines) }

        /// The one JSON document that `--format json` printed.
        package func json() throws -> JSON { try JSON(parsing: out) }
    }

    package struct Failure: Error, CustomStringConvertible {
        package var description: String
        package init(description: String) { self.description = description }
    }

    /// Runs to the end. Nothing waits on a thread of the concurrency pool: there are as many as cores, two here.
    package func run(
        _ arguments: [String], environment: [String: String] = [:], input: String? = nil, seconds: Double = 120
    ) async throws -> Output {
        let running = try start(arguments, environment: environment, input: input)
        return try await running.finish(within: seconds)
    }

    package func start(
        _ arguments: [String], environment: [String: String] = [:], input: String? = nil
    ) throws -> RunningProgram {
        guard isThere else { throw Failure(description: "\(url.path) is not there; build it, or set PEYK_BIN") }
        return try RunningProgram(url: url, arguments: arguments, environment: environment, input: input)
    }
}

/// A process under way, with its output in files, so that no pipe can fill up.
///
/// Made with `posix_spawn` itself: Foundation's `Process` loses its footing after some hundred of them on Linux.
package final class RunningProgram: Sendable {
    package let command: String
    package let identifier: pid_t
    private let folder: URL
    private let ended: AsyncStream<Int32>
    /// Whether the process has been waited for; its number may be another's then.
    private let isOver = Mutex(false)

    package init(url: URL, arguments: [String], environment: [String: String], input: String?) throws {
        command = ([url.lastPathComponent] + arguments).joined(separator: " ")
        folder = try Scratch.folder("process")
        let file = folder.appendingPathComponent("in")
        if let input { try Data(input.utf8).write(to: file) }
        let variables = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("PEYK") }
            .merging(["NO_COLOR": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8"]) { $1 }
            .merging(environment) { $1 }
        identifier = try Self.spawn(
            [url.path] + arguments, variables.map { "\($0)=\($1)" }, input: input == nil ? "/dev/null" : file.path,
            out: folder.appendingPathComponent("out").path, err: folder.appendingPathComponent("err").path)
        let (stream, continuation) = AsyncStream.makeStream(of: Int32.self)
        ended = stream
        Thread.detachNewThread { [self] in
            continuation.yield(wait())
            continuation.finish()
        }
    }

    /// Nobody waits for it any more.
    deinit { try? FileManager.default.removeItem(at: folder) }

    private static func spawn(
        _ arguments: [String], _ environment: [String], input: String, out: String, err: String
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, err, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        let argv = arguments.map { strdup($0) } + [nil]
        let envp = environment.map { strdup($0) } + [nil]
        defer { for text in argv + envp { free(text) } }
        var identifier = pid_t()
        let code = posix_spawn(&identifier, arguments[0], &actions, &attributes, argv, envp)
        guard code == 0 else {
            throw Program.Failure(description: "\(arguments[0]) cannot be run: \(String(cString: strerror(code)))")
        }
        return identifier
    }

    /// Blocks its thread until the process has ended.
    private func wait() -> Int32 {
        var status: Int32 = 0
        while waitpid(identifier, &status, 0) < 0, errno == EINTR {}
        isOver.withLock { $0 = true }
        let signal = status & 0x7F
        return signal == 0 ? (status >> 8) & 0xFF : 128 + signal
    }

    package var isRunning: Bool { isOver.withLock { !$0 } }

    /// SIGSTOP has taken hold, from outside or at a failpoint.
    package var isStopped: Bool {
        guard let text = try? String(contentsOfFile: "/proc/\(identifier)/stat", encoding: .utf8),
            let end = text.lastIndex(of: ")")
        else { return false }
        return text[text.index(after: end)...].split(separator: " ").first == "T"
    }

    /// Waits until the process has stopped; false where it ended instead, or `seconds` have passed.
    package func waitUntilStopped(within seconds: Double = 60) async throws -> Bool {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < deadline, isRunning {
            if isStopped { return true }
            try await Task.sleep(for: .milliseconds(5))
        }
        return false
    }

    package func signal(_ number: Int32) {
        isOver.withLock { isOver in
            if !isOver { kill(identifier, number) }
        }
    }

    private func text(_ name: String) -> String {
        let data = (try? Data(contentsOf: folder.appendingPathComponent(name))) ?? Data()
        return String(decoding: data, as: UTF8.self)
    }

    package var out: String { text("out") }
    package var err: String { text("err") }

    /// The first line of standard output that begins so; waits for it.
    package func line(beginning prefix: String, within seconds: Double = 60) async throws -> String {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < deadline {
            // Only whole lines: the last one may be half written.
            let lines = out.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            if let line = lines.first(where: { $0.hasPrefix(prefix) }) { return String(line) }
            if !isRunning { break }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw Program.Failure(description: "no line “\(prefix)…” from $ \(command)\n\(out)\(err)")
    }

    /// Waits until the process has ended; ends it by force after `seconds`.
    package func finish(within seconds: Double = 120) async throws -> Program.Output {
        let guardian = Task {
            try await Task.sleep(for: .seconds(seconds))
            signal(SIGKILL)
        }
        defer { guardian.cancel() }
        var status: Int32 = -1
        for await code in ended { status = code }
        let output = Program.Output(command: command, status: status, out: out, err: err)
        try? FileManager.default.removeItem(at: folder)
        return output
    }
}
