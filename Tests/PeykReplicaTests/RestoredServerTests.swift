import PeykModel
import PeykSQLite
import PeykSession
import Testing

@testable import PeykReplica

private typealias F = ApplyFixture

/// A server that was restored from a backup, as its replica sees it (rules I6 to I8, I10).
@Suite("A restored server") struct RestoredServerTests {
    static let newSite = SiteID(rawValue: 0xD4)
    static func epoch(_ number: UInt64) -> Epoch { Epoch(bits: UUIDBits(high: 8, low: number)) }
    static func lineage(after fork: Position, _ number: UInt64 = 1) -> Lineage {
        Lineage([Era(epoch: F.epoch, after: 0), Era(epoch: epoch(number), after: fork)])
    }
    private let customer = F.key(F.customer, 1)

    /// Position 1 is Kaveh with 5 visits, by another device; position 2 adds 2 visits, by this one; 3 is another's
    /// customer.
    private func merged() throws -> (replica: TemporaryReplica, own: SealedCommit) {
        let replica = try F.replica()
        try replica.begin()
        try replica.apply(0, [F.entry(1, [F.full(F.customer, 1, F.customerRow("Kaveh", visits: 5))])])
        try replica.replica.write { try $0.update("customer", customer.record, ["visits": .integer(7)]) }
        let own = try #require(try replica.outbox().first)
        let row = F.customerRow("Kaveh", visits: 7)
        try replica.apply(
            1,
            [
                F.yours(2, own, digest: digest([(customer, row)])),
                F.entry(3, [F.full(F.customer, 9, F.customerRow("Reza"))]),
            ])
        return (replica, own)
    }

    private func restored(_ fork: Position, head: Position, _ number: UInt64 = 1) -> Welcome {
        F.welcome(
            .snapshot(.restored), site: SiteID(rawValue: 0xD0 + number), head: head,
            lineage: Self.lineage(after: fork, number), reason: .newEpoch)
    }

    @Test("own work that the server lacks stays in view, once, until the snapshot and after it (I8)")
    func ownWorkStays() throws {
        let (replica, own) = try merged()
        _ = try replica.replica.adopt(restored(1, head: 1))
        // Offered again under a new dot, with its old id and its old clock.
        let again = try #require(try replica.outbox().first)
        #expect(again.id == own.id && again.sealed == own.sealed)
        #expect(again.envelope.dot == Dot(site: SiteID(rawValue: 0xD1), seq: 1))
        #expect(again.envelope.clock.anchor == own.envelope.clock.anchor)
        #expect(again.envelope.clock.lineage == F.lineage)
        // The old rows have the two visits in them; they do not count twice while pages come.
        #expect(try replica.shown(customer)?[3] == .integer(7))
        try replica.replica.store(
            F.page(F.customer, [(1, F.customerRow("Kaveh", visits: 5))], at: 1, endsBackfill: true))
        #expect(try replica.shown(customer)?[3] == .integer(7))
        let applied = try replica.replica.apply(F.batch(1, 1, [], isWhole: true))
        #expect(applied.switched)
        #expect(try replica.shown(customer)?[3] == .integer(7))
        #expect(try replica.confirmed(customer)?[3] == .integer(5))
        #expect(try replica.replica.status().pending == 1)
        // It comes back in the stream: confirmed again, no more pending.
        let row = F.customerRow("Kaveh", visits: 7)
        var entry = F.yours(2, again, digest: digest([(customer, row)]))
        entry.dot = again.envelope.dot
        try replica.apply(1, [entry])
        #expect(try replica.confirmed(customer) == row)
        #expect(try replica.replica.status().pending == 0)
    }

    @Test("what is acknowledged while the pages come leaves the overlay at the switch, and counts once (I8, B2)")
    func acknowledgedMeanwhile() throws {
        let (replica, own) = try merged()
        _ = try replica.replica.adopt(restored(1, head: 1))
        try replica.replica.acknowledge(
            Acknowledge(items: [.init(seq: 1, commit: own.id, position: 2, receipt: [])], credit: 0))
        try replica.replica.store(
            F.page(F.customer, [(1, F.customerRow("Kaveh", visits: 7))], at: 2, endsBackfill: true))
        _ = try replica.replica.apply(F.batch(2, 2, [], isWhole: true))
        #expect(try replica.shown(customer)?[3] == .integer(7))
        #expect(try replica.confirmed(customer)?[3] == .integer(7))
    }

