import Logging
import NIOCore
import NIOPosix
import PeykModel
import PeykServer
import Synchronization

/// What a serving process does beside its sessions (rule T1): counts the time that it serves, collects in slices
/// between the committer's groups, and keeps the store's log of changes short (F80).
final class Housekeeping: Sendable {
    private let committer: CommitQueue
    private let contexts: @Sendable () -> [SessionContext]
    private let logger: Logger
    private let task = Mutex<RepeatedTask?>(nil)

    /// - Parameter contexts: the open sessions.
    init(
        _ workspace: Workspace, _ committer: CommitQueue, _ configuration: NetConfiguration,
        contexts: @escaping @Sendable () -> [SessionContext]
    ) {
        self.committer = committer
        self.contexts = contexts
        logger = configuration.logger
        workspace.beginServing()
        let minute = Double(Workspace.noteServedMilliseconds) / 1_000
        let seconds = min(minute, configuration.collectSeconds)
        let every = max(1, Int(configuration.collectSeconds / seconds))
        let interval = TimeAmount.milliseconds(Int64(seconds * 1_000))
        let count = Mutex(0)
        let timer = MultiThreadedEventLoopGroup.singleton.any().scheduleRepeatedTask(
            initialDelay: interval, delay: interval
        ) { [weak self] _ in
            let turn = count.withLock { count in
                defer { count += 1 }
                return count
            }
            self?.turn(collects: turn % every == 0)
        }
        task.withLock { $0 = timer }
    }

    deinit { task.withLock { $0?.cancel() } }

    private func turn(collects: Bool) {
        perform("served time") { try $0.noteServed() }
        guard collects else { return }
        let contexts = contexts()
        perform("contact") { try $0.noteContact(of: contexts) }
        perform("backup horizon") { try $0.moveBackupHorizonByAge() }
        collect(CollectionPass())
    }

    /// One slice, then whatever waits for the committer, then the next slice.
    private func collect(_ pass: CollectionPass) {
        perform("collection") { [self] workspace in
            var next = pass
            try workspace.collect(&next)
            guard next.isDone else { return collect(next) }
            for site in next.expired { logger.warning("lease ran out", metadata: ["site": "\(site.short)"]) }
            if next.hasChanged {
                logger.info(
                    "collected",
                    metadata: [
                        "tombstones": "\(next.tombstones)", "outcomes": "\(next.outcomes)",
                        "documents": "\(next.documents)", "entries": "\(next.entries)",
                    ])
            }
            try workspace.store.checkpoint()
        }
    }

    private func perform(_ what: String, _ body: @escaping @Sendable (Workspace) throws -> Void) {
        let logger = logger
        committer.perform { workspace in
            do {
                try body(workspace)
            } catch {
                // Nothing is lost by it: the next turn does it again.
                logger.warning("not done", metadata: ["what": "\(what)", "reason": "\(error)"])
            }
        }
    }

    /// The last minute counts, too.
    func end() {
        task.withLock { $0?.cancel() }
        perform("served time") { try $0.noteServed() }
    }
}
