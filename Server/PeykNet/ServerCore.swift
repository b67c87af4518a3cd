import Logging
import PeykModel
import PeykServer
import PeykSession
import PeykTransport
import Synchronization

/// What the connections of one server share.
final class ServerCore: Sendable {
    let workspace: Workspace
    let configuration: NetConfiguration
    /// What devices sign beside the challenge.
    let fingerprint: Fingerprint
    let readers = ReaderPool()
    let committer: CommitQueue
    private let registry = Mutex(Registry())

    private struct Registry {
        var connections: [ObjectIdentifier: ServerConnection] = [:]
        /// Those that are welcome.
        var contexts: [ObjectIdentifier: SessionContext] = [:]
        var head: Position = 0
        var accepted: Int64 = 0
        var refused: Int64 = 0
        var isClosing = false
    }

    init(_ workspace: Workspace, _ configuration: NetConfiguration) {
        self.workspace = workspace
        self.configuration = configuration
        fingerprint = configuration.identity?.fingerprint ?? .plaintext
        let wake = Wake()
        committer = CommitQueue(workspace) { wake.core?.headMayHaveMoved() }
        wake.attach(self)
    }

    /// Breaks the circle between the committer and the core.
    private final class Wake: Sendable {
        private let store = Mutex<Weak?>(nil)
        private struct Weak: Sendable { weak var core: ServerCore? }
        var core: ServerCore? { store.withLock { $0?.core } }
        func attach(_ core: ServerCore) { store.withLock { $0 = Weak(core: core) } }
    }

    // MARK: Connections

    /// Nil where there is no room. On the connection's event loop.
    func accept(_ connection: FrameConnection) -> ServerConnection? {
        let new = ServerConnection(connection, self)
        let isTaken = registry.withLock { registry in
            let greeting = registry.connections.count - registry.contexts.count
            guard !registry.isClosing, registry.connections.count < configuration.connectionsMax,
                greeting < configuration.greetingsMax
            else {
                registry.refused += 1
                return false
            }
            registry.connections[ObjectIdentifier(new)] = new
            registry.accepted += 1
            return true
        }
        if !isTaken {
            configuration.logger.warning(
                "connection refused", metadata: ["peer": "\(connection.peer)", "reason": "too many connections"])
        }
        guard isTaken else { return nil }
        new.start()
        return new
    }

    /// The session is welcome; earlier ones of its site end (rule I2).
    ///
    /// - Returns: the head as it was last told to sessions, which may be beyond that of the welcome.
    func opened(_ connection: ServerConnection, _ context: SessionContext) -> Position {
        let (head, earlier) = registry.withLock { registry in
            registry.contexts[ObjectIdentifier(connection)] = context
            let earlier = registry.contexts.filter {
                $0.key != ObjectIdentifier(connection) && $0.value.site == context.site
            }
            .compactMap { entry in registry.connections[entry.key].map { ($0, entry.value) } }
            return (registry.head, earlier)
        }
        for (connection, context) in earlier {
            connection.end(Refusal(.overtaken, "A later session of this device has begun."), of: context)
        }
        return head
    }

    func closed(_ connection: ServerConnection) {
        registry.withLock { registry in
            registry.connections[ObjectIdentifier(connection)] = nil
            registry.contexts[ObjectIdentifier(connection)] = nil
        }
    }

    func countRefusal() { registry.withLock { $0.refused += 1 } }

    var connections: [ServerConnection] { registry.withLock { Array($0.connections.values) } }

    func beginClosing() { registry.withLock { $0.isClosing = true } }

    var counts: (connections: Int, accepted: Int64, refused: Int64) {
        registry.withLock { ($0.connections.count, $0.accepted, $0.refused) }
    }

    // MARK: What changed

    /// Tells live sessions where the log has grown. Blocks on the store; not for event loops.
    func headMayHaveMoved() {
        guard let head = try? workspace.head() else { return }
        let listeners = registry.withLock { registry -> [ServerConnection] in
            guard head > registry.head else { return [] }
            registry.head = head
            return registry.contexts.keys.compactMap { registry.connections[$0] }
        }
        for connection in listeners { connection.headMoved(to: head) }
    }

    /// Ends sessions that may not go on: revoked, disabled, overtaken, another grant (P30). Blocks on the store.
    func checkStandings() {
        let open = registry.withLock { registry in
            registry.contexts.compactMap { entry in registry.connections[entry.key].map { ($0, entry.value) } }
        }
        for (connection, context) in open {
            if let refusal = try? workspace.standing(of: context) { connection.end(refusal, of: context) }
        }
    }
}
