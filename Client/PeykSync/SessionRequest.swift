#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Asks the process that holds a replica's session for it (rule K5): an advisory lock, shared by all who wait.
///
/// A process that watches looks whether anybody does, ends its session in good order, and connects again when nobody
/// waits any more. Nothing is written, so nothing is left behind by a process that dies while it waits.
final class SessionRequest: Sendable {
    private let file: Int32

    init(path: String) throws {
        file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else {
            throw SyncFailure(.replica, "The lock \(path) cannot be opened: \(String(cString: strerror(errno))).")
        }
        // Waits for no longer than a look of the watching process takes.
        while flock(file, LOCK_SH) != 0, errno == EINTR {}
    }

    deinit { close(file) }

    /// Whether a process waits for the session.
    static func isMade(path: String) -> Bool {
        let file = open(path, O_RDWR | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        return flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK
    }
}
