public import PeykModel

/// The client's half of a session: decides what to send and what the replica must do, and does neither.
///
/// Feed it one event at a time and carry out the returned directives in order, before the next event. Each
/// directive that names an event is answered by calling that event; what it returns goes to the end of the line.
/// It holds no socket, no clock and no task, so a run is a pure function of its events.
public struct ClientSession: Equatable, Sendable {
    /// What the caller wants of the session.
    public enum Purpose: Hashable, Sendable {
        /// Until both sides have what the other had at the start, and then no longer (P26).
        case sync
        /// Stay, push local changes and take the server's as they come.
        case watch
        /// Ask questions, the first of them this one, and leave with ``ClientSession/endQuestions()``. Pushes nothing.
        case ask(ClientMessage)
    }

    /// What the shell must do next.
    public enum Directive: Hashable, Sendable {
        /// Sign and prepare an ``Enrol``, then call ``prepared(_:)``.
        case prepareEnrol(Challenge)
        /// Seal, gather and sign a ``Hello``, then call ``prepared(_:)-hello``.
        case prepareHello(Challenge)
        /// Keep the certificate, then call ``enrolmentStored()``.
        case store(Enrolled)
        /// One replica transaction, then call ``adopted(cursor:isBackfilling:)``.
        case adopt(Welcome)
        /// Make a device key of the site's own, or take the one made before; then call ``prepared(_:)-rekey`` (I3).
        case prepareRekey(Challenge, SiteID)
        /// Keep the new certificate, and from now on use its key.
        case storeRekeyed(Rekeyed)
        /// Read names in a stable order, without the first `skipping` of them and at most `limit`, then call
        /// ``loaded(names:isLast:)`` (rule I7.2).
        case loadNames(skipping: Int, limit: Int)
        /// Read sealed commits above `after`, at most `bytes` of them, then call ``loaded(_:hasMore:)``.
        case load(after: Sequence64, bytes: Int)
        /// Mark commits as durable on the server.
        case record(Acknowledge)
        /// One replica transaction, then call ``stored(page:)``.
        case storePage(Page)
        /// One replica transaction, then call ``applied(cursor:isBackfilling:fetch:)``.
        case apply(Batch)
        /// One replica transaction, then call ``recordsStored()``.
        case storeRecords(Records)
        /// The answer to a question: then call ``ask(_:)``, ``fetch(_:)`` or ``endQuestions()``.
        case deliver(ServerMessage)
        /// The server has no room for pushes: call ``pushAgain()`` after so many seconds (only of interest to `watch`).
        case postpone(seconds: Int64)
        case send(ClientMessage)
        /// The session is done: flush and close. The nonce offered by the server is in use if `nonceStored`.
        case finish
        case fail(SessionError)
    }

    enum State: Equatable, Sendable {
        /// To: `enrolling` or `greeting` when the challenge comes.
        case connecting
        /// To: `greeting` when the server enrolled us.
        case enrolling(Challenge)
        /// To: `open` when the server says welcome and the replica has adopted it.
        case greeting
        case adopting(Welcome)
        /// Shut out: what is not sent is handed in, and then the session fails with the reason. To: `closed`.
        case handingIn(HandIn)
        /// To: `closed` when done, or on any violation.
        case open(Open)
        case closed
    }

    /// Where an open session stands.
    struct Open: Equatable, Sendable {
        var cursor: Position
        /// Reach this position before a `sync` may end.
        var target: Position
        var isBackfilling: Bool
        /// The seq up to which commits were handed to the connection, and acknowledged.
        var sent: Sequence64
        var acknowledged: Sequence64
        var isLoading = false
        var hasMore = true
        var credit: Int64
        /// Bytes stored since the last credit that we gave.
        var consumed: Int64 = 0
        /// What the replica may say to have applied (rule T1, m13), and what it said last.
        var report, toldReport: Position
        /// Records to read whole: all that are not stored yet, those not asked for yet, and the questions under way.
        var fetching: Set<RecordKey> = []
        var wanted: [RecordKey] = []
        var fetches: [[RecordKey]] = []
        /// The server has no room: nothing is pushed for now.
        var isPostponed: Int64?
        var applying = 0
        var lastExpected: Sequence64 = 0
        var expectations = 0
        var isAsking: Bool
        /// Names have to go out before any push (rule I7.2); how many went.
        var owesNames = false
        var named = 0
        /// A new device key was asked for, and its certificate has not come yet.
        var isRekeying = false
    }

