import PeykConsole
import PeykReplica
import PeykSQLite
import PeykSync

/// What errors of our own modules mean for the exit code. The words are theirs.
enum Failures {
    static func translate(_ error: any Error) -> Failure? {
        switch error {
        case let error as ReplicaError: Failure(code(of: error), error.description, error.persian)
        case let error as SQLiteError:
            Failure(code(of: .sqlite(error)), error.description, ReplicaError.sqlite(error).persian)
        case let error as SyncFailure:
            Failure(Sysexit(rawValue: error.exitCode) ?? .software, error.description, error.persian)
        case let error as ImportMapping.Problem:
            Failure(.data, "Nothing was imported: \(error.description).")
        default: nil
        }
    }

    private static func code(of error: ReplicaError) -> Sysexit {
        switch error {
        case .notFound, .unknownRecord, .unknownCommit, .unknownIssue: .noInput
        case .alreadyExists: .cannotCreate
        case .unknownTable, .unknownField, .ambiguousRecord, .invalidValue, .refusedBySQLite, .notUnique,
            .missingReference, .stillReferred, .appendOnly, .retiredField, .retiredTable, .serverOnly, .builtUpon,
            .cannotUndo,
            .commitTooLarge:
            .usage
        case .readOnly: .notPermitted
        case .recordAtFault: .temporary
        case .notAReplica, .invalidSchema: .configuration
        case .busy: .temporary
        case .damaged, .broken: .software
        case .sqlite(let error): error.isBusy ? .temporary : error.isDiskFull ? .inputOutput : .software
        }
    }
}
