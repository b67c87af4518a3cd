public import PeykModel

/// The server's half of a session: decides what to read, to commit and to send, and does none of it.
///
/// Feed it one event at a time and carry out the returned directives in order. Reads are one at a time, so that
/// a slow reader costs one batch of memory (P28).
public struct ServerSession: Equatable, Sendable {
    /// Which buckets a read is for (rule S1).
    public enum ReadScope: Hashable, Sendable {
        /// The part of the grant that the replica already holds.
        case kept
        case all
    }

    public enum Directive: Hashable, Sendable {
        case send(ServerMessage)
        /// Redeem the invite, then call ``enrolled(_:)`` or ``refused(_:)``.
        case enrol(Enrol)
        /// Authenticate and decide, then call ``admitted(_:cursor:backfill:credit:)`` or ``refused(_:)``.
        case admit(Hello)
        /// Certify another device key of this site, then call ``rekeyed(_:)`` or ``refused(_:)`` (rule I3).
        case rekey(Rekey)
        /// Store by commit, before any push of this session (rule I7.2), then call ``committed(_:)``. With `isLast` the
        /// site has said all.
        case recordNames([Witness], isLast: Bool, bytes: Int64)
        /// Take into the next group, then call ``committed(_:bytes:)``.
        case commit([SealedCommit], bytes: Int64)
        /// Then call ``read(batch:bytes:)``.
        case readBatch(from: Position, upTo: Position, bytes: Int, scope: ReadScope, isWhole: Bool)
        /// Rows after the mark; then call ``read(page:bytes:)``.
        case readPage(BackfillMark)
        /// Then call ``answered(_:bytes:)`` with the reply. One at a time, also with reads.
        case answer(ClientMessage)
        /// Keep the commits of a device that is shut out, then call ``quarantined(upTo:credit:)`` (rule S4).
        case quarantine([SealedCommit], bytes: Int64)
        /// The replica has stored everything up to here.
        case recordApplied(Position)
        /// The nonce offered in welcome is the one in use from now on.
        case confirmNonce
        /// Flush and close. The reason is logged.
        case close(Refusal?)
    }

    enum State: Equatable, Sendable {
        /// The challenge is sent. To: `enrolling`, `admitting`.
        case challenged
        case enrolling
        /// Enrolled; a hello must follow.
        case enrolled
        case admitting
        case open(Open)
        /// Refused, and may give what it has not sent. To: `closed`.
        case handingIn(credit: Int64)
        case closed
    }

    enum Phase: Equatable, Sendable {
        case streaming
        /// The kept buckets up to the head as of welcome, then pages (rule S1).
        case catchingUp(upTo: Position, then: BackfillMark)
        case paging(BackfillMark)
        /// The log as whole records, up to the highest position of a page (rule B1). At least one batch is sent.
        case whole(upTo: Position)
    }

    struct Open: Equatable, Sendable {
        var phase: Phase
        /// The position up to which the log was sent.
        var sent: Position
        var head: Position
        var credit: Int64
        var isReading = false
        /// Credit that the client may still use for pushes.
        var pushCredit: Int64
        /// Questions that wait, in order.
        var questions: [ClientMessage] = []
        /// Questions without a reply: those that wait, and the one that is being answered.
        var asked = 0
        /// Digests that wait until the log up to their position was sent (rule T5).
        var held: DigestReply?
        var seq: Sequence64
        var nonceConfirmed = false
        /// The replica keeps rows as of `sent` while pages come, so the log goes on from there and not from the
        /// first page's position.
        var isWidening = false
        /// No push is taken before the last of the names (rule I7.2).
        var owesNames = false
        var named = 0
        /// A device key is being certified; one at a time.
        var isRekeying = false
    }

    var state = State.challenged
    var isPinging = false

    /// Questions (fetch, digest, history) that may wait for an answer at once.
    public static let questionsMax = 8

    public init() {}

    public var isOpen: Bool { if case .open = state { true } else { false } }
    /// The device has proved who it is.
    public var isAuthenticated: Bool {
        switch state {
        case .open, .handingIn: true
        default: false
        }
    }
    public var isClosed: Bool { state == .closed }
    /// Pages, or the log before them, are on their way (rule B1).
    public var isLoading: Bool { if case .open(let open) = state { open.phase != .streaming } else { false } }

    public var activity: String {
        switch state {
        case .challenged: "waiting for hello"
        case .enrolling, .enrolled: "enrolling"
        case .admitting: "greeting"
        case .open: "open"
        case .handingIn: "handing in"
        case .closed: "closed"
        }
    }

    // MARK: Events from the connection

    public mutating func received(_ message: ClientMessage, bytes: Int) -> [Directive] {
        isPinging = false
        switch (state, message) {
        case (.closed, _): return []
        case (.challenged, .enrol(let enrol)):
            state = .enrolling
            return [.enrol(enrol)]
        case (.challenged, .hello(let hello)), (.enrolled, .hello(let hello)):
            guard hello.version == SessionLimits.version else {
                return close(
                    Refusal(
                        .version,
                        "This server speaks version \(SessionLimits.version) of the protocol; upgrade the client."))
            }
            state = .admitting
            return [.admit(hello)]
        case (.open(var open), _): return receivedOpen(message, bytes: bytes, &open)
        case (.handingIn(let credit), .push(let push)):
            guard credit >= -Int64(SessionLimits.frameBytes) else {
                return close(Refusal(.limit, "More was pushed than the server gave credit for."))
            }
            state = .handingIn(credit: credit - Int64(bytes))
            return [.quarantine(push.commits, bytes: Int64(bytes))]
        case (_, .bye): return closeQuietly()
        default: return unexpected(message)
        }
    }

