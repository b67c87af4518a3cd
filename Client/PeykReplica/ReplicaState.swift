import PeykModel
import PeykSQLite
import Synchronization

/// What one process remembers of the file between transactions, so that a small write costs little.
///
/// `@unchecked Sendable`: everything but `layout` is touched only inside `Database.read` and `Database.write`
/// closures, which one serial queue runs; `layout` is guarded by its mutex.
final class ReplicaState: @unchecked Sendable {
    private let currentLayout: Mutex<Layout>
    /// Facts that sealing needs; nil when they must be read again.
    var sealing: SealFacts?
    /// SQLite's data_version: changes when another connection has written. Nil before the first look.
    private var dataVersion: Int64?
    /// Another connection may have captured something since this one last sealed.
    var mayHoldForeignWrites = true
    /// The connection reports which of our tables it changes.
    var isWatching = false
    /// Own writes are captured as they happen; else by the triggers, as those of other programs are.
    private(set) var capturesLive = false
    let capture = LiveCapture()
    private var isAttached = false
    /// SQLite's schema_version as of the last look at the triggers.
    private var triggersVersion: Int64?
    /// The limit of one commit (rule A5); tests set a lower one before they write.
    var commitBytesMax = SealedCommit.bytesMax

    init(layout: Layout) { currentLayout = Mutex(layout) }

    var layout: Layout {
        get { currentLayout.withLock { $0 } }
        set { currentLayout.withLock { $0 = newValue } }
    }

    /// Takes note of what other connections did. First step of every transaction.
    func refresh(_ connection: Connection) throws {
        let version = try connection.value("PRAGMA data_version")?.integerValue
        guard version != dataVersion || dataVersion == nil else { return }
        dataVersion = version
        mayHoldForeignWrites = true
        sealing = nil
        try chooseCapture(connection)
        let meta = Meta(connection: connection)
        if try meta.integer(.schemaVersion) ?? 0 != layout.schema.version {
            layout = try meta.layout
            connection.forgetNumbered()
        }
    }

    /// Own triggers are switched off where writes are captured as they happen. Where somebody added triggers to the
    /// file they must run, so all triggers do, and capture with them.
    private func chooseCapture(_ connection: Connection) throws {
        if !isAttached {
            connection.watchRows(capture.watch)
            isAttached = true
        }
        let version = try connection.value("PRAGMA schema_version")?.integerValue
        guard version != triggersVersion || version == nil else { return }
        let foreign = try connection.value(
            "SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name NOT GLOB 'peyk_*' LIMIT 1")
        triggersVersion = version
        let isLive = RowWatch.isAvailable && foreign == nil
        guard isLive != capturesLive else { return }
        try connection.setTriggers(enabled: !isLive)
        capturesLive = isLive
    }

    /// Runs `body` with triggers on and watched: what another program did is completed by writes that are captured
    /// like its own.
    func capturingByTriggers<T>(_ connection: Connection, _ body: () throws -> T) throws -> T {
        if !isWatching {
            connection.watchTables(prefix: "peyk_")
            isWatching = true
        }
        _ = connection.takeTouchedTables()
        guard capturesLive else { return try body() }
        try connection.setTriggers(enabled: true)
        defer {
            connection.unwatchTables()
            isWatching = false
        }
        let result: T
        do {
            result = try body()
        } catch {
            try? connection.setTriggers(enabled: false)
            throw error
        }
        try connection.setTriggers(enabled: false)
        return result
    }

    /// After anything but a plain local write: the facts are read again when they are needed. After a failed
    /// transaction the schema and what other programs captured are looked at again as well.
    func forget(afterFailure: Bool = false) {
        sealing = nil
        if afterFailure {
            dataVersion = nil
            triggersVersion = nil
        }
    }
}
