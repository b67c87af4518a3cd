import Foundation
import GRDBSQLite
import PeykFailpoint
public import PeykModel

/// The one connection of a ``Database``, lent to the closures of its transactions. Not Sendable on purpose:
/// it must not leave the closure.
public final class Connection {
    let handle: OpaquePointer
    private var cache: [Text: Statement] = [:]
    private var numbered: [Int: Statement] = [:]
    private var watch: TableWatch?
    private var rowWatch: RowWatch?
    /// Frames in the write-ahead log after the last commit of this connection.
    var walFrames: Int32 = 0

    /// Ad-hoc statements beyond this empty the cache; the ones in use live on with their users.
    private static let statementsMax = 1_000

    init(handle: OpaquePointer) {
        self.handle = handle
        // GRDB asks SQLite to report each column that a statement touches, for its observers. We have none, and the
        // reports cost more than half of preparing a statement on a table with triggers.
        sqlite3_set_authorizer(handle, nil, nil)
    }

    /// Keeps ``walFrames`` up to date from now on.
    func countFrames() {
        let context = Unmanaged.passUnretained(self).toOpaque()
        sqlite3_wal_hook(
            handle,
            { context, _, _, frames in
                guard let context else { return SQLITE_OK }
                Unmanaged<Connection>.fromOpaque(context).takeUnretainedValue().walFrames = frames
                return SQLITE_OK
            }, context)
    }

    /// Must run before the handle closes.
    func invalidate() {
        sqlite3_wal_hook(handle, nil, nil)
        sqlite3_update_hook(handle, nil, nil)
        RowWatch.detach(from: handle)
        cache = [:]
        numbered = [:]
    }

    /// An error of the disk can end a transaction by itself, and what ran then would be a transaction of its own: while
    /// this is set, nothing runs without the one that was begun.
    var needsTransaction = false {
        didSet { whatEnded = nil }
    }
    private var whatEnded: SQLiteError?

    private func checkTransaction() throws {
        guard needsTransaction, !isInTransaction else { return }
        throw whatEnded
            ?? SQLiteError(
                code: SQLITE_ABORT, message: "an error before this one ended the transaction; nothing of it was kept")
    }

    static func error(_ handle: OpaquePointer, _ code: Int32, sql: String?) -> SQLiteError {
        SQLiteError(
            code: code, extendedCode: sqlite3_extended_errcode(handle),
            message: sqlite3_errmsg(handle).map { String(cString: $0) } ?? "unknown error", sql: sql)
    }

    /// Prepared once per text and kept; reset before it is handed out.
    public func statement(_ sql: String) throws -> Statement {
        try checkTransaction()
        let text = Text(sql: sql)
        if let known = cache[text] {
            guard !known.isBusy else {
                // In use further up the stack: a second one, so that the outer loop goes on undisturbed.
                return try Statement(sql, on: handle, isPersistent: false)
            }
            return known
        }
        let made = try Statement(sql, on: handle, isPersistent: true)
        if cache.count >= Self.statementsMax { cache = [:] }
        cache[text] = made
        return made
    }

    /// Like ``statement(_:)``, found by a number instead of its text: for statements that every transaction runs.
    /// The caller owns the numbers; ``forgetNumbered()`` when their texts change.
    public func statement(_ number: Int, _ sql: () -> String) throws -> Statement {
        try checkTransaction()
        if let known = numbered[number], !known.isBusy { return known }
        let made = try Statement(sql(), on: handle, isPersistent: true)
        numbered[number] = made
        return made
    }

    public func forgetNumbered() { numbered = [:] }

