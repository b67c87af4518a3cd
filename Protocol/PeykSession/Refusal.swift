public import PeykModel

/// A reason for a person and a code for programs.
public struct Refusal: Hashable, Sendable, Error, CustomStringConvertible {
    public var code: RefusalCode
    public var message: String
    /// Seconds after which trying again makes sense; nil where it is not said.
    public var retryAfter: Int64?
    /// Set where a device that is shut out may hand in its unsent commits, above this seq: they are kept for the
    /// administrator to decide on (rule S4).
    public var handInAfter: Sequence64?

    public init(
        _ code: RefusalCode, _ message: String, retryAfter: Int64? = nil, handInAfter: Sequence64? = nil
    ) {
        self.code = code
        self.message = message
        self.retryAfter = retryAfter
        self.handInAfter = handInAfter
    }
    public var description: String { message }
}

public struct RefusalCode: RawRepresentable, Hashable, Sendable {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public static let version = Self(rawValue: "version")
    public static let invite = Self(rawValue: "invite")
    public static let authentication = Self(rawValue: "authentication")
    public static let revoked = Self(rawValue: "revoked")
    public static let fork = Self(rawValue: "fork")
    public static let foreign = Self(rawValue: "foreign")
    public static let rolledBack = Self(rawValue: "rolled-back")
    public static let overtaken = Self(rawValue: "overtaken")
    public static let protocolBroken = Self(rawValue: "protocol")
    public static let busy = Self(rawValue: "busy")
    public static let shutdown = Self(rawValue: "shutdown")
    public static let scopeChanged = Self(rawValue: "scope-changed")
    public static let limit = Self(rawValue: "limit")
    public static let `internal` = Self(rawValue: "internal")
}
