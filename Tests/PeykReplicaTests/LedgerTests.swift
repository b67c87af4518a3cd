import PeykModel
import PeykSession
import Testing

@testable import PeykReplica

private typealias F = ApplyFixture

@Suite struct LedgerTests {
    private let customer = F.key(F.customer, 1)

    private func conflict(_ state: String = "open") -> Row {
        Row([
            .text("customer"), Value(customer.record), .text("money"), .text("field"), .text("review"), .text(state),
            .text(#"{"amount":1,"currency":"EUR"}"#),
            .text(
                #"{"commit":"00000000-0000-00c0-0000-000000000002","site":"00000000000000b2","seq":2,"user":"u","#
                    + #""stamp":"17.3","value":{"amount":5,"currency":"EUR"}}"#
            ),
            .text(#"[{"site":"00000000000000a1","seq":1,"stamp":"16.0","value":{"amount":7,"currency":"USD"}}]"#),
            .integer(2), .integer(1_000), .null, .null, .null,
        ])
    }

    private func begun() throws -> TemporaryReplica {
        let replica = try F.replica()
        try replica.begin()
        try replica.apply(
            0,
            [
                F.entry(1, [F.full(F.customer, 1, F.customerRow("Kaveh"))]), F.entry(2, [F.full(0, 70, conflict())]),
            ])
        return replica
    }

    @Test("the ledger is read with claims by field name")
    func reads() throws {
        let replica = try begun()
        let entry = try #require(try replica.replica.ledger().first)
        #expect(entry.record == customer.record)
        #expect(entry.cell == "money")
        #expect(entry.base == ["amount": .integer(1), "currency": .text("EUR")])
        #expect(entry.winner?.values["amount"] == .integer(5))
        #expect(entry.winner?.stamp == HLC(milliseconds: 17, counter: 3))
        #expect(entry.losers.first?.site == F.site)
        #expect(try replica.replica.history(customer).conflicts.count == 1)
    }

    @Test("M5: accept is the operation settle, and nothing else")
    func accepts() throws {
        let replica = try begun()
        try replica.replica.acceptConflict(F.id(70))
        let body = try CommitBody(decoding: try #require(try replica.outbox().first).sealed)
        #expect(body.changes.isEmpty)
        #expect(body.operations.map(\.kind) == [.settle])
        #expect(body.operations.first?.record == F.id(70))
    }

    @Test("restore writes the loser's value back as a new edit, the whole group, and settles")
    func restores() throws {
        let replica = try begun()
        try replica.replica.restoreConflict(F.id(70))
        #expect(try replica.shown(customer)?[6] == .integer(7))
        #expect(try replica.shown(customer)?[7] == .text("USD"))
        let body = try CommitBody(decoding: try #require(try replica.outbox().first).sealed)
        #expect(body.changes.first?.cells.map(\.cell) == [6])
        #expect(body.operations.map(\.kind) == [.settle])
        #expect(throws: ReplicaError.self) { try replica.replica.restoreConflict(F.id(70), loser: 4) }
        #expect(throws: ReplicaError.self) { try replica.replica.restoreConflict(F.id(71)) }
    }
}