    @Test("what the history has of former sites is not laid over the pages, and is offered all the same (I8, B2)")
    func knownOfFormerSites() throws {
        let (replica, own) = try merged()
        try replica.replica.write { try $0.update("customer", customer.record, ["visits": .integer(10)]) }
        var welcome = restored(1, head: 2)
        // The commit of another replica of the family says nothing here.
        welcome.familyLastIDs = [CommitID(bits: UUIDBits(high: 0xC0, low: 77)), own.id]
        _ = try replica.replica.adopt(welcome)
        try replica.replica.store(
            F.page(F.customer, [(1, F.customerRow("Kaveh", visits: 7))], at: 2, endsBackfill: true))
        _ = try replica.replica.apply(F.batch(2, 2, [], isWhole: true))
        #expect(try replica.confirmed(customer)?[3] == .integer(7))
        #expect(try replica.shown(customer)?[3] == .integer(10))
        let offered = try replica.replica.outbox(after: 0, bytesMax: 1 << 20).commits
        #expect(offered.map(\.envelope.dot.seq) == [1, 2] && offered[0].id == own.id)
    }

    @Test("a page says that it has the commit, whose acknowledgement is cut off: it counts once (I8, B2)")
    func acknowledgementCutOff() throws {
        let (replica, _) = try merged()
        _ = try replica.replica.adopt(restored(1, head: 1))
        // What was sealed since is not in the page.
        try replica.replica.write { try $0.update("customer", F.id(1), ["visits": .integer(10)]) }
        var page = F.page(F.customer, [(1, F.customerRow("Kaveh", visits: 7))], at: 2, endsBackfill: true)
        page.lastMerged = 1
        try replica.replica.store(page)
        _ = try replica.replica.apply(F.batch(2, 2, [], isWhole: true))
        #expect(try replica.confirmed(customer)?[3] == .integer(7))
        #expect(try replica.shown(customer)?[3] == .integer(10))
        #expect(try replica.replica.status().pending == 1)
    }

    @Test("an acknowledgement that comes after the pages which have the commit takes it out of the overlay (I8, B2)")
    func acknowledgedLate() throws {
        let (replica, own) = try merged()
        _ = try replica.replica.adopt(restored(1, head: 1))
        // The push was taken in at 2, before the first page was read; no entry of the log will come for it any more.
        try replica.replica.store(
            F.page(F.customer, [(1, F.customerRow("Kaveh", visits: 7))], at: 2, endsBackfill: true))
        _ = try replica.replica.apply(F.batch(2, 2, [], isWhole: true))
        try replica.replica.acknowledge(
            Acknowledge(items: [.init(seq: 1, commit: own.id, position: 2, receipt: [])], credit: 0))
        #expect(try replica.shown(customer)?[3] == .integer(7))
        #expect(try replica.confirmed(customer)?[3] == .integer(7))
        #expect(try replica.replica.pendingCommits().isEmpty)
    }

    @Test("what comes back in the log after the pages, before its acknowledgement, counts once (I8, B1)")
    func returnedInTheWindow() throws {
        let (replica, own) = try merged()
        _ = try replica.replica.adopt(restored(1, head: 1))
        try replica.replica.store(
            F.page(F.customer, [(1, F.customerRow("Kaveh", visits: 5))], at: 1, endsTable: false))
        try replica.replica.store(F.page(F.customer, [(4, F.customerRow("new"))], at: 2, endsBackfill: true))
        var entry = F.entry(2, [F.full(F.customer, 1, F.customerRow("Kaveh", visits: 7))])
        entry.commit = own.id
        entry.dot = Dot(site: SiteID(rawValue: 0xD1), seq: 1)
        _ = try replica.replica.apply(F.batch(1, 2, [entry], isWhole: true))
        #expect(try replica.shown(customer)?[3] == .integer(7))
        #expect(try replica.confirmed(customer)?[3] == .integer(7))
        #expect(try replica.replica.status().pending == 0)
    }

    @Test("records that the server lacks are listed until they return (I8)")
    func lacking() throws {
        let (replica, _) = try merged()
        _ = try replica.replica.adopt(restored(1, head: 1))
        try replica.replica.store(
            F.page(F.customer, [(1, F.customerRow("Kaveh", visits: 5))], at: 1, endsBackfill: true))
        _ = try replica.replica.apply(F.batch(1, 1, [], isWhole: true))
        #expect(try replica.replica.status().lacking == 1)
        let issue = try #require(try replica.replica.issues(in: .told).first)
        #expect(issue.record == F.id(9) && issue.base == F.customerRow("Reza"))
        #expect(try replica.shown(F.key(F.customer, 9)) == nil)
        try replica.apply(1, [F.entry(2, [F.full(F.customer, 9, F.customerRow("Reza"))])])
        try replica.replica.finishSession(wasConverged: true)
        #expect(try replica.replica.status().lacking == 0)
    }

