import PeykModel
import PeykSQLite
import PeykSession
import Testing

@testable import PeykReplica

private typealias F = ApplyFixture

@Suite struct HistoryTests {
    private let customer = F.key(F.customer, 1)

    @Test("T4: why knows every value offline: who wrote it, what it replaced, and what is still pending")
    func why() throws {
        let replica = try F.replica()
        try replica.begin()
        try replica.apply(0, [F.entry(1, [F.full(F.customer, 1, F.customerRow("first", visits: 1))])])
        try replica.apply(
            1,
            [
                F.entry(2, [Effect(key: customer, kind: .delta([FieldValue(field: 0, value: .text("second"))]))])
            ])
        try replica.replica.write { try $0.update("customer", customer.record, ["name": .text("mine")]) }
        let history = try replica.replica.history(customer)
        #expect(history.isComplete)
        #expect(history.steps.map(\.kind) == [.created, .changed, .changed])
        #expect(history.steps.map(\.position) == [1, 2, nil])
        let names = history.steps.compactMap { step in step.fields.first { $0.field == 0 } }
        #expect(names.map(\.new) == [.text("first"), .text("second"), .text("mine")])
        #expect(names.map(\.old) == [.null, .text("first"), .text("second")])
        #expect(history.steps[1].user == F.id(999))
        #expect(history.steps[2].dot == Dot(site: F.site, seq: 1))
    }

    @Test("an own commit is in the history once it is merged, with what it replaced")
    func own() throws {
        let replica = try F.replica()
        try replica.begin()
        try replica.replica.write { try $0.insert(into: "customer", id: customer.record, ["name": .text("mine")]) }
        let commit = try #require(try replica.outbox().first)
        let row = try #require(try replica.shown(customer))
        try replica.apply(0, [F.yours(1, commit, digest: digest([(customer, row)]))])
        try replica.apply(1, [F.entry(2, [Effect(key: customer, kind: .delete)])])
        let history = try replica.replica.history(customer)
        #expect(history.steps.map(\.kind) == [.created, .deleted])
        #expect(history.steps[0].commit == commit.id)
        #expect(history.steps[0].fields.first { $0.field == 0 }?.new == .text("mine"))
    }

    @Test("T4: a record of many that one commit created is found as any other, with what it became later")
    func oneOfMany() throws {
        let replica = try F.replica()
        try replica.begin()
        try replica.apply(0, [F.entry(1, [F.full(F.customer, 999, F.customerRow("older", visits: 1))])])
        let many = (1...UInt64(EntryLog.manyFrom)).map { F.full(F.customer, $0, F.customerRow("\($0)")) }
        let touched = Effect(key: F.key(F.customer, 999), kind: .delta([FieldValue(field: 3, value: .integer(2))]))
        try replica.apply(1, [F.entry(2, many + [touched]), F.entry(3, [])])
        try replica.apply(
            3, [F.entry(4, [Effect(key: customer, kind: .delta([FieldValue(field: 0, value: .text("new"))]))])])
        let history = try replica.replica.history(customer)
        #expect(history.isComplete)
        #expect(history.steps.map(\.kind) == [.created, .changed])
        #expect(history.steps.map(\.position) == [2, 4])
        #expect(history.steps[0].fields.first { $0.field == 0 }?.new == .text("1"))
        let older = try replica.replica.history(F.key(F.customer, 999))
        #expect(older.steps.map(\.position) == [1, 2])
        #expect(try replica.replica.history(F.key(F.customer, 998)).steps.isEmpty)
        let rows = try replica.replica.reading { try $0.value("SELECT count(*) FROM peyk_log_record") }
        #expect(rows == .integer(4), "one for all that were created together")
    }

    @Test("the server's history reads the same way")
    func remote() throws {
        let replica = try F.replica()
        try replica.begin()
        let reply = HistoryReply(
            key: customer, since: 1,
            entries: [
                F.entry(1, [F.full(F.customer, 1, F.customerRow("first"))]),
                F.entry(4, [Effect(key: customer, kind: .delta([FieldValue(field: 0, value: .text("second"))]))]),
                F.entry(9, [Effect(key: customer, kind: .delete)]),
            ])
        let history = try replica.replica.history(reply)
        #expect(history.steps.map(\.kind) == [.created, .changed, .deleted])
        #expect(history.steps[1].fields == [HistoryStep.Field(field: 0, old: .text("first"), new: .text("second"))])
    }
}
