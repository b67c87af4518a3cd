import Dispatch
import Logging
import NIOCore
import PeykFailpoint
import PeykModel
import PeykReplica
import PeykSession
import PeykTransport
import PeykWire
import Synchronization

/// The shell around one ``ClientSession``: one connection, one replica, one purpose.
///
/// Unchecked: all state but `inbox` and `ending` is confined to `queue`, a serial dispatch queue on which the
/// replica's transactions run (they block). Frames are read and unpacked on the connection's event loop meanwhile.
final class SyncRun: FrameReceiver, @unchecked Sendable {
    /// What a run is for.
    enum Purpose: Sendable {
        case sync
        case watch
        case ask(ClientMessage)
        case fetch([RecordKey])
        case verify(repair: Bool)
        case plan
    }

    /// What a run ended with.
    struct Outcome: Sendable {
        var summary = SyncSummary()
        var reply: ServerMessage?
        var plan: SyncPlan?
        var verification: Verification?
    }

    let identity: SyncIdentity
    let purpose: Purpose
    let options: SyncOptions
    let report: (@Sendable (SyncProgress) -> Void)?
    let queue = DispatchQueue(label: "peyk.sync")
    var session: ClientSession
    var line: [ClientSession.Directive] = []
    private var isWorking = false
    private(set) var connection: FrameConnection?
    private var timer: Scheduled<Void>?
    private var lastProgress = 0
    var progress = SyncProgress()
    var outcome = Outcome()
    var planner: SyncPlanner?
    var verifier: SyncVerifier?
    var watch: FileWatch?
    var opened: (@Sendable () -> Void)?
    /// Told the seconds until the next push, where the server has no room.
    let postponed: (@Sendable (Double) -> Void)?
    /// Something was sent since the last frame came: the next one ends a round trip.
    private var isAwaiting = false
    private(set) var isEnded = false
    private let start = ContinuousClock.now
    private let inbox = Inbox()
    /// The welcome is stored: anything that is sent now confirms its nonce (rule I2).
    let isAdopted = Atomic(false)
    private let ending = Mutex<Ending>(.open)

    private enum Ending {
        case open
        case waiting(CheckedContinuation<Outcome, any Error>)
        case ended(Result<Outcome, any Error>)
    }

    init(
        _ identity: SyncIdentity, _ purpose: Purpose, _ options: SyncOptions,
        opened: (@Sendable () -> Void)? = nil, postponed: (@Sendable (Double) -> Void)? = nil,
        report: (@Sendable (SyncProgress) -> Void)? = nil
    ) {
        self.identity = identity
        self.purpose = purpose
        self.options = options
        self.opened = opened
        self.postponed = postponed
        self.report = report
        let kind: ClientSession.Purpose =
            switch purpose {
            case .sync, .plan, .fetch: .sync
            case .watch: .watch
            case .ask(let question): .ask(question)
            case .verify: .ask(.digest(DigestRequest()))
            }
        session = ClientSession(purpose: kind, workspace: identity.workspace, mustEnrol: identity.enrolment != nil)
    }

