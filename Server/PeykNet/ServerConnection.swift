import Dispatch
import Logging
import NIOCore
import PeykFailpoint
import PeykModel
import PeykServer
import PeykSession
import PeykTransport
import PeykWire

/// The shell around one ``ServerSession``: hands it what happens and carries out what it decides.
///
/// Unchecked: all state is confined to the connection's event loop; work that blocks runs on the committer's and
/// reader's queues and comes back to the loop.
final class ServerConnection: FrameReceiver, @unchecked Sendable {
    let server: ServerCore
    let connection: FrameConnection
    let reader: DispatchQueue
    let logger: Logger
    var session = ServerSession()
    var challenge: Challenge?
    var context: SessionContext?
    var program = ""
    var since: Int64 = 0
    var timer: Scheduled<Void>?
    var lastProgress = 0
    /// Enrolment or admission is under way: the peer waits for us, not we for it.
    var isGreeting = false
    var isEnded = false
    /// Bytes of pushes that wait for the committer.
    private var pushing: Int64 = 0
    private var isRecording = false
    private var nextApplied: Position?
    /// A read that waits until the peer has taken what was sent before (P28).
    private var heldRead: ServerSession.Directive?
    /// Memory of the push that is being handed on.
    private var hold = FrameHold.none
    /// The site that greeted, for what it hands in.
    var greeted: SiteID?
    /// Unsent bytes at the last look at a peer that does not read, and the look that comes.
    var stall: (unsent: Int, sent: Int64, timer: Scheduled<Void>)?
    /// The frame of the message that the session is about to send, where it was made off the loop.
    private var prepared: [UInt8]?

    /// Beyond this many bytes of pushes nothing more is read from the peer.
    static let pushingMax: Int64 = 1 << 20

    /// Where the peer comes from.
    let network: String

    init(_ connection: FrameConnection, _ server: ServerCore) {
        self.server = server
        self.connection = connection
        network = connection.peerNetwork
        reader = server.readers.queue()
        var logger = server.configuration.logger
        logger[metadataKey: "peer"] = "\(connection.peer)"
        self.logger = logger
    }

    var isOpen: Bool { session.isOpen }

    // MARK: Events from the connection

    /// The deadline of the greeting runs from here: TLS is a part of it.
    func start() { restartTimer() }

    func opened(_ connection: FrameConnection) {
        let challenge = server.workspace.challenge()
        self.challenge = challenge
        send(.challenge(challenge))
    }

    func received(_ body: [UInt8], from connection: FrameConnection) {
        guard !isEnded else { return }
        if session.isAuthenticated { restartTimer() }
        let message: ClientMessage
        do {
            message = try WireCodec.decodeClient(body, limit: connection.frameLimit)
        } catch {
            end(Refusal(.protocolBroken, "The server could not read the message: \(error). Nothing of it was taken."))
            return
        }
        switch message {
        case .hello(let hello): program = hello.program
        case .push: hold = connection.claimHold()
        default: break
        }
        defer {
            hold.release()
            hold = .none
        }
        carryOut(session.received(message, bytes: body.count))
    }

    func writabilityChanged(_ isWritable: Bool, of connection: FrameConnection) {
        watchStall()
        guard isWritable else { return }
        updateReading()
        if let read = heldRead {
            heldRead = nil
            carryOut([read])
        }
    }

    func failing(_ error: TransportError, _ connection: FrameConnection) {
        guard !isEnded else { return }
        send(.refuse(Refusal(.limit, error.description)))
    }

    func closed(_ error: TransportError?, _ connection: FrameConnection) {
        if let error, !isEnded {
            server.countRefusal()
            logger.notice("connection refused", metadata: ["code": "\(error.code)", "reason": "\(error)"])
        }
        timer?.cancel()
        stall?.timer.cancel()
        isEnded = true
        _ = session.disconnected()
        server.closed(self)
    }

    // MARK: Events from the server; any thread

    func headMoved(to position: Position) {
        connection.eventLoop.execute { self.carryOut(self.session.headMoved(to: position)) }
    }