    @Test("a record that the server lacks for good is written anew under its id, once (I8)")
    func writtenAnew() throws {
        let (replica, _) = try merged()
        _ = try replica.replica.adopt(restored(1, head: 1))
        try replica.replica.store(
            F.page(F.customer, [(1, F.customerRow("Kaveh", visits: 5))], at: 1, endsBackfill: true))
        _ = try replica.replica.apply(F.batch(1, 1, [], isWhole: true))
        let issue = try #require(try replica.replica.issues(in: .told).first)
        #expect(issue.canBeWrittenAgain)
        let before = try replica.replica.status().pending
        try replica.replica.retryIssue(issue.id)
        #expect(try replica.shown(F.key(F.customer, 9)) == F.customerRow("Reza"))
        #expect(try replica.replica.status().pending == before + 1)
        #expect(try replica.replica.status().lacking == 0)
        #expect(throws: ReplicaError.unknownIssue(issue.id)) { try replica.replica.retryIssue(issue.id) }
    }

    @Test("names of what was applied beyond the fork, from the log and from pages' writers, also after the switch (I7)")
    func names() throws {
        let replica = try F.replica()
        _ = try replica.replica.adopt(F.welcome(.snapshot(.first), head: 3))
        let writer = CommitID(bits: UUIDBits(high: 0xEE, low: 1))
        try replica.replica.store(
            F.page(F.customer, [(1, F.customerRow("A"))], at: 3, endsBackfill: true, writers: [1: [writer]]))
        _ = try replica.replica.apply(F.batch(3, 3, [], isWhole: true))
        try replica.replica.write { try $0.update("customer", customer.record, ["visits": .integer(1)]) }
        try replica.apply(3, [F.entry(4, [Effect(key: customer, kind: .touched)])])
        #expect(try replica.replica.names(skipping: 0, limit: 10).isEmpty)
        _ = try replica.replica.adopt(restored(2, head: 2))
        let expected = [
            Witness(epoch: F.epoch, position: 3, commit: writer),
            Witness(epoch: F.epoch, position: 4, commit: F.entry(4, []).commit),
        ]
        #expect(try replica.replica.names(skipping: 0, limit: 10) == expected)
        #expect(try replica.replica.names(skipping: 1, limit: 1) == [expected[1]])
        #expect(try replica.replica.names(skipping: 2, limit: 10).isEmpty)
        try replica.replica.store(F.page(F.customer, [(1, F.customerRow("A"))], at: 2, endsBackfill: true))
        _ = try replica.replica.apply(F.batch(2, 2, [], isWhole: true))
        #expect(try replica.replica.names(skipping: 0, limit: 10) == expected, "a commit of ours is anchored there")
        // V8: what was applied beyond the common part is not held in the new history.
        let log = try replica.replica.reading { try $0.rows("SELECT position FROM peyk_log WHERE position > 2") }
        #expect(log.isEmpty)
    }

    @Test("names of a gone history go when no commit of ours is anchored there any more (I7)")
    func namesGo() throws {
        let (replica, own) = try merged()
        _ = try replica.replica.adopt(restored(0, head: 0))
        try replica.replica.store(F.page(F.customer, [], at: 0, endsBackfill: true))
        _ = try replica.replica.apply(F.batch(0, 0, [], isWhole: true))
        #expect(try replica.replica.names(skipping: 0, limit: 10).count == 3)
        var entry = F.entry(1, [])
        entry.commit = own.id
        _ = try replica.replica.acknowledge(
            Acknowledge(items: [.init(seq: 1, commit: own.id, position: 1, receipt: [])], credit: 0))
        _ = try replica.replica.apply(F.batch(0, 1, [entry]))
        #expect(try replica.replica.names(skipping: 0, limit: 10).count == 3)
        // The oldest backup that may be restored now holds the commit.
        _ = try replica.replica.apply(F.batch(1, 2, [F.entry(2, [])], horizon: 1))
        #expect(try replica.replica.names(skipping: 0, limit: 10).isEmpty)
        #expect(try replica.replica.reading { try $0.value("SELECT 1 FROM peyk_commit") } == nil)
    }

    @Test("a position acknowledged in one restored history says nothing in the next (I6, I8)")
    func twoRestores() throws {
        let replica = try F.replica()
        try replica.begin()
        try replica.apply(0, (1...5).map { F.entry($0, []) })
        try replica.replica.write { try $0.insert(into: "customer", id: F.id(1), ["name": .text("mine")]) }
        // The first restored server takes the commit at position 3, after a fork at 2.
        _ = try replica.replica.adopt(restored(2, head: 2))
        let own = try #require(try replica.outbox().first)
        try replica.replica.acknowledge(
            Acknowledge(items: [.init(seq: 1, commit: own.id, position: 3, receipt: [])], credit: 0))
        // The second goes on from position 4 of the first history: it never heard of the commit.
        _ = try replica.replica.adopt(restored(4, head: 4, 2))
        #expect(try replica.outbox().map(\.id) == [own.id])
        #expect(try replica.replica.status().pending == 1)
    }

