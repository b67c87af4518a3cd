/// Limits that both sides keep. Each has a test at the limit.
public enum SessionLimits {
    public static let version = 1
    /// A frame's body, checked before anything is allocated.
    public static let frameBytes = 32 << 20
    /// Before the session is welcome.
    public static let greetingBytes = 64 << 10
    /// One direction's credit at the start of a session.
    public static let creditBytes: Int64 = 16 << 20
    /// A batch or page closes at this size.
    public static let batchBytes = 256 << 10
    public static let batchEntries = 1_000
    public static let pageRows = 2_000
    public static let pageBytes = 4 << 20
    public static let pushBytes = 256 << 10
    public static let fetchKeys = 1_000
    /// Names in one message, and in one session (rule I7.2).
    public static let namesItems = 4_000
    public static let namesMax = 2_000_000
    public static let formerTokens = 64
    /// Commits of a device's family that a welcome names (rule B2).
    public static let familyIDs = 64
    /// Records of one reply close at this size; the rest is asked for again.
    public static let recordsBytes = 4 << 20
    /// Ranges of one digest request, and parts of each in the reply.
    public static let digestRanges = 64
    public static let digestParts = 32
    /// Seconds that anybody is ever asked to wait before trying again.
    public static let retryAfterMax: Int64 = 3_600
    /// Seconds for the greeting, TLS included; an enrolment in between begins them anew.
    public static let greetingSeconds: Int64 = 10
    /// Seconds without any frame from the peer before a ping, and after it before the session is given up.
    public static let idleSeconds: Int64 = 30
}
