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
    let room: StoreRoom
    let budget: FrameBudget
    private let registry = Mutex(Registry())

    private struct Registry {
        var connections: [ObjectIdentifier: ServerConnection] = [:]
        /// Those that are welcome.
        var contexts: [ObjectIdentifier: SessionContext] = [:]
        /// Those that load pages.
        var loading: Set<ObjectIdentifier> = []
        /// How many are not welcome yet, by network.
        var greeting: [String: Int] = [:]
        var head: Position = 0
        var accepted: Int64 = 0
        var refused: Int64 = 0
        var isClosing = false

        mutating func endGreeting(_ network: String) {
            let left = greeting[network, default: 1] - 1
            greeting[network] = left > 0 ? left : nil
        }
    }

    init(_ workspace: Workspace, _ configuration: NetConfiguration) {
        self.workspace = workspace
        self.configuration = configuration
        fingerprint = configuration.identity?.fingerprint ?? .plaintext
        room = StoreRoom(configuration)
        budget = FrameBudget(bytes: max(configuration.frameBytesMax, SessionLimits.frameBytes))
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
        let network = new.network
        let reason = registry.withLock { registry -> String? in
            let greeting = registry.connections.count - registry.contexts.count
            let here = registry.greeting[network, default: 0]
            var reason: String?
            if registry.isClosing { reason = "the server is ending" }
            if registry.connections.count >= configuration.connectionsMax { reason = "too many connections" }
            if greeting >= configuration.greetingsMax { reason = "too many greetings" }
            if here >= configuration.greetingsPerNetworkMax { reason = "too many greetings from there" }
            guard reason == nil else {
                registry.refused += 1
                return reason
            }
            registry.connections[ObjectIdentifier(new)] = new
            registry.greeting[network] = here + 1
            registry.accepted += 1
            return nil
        }
        if let reason {
            configuration.logger.warning(
                "connection refused", metadata: ["peer": "\(connection.peer)", "reason": "\(reason)"])
            return nil
        }
        new.start()
        return new
    }

    /// Why this device cannot be served at the moment; nil where it can. Nobody is told more than the load, since the
    /// device has not proved who it is.
    func refusalForWantOfRoom(_ hello: Hello, _ peer: String) -> Refusal? {
        let isFirst = hello.cursor == 0 && hello.scope.buckets.isEmpty
        return registry.withLock { registry in
            let isBack = registry.contexts.values.contains { $0.site == hello.site }
            if registry.contexts.count >= configuration.sessionsMax, !isBack {
                return Refusal(
                    .busy, "The server has as many devices as it can serve. Everything on this device is kept.",
                    retryAfter: configuration.retryAfterSeconds)
            }
            if isFirst, registry.loading.count >= configuration.loadingMax {
                return Refusal(
                    .busy, "The server has as many first syncs under way as it can bear. Nothing is lost.",
                    retryAfter: configuration.retryAfterSeconds)
            }
            return nil
        }
    }

    /// The session is welcome; earlier ones of its site end (rule I2).
    ///
    /// - Returns: the head as it was last told to sessions, which may be beyond that of the welcome.
    func opened(_ connection: ServerConnection, _ context: SessionContext, isLoading: Bool) -> Position {
        let id = ObjectIdentifier(connection)
        let (head, earlier) = registry.withLock { registry in
            registry.contexts[id] = context
            if isLoading { registry.loading.insert(id) }
            registry.endGreeting(connection.network)
            let earlier = registry.contexts.filter { $0.key != id && $0.value.site == context.site }
                .compactMap { entry in registry.connections[entry.key].map { ($0, entry.value) } }
            return (registry.head, earlier)
        }
        for (connection, context) in earlier {
            connection.end(Refusal(.overtaken, "A later session of this device has begun."), of: context)
        }
        return head
    }

    /// All pages of the session are sent.
    func loaded(_ connection: ServerConnection) {
        registry.withLock { _ = $0.loading.remove(ObjectIdentifier(connection)) }
    }

    func closed(_ connection: ServerConnection) {
        let id = ObjectIdentifier(connection)
        registry.withLock { registry in
            guard registry.connections.removeValue(forKey: id) != nil else { return }
            registry.loading.remove(id)
            if registry.contexts.removeValue(forKey: id) == nil { registry.endGreeting(connection.network) }
        }
    }

    func countRefusal() { registry.withLock { $0.refused += 1 } }

    var connections: [ServerConnection] { registry.withLock { Array($0.connections.values) } }

    func beginClosing() { registry.withLock { $0.isClosing = true } }

    var counts: (connections: Int, loading: Int, accepted: Int64, refused: Int64) {
        registry.withLock { ($0.connections.count, $0.loading.count, $0.accepted, $0.refused) }
    }

    var contexts: [SessionContext] { registry.withLock { Array($0.contexts.values) } }

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