    /// One or more statements whose results nobody reads.
    public func execute(_ sql: String) throws {
        Failpoint.hit("sqlite.statement.begun")
        try checkTransaction()
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw Self.error(handle, code, sql: sql) }
    }

    /// One statement, to its end.
    public func run(_ sql: String, _ values: [Value] = []) throws {
        Failpoint.hit("sqlite.statement.begun")
        let statement = try statement(sql)
        try statement.bind(values)
        try statement.run()
    }

    /// All rows; memory is O(result).
    public func rows(_ sql: String, _ values: [Value] = []) throws -> [[Value]] {
        let statement = try statement(sql)
        try statement.bind(values)
        defer { statement.reset() }
        var rows: [[Value]] = []
        while try statement.step() { rows.append(statement.row) }
        return rows
    }

    /// The first column of the first row; nil where there is no row.
    public func value(_ sql: String, _ values: [Value] = []) throws -> Value? {
        let statement = try statement(sql)
        try statement.bind(values)
        defer { statement.reset() }
        return try statement.step() ? statement.value(0) : nil
    }

    /// Runs `body` so that its changes stand or fall together, within the transaction.
    public func savepoint<T>(_ body: () throws -> T) throws -> T {
        try run("SAVEPOINT peyk")
        do {
            let result = try body()
            try run("RELEASE peyk")
            return result
        } catch {
            // A full disk may have ended the whole transaction already; then there is nothing to go back to.
            guard isInTransaction else {
                whatEnded = whatEnded ?? error as? SQLiteError
                throw error
            }
            try run("ROLLBACK TO peyk")
            try run("RELEASE peyk")
            throw error
        }
    }

    /// Rows changed by the last statement.
    public var changes: Int { Int(sqlite3_changes(handle)) }
    public var lastInsertRowID: Int64 { sqlite3_last_insert_rowid(handle) }
    public var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

    /// Whether a deferred foreign key does not hold now; COMMIT would fail.
    public var hasForeignKeyViolations: Bool {
        var now: Int32 = 0
        var most: Int32 = 0
        let code = sqlite3_db_status(handle, SQLITE_DBSTATUS_DEFERRED_FKS, &now, &most, 0)
        return code == SQLITE_OK && now != 0
    }

    /// Replaces the stored text of a table whose rows stay as they are, where ALTER TABLE cannot: a CHECK.
    /// The caller must be in a write transaction and sure of the text.
    public func rewriteSchema(ofTable name: String, to sql: String) throws {
        let version = try value("PRAGMA schema_version")?.integerValue ?? 0
        try execute("PRAGMA writable_schema = ON")
        do {
            try run("UPDATE sqlite_schema SET sql = ?2 WHERE type = 'table' AND name = ?1", [.text(name), .text(sql)])
            // All connections, this one too, read the schema again.
            try execute("PRAGMA schema_version = \(version + 1)")
        } catch {
            try? execute("PRAGMA writable_schema = OFF")
            throw error
        }
        try execute("PRAGMA writable_schema = OFF")
    }

    // MARK: Watching

    /// From now on ``takeTouchedTables()`` names the tables with this prefix that this connection changed.
    /// Costs some 20 ns for each changed row.
    public func watchTables(prefix: String) {
        let watch = TableWatch(prefix: prefix)
        self.watch = watch
        sqlite3_update_hook(
            handle,
            { context, _, _, table, _ in
                guard let context, let table else { return }
                Unmanaged<TableWatch>.fromOpaque(context).takeUnretainedValue().saw(table)
            }, Unmanaged.passUnretained(watch).toOpaque())
    }

    /// Ends ``watchTables(prefix:)``.
    public func unwatchTables() {
        sqlite3_update_hook(handle, nil, nil)
        watch = nil
    }

    /// Calls the watch's handler before each change of a row, while the watch is on. Statements that were prepared
    /// earlier may not be seen, so this comes first (SQLite empties a table at once where nobody watches).
    public func watchRows(_ watch: RowWatch) {
        rowWatch = watch
        watch.attach(to: handle)
    }

    /// The watched tables changed since the last call, without the prefix, in the order of their first change.
    public func takeTouchedTables() -> [String] { watch?.take() ?? [] }
}

/// A statement's text as a key. Some of its words and its length tell nearly all texts apart; a hash of all of it would
/// cost as much as a small statement.
private struct Text: Hashable {
    let sql: String

    static func == (left: Self, right: Self) -> Bool {
        left.sql.utf8.withContiguousStorageIfAvailable { mine in
            right.sql.utf8.withContiguousStorageIfAvailable { other in
                guard mine.count == other.count, let start = mine.baseAddress, let otherStart = other.baseAddress else {
                    return mine.isEmpty && other.isEmpty
                }
                return start == otherStart || memcmp(start, otherStart, mine.count) == 0
            }
        }.flatMap { $0 } ?? left.sql.utf8.elementsEqual(right.sql.utf8)
    }

    func hash(into hasher: inout Hasher) {
        let isHashed: Void? = sql.utf8.withContiguousStorageIfAvailable { text in
            let bytes = UnsafeRawBufferPointer(text)
            hasher.combine(bytes.count)
            guard bytes.count >= 8 else { return hasher.combine(bytes: bytes) }
            for part in 1...4 {
                let offset = (bytes.count - 8) * part / 4
                hasher.combine(bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            }
        }
        if isHashed == nil { hasher.combine(sql.utf8.count) }
    }
}

/// Remembers which tables the update hook named.
private final class TableWatch {
    private let prefix: [CChar]
    /// SQLite's own copies of the names: the same pointer means the same table, as long as the schema stays.
    private var known: [UnsafePointer<CChar>] = []
    private var names: [String] = []

    init(prefix: String) { self.prefix = prefix.utf8.map { CChar(bitPattern: $0) } }

    func saw(_ table: UnsafePointer<CChar>) {
        for pointer in known where pointer == table { return }
        for (index, character) in prefix.enumerated() where table[index] != character { return }
        known.append(table)
        let name = String(cString: table + prefix.count)
        if !names.contains(name) { names.append(name) }
    }

    func take() -> [String] {
        guard !names.isEmpty else { return [] }
        defer {
            known.removeAll(keepingCapacity: true)
            names.removeAll(keepingCapacity: true)
        }
        return names
    }
}
