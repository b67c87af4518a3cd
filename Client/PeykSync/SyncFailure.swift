import PeykReplica
public import PeykSession
import PeykTransport

/// Why a sync ended before it was done: one or two sentences for a person, a code for programs, an exit code.
public struct SyncFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Hashable, Sendable {
        /// No connection, or it broke: the same call may succeed later.
        case unreachable
        case timeout
        /// Another process of this device syncs, or the server asks to come later.
        case busy
        /// The server does not let this device in (any more).
        case notPermitted
        /// One side broke the protocol, or is too old for the other.
        case protocolBroken
        case configuration
        /// The replica could not do its part.
        case replica
        /// The disk of this device is full.
        case diskFull
        case cancelled
    }

    public var kind: Kind
    /// The server's own code, where it refused.
    public var refusal: RefusalCode?
    /// Seconds after which the server asked to come again.
    public var retryAfter: Int64?
    /// The next session asks for a new identity (rule I3).
    public var isRenewal = false
    public var description: String

    public init(_ kind: Kind, _ description: String, refusal: RefusalCode? = nil, retryAfter: Int64? = nil) {
        self.kind = kind
        self.description = description
        self.refusal = refusal
        self.retryAfter = retryAfter
    }

    /// Sysexits, as cli.md lists them.
    public var exitCode: Int32 {
        switch kind {
        case .unreachable, .timeout: 69
        case .busy, .cancelled: 75
        case .notPermitted: 77
        case .protocolBroken: 76
        case .configuration: 78
        case .replica: 70
        case .diskFull: 74
        }
    }

    /// Whether a later attempt may succeed without anybody doing something.
    public var isPassing: Bool {
        switch kind {
        case .unreachable, .timeout, .busy: true
        default: refusal == .scopeChanged || refusal == .overtaken || isRenewal
        }
    }

    /// Whether the same sync goes on at once: what ended the session comes with the next welcome.
    var isWorthAnotherSession: Bool { refusal == .scopeChanged || isRenewal }

    init(_ error: any Error) {
        switch error {
        case let error as SyncFailure: self = error
        case .refused(let refusal) as SessionError:
            self.init(Self.kind(.refused(refusal)), Self.text(refusal), refusal: refusal.code)
            retryAfter = refusal.retryAfter.map { max(1, min($0, SessionLimits.retryAfterMax)) }
        case let error as SessionError:
            self.init(Self.kind(error), error.description)
            isRenewal = error == .renewal
        case let error as TransportError: self.init(Self.kind(error), error.description)
        case let error as ReplicaError where error.isDiskFull:
            self.init(
                .diskFull,
                "The disk of this device is full. What you wrote and what was synced so far is safe; free some space and "
                    + "sync again.")
        case let error as ReplicaError: self.init(error.isBusy ? .busy : .replica, error.description)
        case let error as DeviceKey.Failure: self.init(.configuration, error.description)
        case is CancellationError: self.init(.cancelled, "The sync was stopped. Nothing is lost; sync again.")
        default: self.init(.replica, "\(error)")
        }
    }

    private static func text(_ refusal: Refusal) -> String {
        guard let seconds = refusal.retryAfter else { return refusal.message }
        return "\(refusal.message) Try again in \(seconds) s."
    }

    private static func kind(_ error: SessionError) -> Kind {
        switch error {
        case .unexpected, .limit, .version, .gap: .protocolBroken
        case .renewal: .busy
        case .timeout: .timeout
        case .disconnected: .unreachable
        case .workspace: .configuration
        case .refused(let refusal):
            switch refusal.code {
            case .invite, .authentication, .revoked, .foreign: .notPermitted
            case .busy, .shutdown, .scopeChanged, .overtaken: .busy
            default: .protocolBroken
            }
        }
    }

    private static func kind(_ error: TransportError) -> Kind {
        switch error {
        case .unreachable, .connection, .tooSlow: .unreachable
        case .plaintextNotLoopback, .cannotListen: .configuration
        case .frameTooLong, .wrongServer, .tls, .noProtocol, .page: .protocolBroken
        }
    }
}