    private mutating func receivedOpen(_ message: ClientMessage, bytes: Int, _ open: inout Open) -> [Directive] {
        var first: [Directive] = []
        if !open.nonceConfirmed {
            // The offered nonce comes into use with the first message sent under it (rule I2).
            open.nonceConfirmed = true
            first.append(.confirmNonce)
        }
        switch message {
        case .rekey(let rekey):
            guard !open.isRekeying else { return unexpected(message) }
            open.isRekeying = true
            state = .open(open)
            return first + [.rekey(rekey)]
        case .names(let names): return first + received(names, bytes: bytes, &open)
        case .push(let push):
            guard !open.owesNames else { return unexpected(message) }
            guard takesPush(of: bytes, &open) else { return overrun() }
            state = .open(open)
            return first + [.commit(push.commits, bytes: Int64(bytes))]
        case .credit(let more):
            guard more >= 0, more <= 1 << 40 else { return unexpected(message) }
            open.credit = min(open.credit + more, 1 << 40)
            return first + pump(&open)
        case .applied(let position):
            guard position >= 0, position <= open.head else { return unexpected(message) }
            state = .open(open)
            return first + [.recordApplied(position)]
        case .fetch(let keys):
            guard keys.count <= SessionLimits.fetchKeys else { return unexpected(message) }
            return first + question(message, &open)
        case .digest, .history: return first + question(message, &open)
        case .ping(let token):
            state = .open(open)
            return first + [.send(.pong(token))]
        case .pong:
            state = .open(open)
            return first
        case .bye(let nonceStored):
            state = .closed
            return (nonceStored ? first : []) + [.close(nil)]
        case .enrol, .hello: return unexpected(message)
        }
    }

    private mutating func received(_ names: Names, bytes: Int, _ open: inout Open) -> [Directive] {
        guard open.owesNames, names.items.count <= SessionLimits.namesItems else { return unexpected(.names(names)) }
        open.named += names.items.count
        guard open.named <= SessionLimits.namesMax else {
            return close(Refusal(.limit, "More than \(SessionLimits.namesMax) names in one session."))
        }
        guard takesPush(of: bytes, &open) else { return overrun() }
        open.owesNames = !names.isLast
        state = .open(open)
        return [.recordNames(names.items, isLast: names.isLast, bytes: Int64(bytes))]
    }

    /// One message may go over, since a client cannot know the exact size of the frame.
    private func takesPush(of bytes: Int, _ open: inout Open) -> Bool {
        open.pushCredit -= Int64(bytes)
        return open.pushCredit >= -Int64(SessionLimits.frameBytes)
    }

    private mutating func overrun() -> [Directive] {
        close(Refusal(.limit, "More was pushed than the server gave credit for."))
    }

    private mutating func question(_ message: ClientMessage, _ open: inout Open) -> [Directive] {
        guard open.asked < Self.questionsMax else {
            return close(Refusal(.limit, "More than \(Self.questionsMax) questions at once."))
        }
        open.asked += 1
        open.questions.append(message)
        return pump(&open)
    }

    // MARK: Events from the core

    public mutating func enrolled(_ enrolled: Enrolled) -> [Directive] {
        guard state == .enrolling else { return [] }
        state = .enrolled
        return [.send(.enrolled(enrolled))]
    }

    public mutating func refused(_ refusal: Refusal) -> [Directive] {
        guard state != .closed else { return [] }
        guard state == .admitting, refusal.handInAfter != nil else { return close(refusal) }
        state = .handingIn(credit: SessionLimits.creditBytes)
        return [.send(.refuse(refusal))]
    }

    /// Commits of a device that is shut out are kept, up to this seq.
    public mutating func quarantined(upTo seq: Sequence64, credit: Int64) -> [Directive] {
        guard case .handingIn(let left) = state else { return [] }
        state = .handingIn(credit: left + credit)
        return [.send(.acknowledge(Acknowledge(items: [], credit: credit, expect: seq + 1)))]
    }

    /// The device is who it says. `cursor` is where its log goes on, `backfill` where its pages go on, if any do.
    public mutating func admitted(
        _ welcome: Welcome, cursor: Position, backfill: BackfillMark?, credit: Int64
    ) -> [Directive] {
        guard state == .admitting else { return [] }
        let phase: Phase
        switch (welcome.entrance, backfill) {
        case (.resume, _), (_, nil): phase = .streaming
        // Pages that go on are worth nothing once the log of the kept part has passed the first of them.
        case (.widen, let mark?) where mark.lastPosition > 0: phase = .paging(mark)
        case (.widen, let mark?): phase = .catchingUp(upTo: welcome.head, then: mark)
        case (.snapshot, let mark?): phase = .paging(mark)
        }
        var open = Open(
            phase: phase, sent: cursor, head: welcome.head, credit: max(0, min(credit, 1 << 40)),
            pushCredit: welcome.credit, seq: welcome.lastMerged)
        if case .widen = welcome.entrance { open.isWidening = true }
        open.owesNames = welcome.wantsNames
        return [.send(.welcome(welcome))] + pump(&open)
    }

