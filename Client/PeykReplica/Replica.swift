import Foundation
import PeykFailpoint
public import PeykModel
import PeykSQLite
import Synchronization

/// One device's copy of a workspace: a folder with a plain SQLite file, a lock and a device key.
///
/// Read it with ``read(_:)`` or with any SQLite program; change it with ``write(whole:_:)``, which seals what was
/// written into one commit in the same transaction. Writes by other programs are captured by triggers and sealed
/// at the next open, write or sync. Several processes may use one replica at once: they wait for each other.
///
/// All calls block the calling thread. Safe to use from any thread.
public final class Replica: Sendable {
    /// The folder.
    public let home: String
    public let environment: ReplicaEnvironment
    let database: Database
    /// What this process remembers between transactions.
    let state: ReplicaState
    /// Pending changes by record, for the sync half.
    let overlay = OverlayCache()

    /// The file's layout, for programs of other versions.
    static let layoutVersion: Int64 = 3

    private init(home: String, database: Database, environment: ReplicaEnvironment) {
        self.home = home
        self.database = database
        self.environment = environment
        state = ReplicaState(layout: Layout(schema: Schema(version: 0, tables: [])))
    }

    // MARK: Files

    public static func databasePath(_ home: String) -> String { home + "/replica.sqlite" }
    public static func lockPath(_ home: String) -> String { home + "/replica.lock" }
    public static func sessionLockPath(_ home: String) -> String { home + "/session.lock" }
    /// Who waits for the session holds a lock on this one.
    public static func sessionRequestPath(_ home: String) -> String { home + "/session.request" }
    public static func deviceKeyPath(_ home: String) -> String { home + "/device.key" }

    /// Makes a new replica in `home`, which is created with mode 0700 where it is missing.
    ///
    /// - Parameter schema: the workspace's tables; nil where the first welcome brings them.
    /// - Throws: ``ReplicaError/alreadyExists(path:)`` and others; then nothing of the replica's file remains.
    public static func create(
        at home: String, facts: WorkspaceFacts, schema: Schema? = nil, environment: ReplicaEnvironment = .system,
        busySeconds: Double = 5
    ) throws -> Replica {
        let path = databasePath(home)
        guard !FileManager.default.fileExists(atPath: path) else { throw ReplicaError.alreadyExists(path: home) }
        do {
            try schema?.validate()
            try FileManager.default.createDirectory(
                atPath: home, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            // Made beside its place, so that a crash half-way leaves no half replica.
            let draft = path + ".new"
            for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: draft + suffix) }
            let made = try Database(
                path: draft, access: .create, lockPath: nil, busySeconds: busySeconds, mayShrink: true)
            let layout = Layout(schema: schema ?? Schema(version: 0, tables: []))
            try made.write { connection in
                try layout.create(connection)
                let meta = Meta(connection: connection)
                try meta.set(.layout, layoutVersion)
                try meta.set(schema: layout.schema)
                try meta.set(facts: facts)
            }
            try made.checkpoint(truncate: true)
            try made.close()
            Failpoint.hit("replica.create.drafted")
            try FileManager.default.moveItem(atPath: draft, toPath: path)
            Failpoint.hit("replica.create.moved")
        } catch {
            throw ReplicaError.wrapping(error)
        }
        return try open(home, environment: environment, busySeconds: busySeconds)
    }

    /// Opens the replica in `home` and seals what other programs wrote since the last time (rule C7).
    ///
    /// - Parameters:
    ///   - readOnly: opens without sealing and without any lock; ``write(whole:_:)`` throws.
    ///   - isDiskFull: opens for reading where there is no room even for SQLite's own files; nobody else can open it
    ///     meanwhile, and ``write(whole:_:)`` throws.
    public static func open(
        _ home: String, environment: ReplicaEnvironment = .system, busySeconds: Double = 5, readOnly: Bool = false,
        isDiskFull: Bool = false
    ) throws -> Replica {
        let path = databasePath(home)
        guard access(path, F_OK) == 0 else {
            guard errno == EACCES else { throw ReplicaError.notFound(path: home) }
            throw ReplicaError.notAReplica(path: path, reason: "this user may not look into its folder")
        }
        do {
            let database = try Database(
                path: path, access: isDiskFull ? .fullDisk : readOnly ? .readOnly : .readWrite,
                lockPath: lockPath(home), busySeconds: busySeconds)
            let replica = Replica(home: home, database: database, environment: environment)
            try database.read { connection in
                guard try connection.value("SELECT 1 FROM sqlite_schema WHERE name = 'peyk_meta'") != nil else {
                    throw ReplicaError.notAReplica(path: path, reason: "it has no table peyk_meta")
                }
                let version = try Meta(connection: connection).integer(.layout) ?? 0
                guard (oldestLayoutVersion...layoutVersion).contains(version) else {
                    throw ReplicaError.notAReplica(
                        path: path, reason: "its layout \(version) needs another version of this program")
                }
                try replica.state.refresh(connection)
            }
            if !readOnly, !isDiskFull {
                try replica.bringUpToDate()
                try replica.seal()
            }
            return replica
        } catch {
            throw ReplicaError.wrapping(error)
        }
    }

    /// Ends the use of the file. Further calls throw. Also happens by itself when the replica is released.
    public func close() throws { try database.close() }

    // MARK: State

    /// The schema as of the last transaction of this object.
    public var schema: Schema { state.layout.schema }

    public static var sqliteVersion: String { Database.libraryVersion }

    // MARK: Transactions of this module

    /// A read transaction on present state; other processes' schema changes are taken up first.
    func reading<T>(_ body: (Connection) throws -> T) throws -> T {
        do {
            return try database.read { connection in
                try state.refresh(connection)
                return try body(connection)
            }
        } catch {
            throw ReplicaError.wrapping(error)
        }
    }

    /// A write transaction that seals captured writes first (rule K1). For everything but local writes: what is
    /// remembered of the file is read again afterwards.
    func changing<T>(checkingForeignKeys: Bool = true, _ body: (Connection) throws -> T) throws -> T {
        do {
            return try database.write(checkingForeignKeys: checkingForeignKeys) { connection in
                try state.refresh(connection)
                try seal(connection)
                state.forget()
                // The body may seal again, and go on to change what sealing remembers.
                defer { state.forget() }
                return try body(connection)
            }
        } catch {
            state.forget(afterFailure: true)
            throw ReplicaError.wrapping(error)
        }
    }

    /// Mutes the capture triggers inside `body`; the flag never outlives the transaction.
    func muted<T>(_ connection: Connection, _ body: () throws -> T) throws -> T {
        try connection.run("INSERT OR IGNORE INTO peyk_mute(muted) VALUES (1)")
        let result = try body()
        try connection.run("DELETE FROM peyk_mute")
        return result
    }

    /// Brings the file to `next` inside the caller's transaction (rule T2): seals first, then tables, columns and
    /// triggers; stores the new schema.
    func migrate(_ connection: Connection, to next: Schema) throws {
        try seal(connection)
        let old = state.layout
        guard next.version > old.schema.version else { return }
        if old.schema.version > 0 {
            // Several versions may have passed since the last sync; each of them only added.
            var successor = old.schema
            successor.version = next.version - 1
            try successor.checkSuccessor(next)
        } else {
            try next.validate()
        }
        Failpoint.hit("replica.migrate.begun")
        let layout = Layout(schema: next)
        try layout.upgrade(from: old, connection)
        Failpoint.hit("replica.migrate.upgraded")
        try Meta(connection: connection).set(schema: next)
        state.layout = layout
        state.forget()
        connection.forgetNumbered()
    }
}

