import PeykModel
import PeykSession
import Testing

@Suite("Client session")
struct ClientSessionTests {
    /// A session that has just adopted a welcome at cursor 10.
    func opened(
        _ purpose: ClientSession.Purpose = .sync, head: Position = 10, isBackfilling: Bool = false,
        credit: Int64 = 1_000
    ) -> (session: ClientSession, directives: [ClientSession.Directive]) {
        var session = ClientSession(purpose: purpose, workspace: "acme")
        #expect(session.received(.challenge(Sample.challenge), bytes: 60) == [.prepareHello(Sample.challenge)])
        #expect(session.prepared(Sample.hello) == [.send(.hello(Sample.hello))])
        let welcome = Sample.welcome(head: head, credit: credit)
        #expect(session.received(.welcome(welcome), bytes: 200) == [.adopt(welcome)])
        let directives = session.adopted(cursor: 10, isBackfilling: isBackfilling)
        return (session, directives)
    }

    @Test("a sync with nothing to do ends after welcome, in one round trip (P26, T6)")
    func idle() {
        var (session, directives) = opened()
        #expect(directives == [.load(after: 0, bytes: SessionLimits.pushBytes)])
        #expect(session.loaded([], hasMore: false) == [.send(.bye(nonceStored: true)), .finish])
        #expect(session.isClosed)
        #expect(session.received(.batch(Sample.batch(from: 10, to: 11)), bytes: 10) == [])
    }

    @Test("an invite is redeemed before hello, under the same challenge (W-2)")
    func enrols() {
        var session = ClientSession(purpose: .sync, workspace: "acme", mustEnrol: true)
        #expect(session.received(.challenge(Sample.challenge), bytes: 60) == [.prepareEnrol(Sample.challenge)])
        let enrol = Enrol(code: "c", deviceKey: [], deviceName: "laptop", signature: [])
        #expect(session.prepared(enrol) == [.send(.enrol(enrol))])
        let enrolled = Enrolled(
            user: Sample.user, userName: "Sara", role: .rep, site: Sample.site, nonce: [], certificate: [])
        #expect(session.received(.enrolled(enrolled), bytes: 90) == [.store(enrolled)])
        #expect(session.enrolmentStored() == [.prepareHello(Sample.challenge)])
    }