    let purpose: Purpose
    let workspace: String
    let mustEnrol: Bool
    var state = State.connecting
    var isPinging = false
    var reported: Position = 0
    /// What this connection's signatures are over.
    var challenge: Challenge?

    /// - Parameters:
    ///   - workspace: the name in the invite or of the joined replica.
    ///   - mustEnrol: redeem an invite first.
    public init(purpose: Purpose, workspace: String, mustEnrol: Bool = false) {
        self.purpose = purpose
        self.workspace = workspace
        self.mustEnrol = mustEnrol
    }

    public var isOpen: Bool { if case .open = state { true } else { false } }
    public var isClosed: Bool { state == .closed }

    /// What the session is doing, for messages.
    public var activity: String {
        switch state {
        case .connecting: "connecting"
        case .enrolling: "enrolling"
        case .greeting, .adopting: "greeting"
        case .handingIn: "handing in"
        case .open(let open) where open.isBackfilling: "loading records"
        case .open: "syncing"
        case .closed: "closed"
        }
    }

    // MARK: Events from the connection

    /// A message of `bytes` bytes on the wire arrived.
    public mutating func received(_ message: ServerMessage, bytes: Int) -> [Directive] {
        isPinging = false
        switch (state, message) {
        case (.closed, _): return []
        case (.greeting, .refuse(let refusal)) where refusal.handInAfter != nil: return beginHandIn(refusal)
        case (.handingIn(let handIn), .acknowledge(let acknowledge)): return handedIn(acknowledge, handIn)
        case (_, .refuse(let refusal)), (_, .bye(let refusal)): return fail(.refused(refusal))
        case (.connecting, .challenge(let challenge)): return challenged(challenge)
        case (.enrolling, .enrolled(let enrolled)): return [.store(enrolled)]
        case (.greeting, .welcome(let welcome)):
            state = .adopting(welcome)
            return [.adopt(welcome)]
        case (.open(var open), _):
            open.consumed += Int64(bytes)
            return receivedOpen(message, &open)
        default: return unexpected(message)
        }
    }

    private mutating func challenged(_ challenge: Challenge) -> [Directive] {
        guard challenge.versions.contains(SessionLimits.version) else {
            return fail(.version(ours: SessionLimits.version, theirs: challenge.versions))
        }
        guard challenge.workspace == workspace else {
            return fail(.workspace(expected: workspace, found: challenge.workspace))
        }
        self.challenge = challenge
        if mustEnrol {
            state = .enrolling(challenge)
            return [.prepareEnrol(challenge)]
        }
        state = .greeting
        return [.prepareHello(challenge)]
    }

    private mutating func receivedOpen(_ message: ServerMessage, _ open: inout Open) -> [Directive] {
        switch message {
        case .acknowledge(let acknowledge): return acknowledged(acknowledge, &open)
        case .batch(let batch):
            guard batch.from <= batch.to else { return unexpected(message) }
            open.applying += 1
            state = .open(open)
            return [.apply(batch)]
        case .page(let page):
            guard open.isBackfilling else { return unexpected(message) }
            guard page.rowCount <= SessionLimits.pageRows else {
                return fail(.limit(what: "a page", value: Int64(page.rowCount), limit: Int64(SessionLimits.pageRows)))
            }
            open.applying += 1
            state = .open(open)
            return [.storePage(page)]
        case .records(let records):
            guard !open.fetching.isEmpty else { return unexpected(message) }
            open.applying += 1
            state = .open(open)
            return [.storeRecords(records)]
        case .rekeyed(let rekeyed):
            guard open.isRekeying else { return unexpected(message) }
            open.isRekeying = false
            return [.storeRekeyed(rekeyed)] + settle(&open)
        case .digest, .history:
            guard open.isAsking else { return unexpected(message) }
            return [.deliver(message)] + settle(&open)
        case .ping(let token):
            state = .open(open)
            return [.send(.pong(token))]
        case .pong:
            state = .open(open)
            return []
        default: return unexpected(message)
        }
    }

