import PeykModel
import PeykSession
import Testing

@Suite("Copies and restored images in a session")
struct CopyTests {
    static let rekey = Rekey(deviceKey: [5], signature: [6])
    static let rekeyed = Rekeyed(deviceKey: [5], certificate: [7])

    private func adopting(_ welcome: Welcome = Sample.welcome()) -> ClientSession {
        var session = ClientSession(purpose: .sync, workspace: "acme")
        _ = session.received(.challenge(Sample.challenge), bytes: 60)
        _ = session.prepared(Sample.hello)
        _ = session.received(.welcome(welcome), bytes: 200)
        return session
    }

    @Test("a copy asks for a key of its own, and its session does not end before the certificate came (I3, W-15)")
    func clientRekeys() {
        var session = adopting()
        let load = ClientSession.Directive.load(after: 0, bytes: SessionLimits.pushBytes)
        #expect(
            session.adopted(cursor: 10, isBackfilling: false, rekeySite: Sample.site)
                == [.prepareRekey(Sample.challenge, Sample.site), load])
        #expect(session.prepared(Self.rekey) == [.send(.rekey(Self.rekey))])
        #expect(session.loaded([], hasMore: false) == [])
        #expect(
            session.received(.rekeyed(Self.rekeyed), bytes: 100)
                == [.storeRekeyed(Self.rekeyed), .send(.bye(nonceStored: true)), .finish])
    }

    @Test("a certificate that nobody asked for ends the session (P29)")
    func unasked() {
        var session = adopting()
        _ = session.adopted(cursor: 10, isBackfilling: false)
        #expect(
            session.received(.rekeyed(Self.rekeyed), bytes: 100)
                == [.fail(.unexpected(message: "rekeyed", state: "syncing"))])
    }

    @Test("a replica that finds itself restored pushes nothing under its site and confirms no nonce (I3, m20)")
    func renews() {
        var session = adopting(Sample.welcome(lastMerged: 3))
        #expect(
            session.adopted(cursor: 10, isBackfilling: false, mustRenew: true)
                == [.send(.bye(nonceStored: false)), .fail(.renewal)])
        #expect(session.isClosed)
        #expect(SessionError.renewal.description.contains("Nothing is lost"))
    }

    @Test("a server certifies one key at a time (I3, P28)")
    func serverRekeys() {
        var session = ServerSession()
        _ = session.received(.hello(Sample.hello), bytes: 300)
        _ = session.admitted(Sample.welcome(), cursor: 10, backfill: nil, credit: 10_000)
        #expect(session.received(.rekey(Self.rekey), bytes: 100) == [.confirmNonce, .rekey(Self.rekey)])
        var hasty = session
        #expect(
            hasty.received(.rekey(Self.rekey), bytes: 100).contains {
                if case .close(let reason?) = $0 { reason.code == .protocolBroken } else { false }
            })
        #expect(session.rekeyed(Self.rekeyed) == [.send(.rekeyed(Self.rekeyed))])
        #expect(session.rekeyed(Self.rekeyed) == [])
    }

    @Test("pages of added buckets go on at once, since the log of the kept part must not pass them (B1)")
    func widenGoesOn() {
        let scope = HeldScope(buckets: [.territory("south")], version: 2)
        func mark(_ lastPosition: Position) -> BackfillMark {
            BackfillMark(
                scope: scope, table: 2, last: nil, firstPosition: min(lastPosition, 5), lastPosition: lastPosition)
        }
        func directives(_ mark: BackfillMark) -> [ServerSession.Directive] {
            var session = ServerSession()
            _ = session.received(.hello(Sample.hello), bytes: 300)
            let welcome = Sample.welcome(head: 12, entrance: .widen(added: scope.buckets))
            return session.admitted(welcome, cursor: 4, backfill: mark, credit: 10_000)
        }
        #expect(directives(mark(6)).last == .readPage(mark(6)))
        #expect(
            directives(mark(0)).last
                == .readBatch(from: 4, upTo: 12, bytes: SessionLimits.batchBytes, scope: .kept, isWhole: false))
    }
}
