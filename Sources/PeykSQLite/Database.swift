import Foundation
import GRDB
import GRDBSQLite
import PeykFailpoint
import PeykModel
import Synchronization

/// One SQLite file through one serial connection: WAL, synchronous=FULL, foreign keys and recursive triggers on.
///
/// Writers and checkpointers of all processes take turns by an advisory lock on a side file (``FileLock``).
/// Calls block the calling thread: never make them on an event loop. A transaction inside a transaction of the
/// same database is a mistake of the caller and throws.
public final class Database: @unchecked Sendable {  // `connection` is used only inside `queue`.
    public enum Access: Sendable {
        /// Makes the file, with mode 0600, where it is missing.
        case create
        case readWrite
        case readOnly
        /// Reads where the disk has no room even for the index of the log: for a moment, by this process alone.
        /// Writing says that the disk is full.
        case fullDisk
    }

    public let path: String
    public let access: Access
    /// Held by every writer; nil for a file that no other process opens.
    public let lock: FileLock?
    private let busySeconds: Double
    private let queue: DatabaseQueue
    private let connection: Connection
    /// The thread inside a transaction, or 0: to refuse nested ones instead of hanging.
    private let inside = Atomic<UInt>(0)
    /// Frames in the log at which the next checkpoint is tried. Used only inside `queue`.
    private var checkpointAt = Database.checkpointFrames
    /// Frames in the log at the last checkpoint: fewer afterwards mean that the log has started anew.
    private var framesThen: Int32 = 0
    /// What the connection does now. It stays so until a transaction wants it otherwise, since SQLite prepares every
    /// statement anew after a change. Used only inside `queue`.
    private var checksForeignKeys = true
    private var isClosed = false

    /// SQLite's own default for automatic checkpoints.
    private static let checkpointFrames: Int32 = 1_000
    /// From so many frames on the log is emptied, waiting for readers: some 64 MB. Without that, readers that overlap
    /// for ever would let it grow for ever (F80), since it starts anew only at a moment when nobody reads from it.
    private static let truncateFrames: Int32 = 16_000
    private let truncateAt: Int32
    private let aroundTruncation: (@Sendable (() throws -> Void) throws -> Void)?

    /// SQLite counts its memory under a mutex at each allocation, for statistics that nobody here asks for: some
    /// tenth of a small write. Must be said before the library is first used; later it is refused, which is harmless.
    private static let leaveOutMemoryStatistics: Void = {
        // `sqlite3_config` takes variable arguments, which Swift does not import; this option takes one integer.
        typealias Configure = @convention(c) (_ option: Int32, _ value: Int32) -> Int32
        guard let symbol = dlsym(nil, "sqlite3_config") else { return }
        _ = unsafeBitCast(symbol, to: Configure.self)(SQLITE_CONFIG_MEMSTATUS, 0)
    }()

    public static var libraryVersion: String { String(cString: sqlite3_libversion()) }

    /// - Parameters:
    ///   - lockPath: the side file for the advisory lock; nil for none.
    ///   - busySeconds: how long to wait for other processes before an error that says so.
    ///   - mayShrink: a file that is made can give free pages back later (``shrink(pagesMax:)``).
    /// - Throws: ``SQLiteError``
    public convenience init(
        path: String, access: Access = .readWrite, lockPath: String?, busySeconds: Double = 5, mayShrink: Bool = false
    ) throws {
        try self.init(
            path: path, access: access, lockPath: lockPath, busySeconds: busySeconds, mayShrink: mayShrink,
            truncateAt: nil, aroundTruncation: nil)
    }