    /// Ends the session, where it still is the one of this context.
    func end(_ refusal: Refusal, of context: SessionContext?) {
        connection.eventLoop.execute {
            guard context == nil || context === self.context else { return }
            self.end(refusal)
        }
    }

    func abort() { connection.abort() }

    /// Nil unless the session is open.
    func status() async -> NetStatus.Session? {
        try? await connection.eventLoop.submit { () -> NetStatus.Session? in
            guard let context = self.context, self.session.isOpen else { return nil }
            let counts = self.connection.counts
            return NetStatus.Session(
                site: context.site, user: context.user, peer: self.connection.peer, program: self.program,
                since: self.since, bytesIn: counts.received, bytesOut: counts.sent, activity: self.session.activity)
        }.get()
    }

    // MARK: On the loop

    func end(_ refusal: Refusal) {
        guard !isEnded else { return }
        carryOut(session.isOpen ? session.ended(refusal) : session.refused(refusal))
    }

    private func send(_ message: ServerMessage) {
        let frame = prepared ?? WireCodec.encode(message)
        prepared = nil
        guard frame.count <= SessionLimits.frameBytes else {
            logger.error(
                "a message over the limit", metadata: ["message": "\(message.name)", "bytes": "\(frame.count)"])
            connection.abort()
            return
        }
        connection.enqueue(frame)
        switch message {
        case .welcome: Failpoint.hit("server.welcome.sent")
        case .acknowledge: Failpoint.hit("server.acknowledge.sent")
        case .batch: Failpoint.hit("server.batch.sent")
        case .page: Failpoint.hit("server.page.sent")
        default: break
        }
    }

    func carryOut(_ directives: [ServerSession.Directive]) {
        for directive in directives {
            switch directive {
            case .send(let message): send(message)
            case .enrol(let enrol): self.enrol(enrol)
            case .admit(let hello): admit(hello)
            case .rekey(let rekey): self.rekey(rekey)
            case .recordNames(let names, let isLast, let bytes):
                submit(bytes: bytes) { PushRequest(context: $0, commits: [], names: names, endsNames: isLast) }
            case .commit(let commits, let bytes):
                submit(bytes: bytes) { PushRequest(context: $0, commits: commits) }
            case .readBatch, .readPage, .answer:
                if connection.isWritable { read(directive) } else { heldRead = directive }
            case .quarantine(let commits, let bytes): quarantine(commits, bytes: bytes)
            case .recordApplied(let position): recordApplied(position)
            case .confirmNonce:
                record("nonce") { workspace, context in
                    try workspace.confirmNonce(of: context)
                } then: { _ in
                }
            case .close(let reason): close(reason)
            }
        }
    }

    private func close(_ reason: Refusal?) {
        guard !isEnded else { return }
        isEnded = true
        timer?.cancel()
        stall?.timer.cancel()
        if let reason {
            server.countRefusal()
            logger.notice(
                "session ended",
                metadata: [
                    "code": "\(reason.code.rawValue)", "reason": "\(reason.message)",
                    "site": "\(context?.site.short ?? "none")",
                ])
        } else {
            logger.debug("session done")
        }
        connection.close()
    }

    // MARK: Open

    private func rekey(_ rekey: Rekey) {
        guard let challenge, let context else { return }
        let fingerprint = server.fingerprint.bytes
        greet {
            try $0.rekey(rekey, challenge: challenge, fingerprint: fingerprint, for: context)
        } then: { connection, rekeyed in
            connection.session.rekeyed(rekeyed)
        }
    }

    private func submit(bytes: Int64, _ request: (SessionContext) -> PushRequest) {
        guard let context else { return }
        let request = request(context)
        if !request.commits.isEmpty, let seconds = server.room.retryAfter {
            // Nothing is read ahead of what there is no room for.
            return committed(.success(.acknowledge(Self.later(request, seconds))), bytes: 0, credit: bytes)
        }
        pushing += bytes
        updateReading()
        let hold = hold
        self.hold = .none
        server.committer.submit(
            CommitQueue.Waiting(request: request, bytes: bytes) { result in
                hold.release()
                let told = result.flatMapError { error in
                    guard let seconds = self.server.room.noteFailure(error) else { return .failure(error) }
                    return .success(.acknowledge(Self.later(request, seconds)))
                }
                self.connection.eventLoop.execute { self.committed(told, bytes: bytes, credit: bytes) }
            })
    }

