import Foundation
import GRDBSQLite

/// SQLite without us, over its C API: what everything is compared with.
///
/// Same library, same pragmas as a replica (WAL, synchronous=FULL), same columns, same two indexes.
final class PlainSQLite: Engine {
    struct Failure: Error, CustomStringConvertible { var description: String }

    let path: String
    private let handle: OpaquePointer
    private var statements: [OpaquePointer] = []

    init(path: String) throws {
        self.path = path
        for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) }
        var opened: OpaquePointer?
        guard sqlite3_open(path, &opened) == SQLITE_OK, let opened else {
            throw Failure(description: "cannot open \(path)")
        }
        handle = opened
        try execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536")
        for table in 0..<2 {
            let columns = zip(Workload.fields[table], Workload.types[table]).map { "\($0) \($1)" }
            try execute(
                "CREATE TABLE \(Workload.tables[table])(id TEXT PRIMARY KEY NOT NULL, \(columns.joined(separator: ", ")))"
            )
        }
        try execute(Workload.customerIndex)
        try execute(Workload.closeDateIndex)
        for number in 0..<Workload.statementCount { statements.append(try prepare(Workload.sql(number))) }
    }

    deinit {
        for statement in statements { sqlite3_finalize(statement) }
        sqlite3_close(handle)
    }

    func execute(_ sql: String) throws {
        guard sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK else { throw failure(sql) }
    }

    private func failure(_ sql: String) -> Failure {
        Failure(description: "\(String(cString: sqlite3_errmsg(handle))) in \(sql)")
    }

    private func prepare(_ sql: String) throws -> OpaquePointer {
        var statement: OpaquePointer?
        guard sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil) == SQLITE_OK,
            let statement
        else { throw failure(sql) }
        return statement
    }

    func transaction(_ body: (PlainRow) throws -> Void) throws {
        try execute("BEGIN IMMEDIATE")
        try body(PlainRow(statements: statements))
        try execute("COMMIT")
    }

    /// All values of all rows, in memory, for ``bulkLoad(_:)``.
    func export() throws -> [[OpaquePointer?]] {
        try Workload.tables.map { table in
            let read = try prepare("SELECT * FROM \(table)")
            defer { sqlite3_finalize(read) }
            var values: [OpaquePointer?] = []
            while sqlite3_step(read) == SQLITE_ROW {
                for column in 0..<Int32(10) { values.append(sqlite3_value_dup(sqlite3_column_value(read, column))) }
            }
            return values
        }
    }

    /// Rows from memory into empty tables in one transaction: what the fastest first sync would take if there were
    /// no network, no log and no scope.
    func bulkLoad(_ tables: [[OpaquePointer?]]) throws {
        try execute("BEGIN IMMEDIATE")
        for (table, values) in tables.enumerated() {
            for start in stride(from: 0, to: values.count, by: 10) {
                for column in 0..<10 {
                    sqlite3_bind_value(statements[table], Int32(column) + 1, values[start + column])
                }
                guard sqlite3_step(statements[table]) == SQLITE_DONE else { throw failure("bulk load") }
                sqlite3_reset(statements[table])
            }
        }
        try execute("COMMIT")
    }

    static func free(_ tables: [[OpaquePointer?]]) {
        for value in tables.joined() { sqlite3_value_free(value) }
    }

    /// Bytes of the file after everything is in it.
    func size() throws -> Int {
        try execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return fileSize(path)
    }
}

struct PlainRow: RowWriter {
    let statements: [OpaquePointer]

    func bind(_ statement: Int, _ column: Int32, _ value: Generator.Made) throws {
        switch value {
        case .text(let bytes):
            let start = UnsafeRawPointer(bytes.baseAddress)?.assumingMemoryBound(to: CChar.self)
            let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
            sqlite3_bind_text(statements[statement], column, start, Int32(bytes.count), transient)
        case .integer(let number): sqlite3_bind_int64(statements[statement], column, number)
        case .real(let number): sqlite3_bind_double(statements[statement], column, number)
        }
    }

    func run(_ statement: Int) throws {
        guard sqlite3_step(statements[statement]) == SQLITE_DONE else {
            throw PlainSQLite.Failure(description: "a step of \(Workload.sql(statement)) failed")
        }
        sqlite3_reset(statements[statement])
    }
}

/// 0 where there is no such file.
func fileSize(_ path: String) -> Int {
    let attributes = try? FileManager.default.attributesOfItem(atPath: path)
    return (attributes?[.size] as? NSNumber)?.intValue ?? 0
}
