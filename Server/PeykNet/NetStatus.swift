public import PeykModel

/// What the network side of a server does at this moment.
public struct NetStatus: Hashable, Sendable {
    public struct Session: Hashable, Sendable {
        public var site: SiteID
        public var user: RecordID
        public var peer: String
        public var program: String
        /// Unix milliseconds of its welcome.
        public var since: Int64
        public var bytesIn: Int64
        public var bytesOut: Int64
        /// What the session is doing.
        public var activity: String
    }

    /// Open connections, those that are not welcome yet included.
    public var connections: Int
    /// By site.
    public var sessions: [Session]
    /// Sessions that load pages.
    public var loading: Int
    /// Pushes are put off, since the store's disk is nearly full.
    public var isFull: Bool
    /// Memory that long frames take at the moment.
    public var frameBytes: Int64
    /// Since the start.
    public var accepted: Int64
    public var refused: Int64
    public var groups: Int64
    public var commits: Int64

    public var json: JSON {
        [
            "connections": .integer(Int64(connections)), "accepted": .integer(accepted), "refused": .integer(refused),
            "loading": .integer(Int64(loading)), "disk_full": .bool(isFull), "frame_bytes": .integer(frameBytes),
            "groups": .integer(groups), "commits": .integer(commits),
            "sessions": .array(
                sessions.map { session in
                    [
                        "site": .string(session.site.description), "user": .string(session.user.description),
                        "peer": .string(session.peer), "program": .string(session.program),
                        "since": .integer(session.since), "bytes_in": .integer(session.bytesIn),
                        "bytes_out": .integer(session.bytesOut), "activity": .string(session.activity),
                    ]
                }),
        ]
    }
}