    /// Connects, runs the session to its end, and closes.
    /// - Throws: ``SyncFailure``
    func run() async throws -> Outcome {
        tell { $0.phase = .connecting }
        do {
            let security = try identity.security(options)
            let connection = try await FrameConnector.connect(
                host: identity.host, port: identity.port, security: security, receiver: self,
                timeoutSeconds: options.connectSeconds)
            queue.async { self.connected(connection) }
            let outcome = try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { continuation in
                    let early = ending.withLock { ending -> Result<Outcome, any Error>? in
                        if case .ended(let result) = ending { return result }
                        ending = .waiting(continuation)
                        return nil
                    }
                    if let early { continuation.resume(with: early) }
                }
            } onCancel: {
                leave(CancellationError())
            }
            // A program ends with its sync: the last report and the goodbye must have left before (rule T1).
            await connection.flushed()
            return outcome
        } catch {
            throw SyncFailure(error)
        }
    }

    /// Ends the session in good order; the run fails with `error` where it is not done.
    private func leave(_ error: any Error) {
        queue.async {
            guard !self.isEnded else { return }
            if self.session.isOpen { self.work(self.session.leave()) }
            self.end(.failure(error))
        }
    }

    // MARK: Events from the connection, on its event loop

    func opened(_ connection: FrameConnection) {
        queue.async {
            self.connected(connection)
            self.tell { $0.phase = .greeting }
        }
    }

    func received(_ body: [UInt8], from connection: FrameConnection) {
        let message: ServerMessage
        do {
            message = try ServerMessage(unpacking: body)
        } catch {
            queue.async { self.end(.failure(error)) }
            connection.abort()
            return
        }
        if case .ping(let token) = message, isAdopted.load(ordering: .relaxed) {
            // Answered at once, also while the replica is busy with a large batch.
            connection.enqueue(WireCodec.encode(ClientMessage.pong(token)))
            return
        }
        if inbox.add(body.count) { connection.setReading(false) }
        queue.async {
            if self.inbox.remove(body.count) { connection.setReading(true) }
            guard !self.isEnded else { return }
            self.heard(message, bytes: body.count)
        }
    }

    func writabilityChanged(_ isWritable: Bool, of connection: FrameConnection) {}

    func closed(_ error: TransportError?, _ connection: FrameConnection) {
        queue.async {
            guard !self.isEnded else { return }
            if let error { self.end(.failure(error)) } else { self.work(self.session.disconnected()) }
        }
    }

    // MARK: On the queue

    /// Once with the socket, where TLS is not done yet, and once with the session's first byte, in either order.
    private func connected(_ connection: FrameConnection) {
        guard !isEnded else { return connection.abort() }
        guard self.connection == nil else { return }
        self.connection = connection
        restartTimer()
        startTotalTimer()
    }

    private func heard(_ message: ServerMessage, bytes: Int) {
        if isAwaiting {
            isAwaiting = false
            outcome.summary.roundTrips += 1
        }
        restartTimer()
        if case .ping(let token) = message {
            if planner == nil { send(.pong(token)) }
            return
        }
        work(session.received(message, bytes: bytes))
    }

    /// Carries out directives and what they lead to, in order.
    func work(_ directives: [ClientSession.Directive]) {
        line += directives
        guard !isWorking else { return }
        isWorking = true
        defer { isWorking = false }
        while !line.isEmpty, !isEnded {
            let directive = line.removeFirst()
            do {
                line += try carryOut(directive)
            } catch {
                end(.failure(error))
            }
        }
    }

    private func carryOut(_ directive: ClientSession.Directive) throws -> [ClientSession.Directive] {
        switch directive {
        case .prepareEnrol(let challenge): return session.prepared(try identity.enrol(challenge))
        case .prepareHello(let challenge):
            return session.prepared(try identity.hello(challenge, program: options.program))
        case .store(let enrolled):
            try identity.store(enrolled)
            return session.enrolmentStored()
        case .prepareRekey(let challenge, let site): return session.prepared(try identity.rekey(challenge, site))
        case .storeRekeyed(let rekeyed):
            try identity.store(rekeyed)
            return []
        case .send(let message):
            send(message)
            return []
        case .deliver(let reply): return try deliver(reply)
        case .postpone(let seconds):
            postpone(seconds)
            return []
        case .finish:
            try finish()
            return []
        case .fail(let error): throw error
        default: return try planner == nil ? carryOutOnReplica(directive) : carryOutAsPlan(directive)
        }
    }

    func send(_ message: ClientMessage) {
        guard let connection else { return }
        var message = message
        if planner != nil {
            switch message {
            case .bye: message = .bye(nonceStored: false)
            case .credit:
                // More would confirm a nonce that a plan does not store.
                planner?.plan.isPartial = true
                work(session.leave())
                return
            default: return
            }
        }
        let frame = WireCodec.encode(message)
        guard frame.count <= SessionLimits.frameBytes else {
            end(.failure(SyncFailure(.replica, "A change is too large to be sent. Nothing is lost; ask IT.")))
            return
        }
        connection.enqueue(frame)
        switch message {
        case .bye, .applied, .credit, .pong: break
        default: isAwaiting = true
        }
        if case .push = message { Failpoint.hit("sync.push.sent") }
    }

    private func finish() throws {
        if planner == nil {
            let wasConverged = if case .sync = purpose { true } else { false }
            try identity.replica.finishSession(wasConverged: wasConverged)
        }
        tell { $0.phase = .done }
        outcome.plan = planner?.plan
        end(.success(outcome))
    }

    private func end(_ result: Result<Outcome, any Error>) {
        guard !isEnded else { return }
        isEnded = true
        timer?.cancel()
        line = []
        if let counts = connection?.counts {
            outcome.summary.bytesIn = counts.received
            outcome.summary.bytesOut = counts.sent
        }
        let elapsed = (ContinuousClock.now - start).components
        outcome.summary.seconds = Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18
        connection?.close()
        let final = result.map { _ in outcome }
        let waiting = ending.withLock { ending -> CheckedContinuation<Outcome, any Error>? in
            defer { ending = .ended(final) }
            if case .waiting(let continuation) = ending { return continuation }
            return nil
        }
        waiting?.resume(with: final)
    }

    func tell(_ change: (inout SyncProgress) -> Void) {
        guard let report else { return }
        change(&progress)
        if let counts = connection?.counts {
            progress.bytesIn = counts.received
            progress.bytesOut = counts.sent
        }
        report(progress)
    }

    // MARK: Time

    private func restartTimer() {
        timer?.cancel()
        guard let connection, !isEnded else { return }
        lastProgress = connection.progress
        let seconds = session.isOpen ? SessionLimits.idleSeconds : SessionLimits.greetingSeconds
        timer = connection.schedule(seconds: Double(seconds)) {
            self.queue.async { self.deadlinePassed() }
        }
    }

    private func deadlinePassed() {
        guard let connection, !isEnded else { return }
        // A slow line still moves, and what waits in the inbox has come in time.
        if connection.progress == lastProgress, inbox.isEmpty { work(session.timedOut()) }
        restartTimer()
    }

    private func startTotalTimer() {
        guard let seconds = options.totalSeconds else { return }
        _ = connection?.schedule(seconds: seconds) {
            self.leave(
                SyncFailure(
                    .timeout, "The sync was not done within \(seconds) s. What was done stays; sync again to go on."))
        }
    }

    /// Looks for local changes a few times a second while the session lasts.
    func beginWatching(_ replica: Replica) {
        watch = FileWatch(database: Replica.databasePath(replica.home))
        scheduleLook()
    }

    /// Another process wants the session (rule K5).
    private var isWanted: Bool {
        guard let home = try? identity.replica.home else { return false }
        return SessionRequest.isMade(path: Replica.sessionRequestPath(home))
    }

    private func scheduleLook() {
        guard !isEnded else { return }
        _ = connection?.schedule(seconds: 0.3) {
            self.queue.async {
                guard !self.isEnded else { return }
                if self.watch?.hasChanged() == true { self.work(self.session.localChange()) }
                if self.isWanted { return self.leave(CancellationError()) }
                self.scheduleLook()
            }
        }
    }
}
