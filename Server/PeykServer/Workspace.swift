public import PeykModel
public import PeykSession
import Synchronization

/// The two things that the core may not make itself.
public struct ServerEnvironment: Sendable {
    /// Unix milliseconds.
    public var now: @Sendable () -> Int64
    /// That many random bytes; unguessable in a real server.
    public var random: @Sendable (Int) -> [UInt8]
    /// Takes lines for the server's log, such as why a commit failed.
    public var warn: @Sendable (String) -> Void
    /// Milliseconds of a clock that only goes on, from any start: for leases (rule T1).
    public var uptime: @Sendable () -> Int64
    /// Whether a greeting's signature is of these bytes and by this key: Ed25519.
    public var isValidSignature: @Sendable (_ signature: [UInt8], _ bytes: [UInt8], _ key: [UInt8]) -> Bool = {
        WorkspaceKeys.isValid($0, for: $1, by: $2)
    }

    /// - Parameter uptime: nil takes `now`, for tests whose clock never jumps.
    public init(
        now: @escaping @Sendable () -> Int64, random: @escaping @Sendable (Int) -> [UInt8],
        warn: @escaping @Sendable (String) -> Void = { _ in }, uptime: (@Sendable () -> Int64)? = nil
    ) {
        self.now = now
        self.random = random
        self.warn = warn
        self.uptime = uptime ?? now
    }

    /// - Parameter now: Unix milliseconds; the clock is the caller's.
    public static func live(
        now: @escaping @Sendable () -> Int64, warn: @escaping @Sendable (String) -> Void = { _ in }
    ) -> ServerEnvironment {
        // Stands still while the machine sleeps: no server served then.
        let clock = SuspendingClock()
        let start = clock.now
        let uptime: @Sendable () -> Int64 = {
            let (seconds, attoseconds) = start.duration(to: clock.now).components
            return seconds * 1_000 + attoseconds / 1_000_000_000_000_000
        }
        let random: @Sendable (Int) -> [UInt8] = { count in
            var generator = SystemRandomNumberGenerator()
            return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
        }
        return ServerEnvironment(now: now, random: random, warn: warn, uptime: uptime)
    }
}

/// One company's data: admits devices, takes in commits, and reads out what each session may see.
///
/// Synchronous. Calls that write (``commit(_:)``, greetings and the server's own acts) are serialised by the
/// store's transaction; reads run beside them, each on one snapshot. Errors that are meant for the peer are
/// ``Refusal``; others are the store's and mean that nothing was changed.
public final class Workspace: Sendable {
    public let store: any Store
    public let keys: WorkspaceKeys
    public let environment: ServerEnvironment
    public let name: String
    let servedTime = ServedTime()
    let suspects = Suspects()
    let schemaVersions = SchemaVersions()
    /// Where acts of IT are written as well (rule I9); nil in tests and simulations that do without.
    let journal: (any AdminJournal)?
    private let sessions = Mutex(Sessions())
    let recorder = MergeRecorder()
    let userCache = DocumentCache<UserDocument>()
    let siteCache = DocumentCache<SiteDocument>()

    private struct Sessions {
        var count: UInt64 = 0
        var current: [SiteID: UInt64] = [:]
    }

    /// Opens what ``create(name:schema:store:keys:environment:)`` made.
    public init(
        store: any Store, keys: WorkspaceKeys, environment: ServerEnvironment, journal: (any AdminJournal)? = nil
    ) throws {
        self.journal = journal
        self.store = store
        self.keys = keys
        self.environment = environment
        name = try store.read { try $0.workspaceDocument().name }
        try countCrash()
    }

    /// Makes a workspace in an empty store: its identity, its first epoch and its schema.
    @discardableResult
    public static func create(
        name: String, schema: Schema, store: any Store, keys: WorkspaceKeys, environment: ServerEnvironment
    ) throws -> Workspace {
        try schema.validate()
        try schema.checkHardReferences()
        let now = environment.now()
        let epoch = Epoch(bits: environment.bits())
        let site = environment.site()
        try store.write { transaction in
            guard try transaction.document(WorkspaceDocument.self, WorkspaceDocument.key) == nil else {
                throw Refusal(.internal, "There is a workspace in this store already. Nothing was changed.")
            }
            try transaction.set(
                WorkspaceDocument(
                    name: name, lineage: Lineage([Era(epoch: epoch, after: 0)]), serverSite: site, createdAt: now))
            try transaction.set(ClockDocument())
            try transaction.adopt(schema)
            try transaction.set(SchemaDocument(schema: schema, position: 0))
        }
        return try Workspace(store: store, keys: keys, environment: environment)
    }

    public func head() throws -> Position { try store.read { try $0.head() } }

    public func schema() throws -> Schema { try store.read { $0.schema } }

    // MARK: - Sessions

    /// A new session, which ends the site's earlier ones (rule I2).
    func beginSession(of site: SiteID) -> UInt64 {
        sessions.withLock { sessions in
            sessions.count += 1
            sessions.current[site] = sessions.count
            return sessions.count
        }
    }

    func isCurrent(_ context: SessionContext) -> Bool {
        sessions.withLock { $0.current[context.site] == context.number }
    }

    /// Why the session must end now, or nil. Poll it, every few seconds and where the log has grown: it sees what other
    /// processes (IT's command line) have written, too.
    public func standing(of context: SessionContext) throws -> Refusal? {
        try store.read { try self.standing(of: context, $0) }
    }

    func standing(of context: SessionContext, _ reader: any StoreReader) throws -> Refusal? {
        guard isCurrent(context) else { return .laterSession }
        guard let site = try reader.document(SiteDocument.self, context.site.description), !site.isRevoked else {
            return .deviceRevoked
        }
        guard let user = try reader.document(UserDocument.self, context.user.description), !user.isDisabled else {
            return .userDisabled
        }
        if user.grant != context.grant {
            return Refusal(.scopeChanged, "What you may see has changed; the next sync brings it.")
        }
        guard reader.schema.version == context.schemaVersion else { return .schemaGrown }
        return nil
    }
}

extension Refusal {
    static let laterSession = Refusal(.overtaken, "A later session of this device has begun.")
    static let deviceRevoked = Refusal(
        .revoked,
        "This device's access was taken away. Everything on it is kept, also what is not yet sent; ask your "
            + "administrator.")
    static let schemaGrown = Refusal(.scopeChanged, "The schema has grown; the next sync brings it.")
    static let userDisabled = Refusal(
        .revoked,
        "This user was disabled. Everything on the device is kept, also what is not yet sent; ask your administrator.")
}

extension ServerEnvironment {
    func bits() -> UUIDBits { UUIDBits(bytes: random(16)) ?? UUIDBits(high: 0, low: 0) }

    /// A site that is not zero.
    func site() -> SiteID {
        while true {
            let raw = random(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            if raw != 0 { return SiteID(rawValue: raw) }
        }
    }
}