    private mutating func acknowledged(_ acknowledge: Acknowledge, _ open: inout Open) -> [Directive] {
        for item in acknowledge.items {
            guard item.seq <= open.sent else { return unexpected(.acknowledge(acknowledge)) }
            open.acknowledged = max(open.acknowledged, item.seq)
            open.target = max(open.target, item.position)
        }
        open.credit += max(0, acknowledge.credit)
        var directives: [Directive] = acknowledge.items.isEmpty ? [] : [.record(acknowledge)]
        if let seconds = acknowledge.retryAfter {
            open.isPostponed = min(seconds, SessionLimits.retryAfterMax)
            open.sent = min(open.sent, max(0, (acknowledge.expect ?? open.acknowledged + 1) - 1))
            open.acknowledged = open.sent
            open.hasMore = false
            directives.append(.postpone(seconds: min(seconds, SessionLimits.retryAfterMax)))
        } else if let expected = acknowledge.expect {
            open.expectations = expected == open.lastExpected ? open.expectations + 1 : 1
            open.lastExpected = expected
            guard open.expectations <= 3 else { return directives + fail(.gap(expected: expected)) }
            open.sent = max(0, expected - 1)
            open.acknowledged = max(0, expected - 1)
            open.hasMore = open.isPostponed == nil
        }
        directives += settle(&open)
        return directives
    }

    // MARK: Events from the replica

    /// The replica stands at `cursor`; `isBackfilling` where pages will follow.
    ///
    /// - Parameters:
    ///   - fetch: records to read whole in any case (rule K7, `verify --repair`).
    ///   - rekeySite: the site for which a device key is to be made (rule I3).
    ///   - mustRenew: the replica took nothing up, since it is a restored image; the session ends.
    public mutating func adopted(
        cursor: Position, isBackfilling: Bool, fetch: [RecordKey] = [], rekeySite: SiteID? = nil,
        mustRenew: Bool = false
    ) -> [Directive] {
        guard case .adopting(let welcome) = state else { return [] }
        if mustRenew {
            state = .closed
            return [.send(.bye(nonceStored: false)), .fail(.renewal)]
        }
        var isAsking = false
        var directives: [Directive] = []
        if case .ask(let request) = purpose {
            isAsking = true
            directives.append(.send(request))
        }
        var open = Open(
            cursor: cursor, target: welcome.head, isBackfilling: isBackfilling, sent: welcome.lastMerged,
            acknowledged: welcome.lastMerged, credit: welcome.credit, report: reported, toldReport: reported,
            isAsking: isAsking)
        if case .ask = purpose { open.hasMore = false }
        open.owesNames = welcome.wantsNames
        Self.want(fetch, &open)
        if let rekeySite, let challenge {
            open.isRekeying = true
            directives.append(.prepareRekey(challenge, rekeySite))
        }
        return directives + settle(&open)
    }

    /// Commits above the last that was sent, in seq order without gaps.
    public mutating func loaded(_ commits: [SealedCommit], hasMore: Bool) -> [Directive] {
        if case .handingIn(let handIn) = state { return loaded(commits, hasMore: hasMore, handIn) }
        guard case .open(var open) = state else { return [] }
        open.isLoading = false
        open.hasMore = hasMore
        guard let last = commits.last else { return settle(&open) }
        open.sent = max(open.sent, last.envelope.dot.seq)
        open.credit -= commits.reduce(0) { $0 + Int64($1.sealed.count) + Self.envelopeBytes }
        return [.send(.push(Push(commits: commits)))] + settle(&open)
    }

