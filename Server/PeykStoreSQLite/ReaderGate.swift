import Foundation

/// Keeps new readers waiting while the write-ahead log is emptied. Without it, readers that overlap all the time share
/// marks of the log that never become free, and the log grows for ever (F80).
final class ReaderGate: @unchecked Sendable {  // `lock` guards `isClosed`.
    private let lock = NSCondition()
    private var isClosed = false

    /// Longer than a checkpoint waits for the readers that are inside: a reader that opens another one while the gate
    /// is closed makes that checkpoint fail, and goes on.
    private static let secondsMax = 10.0

    /// Returns when the gate is open.
    func enter() {
        lock.lock()
        defer { lock.unlock() }
        let end = Date(timeIntervalSinceNow: Self.secondsMax)
        while isClosed, lock.wait(until: end) {}
    }

    /// Runs `body` with the gate closed.
    func closed(_ body: () throws -> Void) rethrows {
        set(true)
        defer { set(false) }
        try body()
    }

    private func set(_ value: Bool) {
        lock.lock()
        isClosed = value
        lock.broadcast()
        lock.unlock()
    }
}
