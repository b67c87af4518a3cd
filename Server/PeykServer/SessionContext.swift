public import PeykModel
import PeykSession
import Synchronization

/// One admitted session: whose it is, what it may see, and what it was sent. Calls may come from any thread.
public final class SessionContext: Sendable {
    public let site: SiteID
    public let user: RecordID
    /// As of welcome; a change ends the session (rule S1).
    public let grant: Grant
    /// The part of the grant that the replica held already.
    public let kept: [Bucket]
    /// The head of the log as of welcome.
    public let head: Position
    public let schemaVersion: Int64
    /// Rises with each session of the workspace's process.
    public let number: UInt64
    /// The nonce that welcome offered (rule I2).
    public let nonce: [UInt8]
    public let epoch: Epoch
    private let state: Mutex<State>

    private struct State {
        var sent: Position
        var remaining: Int64?
    }

    init(
        site: SiteID, user: RecordID, grant: Grant, kept: [Bucket], head: Position, schemaVersion: Int64,
        number: UInt64, nonce: [UInt8], epoch: Epoch, sent: Position
    ) {
        self.site = site
        self.user = user
        self.grant = grant
        self.kept = kept
        self.head = head
        self.schemaVersion = schemaVersion
        self.number = number
        self.nonce = nonce
        self.epoch = epoch
        state = Mutex(State(sent: sent))
    }

    /// The highest position of this epoch that the replica was sent, or proved by its token (rule C6).
    public var sent: Position { state.withLock { $0.sent } }

    func noteSent(_ position: Position) { state.withLock { $0.sent = max($0.sent, position) } }

    /// Rows of the backfill that are still to come after `count` more; `total` is asked for once.
    func remaining(after count: Int, total: () throws -> Int64) rethrows -> Int64 {
        if state.withLock({ $0.remaining }) == nil {
            let value = try total()
            state.withLock { $0.remaining = value }
        }
        return state.withLock { state in
            let left = max(0, (state.remaining ?? 0) - Int64(count))
            state.remaining = left
            return left
        }
    }

    func buckets(_ scope: ServerSession.ReadScope) -> [Bucket] {
        switch scope {
        case .kept: kept
        case .all: grant.read
        }
    }
}
