import PeykModel
import PeykSession
import Testing

@testable import PeykReplica

private typealias F = ApplyFixture

@Suite struct BackfillTests {
    @Test("B1: the first load goes straight in, and the log after it makes it exact")
    func firstLoad() throws {
        let replica = try F.replica(schema: nil)
        _ = try replica.replica.adopt(F.welcome(.snapshot(.first), head: 7, schema: F.schema))
        try replica.replica.store(F.page(F.customer, [(1, F.customerRow("A")), (2, F.customerRow("B"))], at: 7))
        #expect(throws: ReplicaError.self) {
            try replica.replica.write { try $0.insert(into: "customer", ["name": .text("too early")]) }
        }
        // A contact of a customer that came after the customers' page.
        try replica.replica.store(
            F.page(F.contact, [(10, F.contactRow(of: 3, "Ali"))], at: 9, endsBackfill: true))
        let applied = try replica.replica.apply(
            F.batch(
                7, 9,
                [
                    F.entry(8, [F.full(F.customer, 3, F.customerRow("C"))]),
                    F.entry(9, [F.full(F.contact, 10, F.contactRow(of: 3, "Ali"))]),
                ], isWhole: true))
        #expect(applied.switched)
        #expect(applied.cursor == 9)
        #expect(try replica.all(confirmed: true).count == 4)
        #expect(try replica.foreignKeyProblems() == 0)
        let hello = try replica.replica.hello(program: "test", wallTime: 0)
        #expect(hello.cursor == 9)
        #expect(hello.scope.buckets == F.everything.read)
        #expect(hello.backfill == nil)
        try replica.replica.write { try $0.insert(into: "customer", ["name": .text("now")]) }
    }

    @Test("B1: pages wait beside the tables, and pending commits lie on top of the new rows after the switch")
    func snapshot() throws {
        let replica = try F.replica()
        try replica.begin(
            [
                F.page(
                    F.customer, [(1, F.customerRow("A", visits: 1)), (2, F.customerRow("B"))], at: 3, endsBackfill: true
                )
            ], head: 3)
        try replica.replica.write { try $0.update("customer", F.id(1), ["visits": .integer(2)]) }
        try replica.replica.write { try $0.update("customer", F.id(2), ["name": .text("mine")]) }
        _ = try replica.replica.adopt(F.welcome(.snapshot(.horizon), head: 100))
        try replica.replica.store(
            F.page(
                F.customer, [(1, F.customerRow("A2", visits: 10)), (5, F.customerRow("E"))], at: 100, endsBackfill: true
            ))
        // Until the switch the old rows stay (m10).
        #expect(try replica.shown(F.key(F.customer, 2)) != nil)
        #expect(try replica.shown(F.key(F.customer, 5)) == nil)
        #expect(try replica.replica.hello(program: "t", wallTime: 0).cursor == 3)
        let applied = try replica.replica.apply(F.batch(100, 100, [], isWhole: true))
        #expect(applied.switched)
        #expect(try replica.shown(F.key(F.customer, 1)) == F.customerRow("A2", visits: 11))
        #expect(try replica.confirmed(F.key(F.customer, 1)) == F.customerRow("A2", visits: 10))
        #expect(try replica.shown(F.key(F.customer, 5)) != nil)
        // T1: the edit of a record that is gone is listed with the record as it was.
        #expect(try replica.shown(F.key(F.customer, 2)) == nil)
        let issue = try #require(try replica.replica.issues().first)
        #expect(issue.record == F.id(2))
        #expect(issue.base == F.customerRow("B"))
        #expect(try replica.replica.status().pending == 2)
    }

    @Test("B1: an outcome is passed over where its position is not above the page's")
    func skips() throws {
        let replica = try F.replica()
        _ = try replica.replica.adopt(F.welcome(.snapshot(.first), head: 5))
        try replica.replica.store(F.page(F.customer, [(1, F.customerRow("A"))], at: 5, endsTable: false))
        try replica.replica.store(F.page(F.customer, [(9, F.customerRow("I"))], at: 8, endsBackfill: true))
        _ = try replica.replica.apply(
            F.batch(
                5, 8,
                [
                    F.entry(6, [F.full(F.customer, 9, F.customerRow("older"))]),
                    F.entry(7, [F.full(F.customer, 1, F.customerRow("newer"))]),
                ], isWhole: true))
        #expect(try replica.shown(F.key(F.customer, 9))?[0] == .text("I"))
        #expect(try replica.shown(F.key(F.customer, 1))?[0] == .text("newer"))
    }

    @Test(
        "B1: a record that a later page has stays when the log takes its parent away and back",
        arguments: [true, false])
    func evictedBeforeItsPage(isFirst: Bool) throws {
        let replica = try F.replica(schema: isFirst ? nil : F.schema)
        if !isFirst { try replica.begin() }
        let welcome = F.welcome(
            .snapshot(isFirst ? .first : .horizon), head: 4, schema: isFirst ? F.schema : nil)
        _ = try replica.replica.adopt(welcome)
        try replica.replica.store(F.page(F.customer, [(1, F.customerRow("A"))], at: 4))
        // The customer left at 5; its contact was made at 6, outside of what the replica sees; both came at 7.
        try replica.replica.store(
            F.page(F.contact, [(10, F.contactRow(of: 1, "Ali"))], at: 7, endsBackfill: true))
        let back = [
            F.full(F.customer, 1, F.customerRow("A")), F.full(F.contact, 10, F.contactRow(of: 1, "Ali")),
        ]
        let evict = Effect(key: F.key(F.customer, 1), kind: .evict(.moved))
        let applied = try replica.replica.apply(
            F.batch(4, 7, [F.entry(5, [evict]), F.entry(7, back)], isWhole: true))
        #expect(applied.switched)
        #expect(try replica.confirmed(F.key(F.contact, 10)) == F.contactRow(of: 1, "Ali"))
        #expect(try replica.confirmed(F.key(F.customer, 1)) == F.customerRow("A"))
        #expect(try replica.foreignKeyProblems() == 0)
    }

    @Test("B1, K7: a record that was fetched ahead, and goes with its parent, comes back with it")
    func evictedBeforeItsFetch() throws {
        let replica = try F.replica()
        try replica.begin()
        try replica.apply(0, [F.entry(1, [F.full(F.customer, 1, F.customerRow("A"))])])
        _ = try replica.replica.store(
            Records(position: 4, effects: [F.full(F.contact, 10, F.contactRow(of: 1, "Ali"))]))
        let evict = Effect(key: F.key(F.customer, 1), kind: .evict(.moved))
        try replica.apply(1, [F.entry(2, [evict])])
        #expect(try replica.confirmed(F.key(F.contact, 10)) == nil)
        try replica.apply(
            2,
            [
                F.entry(
                    4,
                    [F.full(F.customer, 1, F.customerRow("A")), F.full(F.contact, 10, F.contactRow(of: 1, "Ali"))])
            ])
        #expect(try replica.confirmed(F.key(F.contact, 10)) == F.contactRow(of: 1, "Ali"))
        #expect(try replica.foreignKeyProblems() == 0)
    }

    @Test("S1, m8: added buckets come beside the tables, deletes meanwhile are not forgotten, edits stay")
    func widen() throws {
        let north = Grant(read: [.territory(F.north), .everyone], write: [], version: 1)
        let both = Grant(read: [.territory(F.north), .territory(F.south), .everyone], write: [], version: 2)
        let replica = try F.replica()
        try replica.begin(
            grant: north,
            [F.page(F.customer, [(1, F.customerRow("A")), (2, F.customerRow("B"))], at: 3, endsBackfill: true)], head: 3
        )
        try replica.replica.write { try $0.update("customer", F.id(1), ["visits": .integer(4)]) }
        let adoption = try replica.replica.adopt(
            F.welcome(.widen(added: [.territory(F.south)]), grant: both, head: 4))
        #expect(adoption.isBackfilling)
        try replica.apply(
            3,
            [F.entry(4, [Effect(key: F.key(F.customer, 1), kind: .delta([FieldValue(field: 0, value: .text("A4"))]))])])
        try replica.replica.store(
            F.page(F.customer, [(20, F.customerRow("S", territory: F.south))], at: 6, endsBackfill: true))
        #expect(try replica.shown(F.key(F.customer, 20)) == nil)
        let applied = try replica.replica.apply(
            F.batch(
                4, 6,
                [
                    F.entry(5, [Effect(key: F.key(F.customer, 2), kind: .delete)]),
                    F.entry(6, [F.full(F.customer, 1, F.customerRow("A6", visits: 3))]),
                ], isWhole: true))
        #expect(applied.switched)
        #expect(try replica.shown(F.key(F.customer, 20)) != nil)
        #expect(try replica.shown(F.key(F.customer, 2)) == nil)
        #expect(try replica.shown(F.key(F.customer, 1)) == F.customerRow("A6", visits: 7))
        #expect(try replica.replica.hello(program: "t", wallTime: 0).scope.buckets == both.read)
    }

    @Test("S1, P21: at a welcome the replica drops what its own audience puts outside the grant")
    func shrinks() throws {
        let replica = try F.replica()
        let both = Grant(read: [.territory(F.north), .territory(F.south), .everyone], write: [], version: 1)
        try replica.begin(
            grant: both,
            [
                F.page(F.stage, [(90, Row([.text("New")]))], at: 3),
                F.page(
                    F.customer,
                    [
                        (1, F.customerRow("N")), (2, F.customerRow("S", territory: F.south)),
                        (3, F.customerRow("lent", territory: F.south)),
                    ], at: 3),
                F.page(F.contact, [(10, F.contactRow(of: 2, "Ali"))], at: 3),
                F.page(
                    F.opportunity,
                    [(40, Row([Value(F.id(3)), Value(F.id(90)), .text(F.north), .null, .text("deal")]))], at: 3,
                    endsBackfill: true),
            ], head: 3)
        try replica.replica.write { try $0.update("contact", F.id(10), ["name": .text("edited")]) }
        let north = Grant(read: [.territory(F.north), .everyone], write: [], version: 2)
        let adoption = try replica.replica.adopt(F.welcome(.resume, grant: north, head: 3))
        #expect(Set(adoption.evicted) == [F.key(F.customer, 2), F.key(F.contact, 10)])
        #expect(
            Set(try replica.all(confirmed: false).keys) == [
                F.key(F.stage, 90), F.key(F.customer, 1), F.key(F.customer, 3), F.key(F.opportunity, 40),
            ])
        // The unsent edit is kept, and its author is told.
        #expect(try replica.replica.status().pending == 1)
        #expect(try replica.replica.issues(in: .told).first?.record == F.id(10))
    }

    @Test("I3, C5: a new site gives unanswered commits new dots, keeps their ids, and names the former ones")
    func redots() throws {
        let replica = try F.replica()
        try replica.begin()
        try replica.replica.write { try $0.insert(into: "customer", id: F.id(1), ["name": .text("one")]) }
        try replica.replica.write { try $0.update("customer", F.id(1), ["name": .text("two")]) }
        let former = try replica.outbox()
        let site = SiteID(rawValue: 0xD4)
        let adoption = try replica.replica.adopt(F.welcome(.resume, site: site, reason: .copied))
        #expect(adoption.newSite == .copied)
        let now = try replica.outbox()
        #expect(now.map(\.id) == former.map(\.id))
        #expect(now.map(\.envelope.dot) == [Dot(site: site, seq: 1), Dot(site: site, seq: 2)])
        #expect(now[1].envelope.clock.former == [former[0].id])
        #expect(now.map(\.sealed) == former.map(\.sealed))
        try replica.replica.write { try $0.update("customer", F.id(1), ["name": .text("three")]) }
        let third = try #require(try replica.outbox().last)
        #expect(third.envelope.dot == Dot(site: site, seq: 3))
        #expect(third.envelope.stamp > now[1].envelope.stamp)
        #expect(Set(third.envelope.clock.former) == Set(former.map(\.id)))
    }

    @Test("T1: applied is the lower of the cursor and the anchor of the oldest unanswered commit")
    func appliedReport() throws {
        let replica = try F.replica()
        try replica.begin()
        try replica.apply(0, [F.entry(1, [F.full(F.customer, 1, F.customerRow("A"))])])
        try replica.replica.write { try $0.update("customer", F.id(1), ["visits": .integer(1)]) }
        try replica.apply(1, [F.entry(2, []), F.entry(3, [])])
        let hello = try replica.replica.hello(program: "t", wallTime: 5)
        #expect(hello.cursor == 3)
        #expect(hello.applied == 1)
        #expect(hello.pending == 1)
        #expect(hello.lastSealed == 1)
        #expect(hello.lastKept?.seq == 1)
        #expect(try replica.replica.hello(program: "t", wallTime: 5).number == hello.number + 1)
    }
}
