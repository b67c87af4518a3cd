import Foundation
import PeykFailpoint
public import PeykModel
public import PeykReplica
public import PeykSession
public import PeykTransport

/// Keeps one replica in step with its server.
///
/// One call at a time does its work; a second one, also of another process, waits for the first (rule K5). No call
/// blocks a thread of Swift's pool: the replica's transactions run on a queue of their own. All errors are
/// ``SyncFailure``; whatever happens, nothing that was written locally is lost.
///
/// ```swift
/// let client = try SyncClient(replica: replica)
/// let summary = try await client.sync()
/// print(summary.pushed, summary.pulled)
/// ```
public final class SyncClient: Sendable {
    public typealias Report = @Sendable (SyncProgress) -> Void

    public let replica: Replica
    private let identity: SyncIdentity
    private let options: SyncOptions

    /// - Parameter key: nil for the one in the replica's folder.
    /// - Throws: ``SyncFailure`` where the key or the server's address is missing.
    public convenience init(replica: Replica, key: DeviceKey? = nil, options: SyncOptions = SyncOptions()) throws {
        do {
            let key = try key ?? SyncIdentity.key(of: replica)
            try self.init(replica, SyncIdentity(replica, key: key), options)
        } catch {
            throw SyncFailure(error)
        }
    }

    private init(_ replica: Replica, _ identity: SyncIdentity, _ options: SyncOptions) throws {
        self.replica = replica
        self.identity = identity
        self.options = options
    }

    // MARK: Joining

