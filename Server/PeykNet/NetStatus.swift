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
    /// Since the start.
    public var accepted: Int64
    public var refused: Int64
    public var groups: Int64
    public var commits: Int64

    public var json: JSON {
        [
            "connections": .integer(Int64(connections)), "accepted": .integer(accepted), "refused": .integer(refused),
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
