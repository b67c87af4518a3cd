import PeykModel
import PeykSQLite
import PeykSession
import Testing

@testable import PeykReplica

private typealias F = ApplyFixture

@Suite struct ApplyTests {
    private let customer = F.key(F.customer, 1)
    private let contact = F.key(F.contact, 10)

    private func begun() throws -> TemporaryReplica {
        let replica = try F.replica()
        try replica.begin()
        try replica.apply(0, [F.entry(1, [F.full(F.customer, 1, F.customerRow("Kaveh", visits: 5))])])
        return replica
    }

    @Test("K1: what another program wrote is sealed before a batch is applied, and is not lost")
    func sealsFirst() throws {
        let replica = try begun()
        // sqlite3 writes while nobody looks.
        let other = try Database(path: Replica.databasePath(replica.replica.home), lockPath: nil)
        try other.write { try $0.run("UPDATE customer SET name = 'by hand' WHERE id = ?1", [Value(customer.record)]) }
        try other.close()
        try replica.apply(
            1, [F.entry(2, [Effect(key: customer, kind: .delta([FieldValue(field: 0, value: .text("server"))]))])])
        #expect(try replica.shown(customer)?[0] == .text("by hand"))
        #expect(try replica.confirmed(customer)?[0] == .text("server"))
        let commit = try #require(try replica.outbox().first)
        #expect(commit.envelope.clock.anchor == 1)
    }

    @Test("K6: rows are the confirmed row with pending commits on top, in order")
    func overlay() throws {
        let replica = try begun()
        try replica.replica.write { try $0.update("customer", customer.record, ["visits": .integer(7)]) }
        try replica.replica.write { try $0.update("customer", customer.record, ["name": .text("Mine")]) }
        try replica.apply(
            1,
            [
                F.entry(
                    2,
                    [
                        Effect(
                            key: customer,
                            kind: .delta([
                                FieldValue(field: 3, value: .integer(15)), FieldValue(field: 0, value: .text("Theirs")),
                            ]))
                    ])
            ])
        #expect(try replica.shown(customer)?[3] == .integer(17))
        #expect(try replica.shown(customer)?[0] == .text("Mine"))
        #expect(try replica.confirmed(customer)?[3] == .integer(15))
        #expect(try replica.confirmed(customer)?[0] == .text("Theirs"))
    }

    @Test("M4: an own commit becomes its plain effect and the corrections")
    func correction() throws {
        let replica = try begun()
        try replica.replica.write {
            try $0.update("customer", customer.record, ["visits": .integer(6), "name": .text("Mine")])
        }
        let commit = try #require(try replica.outbox().first)
        var after = F.customerRow("Theirs", visits: 16)
        after[3] = .integer(16)
        let applied = try replica.apply(
            1,
            [
                F.entry(
                    2,
                    [
                        Effect(
                            key: customer,
                            kind: .delta([
                                FieldValue(field: 3, value: .integer(15)), FieldValue(field: 0, value: .text("Theirs")),
                            ]))
                    ]),
                F.yours(
                    3, commit,
                    effects: [Effect(key: customer, kind: .delta([FieldValue(field: 0, value: .text("Theirs"))]))],
                    digest: digest([(customer, after)])),
            ])
        #expect(applied.fetch.isEmpty)
        #expect(try replica.shown(customer) == after)
        #expect(try replica.confirmed(customer) == after)
        #expect(try replica.replica.status().pending == 0)
    }

