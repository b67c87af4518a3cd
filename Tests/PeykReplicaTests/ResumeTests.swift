import PeykModel
import PeykSession
import Testing

@testable import PeykReplica

private typealias F = ApplyFixture

/// Pages that a cut interrupted go on where they stopped (rule B1); a resync keeps what was not sent (T1).
@Suite("Backfills that were interrupted") struct ResumeTests {
    private let north = Grant(read: [.territory(F.north), .everyone], write: [], version: 1)
    private let both = Grant(read: [.territory(F.north), .territory(F.south), .everyone], write: [], version: 2)

    private func widening() throws -> TemporaryReplica {
        let replica = try F.replica()
        try replica.begin(
            grant: north, [F.page(F.customer, [(1, F.customerRow("A"))], at: 3, endsBackfill: true)], head: 3)
        _ = try replica.replica.adopt(F.welcome(.widen(added: [.territory(F.south)]), grant: both, head: 3))
        try replica.replica.store(
            F.page(F.customer, [(20, F.customerRow("S", territory: F.south))], at: 3, endsTable: false))
        return replica
    }

    private func widen(continues: Bool, head: Position = 5) -> Welcome {
        var welcome = F.welcome(.widen(added: [.territory(F.south)]), grant: both, head: head)
        welcome.continuesBackfill = continues
        return welcome
    }

    @Test(
        "added buckets: the pages stored before a cut are not sent again, and the log since the cursor makes them exact"
    )
    func widenGoesOn() throws {
        let replica = try widening()
        let mark = try #require(try replica.replica.hello(program: "t", wallTime: 0).backfill)
        #expect(mark.last == F.id(20) && mark.table == F.customer && mark.firstPosition == 3)
        #expect(mark.scope == HeldScope(buckets: [.territory(F.south)], version: 2))
        #expect(try replica.replica.adopt(widen(continues: true)).isBackfilling)
        try replica.replica.store(
            F.page(F.customer, [(21, F.customerRow("T", territory: F.south))], at: 5, endsBackfill: true))
        let applied = try replica.replica.apply(
            F.batch(
                3, 5,
                [
                    F.entry(4, [F.full(F.customer, 20, F.customerRow("S4", territory: F.south))]),
                    F.entry(5, [F.full(F.customer, 1, F.customerRow("A5"))]),
                ], isWhole: true))
        #expect(applied.switched)
        #expect(try replica.shown(F.key(F.customer, 20))?[0] == .text("S4"))
        #expect(try replica.shown(F.key(F.customer, 21)) != nil)
        #expect(try replica.shown(F.key(F.customer, 1))?[0] == .text("A5"))
    }

    @Test("added buckets: where the server begins anew, the pages stored before are forgotten")
    func widenBeginsAnew() throws {
        let replica = try widening()
        _ = try replica.replica.adopt(widen(continues: false))
        #expect(try replica.replica.hello(program: "t", wallTime: 0).backfill == nil)
        try replica.apply(3, [F.entry(4, []), F.entry(5, [])])
        // Record 20 was deleted meanwhile: no page has it, and the log before the pages is not for them.
        try replica.replica.store(
            F.page(F.customer, [(21, F.customerRow("T", territory: F.south))], at: 5, endsBackfill: true))
        _ = try replica.replica.apply(F.batch(5, 5, [], isWhole: true))
        #expect(try replica.shown(F.key(F.customer, 20)) == nil)
        #expect(try replica.shown(F.key(F.customer, 21)) != nil)
    }

