import GRDBSQLite
public import PeykModel

/// A prepared statement: thin over `sqlite3_stmt`. Parameters count from 1, columns from 0.
///
/// Belongs to the connection that made it and is used only inside that connection's transaction.
public final class Statement {
    let handle: OpaquePointer
    private let connection: OpaquePointer
    public let sql: String
    public let columnCount: Int32

    /// SQLite copies what is bound with this destructor.
    private static let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

    init(_ sql: String, on connection: OpaquePointer, isPersistent: Bool) throws(SQLiteError) {
        var handle: OpaquePointer?
        let flags = isPersistent ? UInt32(SQLITE_PREPARE_PERSISTENT) : 0
        let code = sqlite3_prepare_v3(connection, sql, -1, flags, &handle, nil)
        guard code == SQLITE_OK, let handle else {
            throw Connection.error(connection, code == SQLITE_OK ? SQLITE_MISUSE : code, sql: sql)
        }
        self.handle = handle
        self.connection = connection
        self.sql = sql
        columnCount = sqlite3_column_count(handle)
    }

    deinit { sqlite3_finalize(handle) }

    private func check(_ code: Int32) throws(SQLiteError) {
        guard code == SQLITE_OK else { throw Connection.error(connection, code, sql: sql) }
    }

    // MARK: Parameters

    public var parameterCount: Int32 { sqlite3_bind_parameter_count(handle) }

    public func bind(_ index: Int32, _ value: Value) throws {
        switch value {
        case .null: try check(sqlite3_bind_null(handle, index))
        case .integer(let number): try check(sqlite3_bind_int64(handle, index, number))
        case .real(let number): try check(sqlite3_bind_double(handle, index, number))
        case .text(var text):
            try text.withUTF8 { try bind(index, text: $0) }
        case .blob(let bytes):
            try bytes.withUnsafeBytes { try bind(index, blob: $0) }
        }
    }

    public func bind(_ index: Int32, int64 value: Int64) throws { try check(sqlite3_bind_int64(handle, index, value)) }
    public func bind(_ index: Int32, double value: Double) throws {
        try check(sqlite3_bind_double(handle, index, value))
    }
    public func bindNull(_ index: Int32) throws { try check(sqlite3_bind_null(handle, index)) }

    /// Copies the bytes.
    public func bind(_ index: Int32, text: UnsafeBufferPointer<UInt8>) throws {
        guard let base = text.baseAddress else {
            return try check(sqlite3_bind_text(handle, index, "", 0, Self.transient))
        }
        let code = base.withMemoryRebound(to: CChar.self, capacity: text.count) {
            sqlite3_bind_text64(
                handle, index, $0, sqlite3_uint64(text.count), Self.transient, UInt8(SQLITE_UTF8))
        }
        try check(code)
    }

    /// Binds the bytes without a copy: they must stay where they are until the statement has run.
    public func bind(_ index: Int32, uncopied text: UnsafeBufferPointer<UInt8>) throws {
        guard let base = text.baseAddress else {
            return try check(sqlite3_bind_text(handle, index, "", 0, Self.transient))
        }
        let code = base.withMemoryRebound(to: CChar.self, capacity: text.count) {
            sqlite3_bind_text64(handle, index, $0, sqlite3_uint64(text.count), nil, UInt8(SQLITE_UTF8))
        }
        try check(code)
    }

    /// Copies the bytes.
    public func bind(_ index: Int32, blob: UnsafeRawBufferPointer) throws {
        guard let base = blob.baseAddress, !blob.isEmpty else {
            return try check(sqlite3_bind_zeroblob(handle, index, 0))
        }
        try check(sqlite3_bind_blob64(handle, index, base, sqlite3_uint64(blob.count), Self.transient))
    }

    /// Binds the bytes without a copy: they must stay where they are until the statement has run.
    public func bind(_ index: Int32, uncopied blob: UnsafeRawBufferPointer) throws {
        guard let base = blob.baseAddress, !blob.isEmpty else {
            return try check(sqlite3_bind_zeroblob(handle, index, 0))
        }
        try check(sqlite3_bind_blob64(handle, index, base, sqlite3_uint64(blob.count), nil))
    }

