import Dispatch

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// One process holds a replica's session at a time (rule K5): an advisory lock on a file of its own.
///
/// The lock goes with the process, however it ends.
final class SessionLock: Sendable {
    private let file: Int32

    /// Waits for the lock without blocking a thread. Whoever holds it to watch is asked to let go meanwhile.
    /// - Parameter request: where the asking is done, ``SessionRequest``; nil where this one wants to watch, too: two
    ///   watches would throw each other out for ever.
    /// - Throws: ``SyncFailure`` of kind busy after `seconds`.
    init(path: String, request: String?, seconds: Double) async throws {
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else {
            throw SyncFailure(.replica, "The lock \(path) cannot be opened: \(String(cString: strerror(errno))).")
        }
        let clock = ContinuousClock()
        let deadline = clock.now + .seconds(seconds)
        var asking: SessionRequest?
        while flock(file, LOCK_EX | LOCK_NB) != 0 {
            do {
                if asking == nil { asking = try request.map { try SessionRequest(path: $0) } }
                guard clock.now < deadline else {
                    throw SyncFailure(
                        .busy,
                        "Another process syncs this replica right now. Nothing was changed; try again in a moment.")
                }
                try await clock.sleep(for: .milliseconds(50))
            } catch {
                close(file)
                throw error
            }
        }
        self.file = file
        withExtendedLifetime(asking) {}
    }

    deinit { close(file) }
}
