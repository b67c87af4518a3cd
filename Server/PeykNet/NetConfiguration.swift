public import Logging

/// Where and how a server listens.
public struct NetConfiguration: Sendable {
    public var host: String
    /// 0 for any free port.
    public var port: Int
    /// Nil: plaintext, which is refused beyond loopback.
    public var identity: TLSIdentity?
    /// Connections at once; more are closed as they come.
    public var connectionsMax = 1_000
    /// Connections that are not welcome yet, of those.
    public var greetingsMax = 200
    /// Seconds between two looks at what other processes may have changed: the head, revocations, grants.
    public var pollSeconds = 1.0
    /// Seconds between two passes of collection (rule T1); the first comes a minute after the start.
    public var collectSeconds = 3_600.0
    public var logger: Logger

    public init(host: String = "127.0.0.1", port: Int = 0, identity: TLSIdentity?, logger: Logger) {
        self.host = host
        self.port = port
        self.identity = identity
        self.logger = logger
    }
}