    /// Binds the 36 characters of the id, as it stands in tables.
    public func bind(_ index: Int32, id: RecordID) throws {
        try id.bits.withText { try bind(index, text: $0) }
    }

    /// All parameters become null.
    public func clearBindings() { sqlite3_clear_bindings(handle) }

    public func bind(_ values: [Value]) throws {
        for (index, value) in values.enumerated() { try bind(Int32(index) + 1, value) }
    }

    // MARK: Running

    /// - Returns: true where there is a row, false at the end.
    public func step() throws -> Bool {
        let code = sqlite3_step(handle)
        if code == SQLITE_ROW { return true }
        if code == SQLITE_DONE { return false }
        let error = Connection.error(connection, code, sql: sql)
        sqlite3_reset(handle)
        throw error
    }

    /// Back to the start; bound values stay.
    public func reset() { sqlite3_reset(handle) }

    /// Runs to the end and resets.
    public func run() throws {
        while try step() {}
        sqlite3_reset(handle)
    }

    var isBusy: Bool { sqlite3_stmt_busy(handle) != 0 }

    /// Whether running it changes nothing.
    public var isReadOnly: Bool { sqlite3_stmt_readonly(handle) != 0 }

    // MARK: Columns

    public enum ColumnType: Int32, Sendable { case integer = 1, real = 2, text = 3, blob = 4, null = 5 }

    public func type(_ column: Int32) -> ColumnType {
        ColumnType(rawValue: sqlite3_column_type(handle, column)) ?? .null
    }
    public func isNull(_ column: Int32) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }
    public func int64(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }
    public func double(_ column: Int32) -> Double { sqlite3_column_double(handle, column) }

    /// Text, with bytes that are not UTF-8 replaced; empty for null.
    public func text(_ column: Int32) -> String {
        withBytes(column) { String(decoding: $0, as: UTF8.self) }
    }

    /// The bytes of a text or blob, valid only inside `body`; empty for null.
    @inline(__always)
    public func withBytes<T>(_ column: Int32, _ body: (UnsafeRawBufferPointer) throws -> T) rethrows -> T {
        // The pointer first, then the count: the other order may convert between the two calls.
        let base: UnsafeRawPointer?
        if sqlite3_column_type(handle, column) == SQLITE_BLOB {
            base = sqlite3_column_blob(handle, column)
        } else {
            base = sqlite3_column_text(handle, column).map { UnsafeRawPointer($0) }
        }
        let count = Int(sqlite3_column_bytes(handle, column))
        return try body(UnsafeRawBufferPointer(start: base, count: base == nil ? 0 : count))
    }

    /// The bytes of a text or blob, valid until the next step or reset; empty for null. For inner loops.
    public func bytes(unsafe column: Int32) -> UnsafeRawBufferPointer { withBytes(column) { $0 } }

    public func blob(_ column: Int32) -> [UInt8] { withBytes(column) { [UInt8]($0) } }

    /// The id in a text column; nil where it is null or not canonical.
    public func recordID(_ column: Int32) -> RecordID? {
        withBytes(column) { UUIDBits(canonical: $0).map { RecordID(bits: $0) } }
    }

    /// SQLite's own value of a column, valid until the next step or reset; null only where memory ran out.
    public func handle(unsafe column: Int32) -> OpaquePointer? { sqlite3_column_value(handle, column) }

    public func value(_ column: Int32) -> Value {
        switch type(column) {
        case .integer: .integer(int64(column))
        case .real: .real(double(column))
        case .text: .text(text(column))
        case .blob: .blob(blob(column))
        case .null: .null
        }
    }

    public func columnName(_ column: Int32) -> String {
        sqlite3_column_name(handle, column).map { String(cString: $0) } ?? ""
    }

    /// All columns of the row that the last ``step()`` reached.
    public var row: [Value] { (0..<columnCount).map { value($0) } }
}
