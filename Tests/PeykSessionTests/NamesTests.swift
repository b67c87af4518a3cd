import PeykModel
import PeykSession
import Testing

@Suite("Names of a lost history")
struct NamesTests {
    static func names(_ count: Int) -> [Witness] {
        (0..<count).map { index in
            Witness(
                epoch: Epoch(bits: UUIDBits(high: 1, low: 1)), position: Position(index + 1),
                commit: CommitID(bits: UUIDBits(high: 2, low: UInt64(index))))
        }
    }

    func welcome() -> Welcome {
        var welcome = Sample.welcome(head: 10)
        welcome.wantsNames = true
        welcome.credit = 1 << 24
        return welcome
    }

    @Test("a replica of another history names what it had seen, in chunks, before its first push (I7.2, W-13)")
    func clientNamesFirst() {
        var session = ClientSession(purpose: .sync, workspace: "acme")
        _ = session.received(.challenge(Sample.challenge), bytes: 60)
        _ = session.prepared(Sample.hello)
        _ = session.received(.welcome(welcome()), bytes: 200)
        let limit = SessionLimits.namesItems
        #expect(
            session.adopted(cursor: 10, isBackfilling: false) == [.loadNames(skipping: 0, limit: limit)])
        let full = Self.names(limit)
        #expect(
            session.loaded(names: full, isLast: false)
                == [.send(.names(Names(items: full, isLast: false))), .loadNames(skipping: limit, limit: limit)])
        #expect(
            session.loaded(names: [], isLast: true)
                == [
                    .send(.names(Names(items: [], isLast: true))), .load(after: 0, bytes: SessionLimits.pushBytes),
                ])
    }

    func server() -> ServerSession {
        var session = ServerSession()
        _ = session.received(.hello(Sample.hello), bytes: 300)
        _ = session.admitted(welcome(), cursor: 10, backfill: nil, credit: 10_000)
        return session
    }

    @Test("a server takes no push of a site that still owes names (I7.2, W-13)")
    func serverWaitsForNames() {
        var session = server()
        let push = ClientMessage.push(Push(commits: [Sample.commit(seq: 1)]))
        let directives = session.received(push, bytes: 100)
        #expect(
            directives.contains { if case .close(let reason?) = $0 { reason.code == .protocolBroken } else { false } })

        session = server()
        let some = Self.names(3)
        #expect(
            session.received(.names(Names(items: some, isLast: false)), bytes: 150)
                == [.confirmNonce, .recordNames(some, isLast: false, bytes: 150)])
        #expect(
            session.received(.names(Names(items: [], isLast: true)), bytes: 9)
                == [.recordNames([], isLast: true, bytes: 9)])
        #expect(session.received(push, bytes: 100) == [.commit([Sample.commit(seq: 1)], bytes: 100)])
    }

    @Test("names that nobody asked for, or too many of them, end the session (P28, W-13)")
    func serverRefusesNames() {
        var session = ServerSession()
        _ = session.received(.hello(Sample.hello), bytes: 300)
        _ = session.admitted(Sample.welcome(head: 10), cursor: 10, backfill: nil, credit: 10_000)
        _ = session.received(.names(Names(items: [], isLast: true)), bytes: 9)
        #expect(session.isClosed)

        session = server()
        _ = session.received(.names(Names(items: Self.names(SessionLimits.namesItems + 1), isLast: true)), bytes: 9)
        #expect(session.isClosed)
    }
}
