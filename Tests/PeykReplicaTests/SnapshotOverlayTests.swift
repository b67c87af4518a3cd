import PeykModel
import PeykSession
import Testing

@testable import PeykReplica

private typealias F = ApplyFixture

@Suite struct SnapshotOverlayTests {
    @Test("B2: a commit that the pages hold already leaves the overlay at the switch, and does not count twice")
    func merged() throws {
        let replica = try F.replica()
        let customer = F.key(F.customer, 1)
        try replica.begin(
            [F.page(F.customer, [(1, F.customerRow("Kaveh", visits: 5))], at: 3, endsBackfill: true)], head: 3)
        try replica.replica.write { try $0.update("customer", F.id(1), ["visits": .integer(6)]) }
        try replica.replica.write { try $0.update("customer", F.id(1), ["visits": .integer(8)]) }
        // The first was merged, its answer is lost, and the log does not reach back any more.
        _ = try replica.replica.adopt(F.welcome(.snapshot(.horizon), head: 9, lastMerged: 1))
        try replica.replica.store(
            F.page(F.customer, [(1, F.customerRow("Kaveh", visits: 6))], at: 9, endsBackfill: true))
        let applied = try replica.replica.apply(F.batch(9, 9, [], isWhole: true))
        #expect(applied.switched)
        #expect(try replica.confirmed(customer) == F.customerRow("Kaveh", visits: 6))
        #expect(try replica.shown(customer) == F.customerRow("Kaveh", visits: 8), "the second alone lies on top")
        #expect(try replica.replica.status().pending == 1)
    }
}
