import Foundation
import Synchronization

/// An advisory lock (`flock`) on a side file, between processes and between threads.
///
/// Every process that writes or checkpoints takes it: SQLite before 3.51.3 can lose committed transactions when
/// a checkpoint races a write of another process. Reentrant for the thread that holds it. The kernel frees it
/// when the process ends, however it ends.
public final class FileLock: Sendable {
    public let path: String
    private let descriptor: Int32
    private let state = Mutex(State())

    private struct State {
        var holder: UInt = 0
        var depth = 0
    }

    /// Creates the file with mode 0600 where it is missing.
    public init(path: String) throws(SQLiteError) {
        self.path = path
        let opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard opened >= 0 else {
            throw SQLiteError(
                code: 14, message: "cannot open the lock file \(path): \(String(cString: strerror(errno)))")
        }
        descriptor = opened
    }

    deinit { close(descriptor) }

    private static var thread: UInt { UInt(pthread_self()) }

    /// Takes the lock, waiting up to `seconds`; false when the time is up. 0 tries once.
    public func lock(seconds: Double) -> Bool {
        let deadline = Self.monotonicNanoseconds() &+ UInt64(max(0, min(seconds, 86_400)) * 1e9)
        var pause: UInt32 = 200
        while true {
            if attempt() { return true }
            guard Self.monotonicNanoseconds() < deadline else { return false }
            usleep(pause)
            // Short at first, for the usual writer of a millisecond; never so long that a person notices.
            pause = min(pause * 2, 10_000)
        }
    }

    private func attempt() -> Bool {
        let me = Self.thread
        return state.withLock { state in
            if state.depth > 0 {
                guard state.holder == me else { return false }
                state.depth += 1
                return true
            }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { return false }
            state.holder = me
            state.depth = 1
            return true
        }
    }

    public func unlock() {
        state.withLock { state in
            guard state.depth > 0 else { return }
            state.depth -= 1
            if state.depth == 0 {
                state.holder = 0
                flock(descriptor, LOCK_UN)
            }
        }
    }

    /// Whether this object holds the lock now, in whatever thread.
    public var isHeld: Bool { state.withLock { $0.depth > 0 } }

    private static func monotonicNanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}
