public import PeykModel

/// How far a sync is; told now and then, from any thread.
public struct SyncProgress: Hashable, Sendable {
    public enum Phase: String, Hashable, Sendable {
        case connecting, greeting, loading, syncing, done
        /// The server asked to come later.
        case waiting
    }

    public var phase = Phase.connecting
    /// Rows of a first sync (or resync, or grant) that are stored, and that there will be in all.
    public var rows: Int64 = 0
    public var rowsTotal: Int64 = 0
    /// Commits that the server took in this session.
    public var pushed: Int64 = 0
    /// Where the replica stands in the log, and where the log ended when we asked.
    public var position: Position = 0
    public var head: Position = 0
    public var bytesIn: Int64 = 0
    public var bytesOut: Int64 = 0

    public init(phase: Phase = .connecting) { self.phase = phase }
}