    @Test("M4: where the digest differs, the records are fetched whole, and what is fetched stands")
    func digestDiffers() throws {
        let replica = try begun()
        try replica.replica.write { try $0.update("customer", customer.record, ["name": .text("Mine")]) }
        let commit = try #require(try replica.outbox().first)
        let applied = try replica.apply(1, [F.yours(2, commit, digest: 12345)])
        #expect(applied.fetch == [customer])
        let row = F.customerRow("Truth", visits: 1)
        let stored = try replica.replica.store(Records(position: 4, effects: [F.full(F.customer, 1, row)]))
        #expect(stored.fetch.isEmpty)
        #expect(try replica.shown(customer) == row)
        // B1: the log up to the fetched position is passed over for that record.
        let later = try replica.apply(
            2,
            [
                F.entry(3, [Effect(key: customer, kind: .delta([FieldValue(field: 0, value: .text("old"))]))]),
                F.entry(5, [Effect(key: customer, kind: .delta([FieldValue(field: 3, value: .integer(2))]))]),
            ])
        #expect(later.fetch.isEmpty)
        #expect(try replica.shown(customer) == F.customerRow("Truth", visits: 2))
    }

    @Test("A3: a refused insert leaves the rows with what needs it, and lives whole in the issues")
    func refusedInsert() throws {
        let replica = try begun()
        let made = F.key(F.customer, 2)
        try replica.replica.write { try $0.insert(into: "customer", id: made.record, ["name": .text("New")]) }
        try replica.replica.write {
            try $0.insert(into: "contact", id: contact.record, ["customer": Value(made.record), "name": .text("Ali")])
        }
        let commit = try #require(try replica.outbox().first)
        let answer = Answer(verdict: .refused, notices: [Answer.Notice(change: 0, code: .scope)])
        let applied = try replica.apply(1, [F.yours(2, commit, answer: answer, digest: 0)])
        #expect(applied.parked == 1)
        #expect(try replica.shown(made) == nil)
        #expect(try replica.shown(contact) == nil)
        #expect(try replica.foreignKeyProblems() == 0)
        let issue = try #require(try replica.replica.issues().first)
        #expect(issue.code == .scope)
        #expect(issue.change?.record == made.record)
        // The dependent commit stays in the outbox: the server decides.
        #expect(try replica.replica.status().pending == 1)
    }

    @Test("P4: entries at or below the cursor are passed over")
    func idempotent() throws {
        let replica = try begun()
        let entry = F.entry(2, [Effect(key: customer, kind: .delta([FieldValue(field: 3, value: .integer(9))]))])
        try replica.apply(1, [entry])
        let again = try replica.apply(0, [F.entry(1, [Effect(key: customer, kind: .delete)]), entry])
        #expect(again.cursor == 2)
        #expect(try replica.shown(customer) == F.customerRow("Kaveh", visits: 9))
    }

