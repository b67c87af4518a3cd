import PeykModel
import PeykSession
import Testing

@testable import PeykReplica

private typealias F = ApplyFixture

@Suite struct MissingRecordTests {
    @Test("K7: what changed in a record that is not here is asked for, and the rest goes on")
    func missing() throws {
        let replica = try F.replica()
        try replica.begin()
        let missing = F.key(F.customer, 55)
        let applied = try replica.apply(
            0,
            [
                F.entry(1, [Effect(key: missing, kind: .delta([FieldValue(field: 3, value: .integer(8))]))]),
                F.entry(2, [F.full(F.customer, 56, F.customerRow("Here"))]),
            ])
        #expect(applied.cursor == 2)
        #expect(applied.fetch == [missing])
        #expect(try replica.shown(missing) == nil)
        #expect(try replica.shown(F.key(F.customer, 56)) == F.customerRow("Here"))
        _ = try replica.replica.store(
            Records(position: 2, effects: [F.full(F.customer, 55, F.customerRow("Late", visits: 8))]))
        #expect(try replica.shown(missing) == F.customerRow("Late", visits: 8))
    }
}