/// Who and where a new replica is: what enrolment gave.
public struct WorkspaceFacts: Hashable, Sendable {
    public var workspace: String
    /// `host:port`.
    public var server: String
    /// SHA-256 of the server's certificate, 32 bytes.
    public var fingerprint: [UInt8]
    public var site: SiteID
    public var user: RecordID
    public var userName: String
    public var role: Role
    public var deviceName: String
    public var nonce: [UInt8]
    public var certificate: [UInt8]

    public init(
        workspace: String, server: String = "", fingerprint: [UInt8] = [], site: SiteID, user: RecordID,
        userName: String, role: Role, deviceName: String = "", nonce: [UInt8] = [], certificate: [UInt8] = []
    ) {
        self.workspace = workspace
        self.server = server
        self.fingerprint = fingerprint
        self.site = site
        self.user = user
        self.userName = userName
        self.role = role
        self.deviceName = deviceName
        self.nonce = nonce
        self.certificate = certificate
    }
}

extension Meta {
    func set(schema: Schema) throws {
        try set(.schemaJSON, schema.json.text)
        try set(.schemaVersion, schema.version)
    }

    /// The layout of the stored schema; of version 0 before the first. Of the same text it is the same one: a program
    /// that opens its replica for each piece of work takes the text apart once.
    var layout: Layout {
        get throws {
            guard let version = try integer(.schemaVersion), version > 0, let text = try text(.schemaJSON) else {
                return Layout(schema: Schema(version: 0, tables: []))
            }
            if let known = Self.lastLayout.withLock({ $0 }), known.text == text { return known.layout }
            let layout: Layout
            do {
                layout = Layout(schema: try Schema(json: JSON(parsing: text)))
            } catch {
                throw ReplicaError.damaged("its schema cannot be read (\(error))")
            }
            Self.lastLayout.withLock { $0 = (text, layout) }
            return layout
        }
    }

    private static let lastLayout = Mutex<(text: String, layout: Layout)?>(nil)

    func set(facts: WorkspaceFacts) throws {
        try set(.workspace, facts.workspace)
        try set(.server, facts.server)
        try set(.fingerprint, facts.fingerprint)
        try set(site: facts.site)
        try set(.user, facts.user.description)
        try set(.userName, facts.userName)
        try set(.role, facts.role.rawValue)
        try set(.deviceName, facts.deviceName)
        try set(.nonce, facts.nonce)
        try set(.certificate, facts.certificate)
    }

    var facts: WorkspaceFacts? {
        get throws {
            guard let workspace = try text(.workspace), let user = try user, let role = try role else { return nil }
            return WorkspaceFacts(
                workspace: workspace, server: try text(.server) ?? "", fingerprint: try blob(.fingerprint) ?? [],
                site: try site, user: user, userName: try text(.userName) ?? "", role: role,
                deviceName: try text(.deviceName) ?? "", nonce: try blob(.nonce) ?? [],
                certificate: try blob(.certificate) ?? [])
        }
    }
}
