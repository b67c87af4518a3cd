public import Logging

/// How a client talks to its server.
public struct SyncOptions: Sendable {
    /// The program's name and version, for IT.
    public var program: String
    /// Seconds until a connection must be made; every later step has the protocol's own deadlines.
    public var connectSeconds: Double
    /// Seconds for the whole sync, after which it ends in good order; nil: as long as something moves.
    public var totalSeconds: Double?
    /// Seconds to wait while another process of this device syncs (rule K5).
    public var lockSeconds: Double
    /// Join without TLS; refused beyond loopback.
    public var allowsPlaintext: Bool
    public var logger: Logger

    public init(
        program: String = "peyk", connectSeconds: Double = 10, totalSeconds: Double? = nil, lockSeconds: Double = 10,
        allowsPlaintext: Bool = false, logger: Logger = Logger(label: "peyk.sync") { _ in SwiftLogNoOpLogHandler() }
    ) {
        self.program = program
        self.connectSeconds = connectSeconds
        self.totalSeconds = totalSeconds
        self.lockSeconds = lockSeconds
        self.allowsPlaintext = allowsPlaintext
        self.logger = logger
    }
}
