import PeykModel
import PeykReplica
import SeededRandom
import Synchronization

/// A device's clocks: a wall clock that may be wrong in every way, and a boot clock that is right.
final class DeviceClock: Sendable {
    private struct State {
        var offset: Int64 = 0
        /// Parts per million.
        var drift: Int64 = 0
        var since: Int64
        var frozen: Int64?
        var boot: Int64
    }

    private let time: SimulatedTime
    private let state: Mutex<State>

    init(_ time: SimulatedTime) {
        self.time = time
        state = Mutex(State(since: time.now, boot: time.now - 3_600_000))
    }

    var now: Int64 {
        let now = time.now
        return state.withLock { state in
            state.frozen ?? now + state.offset + (now - state.since) / 1_000 * state.drift / 1_000
        }
    }

    static let year: Int64 = 365 * 86_400_000

    func disturb(_ random: inout SplitMix64) {
        let offsets: [Int64] = [
            0, 0, 30_000, -30_000, 70_000, -3 * 86_400_000, 5 * Self.year, -Self.year, 50 * Self.year, -50 * Self.year,
        ]
        let offset = offsets[random.draw(offsets.count)]
        let drift = random.chance(30) ? Int64(random.draw(20_000)) - 10_000 : 0
        let isFrozen = random.chance(15)
        let reading = now
        let present = time.now
        state.withLock { state in
            state.offset = offset
            state.drift = drift
            state.since = present
            state.frozen = isFrozen ? reading : nil
        }
    }

    /// The machine starts anew.
    func reboot() {
        let now = time.now
        state.withLock { $0.boot = now }
    }

    var environment: ReplicaEnvironment {
        ReplicaEnvironment(
            now: { self.now }, uptime: { self.time.now - self.state.withLock { $0.boot } },
            random: { self.time.random() })
    }
}
