import PeykConsole
import PeykNet
import PeykSQLite
import PeykServer
import PeykSession
import PeykStoreSQLite
import PeykTransport

/// Every error of the layers below, as what is told and the exit code.
enum Failures {
    static func translate(_ error: any Error) -> Failure? {
        switch error {
        case let failure as AdminFailure: Failure(exit(of: failure.kind), failure.message)
        case let error as SQLiteError:
            Failure(error.isBusy ? .temporary : error.isDiskFull ? .inputOutput : .inputOutput, error.description)
        case let error as SQLiteStoreError: Failure(.configuration, error.description)
        case let error as StoreError: Failure(.inputOutput, error.description)
        case let error as TLSIdentity.Failure: Failure(.configuration, error.description)
        case let error as SecretFile.Failure: Failure(error.isMissing ? .noInput : .configuration, "\(error)")
        case let error as WorkspaceKeys.Invalid: Failure(.configuration, error.description)
        case let error as ControlSocket.Failure: Failure(.unavailable, error.description)
        case let error as TransportError: Failure(.unavailable, "\(error)")
        case let error as ImportMapping.Problem: Failure(.data, "Nothing was imported: \(error.description).")
        case let refusal as Refusal: Failure(.data, refusal.message)
        default: nil
        }
    }

    /// The same, for the reply of the running server.
    static func admin(_ error: any Error) -> AdminFailure {
        let failure = (error as? Failure) ?? translate(error) ?? Failure(system: error)
        let kind: AdminFailure.Kind =
            switch failure?.exit {
            case .usage: .usage
            case .data: .data
            case .noInput: .missing
            case .temporary: .busy
            case .inputOutput: .disk
            case .cannotCreate: .create
            default: .internal
            }
        return AdminFailure(kind, failure?.message ?? "\(error)")
    }

    private static func exit(of kind: AdminFailure.Kind) -> Sysexit {
        switch kind {
        case .usage: .usage
        case .data: .data
        case .missing: .noInput
        case .busy: .temporary
        case .disk: .inputOutput
        case .create: .cannotCreate
        case .internal: .software
        }
    }
}
