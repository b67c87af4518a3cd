import Foundation

/// The zone of the machine that the program runs on.
public enum LocalTime {
    /// Seconds east of UTC at an instant (Unix milliseconds).
    @Sendable
    public static func offset(_ milliseconds: Int64) -> Int {
        TimeZone.current.secondsFromGMT(for: Date(timeIntervalSince1970: Double(milliseconds) / 1000))
    }

    /// Unix milliseconds.
    public static func now() -> Int64 { Int64((Date().timeIntervalSince1970 * 1000).rounded(.down)) }
}