    public mutating func rekeyed(_ rekeyed: Rekeyed) -> [Directive] {
        guard case .open(var open) = state, open.isRekeying else { return [] }
        open.isRekeying = false
        state = .open(open)
        return [.send(.rekeyed(rekeyed))]
    }

    /// A group with this session's commits is durable.
    public mutating func committed(_ acknowledge: Acknowledge) -> [Directive] {
        guard case .open(var open) = state else { return [] }
        open.pushCredit += acknowledge.credit
        state = .open(open)
        return [.send(.acknowledge(acknowledge))]
    }

    /// The log grew to `position`.
    public mutating func headMoved(to position: Position) -> [Directive] {
        guard case .open(var open) = state else { return [] }
        open.head = max(open.head, position)
        return pump(&open)
    }

    public mutating func read(batch: Batch, bytes: Int) -> [Directive] {
        guard case .open(var open) = state, open.isReading else { return [] }
        open.isReading = false
        open.sent = batch.to
        open.head = max(open.head, batch.head)
        open.credit -= Int64(bytes)
        if case .whole(let upTo) = open.phase, batch.to >= upTo { open.phase = .streaming }
        return [.send(.batch(batch))] + pump(&open)
    }

    public mutating func read(page: Page, bytes: Int) -> [Directive] {
        guard case .open(var open) = state, open.isReading, case .paging(var mark) = open.phase else { return [] }
        open.isReading = false
        open.credit -= Int64(bytes)
        mark.firstPosition = mark.firstPosition == 0 ? page.position : min(mark.firstPosition, page.position)
        mark.lastPosition = max(mark.lastPosition, page.position)
        mark.table = page.endsTable ? page.table + 1 : page.table
        mark.last = page.endsTable ? nil : page.last
        if page.endsBackfill {
            open.phase = .whole(upTo: mark.lastPosition)
            if !open.isWidening { open.sent = mark.firstPosition }
        } else {
            open.phase = .paging(mark)
        }
        return [.send(.page(page))] + pump(&open)
    }

    /// The reply to a question.
    public mutating func answered(_ reply: ServerMessage, bytes: Int) -> [Directive] {
        guard case .open(var open) = state else { return [] }
        open.asked = max(0, open.asked - 1)
        open.isReading = false
        if case .digest(let digest) = reply {
            open.held = digest
            return pump(&open)
        }
        return [.send(reply)] + pump(&open)
    }

    // MARK: Deciding

    /// Starts the next read where there is something to read and credit to send it.
    private mutating func pump(_ open: inout Open) -> [Directive] {
        if case .catchingUp(let upTo, let mark) = open.phase, open.sent >= upTo, !open.isReading {
            open.phase = .paging(mark)
        }
        defer { state = .open(open) }
        guard !open.isReading else { return [] }
        var directives: [Directive] = []
        if let held = open.held, open.sent >= held.position {
            open.held = nil
            directives.append(.send(.digest(held)))
        }
        if open.held == nil, let question = nextQuestion(&open) { return directives + [.answer(question)] }
        guard open.credit > 0 else { return directives }
        let directive: Directive
        switch open.phase {
        case .streaming:
            let target = open.held?.position ?? open.head
            guard open.sent < target else { return directives }
            directive = batch(open, upTo: target, .all)
        case .catchingUp(let upTo, _): directive = batch(open, upTo: upTo, .kept)
        case .paging(let mark): directive = .readPage(mark)
        case .whole(let upTo): directive = batch(open, upTo: upTo, .all, isWhole: true)
        }
        open.isReading = true
        return directives + [directive]
    }

    /// Digests wait for the end of a backfill, and what was asked after them waits with them.
    private func nextQuestion(_ open: inout Open) -> ClientMessage? {
        guard let first = open.questions.first else { return nil }
        if case .digest = first, open.phase != .streaming { return nil }
        open.questions.removeFirst()
        open.isReading = true
        return first
    }

    private func batch(_ open: Open, upTo: Position, _ scope: ReadScope, isWhole: Bool = false) -> Directive {
        .readBatch(
            from: open.sent, upTo: upTo, bytes: SessionLimits.batchBytes, scope: scope, isWhole: isWhole)
    }

    private mutating func unexpected(_ message: ClientMessage) -> [Directive] {
        close(Refusal(.protocolBroken, "“\(message.name)” is not allowed while \(activity)."))
    }

    mutating func close(_ refusal: Refusal) -> [Directive] {
        state = .closed
        return [.send(.refuse(refusal)), .close(refusal)]
    }

    mutating func closeQuietly() -> [Directive] {
        guard state != .closed else { return [] }
        state = .closed
        return [.close(nil)]
    }
}