    /// Redeems an invite: makes the device's key and the replica in `home`, and does the first sync.
    ///
    /// After a failure call it again with the same invite: the server gives the same device the same answer. Once
    /// the replica exists, ``sync(report:)`` goes on where it stopped.
    public static func join(
        home: String, invite: InviteURL, deviceName: String, environment: ReplicaEnvironment = .system,
        options: SyncOptions = SyncOptions(), report: Report? = nil
    ) async throws -> (client: SyncClient, summary: SyncSummary) {
        do {
            guard !FileManager.default.fileExists(atPath: Replica.databasePath(home)) else {
                throw ReplicaError.alreadyExists(path: home)
            }
            try FileManager.default.createDirectory(
                atPath: home, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            let lock = try await SessionLock(
                path: Replica.sessionLockPath(home), request: Replica.sessionRequestPath(home),
                seconds: options.lockSeconds)
            defer { withExtendedLifetime(lock) {} }
            let key = try deviceKey(at: Replica.deviceKeyPath(home))
            Failpoint.hit("join.key.written")
            let enrolment = SyncIdentity.Enrolment(code: invite.code, deviceName: deviceName) { facts in
                try Replica.create(at: home, facts: facts, environment: environment)
            }
            let identity = SyncIdentity(invite, key: key, enrolment: enrolment)
            let outcome = try await SyncRun(identity, .sync, options, report: report).run()
            let replica = try identity.replica
            let client = try SyncClient(replica, SyncIdentity(replica, key: key), options)
            return (client, outcome.summary)
        } catch {
            throw SyncFailure(error)
        }
    }

    /// The key of an earlier attempt, or a new one.
    private static func deviceKey(at path: String) throws -> DeviceKey {
        do {
            return try DeviceKey.create(at: path)
        } catch DeviceKey.Failure.file(let failure) where failure.exists {
            return try DeviceKey(contentsOf: path)
        }
    }

    // MARK: Syncing

    /// Two-way: ends when both sides have what the other had at the start (P26).
    public func sync(report: Report? = nil) async throws -> SyncSummary {
        try await locked { try await self.converge(report) }
    }

    /// Sessions until one ends well: a changed grant or schema ends a session in the middle, and the next brings it.
    /// Where the server asks to come later, it is waited for once, within the time of the whole.
    private func converge(_ report: Report?) async throws -> SyncSummary {
        var total = SyncSummary()
        var options = options
        let clock = ContinuousClock()
        let start = clock.now
        var hasWaited = false
        for attempt in 1... {
            do {
                total.add(try await SyncRun(identity, .sync, options, report: report).run().summary)
                break
            } catch let failure as SyncFailure where attempt < 4 && failure.isWorthAnotherSession {
                continue
            } catch let failure as SyncFailure where attempt == 1 && failure.refusal == .rolledBack {
                // The next hello tells former tokens, so that the server finds the last position that both know.
                try replica.tellFormerTokens()
            } catch let failure as SyncFailure {
                guard let seconds = failure.retryAfter, !hasWaited else { throw failure }
                let pause = Double(seconds) * Double.random(in: 1...1.25)
                let left = options.totalSeconds.map { $0 - (clock.now - start) / .seconds(1) } ?? Self.waitMax
                guard pause < left else { throw failure }
                hasWaited = true
                report?(SyncProgress(phase: .waiting))
                try await clock.sleep(for: .seconds(pause))
                if self.options.totalSeconds != nil { options.totalSeconds = max(0.1, left - pause) }
            }
        }
        return total
    }

    /// Seconds that a sync without a time-out of its own waits when the server asks to come later.
    private static let waitMax = 60.0

    /// What ``sync(report:)`` would do. Nothing is stored or sent.
    public func plan() async throws -> SyncPlan {
        try await locked {
            guard let plan = try await SyncRun(self.identity, .plan, self.options).run().plan else {
                throw SyncFailure(.protocolBroken, "The server ended the session before the plan was made. Try again.")
            }
            return plan
        }
    }

    /// Reads these records whole from the server (`verify --repair`), and syncs.
    public func fetch(_ keys: [RecordKey]) async throws -> SyncSummary {
        try await locked { try await SyncRun(self.identity, .fetch(keys), self.options).run().summary }
    }

    // MARK: Asking

    /// Syncs, and compares confirmed state with the server's by digests of ranges that are cut where they differ (T5).
    ///
    /// - Parameter repairs: fetch what differs, and just that, and compare again. Unsent changes stay on top.
    public func verify(repairs: Bool = false) async throws -> Verification {
        try await locked {
            _ = try await self.converge(nil)
            let outcome = try await SyncRun(self.identity, .verify(repair: repairs), self.options).run()
            guard var found = outcome.verification else {
                throw SyncFailure(.protocolBroken, "The server ended the session before the comparison was done.")
            }
            found.bytesIn = outcome.summary.bytesIn
            found.bytesOut = outcome.summary.bytesOut
            return found
        }
    }

    /// The outcomes that a record had, as the server remembers them.
    public func history(_ key: RecordKey) async throws -> HistoryReply {
        try await locked {
            guard case .history(let reply)? = try await self.ask(.history(HistoryRequest(key: key))) else {
                throw SyncFailure(.protocolBroken, "The server gave no history. Nothing was changed; try again.")
            }
            return reply
        }
    }

    private func ask(_ question: ClientMessage) async throws -> ServerMessage? {
        try await SyncRun(identity, .ask(question), options).run().reply
    }

    // MARK: Staying

    /// Stays connected: sends local changes as any program makes them, takes others' as they come, and connects
    /// again with growing pauses where the connection breaks. Ends when the task is cancelled, without an error.
    ///
    /// Another process that wants to sync is let in at once, and the watch goes on when it is done (rule K5).
    /// - Throws: ``SyncFailure`` where trying again cannot help: revoked, another server, a broken replica; and where
    ///   another process held the replica's session from the first and did not let go.
    public func watch(_ report: @escaping @Sendable (WatchEvent) -> Void) async throws {
        var backoff = Backoff()
        var hasHeld = false
        while !Task.isCancelled {
            let start = ContinuousClock.now
            do {
                try await locked(asking: false) {
                    let run = SyncRun(
                        self.identity, .watch, self.options, opened: { report(.connected) },
                        postponed: { report(.postponed(seconds: $0)) }, report: { report(.progress($0)) })
                    _ = try await run.run()
                }
                hasHeld = true
                backoff = Backoff()
                try await letOthersIn()
            } catch let failure as SyncFailure {
                if failure.kind == .cancelled || Task.isCancelled { return }
                guard failure.isPassing, hasHeld || failure.kind != .busy || failure.refusal != nil else {
                    throw failure
                }
                hasHeld = true
                if ContinuousClock.now - start > .seconds(60) { backoff = Backoff() }
                let spread = Double.random(in: 0..<1)
                let pause = backoff.next(failure, spread: spread)
                report(.waiting(seconds: pause, failure))
                try? await ContinuousClock().sleep(for: .seconds(pause))
            }
        }
    }

    /// Waits until nobody wants the session any more.
    private func letOthersIn() async throws {
        let path = Replica.sessionRequestPath(replica.home)
        while SessionRequest.isMade(path: path), !Task.isCancelled {
            try? await ContinuousClock().sleep(for: .milliseconds(50))
        }
    }

    /// Runs `body` while this process holds the replica's session.
    private func locked<Result: Sendable>(
        asking: Bool = true, _ body: @Sendable () async throws -> Result
    ) async throws -> Result {
        do {
            let lock = try await SessionLock(
                path: Replica.sessionLockPath(replica.home),
                request: asking ? Replica.sessionRequestPath(replica.home) : nil, seconds: options.lockSeconds)
            let result = try await body()
            withExtendedLifetime(lock) {}
            return result
        } catch {
            throw SyncFailure(error)
        }
    }
}

/// What happens while a client watches.
public enum WatchEvent: Hashable, Sendable {
    /// The session is open.
    case connected
    case progress(SyncProgress)
    /// The connection is gone; the next attempt comes after about so many seconds.
    case waiting(seconds: Double, SyncFailure)
    /// The session goes on, but the server has no room for changes: they are sent again after so many seconds.
    case postponed(seconds: Double)
}
