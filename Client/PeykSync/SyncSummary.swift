public import PeykModel
import PeykReplica
public import PeykSession

/// What a sync did; the JSON form is the one of `peyk sync`.
public struct SyncSummary: Hashable, Sendable {
    /// Own commits that the server took.
    public var pushed: Int64 = 0
    /// Records of others that changed here, rows of a first sync included.
    public var pulled: Int64 = 0
    public var conflicts: Int64 = 0
    public var handedOff: Int64 = 0
    public var parked: Int64 = 0
    /// Records that left the replica because they left its scope.
    public var evicted: [RecordKey] = []
    /// Above TLS.
    public var bytesOut: Int64 = 0
    public var bytesIn: Int64 = 0
    /// How often we sent something and then waited for an answer.
    public var roundTrips: Int64 = 0
    public var anchor: Position = 0
    public var seconds: Double = 0
    /// Set where the server gave this replica a new site, with the reason.
    public var newSite: NewSiteReason?

    public init() {}

    mutating func add(_ applied: Applied) {
        pulled += applied.pulled
        conflicts += applied.conflicts
        handedOff += applied.handedOff
        parked += applied.parked
        evicted += applied.evicted
        // Lower than before where a restored server's history is shorter.
        anchor = applied.cursor
    }

    /// Adds what a further session of the same sync did.
    mutating func add(_ other: SyncSummary) {
        pushed += other.pushed
        pulled += other.pulled
        conflicts += other.conflicts
        handedOff += other.handedOff
        parked += other.parked
        evicted += other.evicted
        bytesOut += other.bytesOut
        bytesIn += other.bytesIn
        roundTrips += other.roundTrips
        if other.anchor > 0 { anchor = other.anchor }
        seconds += other.seconds
        newSite = other.newSite ?? newSite
    }

    public var json: JSON {
        [
            "pushed": .integer(pushed), "pulled": .integer(pulled), "conflicts": .integer(conflicts),
            "handed_off": .integer(handedOff), "parked": .integer(parked), "evicted": .integer(Int64(evicted.count)),
            "bytes_out": .integer(bytesOut), "bytes_in": .integer(bytesIn), "round_trips": .integer(roundTrips),
            "anchor": .integer(anchor), "seconds": .double((seconds * 1_000).rounded() / 1_000),
        ]
    }
}
