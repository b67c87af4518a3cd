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
        let whole = DigestRequest(ranges: [DigestRange(table: F.customer)])
        let records = try replica.replica.digests(whole)
        try replica.replica.write { try $0.update("customer", F.id(3), ["name": .text("edited")]) }
        try replica.replica.write { try $0.delete("customer", F.id(5)) }
        try replica.replica.write { try $0.insert(into: "customer", id: F.id(4000), ["name": .text("new")]) }
        #expect(try replica.replica.digests(DigestRequest()) == before)
        #expect(try replica.replica.digests(whole) == records)
        #expect(records.parts.map(\.count) == [1, 1, 1, 1, 1, 1, 1, 1, 1, 0])
        #expect(records.parts.reduce(0) { $0 &+ $1.digest } == before.parts[F.customer].digest)
        let range = DigestRange(table: F.customer, after: F.id(4), upTo: F.id(6))
        let rest = try replica.replica.digests(DigestRequest(ranges: [range]))
        #expect(rest.parts.map(\.upTo) == [F.id(5), F.id(6)])
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
        var descent = DigestDescent()
        while let request = descent.next() {
            descent.found(try replica.replica.compare(try good.replica.digests(request), to: request))
        }
        #expect(descent.records == [F.key(F.customer, 2), F.key(F.customer, 7)])
        #expect(descent.questions == 2)
        _ = try replica.replica.store(
            Records(
                position: 3,
                effects: [2, 7].map { F.full(F.customer, $0, F.customerRow("c\($0)", visits: Int64($0))) }))
        let tables = DigestRequest()
        let after = try replica.replica.compare(try good.replica.digests(tables), to: tables)
        #expect(after == DigestDescent.Finding())
    }

    @Test("T5: among many rows what differs is named by few questions: changed, lost, added ones, wherever they are")
    func descends() throws {
        let count = 5_000
        func make() throws -> TemporaryReplica {
            let replica = try F.replica()
            let rows = (1...count).map { (UInt64($0), F.customerRow("c\($0)", visits: 1)) }
            let pages = stride(from: 0, to: count, by: 2_000).map { start in
                F.page(
                    F.customer, Array(rows[start..<min(count, start + 2_000)]), at: 3,
                    endsTable: start + 2_000 >= count, endsBackfill: start + 2_000 >= count)
            }
            try replica.begin(pages, head: 3)
            return replica
        }
        let replica = try make()
        let good = try make()
        try replica.replica.database.write {
            try $0.execute(
                """
                INSERT INTO peyk_mute VALUES (1);
                UPDATE customer SET name = 'rot' WHERE id IN ('\(F.id(1))', '\(F.id(2_500))', '\(F.id(UInt64(count)))');
                DELETE FROM customer WHERE id IN ('\(F.id(700))', '\(F.id(701))');
                UPDATE customer SET id = '\(F.id(UInt64(count + 9)))' WHERE id = '\(F.id(4_000))';
                DELETE FROM peyk_mute;
                """)
        }
        var descent = DigestDescent()
        var parts = 0
        while let request = descent.next() {
            let reply = try good.replica.digests(request)
            parts += reply.parts.count
            descent.found(try replica.replica.compare(reply, to: request))
        }
        let expected = [1, 700, 701, 2_500, 4_000, count, count + 9].map { F.key(F.customer, UInt64($0)) }
        #expect(descent.records == Set(expected))
        #expect(descent.questions <= 5)
        #expect(parts < 600)
    }
}
