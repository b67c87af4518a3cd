/// A hybrid logical clock stamp: 48 bits of Unix milliseconds, 16 of counter.
///
/// Stamps of one site rise strictly (rule C2); between sites they only break ties, since causality is the
/// vector clock's matter. Source: Kulkarni et al., *Logical Physical Clocks*, 2014; the counter here carries
/// into the milliseconds when it is full, and never fails.
public struct HLC: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Times below 0 count as 0, times beyond 48 bits as the largest (rule C4).
    public init(milliseconds: Int64, counter: UInt16 = 0) {
        let clamped = UInt64(max(0, min(milliseconds, Self.millisecondsMax)))
        self.init(rawValue: clamped << 16 | UInt64(counter))
    }

    public static let zero = HLC(rawValue: 0)
    public static let millisecondsMax: Int64 = (1 << 48) - 1

    public var milliseconds: Int64 { Int64(rawValue >> 16) }
    public var counter: UInt16 { UInt16(truncatingIfNeeded: rawValue) }

    /// The next larger stamp; the largest of all stays where it is.
    public var successor: HLC { rawValue == .max ? self : HLC(rawValue: rawValue + 1) }

    /// `milliseconds.counter`, for people who compare stamps by eye.
    public var description: String { "\(milliseconds).\(counter)" }

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// The clock of one site: gives stamps that rise strictly, and learns from stamps it sees.
public struct HybridClock: Hashable, Sendable {
    /// The last stamp that was given or learned.
    public private(set) var last: HLC

    public init(last: HLC = .zero) { self.last = last }

    /// A stamp above all former ones, at `milliseconds` where the wall clock allows it.
    public mutating func tick(milliseconds: Int64) -> HLC {
        last = max(last.successor, HLC(milliseconds: milliseconds))
        return last
    }

    /// Later stamps will be above `stamp` (rule C2).
    public mutating func learn(_ stamp: HLC) { last = max(last, stamp) }

    /// Lowers the clock after its stamps were capped by the server (rule C3). The caller makes sure that no
    /// unmerged commit of its own carries a later stamp.
    public mutating func lower(to stamp: HLC) { last = min(last, stamp) }
}
