public import PeykModel
import PeykSQLite
public import PeykServer
import Synchronization

/// A workspace in one SQLite file: WAL, synchronous=FULL, one writer, readers beside it on their own connections.
///
/// What IT can query: a table per table of the schema with its living rows. What the server keeps beside them is
/// prefixed `peyk_`: records' audiences and clocks, tombstones, the log, documents.
public final class SQLiteStore: Store, Sendable {
    private let path: String
    private let writer: Database
    private let gate: ReaderGate
    private let idle = Mutex<[Database]>([])
    private let audiences = AudienceCache()
    private let plans: Mutex<SchemaPlan>

    /// Connections for reading that are kept open between uses.
    static let idleMax = 4

    /// Opens the store at `path`.
    ///
    /// - Parameter create: makes an empty one, with no tables but the ledger, where there is none.
    public convenience init(path: String, create: Bool = false) throws {
        try self.init(path, access: create ? .create : .readWrite)
    }

    /// Opens the store at `path` beside a server that may be running. Writing throws.
    public convenience init(reading path: String) throws { try self.init(path, access: .readOnly) }

    /// - Parameter truncateAt: frames of the write-ahead log from which it is emptied; nil for the standard.
    init(_ path: String, access: Database.Access, truncateAt: Int32? = nil) throws {
        self.path = path
        let gate = ReaderGate()
        self.gate = gate
        writer = try Database(
            path: path, access: access, lockPath: path + ".lock", truncateAt: truncateAt
        ) { try gate.closed($0) }
        if access == .create {
            try writer.write { connection in
                guard try !Self.hasTables(connection) else { return }
                try connection.execute(StoreLayout.fixed)
                let ledger = Schema(version: 0, tables: [])
                for statement in StoreLayout.changes(from: nil, to: ledger) { try connection.execute(statement) }
                try MetaRow.set("format", .integer(StoreLayout.format), connection)
            }
        }
        let format = try writer.read { try Self.format($0, path) }
        guard format <= StoreLayout.format else { throw SQLiteStoreError.newer(found: format) }
        if format < StoreLayout.format {
            guard access != .readOnly else { throw SQLiteStoreError.older(found: format) }
            try writer.write { try Self.upgrade($0, path) }
        }
        plans = Mutex(try writer.read { SchemaPlan(schema: try MetaRow.schema($0)) })
        if access != .readOnly { try writer.write { try Self.widenLedger($0) } }
    }

    private static func format(_ connection: Connection, _ path: String) throws -> Int64 {
        guard try hasTables(connection), let format = try MetaRow.value("format", connection)?.integerValue else {
            throw SQLiteStoreError.notAStore(path: path)
        }
        return format
    }

    /// Step by step in one transaction: a file is of the old format or of this one, never between.
    private static func upgrade(_ connection: Connection, _ path: String) throws {
        var format = try format(connection, path)
        while format < StoreLayout.format {
            guard let step = StoreLayout.upgrade(from: format) else { throw SQLiteStoreError.older(found: format) }
            try connection.execute(step)
            format += 1
        }
        try MetaRow.set("format", .integer(format), connection)
    }

    /// The ledger is the program's own table: a newer program may have given it more fields than the file has.
    private static func widenLedger(_ connection: Connection) throws {
        let columns = try connection.value("SELECT count(*) FROM pragma_table_info('peyk_ledger')", [])?.integerValue
        for statement in StoreLayout.ledgerColumns(beyond: Int(columns ?? 1) - 1) { try connection.execute(statement) }
    }

    private static func hasTables(_ connection: Connection) throws -> Bool {
        try connection.value("SELECT 1 FROM sqlite_schema WHERE name = 'peyk_meta'", []) != nil
    }

    public func write<Result>(_ body: (any StoreTransaction) throws -> Result) throws -> Result {
        try write(isDurable: true, body)
    }

    public func note(_ body: (any StoreTransaction) throws -> Void) throws { try write(isDurable: false, body) }

    private func write<Result>(
        isDurable: Bool, _ body: (any StoreTransaction) throws -> Result
    ) throws -> Result {
        let (result, made, plan) = try writer.write(isDurable: isDurable) { connection in
            let transaction = try SQLiteTransaction(
                connection, plan: try currentPlan(connection), audiences: audiences)
            let result = try body(transaction)
            try transaction.finish()
            return (result, transaction.newAudiences, transaction.plan)
        }
        // Caches change only after COMMIT (rule A4).
        audiences.insert(made)
        plans.withLock { $0 = plan }
        return result
    }

    public func read<Result>(_ body: (any StoreReader) throws -> Result) throws -> Result {
        try withReader { connection in
            try body(SQLiteReader(connection, plan: try currentPlan(connection), audiences: audiences))
        }
    }

    public func query(_ sql: String, _ values: [Value]) throws -> [[Value]] {
        try withReader { try $0.rows(sql, values) }
    }

    /// Moves what the log of changes (WAL) holds into the file; at a quiet moment and before the server ends.
    public func checkpoint() throws { try writer.checkpoint(truncate: true) }

    /// Writes a copy of the store as it is at one moment to a new file, beside readers and writers. The caller syncs
    /// it.
    public func copy(to target: String) throws {
        try Database(path: path, access: .readOnly, lockPath: nil).copy(to: target)
    }

    /// Ends the use of the file. Further calls throw.
    public func close() throws {
        idle.withLock { $0 = [] }
        try writer.close()
    }

    /// The plan of the schema that this transaction sees. Readers and the writer share the last one.
    private func currentPlan(_ connection: Connection) throws -> SchemaPlan {
        let cached = plans.withLock { $0 }
        guard try MetaRow.schemaVersion(connection) != cached.schema.version else { return cached }
        return SchemaPlan(schema: try MetaRow.schema(connection))
    }

    /// A connection of its own for each reader, so that none waits for the writer or for another reader.
    func withReader<Result>(_ body: (Connection) throws -> Result) throws -> Result {
        gate.enter()
        let reader =
            try idle.withLock { $0.popLast() } ?? Database(path: path, access: .readOnly, lockPath: nil)
        defer {
            idle.withLock { readers in
                if readers.count < Self.idleMax { readers.append(reader) }
            }
        }
        return try reader.read(body)
    }
}

/// A snapshot that also answers SQL, so that a report of several queries shows one state. What
/// ``SQLiteStore/read(_:)`` gives is one.
public protocol SQLReader: StoreReader {
    /// All rows of a query; it cannot change anything.
    func rows(_ sql: String, _ values: [Value]) throws -> [[Value]]
}

/// Why a file is not taken as a store.
public enum SQLiteStoreError: Error, Hashable, Sendable, CustomStringConvertible {
    case notAStore(path: String)
    case newer(found: Int64)
    case older(found: Int64)

    public var description: String {
        switch self {
        case .notAStore(let path): "\(path) is not a Peyk workspace. Nothing was changed; check --data."
        case .newer(let found):
            "The workspace has format \(found), and this peykd knows formats up to \(StoreLayout.format). Nothing was "
                + "changed; use the peykd that it was last served with, or a newer one."
        case .older(let found):
            "The workspace has format \(found), of an older peykd. Nothing was changed; start “peykd serve” once, which "
                + "brings it to format \(StoreLayout.format)."
        }
    }
}
