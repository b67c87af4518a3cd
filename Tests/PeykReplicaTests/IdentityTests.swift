import PeykModel
import PeykSQLite
import PeykSession
import Testing

@testable import PeykReplica

private typealias F = ApplyFixture

@Suite("Copies and restored images of a replica") struct IdentityTests {
    private static let newSite = SiteID(rawValue: 0xD4)

    private func edited(_ count: UInt64) throws -> TemporaryReplica {
        let replica = try F.replica()
        try replica.begin()
        for number in 1...count {
            try replica.replica.write { try $0.insert(into: "customer", id: F.id(number), ["name": .text("mine")]) }
        }
        return replica
    }

    private func welcome(_ lastMerged: Sequence64, _ id: CommitID?, site: SiteID = F.site) -> Welcome {
        var welcome = F.welcome(.resume, site: site, lastMerged: lastMerged)
        welcome.lastMergedID = id
        return welcome
    }

    @Test("m20: another commit under an own seq: nothing is taken up, and the next hello asks for a new site (I3)")
    func renewal() throws {
        let replica = try edited(2)
        let before = try replica.replica.hello(program: "t", wallTime: 0)
        #expect(!before.renew)
        let theirs = CommitID(bits: UUIDBits(high: 1, low: 1))
        var welcome = welcome(2, theirs)
        welcome.nonce = [UInt8](repeating: 77, count: 16)
        let refused = try replica.replica.adopt(welcome)
        #expect(refused.mustRenew)
        let hello = try replica.replica.hello(program: "t", wallTime: 0)
        #expect(hello.renew)
        #expect(hello.nonce == before.nonce)
        #expect(hello.site == F.site)
        // The server gives a new site: both commits go under new dots, whole.
        let ids = try replica.outbox().map(\.id)
        let adoption = try replica.replica.adopt(F.welcome(.resume, site: Self.newSite, reason: .restored))
        #expect(!adoption.mustRenew)
        #expect(try replica.outbox().map(\.id) == ids)
        #expect(try replica.outbox().map(\.envelope.dot.seq) == [1, 2])
        #expect(try !replica.replica.hello(program: "t", wallTime: 0).renew)
        let identity = try #require(try replica.replica.status().newIdentity)
        #expect(identity.reason == .restored && identity.former == F.site)
    }

    @Test("m20: the own commit under the last merged seq, a trimmed one, and none at all need no new site")
    func noRenewal() throws {
        let replica = try edited(2)
        let own = try replica.outbox()
        #expect(try !replica.replica.adopt(welcome(1, own[0].id)).mustRenew)
        #expect(try !replica.replica.adopt(welcome(0, nil)).mustRenew)
        try replica.replica.database.write { try $0.run("DELETE FROM peyk_commit WHERE seq = 1") }
        #expect(try !replica.replica.adopt(welcome(1, CommitID(bits: UUIDBits(high: 9, low: 9)))).mustRenew)
    }

    @Test("m20: a seq above all that this file ever sealed is another replica's work (I3)")
    func aheadOfUs() throws {
        let replica = try edited(2)
        #expect(try replica.replica.adopt(welcome(3, CommitID(bits: UUIDBits(high: 9, low: 9)))).mustRenew)
    }

