import PeykModel
import Testing

@testable import PeykReplica

@Suite("Undo, parked changes, pending commits", .bothCaptures)
struct UndoTests {
    let sandbox = CaptureSandbox()

    private func made() throws -> Replica {
        let replica = try sandbox.create()
        try replica.write { write in
            try write.insert(
                into: "customer", id: id(1),
                [
                    "name": .text("a"), "visits": .integer(1), "tags": .text(#"["x"]"#), "notes": .text("n"),
                    "city": .text("Yazd"), "street": .text("s"),
                ])
            try write.insert(into: "contact", id: id(2), ["customer_id": Value(id(1)), "name": .text("b")])
        }
        return replica
    }

    private func row(_ replica: Replica) throws -> Row? { try replica.read { try $0.row("customer", id(1)) } }

    @Test("an update goes back in each policy’s own way")
    func update() throws {
        let replica = try made()
        let before = try row(replica)
        let made = try replica.write { write in
            try write.update(
                "customer", id(1),
                [
                    "name": .text("z"), "visits": .integer(10), "tags": .text(#"["y"]"#), "notes": .text("m"),
                    "street": .text("t"), "phone": .text("1"),
                ])
        }
        // Counters and sets take others' steps in between along.
        try replica.write { try $0.update("customer", id(1), ["visits": .integer(15), "rating": .real(2)]) }
        try replica.undo(made.commit)
        var expected = try #require(before)
        expected[7] = .integer(6)
        expected[8] = .real(2)
        #expect(try row(replica) == expected)
        let last = try #require(try SealedView.all(replica).last)
        #expect(last.body.operations == [Operation(kind: .undo, argument: made.commit?.description)])
    }

    @Test("what was built upon is refused, and overwritten by force (M8)")
    func builtUpon() throws {
        let replica = try made()
        let first = try replica.write { try $0.update("customer", id(1), ["name": .text("z")]) }
        try replica.write { try $0.update("customer", id(1), ["name": .text("later")]) }
        #expect(throws: ReplicaError.builtUpon(table: "customer", record: id(1), field: "name")) {
            try replica.undo(first.commit)
        }
        try replica.undo(first.commit, force: true)
        #expect(try row(replica)?[0] == .text("a"))
        let last = try #require(try SealedView.all(replica).last)
        #expect(last.body.operations.map(\.argument) == ["\(first.commit?.description ?? "") force"])
    }

    @Test("a delete is undone by revive, children and all (D2)")
    func delete() throws {
        let replica = try made()
        let before = try row(replica)
        let gone = try replica.write { try $0.delete("customer", id(1)) }
        #expect(gone.changes == 2)
        try replica.undo()
        #expect(try row(replica) == before)
        #expect(try replica.read { try $0.row("contact", id(2)) }?[1] == .text("b"))
        let last = try #require(try SealedView.all(replica).last)
        #expect(
            last.body.operations == [
                Operation(kind: .revive, table: 2, record: id(1)),
                Operation(kind: .undo, argument: gone.commit?.description),
            ])
    }

    @Test("an insert is undone by a delete, unless something hangs on it")
    func insert() throws {
        let replica = try made()
        let deal = try replica.write {
            try $0.insert(into: "deal", id: id(4), ["customer_id": Value(id(1)), "stage": .text("lead")])
        }
        try replica.write { try $0.insert(into: "activity", id: id(5), ["deal_id": Value(id(4)), "what": .text("x")]) }
        #expect(throws: ReplicaError.builtUpon(table: "deal", record: id(4), field: "activity")) {
            try replica.undo(deal.commit)
        }
        // The latest, then the one before it.
        try replica.undo()
        try replica.undo()
        #expect(try replica.read { try $0.row("deal", id(4)) } == nil)
        #expect(try row(replica) != nil)
    }

    @Test("pending commits are readable")
    func pending() throws {
        let replica = try made()
        try replica.write { try $0.update("customer", id(1), ["visits": .integer(4), "street": .text("t")]) }
        let last = try #require(try replica.pendingCommits().last)
        #expect(last.state == .pending && last.seq == 2)
        #expect(
            last.changes == [
                PendingCommit.RecordChange(
                    table: "customer", record: id(1), kind: .update,
                    fields: [
                        .init(field: "street", before: .text("s"), after: .text("t")),
                        .init(field: "visits", before: .integer(1), after: .integer(4)),
                    ])
            ])
    }

    @Test("a parked change is retried, edited or discarded", .enabled(if: CaptureSandbox.hasSQLite3))
    func parked() throws {
        let replica = try made()
        try sandbox.sqlite3(
            "UPDATE customer SET phone = CAST(x'ff' AS TEXT); INSERT INTO deal(id, customer_id) VALUES ('\(id(4))', '\(id(9))')"
        )
        try replica.seal()
        let issues = try replica.issues()
        #expect(issues.count == 2)
        let phone = try #require(issues.first { $0.record == id(1) })
        let deal = try #require(issues.first { $0.record == id(4) })
        #expect(throws: ReplicaError.self) { try replica.retryIssue(phone.id) }
        try replica.retryIssue(phone.id, changing: ["phone": .text("5")])
        #expect(try row(replica)?[1] == .text("5"))
        #expect(throws: ReplicaError.self) { try replica.retryIssue(deal.id) }
        try replica.write { try $0.insert(into: "customer", id: id(9), ["name": .text("late")]) }
        try replica.retryIssue(deal.id)
        #expect(try replica.read { try $0.row("deal", id(4)) } != nil)
        #expect(try replica.issues().isEmpty)
        #expect(throws: ReplicaError.unknownIssue(deal.id)) { try replica.discardIssue(deal.id) }
    }
}
