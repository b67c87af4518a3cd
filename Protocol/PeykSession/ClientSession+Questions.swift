public import PeykModel

// Questions, and records that are read whole.
extension ClientSession {
    /// Records are still to be read whole.
    public var isFetching: Bool { if case .open(let open) = state { !open.fetching.isEmpty } else { false } }

    /// The next question of an ``Purpose/ask(_:)``.
    public mutating func ask(_ question: ClientMessage) -> [Directive] {
        guard case .open(let open) = state, open.isAsking else { return [] }
        return [.send(question)]
    }

    /// Reads these records whole (rule K7, `verify --repair`); the last ``recordsStored(_:)`` has come when
    /// ``isFetching`` is false.
    public mutating func fetch(_ keys: [RecordKey]) -> [Directive] {
        guard case .open(var open) = state else { return [] }
        Self.want(keys, &open)
        return settle(&open)
    }

    /// Records of one reply, which may be a part of those asked for: the rest is asked for again.
    public mutating func recordsStored(_ keys: [RecordKey]) -> [Directive] {
        guard case .open(var open) = state else { return [] }
        open.applying -= 1
        open.fetching.subtract(keys)
        if !open.fetches.isEmpty {
            let missing = open.fetches.removeFirst().filter { open.fetching.contains($0) }
            guard missing.isEmpty || !keys.isEmpty else {
                return unexpected(.records(Records(position: 0, effects: [])))
            }
            open.wanted = missing + open.wanted
        }
        return settle(&open)
    }

    /// All was asked: the session ends when it has nothing more to store.
    public mutating func endQuestions() -> [Directive] {
        guard case .open(var open) = state else { return [] }
        open.isAsking = false
        return settle(&open)
    }

    /// The time to wait that the server asked for has passed.
    public mutating func pushAgain() -> [Directive] {
        guard case .open(var open) = state else { return [] }
        open.isPostponed = nil
        open.hasMore = true
        return settle(&open)
    }

    /// At most ``SessionLimits/namesItems`` names, after those that were loaded before.
    public mutating func loaded(names: [Witness], isLast: Bool) -> [Directive] {
        guard case .open(var open) = state, open.owesNames else { return [] }
        open.isLoading = false
        open.named += names.count
        open.credit -= Int64(names.count) * Self.nameBytes
        let mustEnd = isLast || names.isEmpty || open.named >= SessionLimits.namesMax
        open.owesNames = !mustEnd
        return [.send(.names(Names(items: names, isLast: mustEnd)))] + settle(&open)
    }

    static func want(_ keys: [RecordKey], _ open: inout Open) {
        open.wanted += keys.filter { open.fetching.insert($0).inserted }.sorted()
    }

    /// At most half of the questions that a server lets wait are fetches.
    static func nextFetches(_ open: inout Open) -> [Directive] {
        var directives: [Directive] = []
        while !open.wanted.isEmpty, open.fetches.count < ServerSession.questionsMax / 2 {
            let keys = Array(open.wanted.prefix(SessionLimits.fetchKeys))
            open.wanted.removeFirst(keys.count)
            open.fetches.append(keys)
            directives.append(.send(.fetch(keys)))
        }
        return directives
    }
}

// Handing in: a device that is shut out gives what it has not sent, for the administrator to decide on (rule S4).
extension ClientSession {
    struct HandIn: Equatable, Sendable {
        var refusal: Refusal
        /// The seq up to which commits were given to the connection, and are with the server.
        var sent: Sequence64
        var taken: Sequence64
        var commits: Int64 = 0
        var hasMore = true
    }

    mutating func beginHandIn(_ refusal: Refusal) -> [Directive] {
        let after = refusal.handInAfter ?? 0
        state = .handingIn(HandIn(refusal: refusal, sent: after, taken: after))
        return [.load(after: after, bytes: SessionLimits.pushBytes)]
    }

    /// One push at a time: nobody is in a hurry here.
    mutating func loaded(_ commits: [SealedCommit], hasMore: Bool, _ handIn: HandIn) -> [Directive] {
        var handIn = handIn
        handIn.hasMore = hasMore
        guard let last = commits.last else { return endHandIn(handIn) }
        handIn.sent = last.envelope.dot.seq
        handIn.commits += Int64(commits.count)
        state = .handingIn(handIn)
        return [.send(.push(Push(commits: commits)))]
    }

    mutating func handedIn(_ acknowledge: Acknowledge, _ handIn: HandIn) -> [Directive] {
        var handIn = handIn
        handIn.taken = max(handIn.taken, (acknowledge.expect ?? 0) - 1)
        // Where the server has no room for more, the rest stays here alone.
        guard handIn.taken >= handIn.sent, handIn.hasMore else { return endHandIn(handIn) }
        state = .handingIn(handIn)
        return [.load(after: handIn.sent, bytes: SessionLimits.pushBytes)]
    }

    private mutating func endHandIn(_ handIn: HandIn) -> [Directive] {
        state = .closed
        var refusal = handIn.refusal
        refusal.handInAfter = nil
        if handIn.commits > 0, handIn.taken >= handIn.sent {
            let count = handIn.commits == 1 ? "1 commit" : "\(handIn.commits) commits"
            refusal.message += " What was not sent yet (\(count)) was handed in for them to decide on."
        }
        return [.send(.bye(nonceStored: false)), .fail(.refused(refusal))]
    }
}

extension Refusal {
    static func noRoom(retryAfter seconds: Int64) -> Refusal {
        Refusal(
            .busy,
            "The server has no room for changes now. What you changed is safe on this device and goes up with a later "
                + "sync; what others changed has arrived. IT must make room on the server's disk.",
            retryAfter: seconds)
    }
}