    @Test("P17: a batch that does not join the cursor is refused and changes nothing")
    func gap() throws {
        let replica = try begun()
        #expect(throws: ReplicaError.self) {
            try replica.apply(3, [F.entry(4, [Effect(key: customer, kind: .delete)])])
        }
        #expect(try replica.shown(customer) != nil)
        #expect(try replica.apply(1, []).cursor == 1)
    }

    @Test("K6: a pending delete of a parent is not shown while a living child is here (m4)")
    func parentDelete() throws {
        let replica = try begun()
        try replica.replica.write { try $0.delete("customer", customer.record) }
        #expect(try replica.shown(customer) == nil)
        try replica.apply(1, [F.entry(2, [F.full(F.contact, 10, F.contactRow(of: 1, "Ali"))])])
        #expect(try replica.shown(customer) == F.customerRow("Kaveh", visits: 5))
        #expect(try replica.shown(contact) != nil)
        #expect(try replica.foreignKeyProblems() == 0)
        // The child goes: the delete is shown again.
        try replica.apply(2, [F.entry(3, [Effect(key: contact, kind: .delete)])])
        #expect(try replica.shown(customer) == nil)
        #expect(try replica.confirmed(customer) != nil)
    }

    @Test("K6: a pending child whose parent has left is hidden until the answer, and comes back with the parent (m4)")
    func hiddenChild() throws {
        let replica = try begun()
        try replica.replica.write {
            try $0.insert(
                into: "contact", id: contact.record, ["customer": Value(customer.record), "name": .text("Ali")])
        }
        let applied = try replica.apply(1, [F.entry(2, [Effect(key: customer, kind: .evict(.moved))])])
        #expect(applied.evicted == [customer])
        #expect(try replica.shown(contact) == nil)
        #expect(try replica.replica.status().pending == 1)
        try replica.apply(2, [F.entry(3, [F.full(F.customer, 1, F.customerRow("Kaveh"))])])
        #expect(try replica.shown(contact) == F.contactRow(of: 1, "Ali"))
        #expect(try replica.foreignKeyProblems() == 0)
    }

    private var ledger: Row {
        Row([
            .text("customer"), Value(customer.record), .text("name"), .text("field"), .text("lww"), .text("noted"),
            .null, .null, .null, .integer(2), .integer(0), .null, .null,
        ])
    }

    @Test("M7, K7: a fetched record that was deleted goes with what is below it; what the ledger says of it stays")
    func fetchedDelete() throws {
        let replica = try begun()
        try replica.apply(
            1, [F.entry(2, [F.full(F.contact, 10, F.contactRow(of: 1, "Ali")), F.full(0, 77, ledger)])])
        _ = try replica.replica.store(Records(position: 5, effects: [Effect(key: customer, kind: .delete)]))
        #expect(Set(try replica.all(confirmed: true).keys) == [F.key(0, 77)])
        #expect(try replica.foreignKeyProblems() == 0)
    }

    @Test("S3: an evict takes the whole subtree and its ledger entries")
    func evictsSubtree() throws {
        let replica = try begun()
        try replica.apply(
            1,
            [
                F.entry(2, [F.full(F.contact, 10, F.contactRow(of: 1, "Ali")), F.full(0, 77, ledger)])
            ])
        #expect(try replica.all(confirmed: true).count == 3)
        try replica.apply(2, [F.entry(3, [Effect(key: customer, kind: .evict(.moved))])])
        #expect(try replica.all(confirmed: true).isEmpty)
    }

    @Test("P22, K7: a row that nothing here can carry is fetched, and the rest goes on")
    func faults() throws {
        let replica = try begun()
        let applied = try replica.apply(
            1,
            [
                F.entry(2, [F.full(F.contact, 10, F.contactRow(of: 55, "Orphan"))]),
                F.entry(3, [Effect(key: customer, kind: .delta([FieldValue(field: 3, value: .integer(8))]))]),
            ])
        #expect(applied.cursor == 3)
        #expect(Set(applied.fetch) == [contact, F.key(F.customer, 55)])
        #expect(try replica.shown(customer)?[3] == .integer(8))
        #expect(try replica.foreignKeyProblems() == 0)
        _ = try replica.replica.store(
            Records(
                position: 3,
                effects: [
                    F.full(F.contact, 10, F.contactRow(of: 55, "Orphan")),
                    F.full(F.customer, 55, F.customerRow("Late")),
                ]))
        #expect(try replica.shown(contact) != nil)
    }

    @Test("C3: the clock goes back to the server's once no unmerged commit carries a later stamp")
    func restamp() throws {
        let replica = try F.replica(now: { 1_900_000_000_000 })
        try replica.begin()
        try replica.replica.write { try $0.insert(into: "customer", id: F.id(1), ["name": .text("Future")]) }
        let commit = try #require(try replica.outbox().first)
        let server = HLC(milliseconds: 1_700_000_000_100)
        let row = try #require(try replica.shown(customer))
        _ = try replica.replica.apply(
            F.batch(
                0, 1,
                [F.yours(1, commit, answer: Answer(restamped: server), digest: digest([(customer, row)]))],
                stamp: server))
        try replica.replica.write { try $0.update("customer", F.id(1), ["name": .text("Now")]) }
        #expect(commit.envelope.stamp > server)
        let second = try #require(try replica.outbox().last)
        #expect(second.envelope.stamp > server)
        #expect(second.envelope.stamp.milliseconds <= 1_700_000_001_000)
    }
}