    @Test("what the author knows to be refused is offered again as void, and shows no more (I8)")
    func void() throws {
        let replica = try F.replica()
        try replica.begin()
        try replica.apply(0, [F.entry(1, [F.full(F.customer, 1, F.customerRow("Kaveh", visits: 5))])])
        try replica.replica.write {
            try $0.update("customer", customer.record, ["name": .text("Mine"), "visits": .integer(6)])
        }
        let own = try #require(try replica.outbox().first)
        let cell = F.schema.tables[F.customer].cells[F.schema.tables[F.customer].cellOfField[0]].tag
        let answer = Answer(notices: [Answer.Notice(change: 0, cell: cell, code: .scope)])
        let row = F.customerRow("Kaveh", visits: 6)
        try replica.apply(
            1,
            [
                F.yours(
                    2, own, answer: answer,
                    effects: [Effect(key: customer, kind: .delta([FieldValue(field: 0, value: .text("Kaveh"))]))],
                    digest: digest([(customer, row)]))
            ])
        #expect(try replica.shown(customer) == row)
        _ = try replica.replica.adopt(restored(1, head: 1))
        let again = try #require(try replica.outbox().first)
        #expect(again.sealed == own.sealed, "sealed bytes never change (C1)")
        #expect(again.envelope.formerAnswer == answer)
        try replica.replica.store(
            F.page(F.customer, [(1, F.customerRow("Kaveh", visits: 5))], at: 1, endsBackfill: true))
        _ = try replica.replica.apply(F.batch(1, 1, [], isWhole: true))
        #expect(try replica.shown(customer) == row, "the visit counts, the refused name does not come back")
    }

    @Test("a commit refused whole is offered again as void, and shows nothing (I8, m29)")
    func voidWhole() throws {
        let replica = try F.replica()
        try replica.begin()
        try replica.replica.write { try $0.insert(into: "customer", id: F.id(1), ["name": .text("refused")]) }
        let own = try #require(try replica.outbox().first)
        let answer = Answer(verdict: .refused, notices: [Answer.Notice(change: -1, code: .falseClaim)])
        try replica.apply(0, [F.yours(1, own, answer: answer, digest: 0)])
        _ = try replica.replica.adopt(restored(0, head: 0))
        #expect(try replica.outbox().first?.envelope.formerAnswer == answer)
        try replica.replica.store(F.page(F.customer, [], at: 0, endsBackfill: true))
        _ = try replica.replica.apply(F.batch(0, 0, [], isWhole: true))
        #expect(try replica.shown(customer) == nil)
        #expect(try replica.replica.issues().count == 1)
    }

    @Test(
        "kept commits are trimmed when the backup horizon covers them, not before, and not what a kept one needs (I10)")
    func trimming() throws {
        let (replica, own) = try merged()
        func kept() throws -> Int {
            try replica.replica.reading { try $0.rows("SELECT 1 FROM peyk_commit").count }
        }
        try replica.replica.acknowledge(
            Acknowledge(items: [.init(seq: 1, commit: own.id, position: 2, receipt: [])], credit: 0))
        _ = try replica.replica.apply(F.batch(3, 4, [F.entry(4, [])], horizon: 1))
        #expect(try kept() == 1)
        try replica.replica.write { try $0.update("customer", customer.record, ["visits": .integer(9)]) }
        let second = try #require(try replica.outbox().last)
        try replica.apply(4, [F.yours(5, second, digest: 0)])
        _ = try replica.replica.apply(F.batch(5, 6, [F.entry(6, [])], horizon: 2))
        #expect(try kept() == 1, "the second was anchored above the first")
        #expect(try replica.outbox().map(\.id) == [second.id])
        #expect(try replica.replica.status().lastSealed == 2)
    }

    @Test(
        "tokens of former batches are kept back to the horizon, at most 64, and told when the server was rolled back (I5)"
    )
    func tokens() throws {
        let replica = try F.replica()
        try replica.begin()
        for position in Position(1)...200 {
            _ = try replica.replica.apply(F.batch(position - 1, position, [], horizon: position < 100 ? 0 : 90))
        }
        #expect(try replica.replica.hello(program: "t", wallTime: 0).formerTokens.isEmpty)
        try replica.replica.tellFormerTokens()
        let told = try replica.replica.hello(program: "t", wallTime: 0).formerTokens
        #expect(told.count <= 64 && told.count > 20)
        #expect(told.first == [200])
        #expect(told.allSatisfy { ($0.first ?? 0) >= 60 })
        _ = try replica.replica.adopt(F.welcome(.resume, head: 200))
        #expect(try replica.replica.hello(program: "t", wallTime: 0).formerTokens.isEmpty)
    }
}
