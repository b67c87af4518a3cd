import Synchronization

/// Counts what was read from the connection and not yet worked off, so that reading can wait (P28).
final class Inbox: Sendable {
    private let bytes = Mutex((waiting: 0, isPaused: false))
    private static let high = 4 << 20
    private static let low = 1 << 20

    var isEmpty: Bool { bytes.withLock { $0.waiting == 0 } }

    /// True where reading must pause.
    func add(_ count: Int) -> Bool {
        bytes.withLock { bytes in
            bytes.waiting += count
            guard bytes.waiting > Self.high, !bytes.isPaused else { return false }
            bytes.isPaused = true
            return true
        }
    }

    /// True where reading may go on.
    func remove(_ count: Int) -> Bool {
        bytes.withLock { bytes in
            bytes.waiting -= count
            guard bytes.waiting < Self.low, bytes.isPaused else { return false }
            bytes.isPaused = false
            return true
        }
    }
}