    @Test("I3: through two new sites the commits keep their order, and the younger site's come after the elder's")
    func twoNewSites() throws {
        let replica = try edited(2)
        let first = try replica.outbox()
        func sum(_ number: UInt64) throws -> UInt64 {
            digest([(F.key(F.customer, number), try replica.shown(F.key(F.customer, number)))])
        }
        try replica.apply(0, [F.yours(1, first[0], digest: sum(1)), F.yours(2, first[1], digest: sum(2))])
        _ = try replica.replica.adopt(F.welcome(.resume, site: Self.newSite, head: 2, reason: .restored))
        try replica.replica.write { try $0.update("customer", F.id(1), ["name": .text("second site")]) }
        let second = try replica.outbox()
        try replica.apply(2, [F.yours(3, try #require(second.first), digest: sum(1))])
        _ = try replica.replica.adopt(
            F.welcome(.resume, site: SiteID(rawValue: 0xD5), head: 3, reason: .restored))
        let kept = try replica.replica.reading {
            try $0.rows("SELECT id FROM peyk_commit ORDER BY seq").map { $0[0] }
        }
        #expect(kept == (first + second).map { .blob($0.id.bytes) })
        // A restored server lacks all of them: offered again in the order in which they were sealed.
        let other = Lineage([
            Era(epoch: F.epoch, after: 0), Era(epoch: Epoch(bits: UUIDBits(high: 8, low: 8)), after: 0),
        ])
        _ = try replica.replica.adopt(
            F.welcome(
                .snapshot(.restored), site: SiteID(rawValue: 0xD6), head: 0, lineage: other, reason: .newEpoch))
        let again = try replica.outbox()
        #expect(again.map(\.id) == (first + second).map(\.id))
        #expect(again.map(\.envelope.dot.seq) == [1, 2, 3])
        #expect(again.last?.envelope.clock.former.contains(first[0].id) == true)
    }

    @Test("K9: what was merged under a former dot stays in the outbox until its present dot is accepted")
    func presentDot() throws {
        let replica = try edited(1)
        let own = try #require(try replica.outbox().first)
        _ = try replica.replica.adopt(F.welcome(.resume, site: Self.newSite, reason: .copied))
        #expect(try replica.outbox().map(\.envelope.dot) == [Dot(site: Self.newSite, seq: 1)])
        // The stream has it under its former dot, and a backup covers that: the server still waits for seq 1.
        let sum = digest([(F.key(F.customer, 1), try replica.shown(F.key(F.customer, 1)))])
        _ = try replica.replica.apply(F.batch(0, 1, [F.yours(1, own, digest: sum)], horizon: 1))
        _ = try replica.replica.apply(F.batch(1, 2, [F.entry(2, [])], horizon: 2))
        #expect(try replica.outbox().map(\.id) == [own.id])
        #expect(try replica.outbox().map(\.envelope.dot) == [Dot(site: Self.newSite, seq: 1)])
        try replica.replica.acknowledge(
            Acknowledge(items: [.init(seq: 1, commit: own.id, position: 3, receipt: [])], credit: 0))
        _ = try replica.replica.apply(F.batch(2, 3, [F.entry(3, [])], horizon: 3))
        #expect(try replica.replica.reading { try $0.rows("SELECT 1 FROM peyk_commit").isEmpty })
    }

    @Test("F66: tables emptied by another program wait for a person's word; nothing is pushed (D7)")
    func emptied() throws {
        let replica = try F.replica()
        try replica.begin(
            [F.page(F.customer, (1...30).map { ($0, F.customerRow("c\($0)")) }, at: 3, endsBackfill: true)], head: 3)
        let shell = try Database(
            path: Replica.databasePath(replica.home), lockPath: Replica.lockPath(replica.home))
        try shell.write { try $0.run("DELETE FROM customer") }
        try shell.close()
        #expect(try replica.outbox().isEmpty)
        let status = try replica.replica.status()
        #expect(status.held == 1 && status.pending == 1)
        // The person did not mean it: withdrawn, and every row is back.
        let held = try #require(try replica.replica.pendingCommits().first)
        _ = try replica.replica.undo(held.id)
        #expect(try replica.all(confirmed: false).count == 30)
        #expect(try replica.replica.status().pending == 0)
    }

    @Test("F66: rows that vanish behind the triggers are no deletes: nothing is pushed, and a digest finds them (T5)")
    func vanished() throws {
        let replica = try F.replica()
        try replica.begin(
            [F.page(F.customer, (1...30).map { ($0, F.customerRow("c\($0)")) }, at: 3, endsBackfill: true)], head: 3)
        let shell = try Database(
            path: Replica.databasePath(replica.home), lockPath: Replica.lockPath(replica.home))
        try shell.write { connection in
            try connection.run("INSERT INTO peyk_mute(muted) VALUES (1)")
            try connection.run("DELETE FROM customer")
            try connection.run("DELETE FROM peyk_mute")
        }
        try shell.close()
        #expect(try replica.outbox().isEmpty)
        #expect(try replica.replica.status().pending == 0)
        #expect(try replica.all(confirmed: true).isEmpty, "what a digest is computed from (T5)")
    }
}
