public import Logging
import PeykSession

/// Where and how a server listens, and what it bears.
public struct NetConfiguration: Sendable {
    public var host: String
    /// 0 for any free port.
    public var port: Int
    /// Nil: plaintext, which is refused beyond loopback.
    public var identity: TLSIdentity?
    /// Connections at once, those that are greeting included; more are closed as they come.
    public var connectionsMax = 2_000
    /// Connections that are not welcome yet: in all, and from one network (an IPv4 address, half an IPv6 address).
    public var greetingsMax = 400
    public var greetingsPerNetworkMax = 64
    /// Open sessions; a device beyond them is told when to come again.
    public var sessionsMax = 1_000
    /// Sessions that load pages at once (first sync, resync, grant); a further first sync is told when to come again.
    public var loadingMax = 16
    /// Memory for long frames of all connections together.
    public var frameBytesMax = 256 << 20
    /// Seconds for a whole greeting, TLS included.
    public var greetingSeconds = Double(SessionLimits.greetingSeconds)
    /// Seconds without a frame before a ping, and after it before the session ends.
    public var idleSeconds = Double(SessionLimits.idleSeconds)
    /// A peer that takes fewer than `stallBytes` within `stallSeconds` of what waits for it is cut.
    public var stallSeconds = 30.0
    public var stallBytes: Int64 = 8 << 10
    /// Seconds between two looks at what other processes may have changed: the head, revocations, grants.
    public var pollSeconds = 1.0
    /// Seconds between two passes of collection (rule T1); the first comes a minute after the start.
    public var collectSeconds = 3_600.0
    /// Seconds after which those who were put off may come again.
    public var retryAfterSeconds: Int64 = 30
    /// Bytes that are free on the store's disk; nil: nobody looks.
    public var freeBytes: (@Sendable () -> Int64?)?
    /// Pushes are put off while fewer are free.
    public var reserveBytes: Int64 = 64 << 20
    /// Whether an error of the store means that its disk is full.
    public var isDiskFull: @Sendable (any Error) -> Bool = { _ in false }
    public var logger: Logger

    public init(host: String = "127.0.0.1", port: Int = 0, identity: TLSIdentity?, logger: Logger) {
        self.host = host
        self.port = port
        self.identity = identity
        self.logger = logger
    }
}