    /// The push was not taken, for want of room.
    private static func later(_ request: PushRequest, _ seconds: Int64) -> Acknowledge {
        Acknowledge(
            items: [], credit: 0, expect: request.commits.first?.envelope.dot.seq, retryAfter: seconds)
    }

    private func committed(_ result: Result<PushResult, any Error>, bytes: Int64, credit: Int64) {
        pushing -= bytes
        updateReading()
        guard !isEnded else { return }
        switch result {
        case .success(.acknowledge(var acknowledge)):
            acknowledge.credit = credit
            carryOut(session.committed(acknowledge))
        case .success(.refuse(let refusal)): end(refusal)
        case .failure(let error): end(refusal(error, "commit"))
        }
    }

    /// Stops reading from a peer whose pushes wait, or that does not read itself.
    private func updateReading() {
        guard !isEnded else { return }
        connection.setReading(pushing <= Self.pushingMax && connection.isWritable)
    }

    /// Reads and questions are one at a time, so a session costs one reply of memory (P28).
    private func read(_ directive: ServerSession.Directive) {
        guard let context else { return }
        let workspace = server.workspace
        reader.async {
            let result = Result { () throws -> (ServerMessage, [UInt8]) in
                let message: ServerMessage
                switch directive {
                case .readBatch(let from, let upTo, let bytes, let scope, let isWhole):
                    message = .batch(
                        try workspace.batch(
                            for: context, from: from, upTo: upTo, bytesMax: bytes, scope: scope, whole: isWhole))
                case .readPage(let mark):
                    message = .page(PageCompression.compress(try workspace.page(for: context, after: mark)))
                case .answer(let question): message = try workspace.answer(question, for: context)
                default: throw Refusal(.internal, "not a read")
                }
                return (message, WireCodec.encode(message))
            }
            self.connection.eventLoop.execute { self.finishedRead(result) }
        }
    }

    private func finishedRead(_ result: Result<(ServerMessage, [UInt8]), any Error>) {
        guard !isEnded else { return }
        switch result {
        case .success((let message, let frame)):
            prepared = frame
            switch message {
            case .batch(let batch): carryOut(session.read(batch: batch, bytes: frame.count))
            case .page(let page): carryOut(session.read(page: page, bytes: frame.count))
            default: carryOut(session.answered(message, bytes: frame.count))
            }
            prepared = nil
            if !session.isLoading { server.loaded(self) }
        case .failure(let error): end(refusal(error, "read"))
        }
    }

    /// One record waits for the committer at a time; what comes meanwhile is covered by the last (P28).
    private func recordApplied(_ position: Position) {
        guard !isRecording else {
            nextApplied = position
            return
        }
        isRecording = true
        record("applied") { workspace, context in
            try workspace.applied(position, by: context)
        } then: { connection in
            connection.isRecording = false
            guard let next = connection.nextApplied else { return }
            connection.nextApplied = nil
            connection.recordApplied(next)
        }
    }

    private func record(
        _ what: String, _ body: @escaping @Sendable (Workspace, SessionContext) throws -> Void,
        then: @escaping @Sendable (ServerConnection) -> Void
    ) {
        guard let context else { return }
        let logger = logger
        server.committer.perform { workspace in
            do {
                try body(workspace, context)
            } catch {
                logger.warning("not recorded", metadata: ["what": "\(what)", "reason": "\(error)"])
            }
            self.connection.eventLoop.execute { then(self) }
        }
    }

    /// What the peer is told: refusals as they are, our own faults without their inside.
    func refusal(_ error: any Error, _ during: String) -> Refusal {
        if let refusal = error as? Refusal { return refusal }
        if let seconds = server.room.noteFailure(error) { return .noRoom(retryAfter: seconds) }
        logger.error("the server failed", metadata: ["during": "\(during)", "reason": "\(error)"])
        return Refusal(
            .internal, "The server could not go on; its log says why. What was not acknowledged is kept on your side.")
    }
}
