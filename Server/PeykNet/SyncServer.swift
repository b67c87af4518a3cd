import Dispatch
import NIOCore
import NIOPosix
public import PeykServer
import PeykSession
import PeykTransport
import Synchronization

/// Serves one workspace to devices over TLS.
///
/// Sessions run on NIO's event loops; writes on one committer queue, reads on a few reader queues.
public final class SyncServer: Sendable {
    private let core: ServerCore
    private let listener: FrameListener
    private let poll: RepeatedTask
    private let housekeeping: Housekeeping

    private init(_ core: ServerCore, _ listener: FrameListener) {
        self.core = core
        self.listener = listener
        housekeeping = Housekeeping(core.workspace, core.committer, core.configuration) { [weak core] in
            core?.contexts ?? []
        }
        let queue = core.readers.queue()
        let interval = TimeAmount.milliseconds(Int64(core.configuration.pollSeconds * 1_000))
        poll = MultiThreadedEventLoopGroup.singleton.any().scheduleRepeatedTask(
            initialDelay: interval, delay: interval
        ) { _ in
            queue.async {
                core.room.look()
                core.headMayHaveMoved()
                core.checkStandings()
            }
        }
    }

    /// Listens and serves until ``shutdown(graceSeconds:)``.
    /// - Throws: ``TransportError`` where the address cannot be listened on.
    public static func start(_ workspace: Workspace, _ configuration: NetConfiguration) async throws -> SyncServer {
        let security = try configuration.identity?.security() ?? .plaintext
        let core = ServerCore(workspace, configuration)
        core.headMayHaveMoved()
        core.room.look()
        let listener = try await FrameListener.listen(
            host: configuration.host, port: configuration.port, security: security, budget: core.budget
        ) { core.accept($0) }
        return SyncServer(core, listener)
    }

    public var host: String { listener.host }
    public var port: Int { listener.port }

    /// Runs `body` on the committer's queue, between two groups of pushes; then tells live sessions of what it did:
    /// a longer log, and who may not stay (revoked, another grant).
    public func perform<Answer: Sendable>(
        _ body: @escaping @Sendable (Workspace) throws -> Answer
    ) async throws -> Answer {
        let core = core
        return try await withCheckedThrowingContinuation { continuation in
            core.committer.perform { workspace in
                let result = Result { try body(workspace) }
                core.checkStandings()
                continuation.resume(with: result)
            }
        }
    }

    public func status() async -> NetStatus {
        let counts = core.counts
        let commits = core.committer.counts
        var sessions: [NetStatus.Session] = []
        for connection in core.connections {
            if let session = await connection.status() { sessions.append(session) }
        }
        return NetStatus(
            connections: counts.connections, sessions: sessions.sorted { $0.site < $1.site },
            loading: counts.loading, isFull: core.room.retryAfter != nil, frameBytes: Int64(core.budget.inUse),
            accepted: counts.accepted, refused: counts.refused, groups: commits.groups, commits: commits.commits)
    }

    /// Takes no more connections, finishes the commits that wait, tells every session, and closes.
    /// - Parameter graceSeconds: after this, connections are cut.
    public func shutdown(graceSeconds: Double = 5) async {
        poll.cancel()
        housekeeping.end()
        core.beginClosing()
        await listener.close()
        await core.committer.drain()
        for connection in core.connections {
            connection.end(
                Refusal(.shutdown, "The server is going down. What is not yet sent stays with you; sync again later."),
                of: nil)
        }
        let clock = ContinuousClock()
        let deadline = clock.now + .seconds(graceSeconds)
        while !core.connections.isEmpty, clock.now < deadline { try? await clock.sleep(for: .milliseconds(20)) }
        for connection in core.connections { connection.abort() }
        await core.committer.drain()
    }
}
