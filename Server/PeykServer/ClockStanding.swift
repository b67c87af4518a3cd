/// How the machine's clock stands to the last commit of the workspace (rule C4).
public enum ClockStanding: Hashable, Sendable {
    case fine
    /// More than an hour behind: what is stamped now stands before what has been.
    case behind
    /// More than an hour ahead, as after a quiet weekend.
    case ahead
    /// More than 30 days ahead: a wrong year would stamp everything into the future.
    case farAhead

    /// - Parameters:
    ///   - now: Unix milliseconds of the machine.
    ///   - last: of the last stamp; 0 where there is none.
    public init(now: Int64, last: Int64) {
        let hour: Int64 = 3_600_000
        let ahead = now - last
        self = .fine
        guard last > 0 else { return }
        if ahead > 30 * 24 * hour {
            self = .farAhead
        } else if ahead > hour {
            self = .ahead
        } else if ahead < -hour {
            self = .behind
        }
    }
}
