public import PeykModel
public import PeykSQLite

/// Why a replica did not do what was asked. Each text says what happened, what is safe, and what to do next.
public enum ReplicaError: Error, Hashable, Sendable, CustomStringConvertible {
    case notFound(path: String)
    case alreadyExists(path: String)
    /// The file is not a replica, or of a newer program.
    case notAReplica(path: String, reason: String)
    case unknownTable(String)
    case unknownField(table: String, field: String)
    case unknownRecord(table: String, record: String)
    case ambiguousRecord(table: String, prefix: String, count: Int)
    /// A value that its field does not take.
    case invalidValue(table: String, field: String, problem: ValueError)
    /// SQLite's CHECK, NOT NULL or type check, for writes by SQL.
    case refusedBySQLite(table: String, problem: String)
    /// Rule D4.
    case notUnique(table: String, fields: [String], existing: RecordID)
    case missingReference(table: String, record: RecordID, field: String, target: String)
    case stillReferred(table: String, record: RecordID, by: String)
    case appendOnly(table: String, record: RecordID)
    case retiredField(table: String, field: String)
    case retiredTable(String)
    case serverOnly(table: String, field: String)
    /// Rule K7: the record is being fetched from the server.
    case recordAtFault(table: String, record: RecordID)
    /// Rule A5.
    case commitTooLarge(bytes: Int, limit: Int)
    case readOnly
    case invalidSchema(String)
    case unknownCommit(String)
    case unknownIssue(Int64)
    /// Undo where somebody has built on it.
    case builtUpon(table: String, record: RecordID, field: String)
    case cannotUndo(reason: String)
    case busy(String)
    case damaged(String)
    /// Peer or file data that breaks the rules.
    case broken(String)
    case sqlite(SQLiteError)

    public var description: String {
        switch self {
        case .notFound(let path): "There is no replica at \(path). Join a workspace first."
        case .alreadyExists(let path): "\(path) already holds a replica. Leave it first, or choose another folder."
        case .notAReplica(let path, let reason):
            "\(path) cannot be opened as a replica: \(reason). Nothing was changed."
        case .unknownTable(let name): "There is no table “\(name)”."
        case .unknownField(let table, let field): "The table \(table) has no field “\(field)”."
        case .unknownRecord(let table, let record): "There is no \(table) with the id \(record)."
        case .ambiguousRecord(let table, let prefix, let count):
            "“\(prefix)” fits \(count) records of \(table). Give more of the id."
        case .invalidValue(let table, let field, let problem):
            "Nothing was saved: \(table).\(field) \(problem)."
        case .refusedBySQLite(let table, let problem): "Nothing was saved in \(table): \(problem)."
        case .notUnique(let table, let fields, let existing):
            "Nothing was saved: another \(table) (\(existing)) has the same \(fields.joined(separator: " and "))."
        case .missingReference(let table, let record, let field, let target):
            "Nothing was saved: \(table) \(record) names a \(target) in \(field) that does not exist."
        case .stillReferred(let table, let record, let by):
            "Nothing was deleted: \(by) still refers to \(table) \(record)."
        case .appendOnly(let table, let record):
            "Nothing was saved: records of \(table) are added, never changed (\(record))."
        case .retiredTable(let table): "Nothing was saved: the table \(table) takes no new records and no new values."
        case .retiredField(let table, let field): "Nothing was saved: \(table).\(field) takes no new values."
        case .serverOnly(let table, let field): "Nothing was saved: only the server writes \(table).\(field)."
        case .recordAtFault(let table, let record):
            "Nothing was saved: \(table) \(record) must first be fetched from the server. Run a sync, then try again."
        case .commitTooLarge(let bytes, let limit):
            "Nothing was saved: the change has \(bytes) bytes, over the limit of \(limit). Split it into smaller ones."
        case .readOnly: "The replica was opened for reading only."
        case .invalidSchema(let problem): "The schema cannot be used: \(problem). The data is as it was."
        case .unknownCommit(let id): "There is no commit \(id) in this replica."
        case .unknownIssue(let id): "There is no parked change \(id)."
        case .builtUpon(let table, let record, let field):
            "Nothing was undone: \(table) \(record) has a newer value in \(field). Undo with force to overwrite it."
        case .cannotUndo(let reason): "Nothing was undone: \(reason)."
        case .busy(let what): "\(what) Nothing was changed; try again in a moment."
        case .damaged(let what):
            "The replica is damaged: \(what). Keep a copy of its folder, then run “peyk verify --repair”. Where that fails, "
                + "ask for an invite and join in another folder (--home)."
        case .broken(let what): "The data breaks a rule: \(what). Nothing was changed."
        case .sqlite(let error): error.description
        }
    }

    /// Whether the same call may succeed later without anything else done.
    public var isBusy: Bool {
        switch self {
        case .busy: true
        case .sqlite(let error): error.isBusy
        default: false
        }
    }

    /// Nothing was changed, for want of room.
    public var isDiskFull: Bool { if case .sqlite(let error) = self { error.isDiskFull } else { false } }

    static func wrapping(_ error: any Error) -> any Error {
        switch error {
        case let error as SQLiteError: ReplicaError.sqlite(error)
        case let error as DecodeError: ReplicaError.broken(error.description)
        case let error as SchemaError: ReplicaError.invalidSchema(error.description)
        default: error
        }
    }
}
