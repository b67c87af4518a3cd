import PeykSession

/// How long to wait before the next attempt: twice as long each time, spread so that the devices of a whole company do
/// not come back at one moment, and never earlier than the server asked for.
struct Backoff: Sendable {
    private var attempts = 0

    static let secondsMax = 60.0

    /// - Parameter spread: random, from 0 to below 1.
    mutating func next(_ failure: SyncFailure, spread: Double) -> Double {
        if failure.isWorthAnotherSession {
            attempts = 0
            return 0.05
        }
        let own = min(Self.secondsMax, Double(1 << min(attempts, 6))) * (0.5 + spread / 2)
        attempts += 1
        guard let asked = failure.retryAfter else { return own }
        return max(own, Double(asked) * (1 + spread / 4))
    }
}