    /// - Parameters:
    ///   - truncateAt: frames of the log (4,120 bytes each) from which it is emptied; nil for 16,000.
    ///   - aroundTruncation: runs its argument, which empties the log, while it keeps new readers of this process
    ///     waiting. Without it, readers that overlap all the time may let it fail until they pause.
    public init(
        path: String, access: Access, lockPath: String?, busySeconds: Double = 5, mayShrink: Bool = false,
        truncateAt: Int32?, aroundTruncation: (@Sendable (() throws -> Void) throws -> Void)?
    ) throws {
        Self.leaveOutMemoryStatistics
        self.truncateAt = truncateAt ?? Self.truncateFrames
        self.aroundTruncation = aroundTruncation
        self.path = path
        self.access = access
        self.busySeconds = busySeconds
        lock = access == .readOnly ? nil : try lockPath.map { path throws(SQLiteError) in try FileLock(path: path) }
        if path != ":memory:" {
            if access == .create {
                let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
                guard descriptor >= 0 else {
                    throw SQLiteError(
                        code: SQLITE_CANTOPEN, message: "cannot create \(path): \(String(cString: strerror(errno)))")
                }
                Foundation.close(descriptor)
            } else if !FileManager.default.fileExists(atPath: path) {
                throw SQLiteError(code: SQLITE_CANTOPEN, message: "there is no file \(path)")
            }
        }
        var configuration = Configuration()
        configuration.readonly = access == .readOnly
        if access == .fullDisk {
            // Said before the first use of the file, it keeps the index of the log in memory.
            configuration.prepareDatabase { try $0.execute(sql: "PRAGMA locking_mode = EXCLUSIVE") }
        }
        configuration.busyMode = .timeout(busySeconds)
        configuration.label = "peyk.sqlite"
        // The queue's own transaction checks do not know ours, which are always ended before it is left.
        configuration.allowsUnsafeTransactions = true
        let held = lock
        let isLocked = try Self.take(held, seconds: busySeconds)
        defer { if isLocked { held?.unlock() } }
        do {
            queue = try DatabaseQueue(path: path, configuration: configuration)
            var made: Connection?
            queue.inDatabase { database in
                guard let handle = database.sqliteConnection else { return }
                made = Connection(handle: handle)
            }
            guard let made else { throw SQLiteError(code: SQLITE_MISUSE, message: "no connection") }
            connection = made
        } catch let error as DatabaseError {
            throw SQLiteError(error)
        }
        try queue.inDatabase { _ in try setUp(mayShrink: mayShrink) }
    }

    private func setUp(mayShrink: Bool) throws {
        if access == .create || access == .readWrite {
            // Only before the first page is written.
            if mayShrink { try connection.execute("PRAGMA auto_vacuum = INCREMENTAL") }
            _ = try connection.rows("PRAGMA journal_mode = WAL")
            try connection.execute(
                """
                PRAGMA synchronous = FULL;
                PRAGMA wal_autocheckpoint = 0;
                PRAGMA journal_size_limit = 67108864;
                PRAGMA secure_delete = FAST;
                """)
        }
        try connection.execute(
            """
            PRAGMA foreign_keys = ON;
            PRAGMA recursive_triggers = ON;
            PRAGMA trusted_schema = OFF;
            PRAGMA cache_size = -65536;
            PRAGMA temp_store = MEMORY;
            """)
        // Setting wal_autocheckpoint replaces the hook that counts the log's frames.
        connection.countFrames()
    }

    deinit { try? close() }

    /// Closes the file, under the lock, since the last connection to leave checkpoints. Further calls throw.
    public func close() throws {
        guard !isClosed else { return }
        isClosed = true
        let isLocked = lock?.lock(seconds: busySeconds) ?? false
        defer { if isLocked { lock?.unlock() } }
        connection.invalidate()
        try queue.close()
    }

    private static func take(_ lock: FileLock?, seconds: Double) throws(SQLiteError) -> Bool {
        guard let lock else { return false }
        guard lock.lock(seconds: seconds) else {
            throw SQLiteError(code: SQLITE_BUSY, message: "the lock \(lock.path) is held by another program")
        }
        return true
    }

    private func enter<T>(_ body: (Connection) throws -> T) throws -> T {
        let me = UInt(pthread_self())
        guard inside.load(ordering: .relaxed) != me else {
            throw SQLiteError(code: SQLITE_MISUSE, message: "a transaction inside a transaction")
        }
        guard !isClosed else { throw SQLiteError(code: SQLITE_MISUSE, message: "the database is closed") }
        return try queue.inDatabase { _ in
            inside.store(me, ordering: .relaxed)
            defer { inside.store(0, ordering: .relaxed) }
            return try body(connection)
        }
    }

    /// Runs `body` in one deferred read transaction: it sees one state of the file throughout.
    public func read<T>(_ body: (Connection) throws -> T) throws -> T {
        try enter { connection in
            try connection.run("BEGIN DEFERRED")
            defer { if connection.isInTransaction { try? connection.run("ROLLBACK") } }
            return try body(connection)
        }
    }

