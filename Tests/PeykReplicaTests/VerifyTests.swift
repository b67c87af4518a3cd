import PeykModel
import PeykSQLite
import PeykSession
import Testing

@testable import PeykReplica

private typealias F = ApplyFixture

@Suite struct VerifyTests {
    private func begun() throws -> TemporaryReplica {
        let replica = try F.replica()
        try replica.begin(
            [
                F.page(
                    F.customer, (1...9).map { ($0, F.customerRow("c\($0)", visits: Int64($0))) }, at: 3,
                    endsBackfill: true)
            ], head: 3)
        return replica
    }

    @Test("T5: digests are over confirmed state: pending edits, inserts and deletes do not count")
    func confirmedOnly() throws {
        let replica = try begun()
        let before = try replica.replica.digests(DigestRequest())
        let records = try replica.replica.digests(DigestRequest(table: F.customer))
        try replica.replica.write { try $0.update("customer", F.id(3), ["name": .text("edited")]) }
        try replica.replica.write { try $0.delete("customer", F.id(5)) }
        try replica.replica.write { try $0.insert(into: "customer", id: F.id(4000), ["name": .text("new")]) }
        #expect(try replica.replica.digests(DigestRequest()) == before)
        #expect(try replica.replica.digests(DigestRequest(table: F.customer)) == records)
        #expect(records.items.count == 9)
        #expect(records.items.reduce(0) { $0 &+ $1.digest } == before.items[F.customer].digest)
        let rest = try replica.replica.digests(DigestRequest(table: F.customer, after: F.id(4)), limit: 2)
        #expect(rest.items.map(\.record) == [F.id(5), F.id(6)])
        #expect(rest.hasMore)
    }

    @Test("verify names the differing tables, then the differing rows, and a fetch repairs just those")
    func repairs() throws {
        let replica = try begun()
        let good = try begun()
        // Something outside of everything changes two rows and loses one.
        try replica.replica.database.write {
            try $0.execute(
                """
                INSERT INTO peyk_mute VALUES (1);
                UPDATE customer SET name = 'rot' WHERE id = '\(F.id(2))';
                DELETE FROM customer WHERE id = '\(F.id(7))';
                DELETE FROM peyk_mute;
                """)
        }
        let tables = DigestRequest()
        let first = try replica.replica.compare(try good.replica.digests(tables), to: tables)
        #expect(first.tables == [F.customer])
        let request = DigestRequest(table: F.customer)
        let second = try replica.replica.compare(try good.replica.digests(request), to: request)
        #expect(second.records == [F.key(F.customer, 2), F.key(F.customer, 7)])
        // A reply that stops half-way says nothing about what follows.
        let part = try replica.replica.compare(try good.replica.digests(request, limit: 4), to: request)
        #expect(part.records == [F.key(F.customer, 2)])
        _ = try replica.replica.store(
            Records(
                position: 3,
                effects: [2, 7].map { F.full(F.customer, $0, F.customerRow("c\($0)", visits: Int64($0))) }))
        #expect(try replica.replica.compare(try good.replica.digests(tables), to: tables).isEqual)
    }
}