    @Test("a sync goes on until its own commits came back and the head of welcome is reached")
    func pushesAndPulls() {
        var (session, _) = opened(head: 12)
        let commit = Sample.commit(seq: 1)
        #expect(session.loaded([commit], hasMore: false) == [.send(.push(Push(commits: [commit])))])
        let acknowledge = Sample.acknowledge(seq: 1, position: 14)
        #expect(session.received(.acknowledge(acknowledge), bytes: 40) == [.record(acknowledge)])
        let batch = Sample.batch(from: 10, to: 13)
        #expect(session.received(.batch(batch), bytes: 40) == [.apply(batch)])
        #expect(session.applied(cursor: 13, report: 13, isBackfilling: false, fetch: []) == [])
        let last = Sample.batch(from: 13, to: 14)
        #expect(session.received(.batch(last), bytes: 40) == [.apply(last)])
        #expect(
            session.applied(cursor: 14, report: 14, isBackfilling: false, fetch: [])
                == [.send(.applied(position: 14)), .send(.bye(nonceStored: true)), .finish])
    }

    @Test("what is told is the report, not the cursor: a commit without an answer holds it back (T1, m13)")
    func report() {
        var (session, _) = opened(head: 12)
        let commit = Sample.commit(seq: 1)
        _ = session.loaded([commit], hasMore: false)
        _ = session.received(.batch(Sample.batch(from: 10, to: 13)), bytes: 1 << 30)
        let held = session.applied(cursor: 13, report: 10, isBackfilling: false, fetch: [])
        #expect(!held.contains { if case .send(.applied) = $0 { true } else { false } })
        _ = session.received(.batch(Sample.batch(from: 13, to: 14)), bytes: 1 << 30)
        let told = session.applied(cursor: 14, report: 14, isBackfilling: false, fetch: [])
        #expect(told.contains(.send(.applied(position: 14))))
    }

    @Test("a session that only watches reports when it pings (T1)")
    func watchReports() {
        var session = ClientSession(purpose: .watch, workspace: "acme")
        _ = session.received(.challenge(Sample.challenge), bytes: 10)
        _ = session.prepared(Sample.hello)
        _ = session.received(.welcome(Sample.welcome()), bytes: 10)
        _ = session.adopted(cursor: 10, isBackfilling: false)
        _ = session.received(.batch(Sample.batch(from: 10, to: 13)), bytes: 40)
        _ = session.applied(cursor: 13, report: 13, isBackfilling: false, fetch: [])
        #expect(session.timedOut() == [.send(.applied(position: 13)), .send(.ping(1))])
        _ = session.received(.pong(1), bytes: 9)
        #expect(session.timedOut() == [.send(.ping(1))], "it is told once")
    }

    @Test("a sync ends although others keep writing (F40)")
    func endsUnderLoad() {
        var (session, _) = opened(head: 12)
        #expect(session.loaded([], hasMore: false) == [])
        let batch = Sample.batch(from: 10, to: 12, head: 5_000)
        #expect(session.received(.batch(batch), bytes: 40) == [.apply(batch)])
        #expect(session.applied(cursor: 12, report: 12, isBackfilling: false, fetch: []).last == .finish)
    }

    @Test("without push credit nothing is loaded until an acknowledgement gives some")
    func waitsForCredit() {
        var (session, directives) = opened(credit: 0)
        #expect(directives == [])
        let more = Acknowledge(items: [], credit: 500)
        #expect(
            session.received(.acknowledge(more), bytes: 10) == [.load(after: 0, bytes: SessionLimits.pushBytes)])
    }

    @Test("the server may ask for an earlier commit, but not for ever (I4)")
    func expects() {
        var (session, _) = opened()
        _ = session.loaded([Sample.commit(seq: 1), Sample.commit(seq: 2)], hasMore: false)
        let gap = Acknowledge(items: [], credit: 0, expect: 1)
        for _ in 0..<3 {
            #expect(session.received(.acknowledge(gap), bytes: 9) == [.load(after: 0, bytes: SessionLimits.pushBytes)])
            _ = session.loaded([Sample.commit(seq: 1)], hasMore: false)
        }
        #expect(session.received(.acknowledge(gap), bytes: 9) == [.fail(.gap(expected: 1))])
    }

    @Test("a digest that differs fetches the record before the session may end (M4)")
    func fetches() {
        var (session, _) = opened(head: 11)
        #expect(session.loaded([], hasMore: false) == [])
        let key = RecordKey(table: 1, record: Sample.user)
        _ = session.received(.batch(Sample.batch(from: 10, to: 11)), bytes: 40)
        #expect(session.applied(cursor: 11, report: 11, isBackfilling: false, fetch: [key]) == [.send(.fetch([key]))])
        let records = Records(position: 11, effects: [])
        #expect(session.received(.records(records), bytes: 40) == [.storeRecords(records)])
        #expect(session.recordsStored([key]).last == .finish)
    }

    @Test("records of a reply that is a part are asked for again, and at most four fetches are under way (W-9)")
    func fetchesInParts() {
        var (session, _) = opened(head: 11)
        _ = session.loaded([], hasMore: false)
        let keys = (0..<5_500).map {
            RecordKey(table: 1, record: RecordID(bits: UUIDBits(high: 0x7000, low: 0x8000_0000_0000_0000 + $0)))
        }
        _ = session.received(.batch(Sample.batch(from: 10, to: 11)), bytes: 40)
        let asked = session.applied(cursor: 11, report: 11, isBackfilling: false, fetch: keys)
        #expect(asked == (0..<4).map { .send(.fetch(Array(keys[$0 * 1_000..<($0 + 1) * 1_000]))) })
        _ = session.received(.records(Records(position: 11, effects: [])), bytes: 40)
        #expect(
            session.recordsStored(Array(keys[..<600]))
                == [.send(.fetch(Array(keys[600..<1_000] + keys[4_000..<4_600])))])
        #expect(session.isFetching)
    }

    @Test(
        "what a server has no room for stays pending; the rest of the sync is done first, and says when to come (W-14)")
    func postpones() {
        var (session, _) = opened(head: 11)
        #expect(session.loaded([Sample.commit(seq: 1), Sample.commit(seq: 2)], hasMore: false).count == 1)
        let later = Acknowledge(items: [], credit: 100, expect: 1, retryAfter: 30)
        #expect(session.received(.acknowledge(later), bytes: 9) == [.postpone(seconds: 30)])
        #expect(session.localChange() == [])
        _ = session.received(.batch(Sample.batch(from: 10, to: 11)), bytes: 40)
        let end = session.applied(cursor: 11, report: 11, isBackfilling: false, fetch: [])
        guard case .fail(.refused(let refusal))? = end.last else { return #expect(Bool(false), "\(end)") }
        #expect(refusal.code == .busy && refusal.retryAfter == 30)
        #expect(end.contains(.send(.bye(nonceStored: true))))

        var (watching, _) = opened(.watch)
        _ = watching.loaded([Sample.commit(seq: 1)], hasMore: false)
        #expect(watching.received(.acknowledge(later), bytes: 9) == [.postpone(seconds: 30)])
        #expect(watching.pushAgain() == [.load(after: 0, bytes: SessionLimits.pushBytes)])
    }

    @Test("a device that is shut out hands in what it has not sent, keeps it, and says so (S4, F114)")
    func handsIn() {
        var session = ClientSession(purpose: .sync, workspace: "acme")
        _ = session.received(.challenge(Sample.challenge), bytes: 60)
        _ = session.prepared(Sample.hello)
        let refusal = Refusal(.revoked, "Revoked.", handInAfter: 3)
        #expect(
            session.received(.refuse(refusal), bytes: 40) == [.load(after: 3, bytes: SessionLimits.pushBytes)])
        let commits = [Sample.commit(seq: 4), Sample.commit(seq: 5)]
        #expect(session.loaded(commits, hasMore: false) == [.send(.push(Push(commits: commits)))])
        let end = session.received(.acknowledge(Acknowledge(items: [], credit: 9, expect: 6)), bytes: 9)
        #expect(end.first == .send(.bye(nonceStored: false)))
        guard case .fail(.refused(let reason))? = end.last else { return #expect(Bool(false), "\(end)") }
        #expect(reason.code == .revoked)
        #expect(reason.message == "Revoked. What was not sent yet (2 commits) was handed in for them to decide on.")
    }

    @Test("watch stays open and pushes what is sealed later")
    func watches() {
        var (session, _) = opened(.watch)
        #expect(session.loaded([], hasMore: false) == [])
        #expect(session.localChange() == [.load(after: 0, bytes: SessionLimits.pushBytes)])
        #expect(session.leave() == [.send(.bye(nonceStored: true)), .finish])
    }

    struct Violation: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var message: ServerMessage
    }

    static let violations = [
        Violation(testDescription: "a second welcome", message: .welcome(Sample.welcome())),
        Violation(testDescription: "a challenge", message: .challenge(Sample.challenge)),
        Violation(
            testDescription: "a page out of any backfill",
            message: .page(Sample.page(table: 1, position: 1, endsTable: true, endsBackfill: true))),
        Violation(testDescription: "records not asked for", message: .records(Records(position: 1, effects: []))),
        Violation(testDescription: "a batch that runs backwards", message: .batch(Sample.batch(from: 5, to: 4))),
        Violation(
            testDescription: "an acknowledgement of what was not sent",
            message: .acknowledge(Sample.acknowledge(seq: 9, position: 1))),
    ]

    @Test("closes on what the protocol forbids", arguments: violations)
    func violates(_ violation: Violation) {
        var (session, _) = opened()
        #expect(
            session.received(violation.message, bytes: 10)
                == [.fail(.unexpected(message: violation.message.name, state: "syncing"))])
        #expect(session.received(violation.message, bytes: 10) == [])
    }

    @Test("a challenge of another workspace or version ends before anything is told (W-1)")
    func strangers() {
        var other = Sample.challenge
        other.workspace = "other"
        var session = ClientSession(purpose: .sync, workspace: "acme")
        #expect(session.received(.challenge(other), bytes: 9) == [.fail(.workspace(expected: "acme", found: "other"))])
        var newer = Sample.challenge
        newer.versions = 2...3
        session = ClientSession(purpose: .sync, workspace: "acme")
        #expect(session.received(.challenge(newer), bytes: 9) == [.fail(.version(ours: 1, theirs: 2...3))])
    }

    @Test("silence is asked after once, and then the session is given up (W-10)")
    func silence() {
        var (session, _) = opened()
        #expect(session.timedOut() == [.send(.ping(1))])
        #expect(session.received(.pong(1), bytes: 2) == [])
        #expect(session.timedOut() == [.send(.ping(1))])
        #expect(session.timedOut() == [.fail(.timeout(state: "syncing"))])
        #expect(session.timedOut() == [])
    }
}
