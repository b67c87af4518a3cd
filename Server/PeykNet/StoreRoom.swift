import Logging
import PeykModel
import PeykSession
import Synchronization

/// Whether the store's disk has room for more commits.
///
/// Pushes are put off while less than the reserve is free, so that greetings and what devices report, which are small,
/// still find room, and everybody can go on reading. Looked at every second, and after a failed write.
final class StoreRoom: Sendable {
    private let configuration: NetConfiguration
    private let isFull = Atomic(false)

    init(_ configuration: NetConfiguration) { self.configuration = configuration }

    /// Seconds after which to push again; nil where there is room.
    var retryAfter: Int64? { isFull.load(ordering: .relaxed) ? configuration.retryAfterSeconds : nil }

    /// Blocks on the file system, for a moment.
    func look() {
        guard let free = configuration.freeBytes?() else { return }
        set(free < configuration.reserveBytes, free: free)
    }

    /// Seconds after which to try again where the error says that the disk is full; nil for any other error.
    func noteFailure(_ error: any Error) -> Int64? {
        guard configuration.isDiskFull(error) else { return nil }
        configuration.logger.error("the store could not write: the disk is full", metadata: ["reason": "\(error)"])
        return configuration.retryAfterSeconds
    }

    private func set(_ isFull: Bool, free: Int64) {
        guard self.isFull.exchange(isFull, ordering: .relaxed) != isFull else { return }
        if isFull {
            configuration.logger.error(
                "the disk is nearly full: pushes are put off, reading goes on; make room",
                metadata: ["free_bytes": "\(free)", "reserve_bytes": "\(configuration.reserveBytes)"])
        } else {
            configuration.logger.notice("there is room again: pushes are taken", metadata: ["free_bytes": "\(free)"])
        }
    }
}

extension Refusal {
    static func noRoom(retryAfter seconds: Int64) -> Refusal {
        Refusal(
            .busy,
            "The server's disk is full, so it could not go on. Everything on this device is kept; IT must make room.",
            retryAfter: seconds)
    }
}
