/// Why a session ended before it was done.
public enum SessionError: Error, Hashable, Sendable {
    /// The peer said something that the protocol forbids at this point.
    case unexpected(message: String, state: String)
    /// A limit of ``SessionLimits`` was passed.
    case limit(what: String, value: Int64, limit: Int64)
    /// The peer did not answer within the deadline of this state.
    case timeout(state: String)
    /// The connection ended; nothing that was acknowledged is lost.
    case disconnected
    /// The peer speaks no version that we speak.
    case version(ours: Int, theirs: ClosedRange<Int>)
    /// The server is another workspace's than the one that was joined.
    case workspace(expected: String, found: String)
    /// The server refused, with its reason.
    case refused(Refusal)
    /// The server asks again and again for a commit that the replica does not have.
    case gap(expected: Int64)
    /// The server has another commit under a seq of this replica's: it is an image that was restored (rule I3).
    case renewal
}

extension SessionError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .unexpected(let message, let state):
            "The other side sent “\(message)” while \(state), which the protocol forbids. Nothing is lost; "
                + "upgrade the older side and sync again."
        case .limit(let what, let value, let limit):
            "The other side sent \(what) of \(value), over the limit of \(limit). Nothing of it was stored; sync again, "
                + "and report it if it repeats."
        case .timeout(let state):
            "The other side did not answer in time while \(state). What was not acknowledged is kept; sync again."
        case .disconnected:
            "The connection ended before the sync was done. What was not acknowledged is kept; sync again."
        case .version(let ours, let theirs):
            "This program speaks version \(ours) of the protocol, the server \(theirs.lowerBound) to "
                + "\(theirs.upperBound). Nothing was sent; upgrade the older side."
        case .workspace(let expected, let found):
            "This replica belongs to the workspace “\(expected)”, but the server holds “\(found)”. Nothing was sent."
        case .refused(let refusal): refusal.message
        case .gap(let expected):
            "The server asks for commit \(expected), which this replica no longer has. Nothing is lost here; "
                + "ask IT to look at this device."
        case .renewal:
            "This replica was restored from an older image. Nothing is lost; the next sync gives it a new identity."
        }
    }

    /// Stable, for logs and exit codes.
    public var code: String {
        switch self {
        case .unexpected: "session.unexpected"
        case .limit: "session.limit"
        case .timeout: "session.timeout"
        case .disconnected: "session.disconnected"
        case .version: "session.version"
        case .workspace: "session.workspace"
        case .refused(let refusal): "session.refused.\(refusal.code.rawValue)"
        case .gap: "session.gap"
        case .renewal: "session.renewal"
        }
    }
}

extension ClientMessage {
    /// The message's name, for logs and errors; never its contents.
    public var name: String {
        switch self {
        case .enrol: "enrol"
        case .hello: "hello"
        case .rekey: "rekey"
        case .names: "names"
        case .push: "push"
        case .credit: "credit"
        case .applied: "applied"
        case .fetch: "fetch"
        case .digest: "digest"
        case .history: "history"
        case .ping: "ping"
        case .pong: "pong"
        case .bye: "bye"
        }
    }
}

extension ServerMessage {
    /// The message's name, for logs and errors; never its contents.
    public var name: String {
        switch self {
        case .challenge: "challenge"
        case .enrolled: "enrolled"
        case .welcome: "welcome"
        case .rekeyed: "rekeyed"
        case .refuse: "refuse"
        case .acknowledge: "acknowledge"
        case .batch: "batch"
        case .page: "page"
        case .records: "records"
        case .digest: "digest"
        case .history: "history"
        case .ping: "ping"
        case .pong: "pong"
        case .bye: "bye"
        }
    }
}
