import GRDB
import GRDBSQLite

/// What SQLite said, with what it means for a person.
public struct SQLiteError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The primary result code: 5 busy, 13 full, 19 constraint …
    public let code: Int32
    /// The extended result code: 787 foreign key, 275 check …
    public let extendedCode: Int32
    public let message: String
    /// The statement, where there is one. Never holds bound values.
    public let sql: String?

    public init(code: Int32, extendedCode: Int32? = nil, message: String, sql: String? = nil) {
        self.code = code & 0xFF
        self.extendedCode = extendedCode ?? code
        self.message = message
        self.sql = sql
    }

    init(_ error: DatabaseError) {
        self.init(
            code: error.resultCode.rawValue, extendedCode: error.extendedResultCode.rawValue,
            message: error.message ?? "unknown error", sql: error.sql)
    }

    /// Another program holds the file; the same call may succeed later.
    public var isBusy: Bool { code == SQLITE_BUSY || code == SQLITE_LOCKED }
    /// No room: on the disk, within a quota, or within the limit of a file's size.
    public var isDiskFull: Bool {
        code == SQLITE_FULL || extendedCode == Self.ioWrite || extendedCode == Self.ioSharedSize
    }
    /// The disk, the memory or another program is the reason, and not what was asked for.
    public var isOfSurroundings: Bool {
        isBusy || isDamaged
            || [
                SQLITE_IOERR, SQLITE_FULL, SQLITE_NOMEM, SQLITE_READONLY, SQLITE_CANTOPEN, SQLITE_PROTOCOL,
                SQLITE_INTERRUPT, SQLITE_ABORT,
            ].contains(code)
    }
    public var isConstraint: Bool { code == SQLITE_CONSTRAINT }
    public var isForeignKey: Bool { extendedCode == Self.foreignKey }
    /// The file is not a database, or is damaged.
    public var isDamaged: Bool { code == SQLITE_CORRUPT || code == SQLITE_NOTADB }

    // The extended codes are macros with shifts, which Swift does not import.
    static let foreignKey = SQLITE_CONSTRAINT | (3 << 8)
    static let ioWrite = SQLITE_IOERR | (3 << 8)
    static let ioSharedSize = SQLITE_IOERR | (19 << 8)

    public var description: String {
        if isBusy {
            return "The data is in use by another program. Nothing was changed; try again in a moment."
        }
        if isDiskFull {
            return "The disk is full. Nothing was changed; free some space and try again."
        }
        if isDamaged {
            return "The file is damaged or not a database (\(message)). Nothing was changed; keep a copy of it "
                + "before anything else."
        }
        switch code {
        case SQLITE_READONLY: return "The file can only be read (\(message)). Nothing was changed."
        case SQLITE_CANTOPEN: return "The file cannot be opened (\(message))."
        case SQLITE_IOERR: return "The disk reported an error (\(message)). The last change was not kept."
        default: return sql.map { "\(message) — in: \($0)" } ?? message
        }
    }
}
