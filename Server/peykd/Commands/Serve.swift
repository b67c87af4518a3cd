import ArgumentParser
import Dispatch
import Foundation
import Logging
import PeykCRM
import PeykConsole
import PeykModel
import PeykNet
import PeykSQLite
import PeykServer
import PeykStoreSQLite
import PeykTransport

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve the workspace until SIGTERM.",
        discussion: """
            Prints one line, “listening HOST:PORT”, when devices can connect. Port 0 takes a free port. The log goes \
            to standard error. SIGTERM and SIGINT finish what is under way, tell the devices, and exit 0.

            Example:  peykd --data /srv/peyk serve --listen 0.0.0.0:7420 --public crm.example.com:7420
            """)

    @OptionGroup var place: DataOptions

    @Option(help: ArgumentHelp("Where to listen.", valueName: "host:port"))
    var listen = "0.0.0.0:7420"

    @Option(help: ArgumentHelp("Where devices reach the server, if it is another address.", valueName: "host:port"))
    var `public`: String?

    @Flag(help: "Serve although the clock is more than 30 days ahead of the last commit.")
    var acceptClock = false

    @Option(
        help: ArgumentHelp(
            "Keep from now on what devices need that were away for this long while the server ran, such as 90d.",
            valueName: "time"))
    var lease: Duration?

    @Flag(help: "No TLS: on a loopback address only, for tests.")
    var plaintext = false

    @OptionGroup var load: LoadOptions

    @Option(
        help: ArgumentHelp("What is logged: debug, info, warning or error.", valueName: "level"),
        transform: readLevel)
    var logLevel: Logger.Level = .info

    func run() async throws {
        let installation = try place.installation()
        try installation.requireWorkspace()
        let address = try ListenAddress(listen)
        let announced = try self.public.map { try ListenAddress($0) }
        if plaintext, !address.isLoopback {
            throw Failure(
                .configuration,
                "--plaintext is for loopback addresses only, and \(address.host) is none: everything would travel "
                    + "readable. Leave --plaintext out. Nothing was started.")
        }
        let lock = try FileLock(path: installation.lock)
        guard lock.lock(seconds: 2) else {
            throw Failure(
                .temporary, "Another peykd is using \(installation.directory). Stop it first; nothing was changed.")
        }
        defer { lock.unlock() }
        let level = logLevel
        LoggingSystem.bootstrap { label in
            var handler = StreamLogHandler.standardError(label: label)
            handler.logLevel = level
            return handler
        }
        let logger = Logger(label: "peykd")
        let workspace = try installation.openWorkspace { logger.warning("\($0)") }
        try checkClock(workspace, logger)
        if let lease { try workspace.setRetention(lease: lease.seconds) }
        try warnOfHistory(workspace, logger)
        let identity = plaintext ? nil : try TLSIdentity(directory: installation.directory)
        let server = try await start(workspace, identity, address, logger)
        let control = try await ControlSocket.serve(path: installation.control) { request in
            if request["do"]?.stringValue == "backup" {
                return await Self.backup(
                    request, BackupWriter(installation: installation, workspace: workspace), logger)
            }
            return await Self.answer(request, server, workspace, logger)
        }
        let bound = try ListenAddress(
            "\(address.host.contains(":") ? "[\(address.host)]" : address.host):\(server.port)")
        try note(bound, announced, installation)
        let head = try workspace.head()
        logger.info(
            "serving workspace \(workspace.name) at position \(head), SQLite \(Database.libraryVersion)"
        )
        Terminal.write("listening \(bound)\n")
        let signal = await Self.signal()
        logger.info("ending by \(signal)")
        await control.close()
        await server.shutdown()
        try (workspace.store as? SQLiteStore)?.checkpoint()
    }

    private func start(
        _ workspace: Workspace, _ identity: TLSIdentity?, _ address: ListenAddress, _ logger: Logger
    ) async throws -> SyncServer {
        do {
            var configuration = NetConfiguration(
                host: address.host, port: address.port, identity: identity, logger: logger)
            try load.apply(to: &configuration, place.installation(), logger)
            return try await SyncServer.start(workspace, configuration)
        } catch {
            throw Failure(.unavailable, "\(address) cannot be listened on: \(error). Nothing was started.")
        }
    }

    /// Rule C4: a clock that runs far ahead would stamp everything into the future.
    private func checkClock(_ workspace: Workspace, _ logger: Logger) throws {
        let last = try workspace.store.read { try $0.clockDocument().last.milliseconds }
        switch ClockStanding(now: LocalTime.now(), last: last) {
        case .fine: break
        case .farAhead where !acceptClock:
            throw Failure(
                .configuration,
                "The clock of this machine says \(Instant.iso(LocalTime.now())), more than 30 days after the last "
                    + "commit (\(Instant.iso(last))). If the clock is right, start with --accept-clock. Nothing was started."
            )
        case .behind:
            logger.warning("this machine's clock is behind the last commit, of \(Instant.iso(last)): check the clock")
        case .ahead, .farAhead:
            logger.warning("the last commit is of \(Instant.iso(last)); is this machine's clock right?")
        }
    }

    /// For invites that are made later, also while the server is down.
    private func note(_ bound: ListenAddress, _ announced: ListenAddress?, _ installation: Installation) throws {
        let document: JSON = [
            "address": .string("\(bound)"), "plaintext": .bool(plaintext),
            "public": announced.map { .string("\($0)") } ?? .null,
        ]
        try SecretFile.replace(installation.serving, Array(document.text.utf8))
    }

    private static func answer(_ json: JSON, _ server: SyncServer, _ workspace: Workspace, _ logger: Logger) async
        -> JSON
    {
        guard let request = AdminRequest(json: json) else {
            return AdminReply.failed(
                AdminFailure(.usage, "The running server does not know this request; it is of another version.")
            ).json
        }
        if request.isWrite {
            let reply = try? await server.perform { Admin($0, told: Failures.admin).run(request) }
            if case .done? = reply { logger.info("administration: \(json["do"]?.stringValue ?? "")") }
            return (reply ?? .failed(AdminFailure(.internal, "The server is ending. Nothing was changed."))).json
        }
        let reply = await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(returning: Admin(workspace, told: Failures.admin).run(request))
            }
        }
        guard case .status = request, case .done(.object(var members)) = reply else { return reply.json }
        members["network"] = await server.status().json
        return AdminReply.done(.object(members)).json
    }

    /// On a queue of its own, beside the committer: copying takes as long as the disk does.
    private static func backup(_ request: JSON, _ writer: BackupWriter, _ logger: Logger) async -> JSON {
        guard let path = request["path"]?.stringValue, path.hasPrefix("/"),
            let keep = request["keep"]?.integerValue.flatMap({ Int(exactly: $0) })
        else { return AdminReply.failed(AdminFailure(.usage, "A backup needs a path.")).json }
        return await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                do {
                    let done = try writer.run(to: path, keep: keep)
                    logger.info("backup written", metadata: ["path": "\(path)"])
                    continuation.resume(returning: AdminReply.done(done).json)
                } catch {
                    let failure = Failures.admin(error)
                    logger.error("no backup", metadata: ["reason": "\(failure.message)"])
                    continuation.resume(returning: AdminReply.failed(failure).json)
                }
            }
        }
    }

    /// What IT must hear before anything is served (rules I5, I8, I10).
    private func warnOfHistory(_ workspace: Workspace, _ logger: Logger) throws {
        try workspace.moveBackupHorizonByAge()
        let status = try workspace.store.read { reader in
            (
                rollback: try reader.rollback(), last: try reader.backups().items.last?.time,
                created: try reader.workspaceDocument().createdAt
            )
        }
        if status.rollback != nil {
            logger.error("this server was rolled back: stop it and run peykd restore --in-place; devices are refused")
        }
        if let refill = try workspace.refillStatus(), refill.isOpen {
            logger.notice("refill open: \(refill.awaited.count) devices to come back, \(refill.waiting) commits wait")
        }
        if LocalTime.now() - (status.last ?? status.created) > BackupRule.warnAfter {
            logger.warning("no backup for more than 30 days: run peykd backup FILE")
        }
    }

    /// Waits for the word to end.
    private static func signal() async -> String {
        let names = [SIGTERM: "SIGTERM", SIGINT: "SIGINT"]
        let (stream, continuation) = AsyncStream<String>.makeStream()
        let sources = names.map { number, name in
            Foundation.signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { continuation.yield(name) }
            source.resume()
            return source
        }
        defer { sources.forEach { $0.cancel() } }
        for await name in stream { return name }
        return ""
    }
}

private func readLevel(_ text: String) throws -> Logger.Level {
    guard let level = Logger.Level(rawValue: text) else {
        throw ValidationError("“\(text)” is no log level; give debug, info, warning or error.")
    }
    return level
}