    static let envelopeBytes: Int64 = 128
    static let nameBytes: Int64 = 48

    public mutating func stored(page: Page) -> [Directive] {
        guard case .open(var open) = state else { return [] }
        open.applying -= 1
        return settle(&open)
    }

    /// A batch was applied; `report` is what the server may be told (rule T1), `fetch` must be read whole (K7, M4).
    public mutating func applied(cursor: Position, report: Position, isBackfilling: Bool, fetch: [RecordKey])
        -> [Directive]
    {
        guard case .open(var open) = state else { return [] }
        open.applying -= 1
        open.cursor = cursor  // lower than before where a restored server's history is shorter
        open.report = max(open.report, report)
        open.isBackfilling = isBackfilling
        Self.want(fetch, &open)
        return settle(&open)
    }

    /// The replica has new commits (only of interest to `watch`).
    public mutating func localChange() -> [Directive] {
        guard case .open(var open) = state, open.isPostponed == nil else { return [] }
        open.hasMore = true
        return settle(&open)
    }

    /// The deadline of the present state passed without a message (``SessionLimits/greetingSeconds`` before the
    /// session is open, ``SessionLimits/idleSeconds`` after).
    public mutating func timedOut() -> [Directive] {
        switch state {
        case .closed: return []
        case .open(var open) where !isPinging:
            isPinging = true
            // A session that only watches reports as well (rule T1).
            defer { state = .open(open) }
            return Self.report(&open) + [.send(.ping(1))]
        default: return fail(.timeout(state: activity))
        }
    }

    public mutating func disconnected() -> [Directive] {
        state == .closed ? [] : fail(.disconnected)
    }

    /// The user or the program wants to stop: end in good order.
    public mutating func leave() -> [Directive] {
        guard case .open(let open) = state else { return fail(.disconnected) }
        return finish(open)
    }

    /// Everything that an open session always checks after an event.
    mutating func settle(_ open: inout Open) -> [Directive] {
        var directives: [Directive] = []
        if open.consumed >= SessionLimits.creditBytes / 4, open.applying == 0 {
            directives.append(.send(.credit(bytes: open.consumed)))
            open.consumed = 0
            directives += Self.report(&open)
        }
        directives += Self.nextFetches(&open)
        if open.owesNames {
            if !open.isLoading, open.credit > 0 {
                open.isLoading = true
                let limit = min(SessionLimits.namesItems, SessionLimits.namesMax - open.named)
                directives.append(.loadNames(skipping: open.named, limit: limit))
            }
        } else if open.hasMore, !open.isLoading, open.credit > 0 {
            open.isLoading = true
            directives.append(.load(after: open.sent, bytes: SessionLimits.pushBytes))
        }
        state = .open(open)
        if isDone(open) { directives += finish(open) }
        return directives
    }

    private func isDone(_ open: Open) -> Bool {
        guard open.applying == 0, open.fetching.isEmpty, !open.isLoading, !open.owesNames, !open.isRekeying
        else { return false }
        switch purpose {
        case .watch: return false
        case .ask: return !open.isAsking
        case .sync:
            return !open.hasMore && open.sent == open.acknowledged && !open.isBackfilling
                && open.cursor >= open.target
        }
    }

    private static func report(_ open: inout Open) -> [Directive] {
        guard open.report > open.toldReport else { return [] }
        open.toldReport = open.report
        return [.send(.applied(position: open.report))]
    }

    private mutating func finish(_ open: Open) -> [Directive] {
        var last = open
        state = .closed
        let directives: [Directive] = Self.report(&last) + [.send(.bye(nonceStored: true))]
        guard let seconds = open.isPostponed else { return directives + [.finish] }
        return directives + [.fail(.refused(.noRoom(retryAfter: seconds)))]
    }

    mutating func unexpected(_ message: ServerMessage) -> [Directive] {
        fail(.unexpected(message: message.name, state: activity))
    }

    mutating func fail(_ error: SessionError) -> [Directive] {
        state = .closed
        return [.fail(error)]
    }
}