    /// Runs `body` between BEGIN IMMEDIATE and COMMIT, under the advisory lock; anything thrown rolls back.
    ///
    /// - Returns: what `body` returned, once it is durable.
    ///
    /// - Parameters:
    ///   - checkingForeignKeys: false leaves references unchecked and cascades undone; only for a first load whose end
    ///     checks them itself.
    ///   - isDurable: false leaves out the sync of the disk: what is written outlives the process, and the machine only
    ///     after the next durable write.
    public func write<T>(
        checkingForeignKeys: Bool = true, isDurable: Bool = true, _ body: (Connection) throws -> T
    ) throws -> T {
        guard access != .readOnly else {
            throw SQLiteError(code: SQLITE_READONLY, message: "opened for reading only")
        }
        guard access != .fullDisk else { throw SQLiteError(code: SQLITE_FULL, message: "the disk is full") }
        return try enter { connection in
            let isLocked = try Self.take(lock, seconds: busySeconds)
            defer { if isLocked { lock?.unlock() } }
            if checkingForeignKeys != checksForeignKeys {
                try connection.execute("PRAGMA foreign_keys = \(checkingForeignKeys ? "ON" : "OFF")")
                checksForeignKeys = checkingForeignKeys
            }
            if !isDurable { try connection.execute("PRAGMA synchronous = NORMAL") }
            // Whatever happens, the next transaction syncs; should this fail, so would it.
            defer { if !isDurable { try? connection.execute("PRAGMA synchronous = FULL") } }
            try connection.run("BEGIN IMMEDIATE")
            let result: T
            do {
                connection.needsTransaction = true
                defer { connection.needsTransaction = false }
                Failpoint.hit("sqlite.transaction.begun")
                result = try body(connection)
                try Failpoint.hitOrThrow("sqlite.transaction.before-commit")
                try connection.run("COMMIT")
                Failpoint.hit("sqlite.transaction.committed")
            } catch {
                if connection.isInTransaction { try? connection.run("ROLLBACK") }
                throw error
            }
            if connection.walFrames > 0, connection.walFrames < framesThen {
                checkpointAt = Self.checkpointFrames
                framesThen = 0
            }
            if connection.walFrames >= checkpointAt {
                let mode = connection.walFrames >= truncateAt ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE
                // Its failure loses nothing: the log stays, and the next write tries again.
                try? checkpoint(connection, mode: mode)
            }
            return result
        }
    }

    /// Writes a compact copy of the whole file, as one moment shows it, to the new file `target`: beside other readers
    /// and writers, in any mode of access. It is not synced to the disk.
    ///
    /// - Complexity: O(bytes of the file).
    public func copy(to target: String) throws {
        try enter { try $0.run("VACUUM INTO ?", [.text(target)]) }
    }

    /// How many pages of the file nothing uses, and how many it has.
    public func pages() throws -> (free: Int, all: Int) {
        try read { connection in
            (
                Int(try connection.value("PRAGMA freelist_count")?.integerValue ?? 0),
                Int(try connection.value("PRAGMA page_count")?.integerValue ?? 0)
            )
        }
    }

    /// Gives up to `pagesMax` free pages back to the file system, in one transaction: the file is shorter once the log
    /// has moved into it. Does nothing to a file that was not made for it.
    ///
    /// - Complexity: O(`pagesMax`): a page from the end moves to the place of each.
    public func shrink(pagesMax: Int) throws {
        try write { try $0.run("PRAGMA incremental_vacuum(\(pagesMax))") }
    }

    /// Moves the log into the file; with `truncate`, waits for readers and empties the log.
    public func checkpoint(truncate: Bool) throws {
        guard access != .readOnly, access != .fullDisk else { return }
        try enter { connection in
            let isLocked = try Self.take(lock, seconds: busySeconds)
            defer { if isLocked { lock?.unlock() } }
            try checkpoint(connection, mode: truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE)
        }
    }

    private func checkpoint(_ connection: Connection, mode: Int32) throws {
        var frames: Int32 = 0
        var moved: Int32 = 0
        Failpoint.hit("sqlite.checkpoint.begun")
        var code = SQLITE_OK
        let run = { code = sqlite3_wal_checkpoint_v2(connection.handle, nil, mode, &frames, &moved) }
        if mode == SQLITE_CHECKPOINT_TRUNCATE, let aroundTruncation { try aroundTruncation(run) } else { run() }
        Failpoint.hit("sqlite.checkpoint.done")
        // While readers keep the log in use it goes on where it ended: try again only when there is more to move.
        framesThen = max(0, frames)
        checkpointAt = framesThen + Self.checkpointFrames
        connection.walFrames = 0
        guard code == SQLITE_OK || (code == SQLITE_BUSY && mode == SQLITE_CHECKPOINT_PASSIVE) else {
            throw Connection.error(connection.handle, code, sql: nil)
        }
    }
}