    @Test("a cut between the last page and the switch costs no page: the log goes on from where it was stored")
    func logGoesOn() throws {
        let replica = try F.replica()
        try replica.begin()
        try replica.replica.write { try $0.insert(into: "customer", id: F.id(7), ["name": .text("unsent")]) }
        _ = try replica.replica.adopt(F.welcome(.snapshot(.horizon), head: 50))
        try replica.replica.store(F.page(F.customer, [(1, F.customerRow("A"))], at: 50, endsTable: false))
        try replica.replica.store(F.page(F.opportunity, [], at: 60, endsBackfill: true))
        _ = try replica.replica.apply(
            F.batch(50, 55, [F.entry(55, [F.full(F.customer, 2, F.customerRow("B"))])], isWhole: true))
        let mark = try #require(try replica.replica.hello(program: "t", wallTime: 0).backfill)
        #expect(mark.table == F.opportunity + 1 && mark.firstPosition == 50 && mark.lastPosition == 60)
        var welcome = F.welcome(.snapshot(.horizon), head: 70)
        welcome.continuesBackfill = true
        _ = try replica.replica.adopt(welcome)
        try replica.replica.store(F.page(F.opportunity, [], at: 70, endsBackfill: true))
        let early = try replica.replica.apply(
            F.batch(
                50, 60, [F.entry(55, [F.full(F.customer, 2, F.customerRow("B"))]), F.entry(56, [])], isWhole: true))
        #expect(!early.switched)
        let applied = try replica.replica.apply(
            F.batch(60, 70, [F.entry(66, [F.full(F.customer, 1, F.customerRow("A66"))])], isWhole: true))
        #expect(applied.switched && applied.cursor == 70)
        #expect(try replica.shown(F.key(F.customer, 1))?[0] == .text("A66"))
        #expect(try replica.shown(F.key(F.customer, 2)) != nil)
        // T1: what was not sent lies over the new rows.
        #expect(try replica.shown(F.key(F.customer, 7))?[0] == .text("unsent"))
        #expect(try replica.replica.status().pending == 1)
    }

    @Test("a page after the last one is refused, and nothing changes (P29)")
    func surplusPage() throws {
        let replica = try F.replica()
        try replica.begin()
        _ = try replica.replica.adopt(F.welcome(.snapshot(.horizon), head: 5))
        try replica.replica.store(F.page(F.customer, [], at: 5, endsBackfill: true))
        #expect(throws: ReplicaError.self) {
            try replica.replica.store(F.page(F.customer, [(1, F.customerRow("A"))], at: 5, endsBackfill: true))
        }
    }

    @Test("a commit that the pages took in while it waited shows again, and merges where the log says so (I7)")
    func waitingInPages() throws {
        let replica = try F.replica()
        try replica.begin()
        try replica.replica.write { try $0.insert(into: "customer", id: F.id(1), ["name": .text("mine")]) }
        let own = try #require(try replica.outbox().first)
        _ = try replica.replica.adopt(F.welcome(.snapshot(.horizon), head: 5, lastMerged: 1))
        try replica.replica.store(F.page(F.customer, [], at: 5, endsBackfill: true))
        _ = try replica.replica.apply(F.batch(5, 5, [], isWhole: true))
        // The pages do not have it: it waits, and the next welcome says so.
        #expect(try replica.shown(F.key(F.customer, 1)) == nil)
        let waiting = OpenAnswer(
            commit: own.id, seq: 1, position: 4,
            answer: Answer(verdict: .waiting, notices: [Answer.Notice(change: 0, code: .waitsForRecord)]))
        _ = try replica.replica.adopt(F.welcome(.resume, head: 5, lastMerged: 1, openAnswers: [waiting]))
        let row = try #require(try replica.shown(F.key(F.customer, 1)))
        #expect(row[0] == .text("mine"))
        #expect(try replica.confirmed(F.key(F.customer, 1)) == nil)
        #expect(try replica.replica.status().waiting == 1)
        try replica.apply(5, [F.yours(6, own, digest: digest([(F.key(F.customer, 1), row)]))])
        #expect(try replica.confirmed(F.key(F.customer, 1)) == row)
        #expect(try replica.replica.status().waiting == 0)
    }

    @Test("a waiting commit that merges before any welcome told of it is applied all the same (I7)")
    func waitingUnheard() throws {
        let replica = try F.replica()
        try replica.begin()
        try replica.replica.write { try $0.insert(into: "customer", id: F.id(1), ["name": .text("mine")]) }
        let own = try #require(try replica.outbox().first)
        let row = try #require(try replica.shown(F.key(F.customer, 1)))
        _ = try replica.replica.adopt(F.welcome(.snapshot(.horizon), head: 5, lastMerged: 1))
        try replica.replica.store(F.page(F.customer, [], at: 5, endsBackfill: true))
        _ = try replica.replica.apply(F.batch(5, 5, [], isWhole: true))
        let applied = try replica.apply(5, [F.yours(6, own, digest: digest([(F.key(F.customer, 1), row)]))])
        #expect(applied.fetch.isEmpty)
        #expect(try replica.confirmed(F.key(F.customer, 1)) == row)
        #expect(try replica.shown(F.key(F.customer, 1)) == row)
    }
}
