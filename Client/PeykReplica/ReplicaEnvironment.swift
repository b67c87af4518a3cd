import Foundation

/// What a replica takes from the machine: time and randomness. Injected, so that a simulation can drive both.
public struct ReplicaEnvironment: Sendable {
    /// The wall clock in Unix milliseconds; may jump, may be wrong by years.
    public var now: @Sendable () -> Int64
    /// Milliseconds since the machine started, sleep included; never jumps (rule C4).
    public var uptime: @Sendable () -> Int64
    /// 64 random bits.
    public var random: @Sendable () -> UInt64

    public init(
        now: @escaping @Sendable () -> Int64, uptime: @escaping @Sendable () -> Int64,
        random: @escaping @Sendable () -> UInt64
    ) {
        self.now = now
        self.uptime = uptime
        self.random = random
    }

    /// The machine's own clocks and generator.
    public static let system = ReplicaEnvironment(
        now: { milliseconds(CLOCK_REALTIME) },
        uptime: { milliseconds(CLOCK_BOOTTIME) },
        random: { UInt64.random(in: .min ... .max) })

    private static func milliseconds(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) &* 1_000 &+ Int64(time.tv_nsec) / 1_000_000
    }
}
