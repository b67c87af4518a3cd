import Dispatch
import PeykFailpoint
import PeykModel
import PeykServer
import Synchronization

/// The one committer of a workspace: pushes that wait while a group is committed form the next group, so that
/// many acknowledgements cost one fsync. Sites take turns. Greetings and IT's own acts run between groups.
///
/// All writes run on one serial dispatch queue, which may block.
final class CommitQueue: Sendable {
    /// A group closes at this many commits or bytes; one larger push goes alone.
    static let groupCommitsMax = 2_000
    static let groupBytesMax: Int64 = 4 << 20

    struct Waiting: Sendable {
        var request: PushRequest
        var bytes: Int64
        /// Called on the committer's queue.
        var done: @Sendable (Result<PushResult, any Error>) -> Void
    }

    struct Counts: Sendable {
        var groups: Int64 = 0
        var commits: Int64 = 0
    }

    private struct State {
        /// Pushes of each site, in order, and the sites in the order of their turns.
        var lines: [SiteID: [Waiting]] = [:]
        var turns: [SiteID] = []
        var isRunning = false
        var counts = Counts()
    }

    private let workspace: Workspace
    private let queue = DispatchQueue(label: "peyk.committer")
    private let state = Mutex(State())
    /// Called on the committer's queue after each group and act.
    private let committed: @Sendable () -> Void

    init(_ workspace: Workspace, committed: @escaping @Sendable () -> Void) {
        self.workspace = workspace
        self.committed = committed
    }

    var counts: Counts { state.withLock { $0.counts } }

    func submit(_ waiting: Waiting) {
        let mustStart = state.withLock { state in
            let site = waiting.request.context.site
            if state.lines[site, default: []].isEmpty { state.turns.append(site) }
            state.lines[site, default: []].append(waiting)
            defer { state.isRunning = true }
            return !state.isRunning
        }
        if mustStart { queue.async { self.runGroup() } }
    }

    /// Runs `body` between groups.
    func perform(_ body: @escaping @Sendable (Workspace) -> Void) {
        queue.async { [workspace, committed] in
            body(workspace)
            committed()
        }
    }

    /// One group, then the queue's other work, then the next group.
    private func runGroup() {
        let group = takeGroup()
        guard !group.isEmpty else { return }
        let results = Result { try workspace.commit(group.map(\.request)) }
        switch results {
        case .success(let results):
            for (waiting, result) in zip(group, results) { waiting.done(.success(result)) }
            Failpoint.hit("server.group.answered")
        case .failure(let error):
            for waiting in group { waiting.done(.failure(error)) }
        }
        state.withLock { state in
            state.counts.groups += 1
            if case .success = results {
                state.counts.commits += Int64(group.reduce(0) { $0 + $1.request.commits.count })
            }
        }
        committed()
        queue.async { self.runGroup() }
    }

    /// One push of each site in turn, so that nobody waits for another's volume (P28).
    private func takeGroup() -> [Waiting] {
        state.withLock { state in
            var group: [Waiting] = []
            var commits = 0
            var bytes: Int64 = 0
            while let site = state.turns.first, let next = state.lines[site]?.first {
                commits += next.request.commits.count
                bytes += next.bytes
                if !group.isEmpty, commits > Self.groupCommitsMax || bytes > Self.groupBytesMax { break }
                group.append(next)
                state.turns.removeFirst()
                state.lines[site]?.removeFirst()
                if state.lines[site]?.isEmpty == true { state.lines[site] = nil } else { state.turns.append(site) }
            }
            if group.isEmpty { state.isRunning = false }
            return group
        }
    }

    /// Returns when everything that was asked for before is done.
    func drain() async {
        while true {
            await withCheckedContinuation { continuation in queue.async { continuation.resume() } }
            if state.withLock({ !$0.isRunning }) { return }
        }
    }
}
