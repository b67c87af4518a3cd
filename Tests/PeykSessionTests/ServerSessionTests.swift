import PeykModel
import PeykSession
import Testing

@Suite("Server session")
struct ServerSessionTests {
    func opened(
        head: Position = 10, cursor: Position = 10, entrance: Entrance = .resume, backfill: BackfillMark? = nil,
        credit: Int64 = 10_000
    ) -> (session: ServerSession, directives: [ServerSession.Directive]) {
        var session = ServerSession()
        #expect(session.received(.hello(Sample.hello), bytes: 300) == [.admit(Sample.hello)])
        let welcome = Sample.welcome(head: head, entrance: entrance)
        let directives = session.admitted(welcome, cursor: cursor, backfill: backfill, credit: credit)
        #expect(directives.first == .send(.welcome(welcome)))
        return (session, Array(directives.dropFirst()))
    }

    static func mark(table: Int, last: RecordID? = nil, first: Position = 0, lastPosition: Position = 0) -> BackfillMark
    {
        BackfillMark(scope: .empty, table: table, last: last, firstPosition: first, lastPosition: lastPosition)
    }

    @Test("streams the log from the cursor, one read at a time, and then waits for the head to move")
    func streams() {
        var (session, directives) = opened(head: 12)
        let bytes = SessionLimits.batchBytes
        #expect(directives == [.readBatch(from: 10, upTo: 12, bytes: bytes, scope: .all, isWhole: false)])
        let batch = Sample.batch(from: 10, to: 12)
        #expect(session.headMoved(to: 13) == [])
        #expect(
            session.read(batch: batch, bytes: 100)
                == [
                    .send(.batch(batch)), .readBatch(from: 12, upTo: 13, bytes: bytes, scope: .all, isWhole: false),
                ])
        let next = Sample.batch(from: 12, to: 13)
        #expect(session.read(batch: next, bytes: 100) == [.send(.batch(next))])
    }

    @Test("a reader without credit costs no further read (F-8)")
    func slowReader() {
        var (session, directives) = opened(head: 12, credit: 0)
        #expect(directives == [])
        #expect(session.headMoved(to: 20) == [])
        #expect(
            session.received(.credit(bytes: 50), bytes: 4)
                == [
                    .confirmNonce,
                    .readBatch(from: 10, upTo: 20, bytes: SessionLimits.batchBytes, scope: .all, isWhole: false),
                ])
    }

    @Test("a snapshot is pages, then the log as whole records from the first page's position, then the log (B1)")
    func snapshot() {
        var (session, directives) = opened(cursor: 0, entrance: .snapshot(.first), backfill: Self.mark(table: 0))
        #expect(directives == [.readPage(Self.mark(table: 0))])
        let first = Sample.page(table: 0, position: 10, endsTable: true, endsBackfill: false)
        #expect(
            session.read(page: first, bytes: 10)
                == [.send(.page(first)), .readPage(Self.mark(table: 1, first: 10, lastPosition: 10))])
        _ = session.headMoved(to: 13)
        let last = Sample.page(table: 1, position: 12, endsTable: true, endsBackfill: true)
        let bytes = SessionLimits.batchBytes
        #expect(
            session.read(page: last, bytes: 10)
                == [.send(.page(last)), .readBatch(from: 10, upTo: 12, bytes: bytes, scope: .all, isWhole: true)])
        let whole = Sample.batch(from: 10, to: 12, head: 13, isWhole: true)
        #expect(
            session.read(batch: whole, bytes: 10)
                == [.send(.batch(whole)), .readBatch(from: 12, upTo: 13, bytes: bytes, scope: .all, isWhole: false)])
    }

    @Test("added buckets come after the kept ones have reached the head of welcome (S1)")
    func widens() {
        var (session, directives) = opened(
            head: 12, cursor: 10, entrance: .widen(added: [.unassigned]), backfill: Self.mark(table: 0))
        let bytes = SessionLimits.batchBytes
        #expect(directives == [.readBatch(from: 10, upTo: 12, bytes: bytes, scope: .kept, isWhole: false)])
        let kept = Sample.batch(from: 10, to: 12)
        #expect(session.read(batch: kept, bytes: 9) == [.send(.batch(kept)), .readPage(Self.mark(table: 0))])
        let page = Sample.page(table: 0, position: 14, endsTable: true, endsBackfill: true)
        #expect(
            session.read(page: page, bytes: 9)
                == [.send(.page(page)), .readBatch(from: 12, upTo: 14, bytes: bytes, scope: .all, isWhole: true)])
    }

    @Test("the first message after welcome brings the offered nonce into use (I2)")
    func nonce() {
        var (session, _) = opened()
        let commits = [Sample.commit(seq: 1)]
        #expect(
            session.received(.push(Push(commits: commits)), bytes: 90) == [.confirmNonce, .commit(commits, bytes: 90)])
        #expect(session.received(.ping(3), bytes: 2) == [.send(.pong(3))])
        #expect(session.received(.bye(nonceStored: true), bytes: 2) == [.close(nil)])
    }

    struct Violation: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var message: ClientMessage
    }

    static let beforeHello = [
        Violation(testDescription: "push before hello", message: .push(Push(commits: []))),
        Violation(testDescription: "credit before hello", message: .credit(bytes: 1)),
        Violation(testDescription: "fetch before hello", message: .fetch([])),
    ]

    @Test("answers nothing before authentication (P30, W-1)", arguments: beforeHello)
    func refusesEarly(_ violation: Violation) {
        var session = ServerSession()
        let directives = session.received(violation.message, bytes: 5)
        let refusal = Refusal(
            .protocolBroken, "“\(violation.message.name)” is not allowed while waiting for hello.")
        #expect(directives == [.send(.refuse(refusal)), .close(refusal)])
        #expect(session.received(violation.message, bytes: 5) == [])
    }

    static let whenOpen = [
        Violation(testDescription: "a second hello", message: .hello(Sample.hello)),
        Violation(testDescription: "negative credit", message: .credit(bytes: -1)),
        Violation(testDescription: "applied beyond the head", message: .applied(position: 99)),
        Violation(
            testDescription: "a fetch over the limit",
            message: .fetch(
                Array(repeating: RecordKey(table: 1, record: Sample.user), count: SessionLimits.fetchKeys + 1))),
    ]

    @Test("closes on what the protocol forbids in an open session", arguments: whenOpen)
    func refusesLate(_ violation: Violation) {
        var (session, _) = opened()
        let directives = session.received(violation.message, bytes: 5)
        #expect(
            directives.last
                == .close(Refusal(.protocolBroken, "“\(violation.message.name)” is not allowed while open.")))
        #expect(session.isClosed)
    }

    @Test("more pushed than credit was given for ends the session (F-8)")
    func pushLimit() {
        var (session, _) = opened()
        let bytes = SessionLimits.frameBytes + 1_001
        let directives = session.received(.push(Push(commits: [])), bytes: bytes)
        #expect(directives.last == .close(Refusal(.limit, "More was pushed than the server gave credit for.")))
    }

    @Test("more than eight open questions end the session (W-9)")
    func questions() {
        var (session, _) = opened()
        let ask = ClientMessage.digest(DigestRequest())
        #expect(session.received(ask, bytes: 5) == [.confirmNonce, .answer(ask)])
        for _ in 1..<ServerSession.questionsMax { #expect(session.received(ask, bytes: 5) == []) }
        #expect(session.received(ask, bytes: 5).count == 2)
        #expect(session.isClosed)
    }

    @Test("digests come right after the log up to their position, and before what is later (T5)")
    func digests() {
        var (session, _) = opened(head: 10)
        let ask = ClientMessage.digest(DigestRequest())
        #expect(session.received(ask, bytes: 5) == [.confirmNonce, .answer(ask)])
        // The log grows while the digests are read, and again while it is read out.
        #expect(session.headMoved(to: 13) == [])
        let reply = DigestReply(position: 12, parts: [])
        let bytes = SessionLimits.batchBytes
        #expect(
            session.answered(.digest(reply), bytes: 9)
                == [.readBatch(from: 10, upTo: 12, bytes: bytes, scope: .all, isWhole: false)])
        let batch = Sample.batch(from: 10, to: 12)
        #expect(
            session.read(batch: batch, bytes: 100)
                == [
                    .send(.batch(batch)), .send(.digest(reply)),
                    .readBatch(from: 12, upTo: 13, bytes: bytes, scope: .all, isWhole: false),
                ])
    }

    @Test("a device that is shut out hands in, gets nothing, and is never open (S4)")
    func handsIn() {
        var session = ServerSession()
        _ = session.received(.hello(Sample.hello), bytes: 300)
        let refusal = Refusal(.revoked, "Revoked.", handInAfter: 3)
        #expect(session.refused(refusal) == [.send(.refuse(refusal))])
        #expect(session.isAuthenticated && !session.isOpen)
        let commit = Sample.commit(seq: 4)
        #expect(
            session.received(.push(Push(commits: [commit])), bytes: 90) == [.quarantine([commit], bytes: 90)])
        #expect(
            session.quarantined(upTo: 4, credit: 90)
                == [.send(.acknowledge(Acknowledge(items: [], credit: 90, expect: 5)))])
        #expect(session.headMoved(to: 40) == [])
        #expect(session.received(.digest(DigestRequest()), bytes: 5).count == 2)
        #expect(session.isClosed)
    }

    @Test("a peer that says nothing is refused at the deadline")
    func silence() {
        var session = ServerSession()
        #expect(session.timedOut().count == 2)
        #expect(session.isClosed)
        var (open, _) = opened()
        #expect(open.timedOut() == [.send(.ping(1))])
        #expect(open.timedOut().count == 1)
        #expect(open.isClosed)
    }
}
