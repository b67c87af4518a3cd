import Foundation
import PeykModel
import PeykReplica
import Synchronization
import Testing

/// Writes by the plain `sqlite3` program: without foreign keys, without recursive triggers, without us.
@Suite("Writes by other programs", .enabled(if: CaptureSandbox.hasSQLite3), .bothCaptures)
struct SealForeignTests {
    let sandbox = CaptureSandbox()

    private func made() throws {
        let replica = try sandbox.create()
        try replica.write { write in
            try write.insert(into: "region", id: id(90), ["name": .text("north")])
            try write.insert(
                into: "customer", id: id(1),
                ["name": .text("a"), "phone": .text("1"), "since": .text("2020-01-01"), "region_id": Value(id(90))])
            try write.insert(into: "contact", id: id(2), ["customer_id": Value(id(1)), "name": .text("b")])
            try write.insert(into: "deal", id: id(4), ["customer_id": Value(id(1)), "stage": .text("lead")])
            try write.insert(into: "activity", id: id(5), ["deal_id": Value(id(4)), "what": .text("call")])
        }
        try replica.close()
    }

    private func changes(_ replica: Replica) throws -> [Change] {
        try SealedView.all(replica).dropFirst().flatMap(\.body.changes)
    }

    @Test("are sealed at the next open, with the time of sealing (C7)")
    func sealedAtOpen() throws {
        try made()
        #expect(
            try sandbox.sqlite3(
                "UPDATE customer SET name = 'z'; INSERT INTO region(id, name) VALUES ('\(id(91))', 'south')"
            ).status == 0)
        sandbox.clock.withLock { $0 += 86_400_000 }
        let replica = try sandbox.open()
        let commits = try SealedView.all(replica)
        #expect(commits.count == 2)
        #expect(commits[1].stamp == HLC(milliseconds: 1_800_086_400_000))
        #expect(commits[1].body.changes.map(\.record) == [id(91), id(1)])
        #expect(try replica.issues().isEmpty)
    }

    @Test("a row that REPLACE removes without firing a trigger is captured whole (K2)")
    func replace() throws {
        try made()
        try sandbox.sqlite3("INSERT OR REPLACE INTO customer(id, name) VALUES ('\(id(1))', 'z')")
        let replica = try sandbox.open()
        #expect(
            try changes(replica) == [
                Change(
                    table: 2, record: id(1), kind: .update,
                    cells: [
                        CellChange(cell: 0, write: .assign([.text("z")])), CellChange(cell: 1, write: .assign([.null])),
                        CellChange(cell: 4, write: .assign([.null])), CellChange(cell: 10, write: .assign([.null])),
                    ])
            ])
    }

    @Test("REPLACE by rowid or by a changed id is seen as well (K2)")
    func replaceOtherwise() throws {
        try made()
        try sandbox.sqlite3(
            "INSERT INTO region(id, name) VALUES ('\(id(91))', 'south'), ('\(id(92))', 'east');"
                + "INSERT OR REPLACE INTO region(rowid, id, name) SELECT rowid, '\(id(93))', 'west' FROM region WHERE id = '\(id(91))';"
                + "UPDATE OR REPLACE region SET id = '\(id(92))' WHERE id = '\(id(93))'")
        let replica = try sandbox.open()
        let regions = try replica.read { try $0.rows("SELECT id, name FROM region ORDER BY id") }
        #expect(regions == [[Value(id(90)), .text("north")], [Value(id(92)), .text("west")]])
        #expect(
            try changes(replica) == [
                Change(
                    table: 1, record: id(92), kind: .insert,
                    cells: [CellChange(cell: 0, write: .assign([.text("west")]))])
            ])
    }

    @Test("children that foreign keys would have deleted go with their parent (K2)")
    func cascades() throws {
        try made()
        try sandbox.sqlite3("DELETE FROM deal")
        let replica = try sandbox.open()
        #expect(try changes(replica).map(\.record) == [id(5), id(4)])
        #expect(try changes(replica).allSatisfy { $0.kind == .delete })
        #expect(try replica.read { try $0.rows("SELECT id FROM activity") }.isEmpty)
    }

    @Test("a deleted record that others still refer to comes back, listed (K3)")
    func bringsBack() throws {
        try made()
        try sandbox.sqlite3("DELETE FROM region")
        let replica = try sandbox.open()
        #expect(try changes(replica).isEmpty)
        #expect(try replica.read { try $0.row("region", id(90)) }?[0] == .text("north"))
        let issues = try replica.issues()
        #expect(issues.map(\.code) == [.reference])
        #expect(issues[0].change == Change(table: 1, record: id(90), kind: .delete))
    }

    @Test("a reference that was broken before the write stays as it is, and sealing ends (K2)", .timeLimit(.minutes(1)))
    func brokenBefore() throws {
        try made()
        // Where nobody captures it, as in a damaged file.
        try sandbox.sqlite3("INSERT INTO peyk_mute(muted) VALUES (1); DELETE FROM customer; DELETE FROM peyk_mute")
        try sandbox.sqlite3("UPDATE contact SET name = 'again'")
        let replica = try sandbox.open()
        #expect(try changes(replica).map(\.kind) == [.update])
        #expect(try replica.read { try $0.rows("SELECT name FROM contact") } == [[.text("again")]])
    }

    @Test("an orphan is taken out and listed with all it had, and what was hung on it too (K3)")
    func orphans() throws {
        try made()
        try sandbox.sqlite3(
            "INSERT INTO deal(id, customer_id, stage) VALUES ('\(id(41))', '\(id(77))', 'offer');"
                + "INSERT INTO activity(id, deal_id, what) VALUES ('\(id(51))', '\(id(41))', 'visit');"
                + "UPDATE contact SET customer_id = '\(id(78))', name = 'kept'")
        let replica = try sandbox.open()
        #expect(try replica.read { try $0.row("deal", id(41)) } == nil)
        #expect(try replica.read { try $0.row("activity", id(51)) } == nil)
        #expect(try replica.read { try $0.row("contact", id(2)) } == Row([Value(id(1)), .text("kept"), .null]))
        #expect(
            try changes(replica) == [
                Change(
                    table: 3, record: id(2), kind: .update,
                    cells: [CellChange(cell: 1, write: .assign([.text("kept")]))])
            ])
        let issues = try replica.issues()
        #expect(Set(issues.compactMap(\.record)) == [id(41), id(51), id(2)])
        #expect(
            issues.first { $0.record == id(41) }?.change?.cells == [
                CellChange(cell: 0, write: .assign([Value(id(77))])),
                CellChange(cell: 1, write: .assign([.text("offer")])),
            ])
    }

    @Test("invalid UTF-8 is restored to what was there and kept as bytes in the issue (K3)")
    func invalidText() throws {
        try made()
        try sandbox.sqlite3(
            "UPDATE customer SET phone = CAST(x'ff41' AS TEXT), since = '2021-01-01';"
                + "INSERT INTO region(id, name) VALUES ('\(id(91))', CAST(x'c328' AS TEXT))")
        let replica = try sandbox.open()
        #expect(try replica.read { try $0.row("customer", id(1)) }?[1] == .text("1"))
        #expect(try replica.read { try $0.row("region", id(91)) } == nil)
        #expect(
            try changes(replica) == [
                Change(
                    table: 2, record: id(1), kind: .update,
                    cells: [CellChange(cell: 10, write: .assign([.text("2021-01-01")]))])
            ])
        let issues = try replica.issues()
        #expect(
            issues.map(\.change) == [
                Change(
                    table: 1, record: id(91), kind: .insert,
                    cells: [CellChange(cell: 0, write: .assign([.blob([0xC3, 0x28])]))]),
                Change(
                    table: 2, record: id(1), kind: .update,
                    cells: [CellChange(cell: 1, write: .assign([.blob([0xFF, 0x41])]))]),
            ])
    }

    @Test("values are made canonical and written back (K3)")
    func canonical() throws {
        try made()
        try sandbox.sqlite3(#"UPDATE customer SET tags = '["b", "a","b"]', rating = -0.0"#)
        let replica = try sandbox.open()
        let row = try #require(try replica.read { try $0.row("customer", id(1)) })
        #expect(row[6] == .text(#"["a","b"]"#))
        #expect(row[8] == .real(0))
        #expect(
            try changes(replica).first?.cells == [
                CellChange(cell: 6, write: .elements(added: ["a", "b"], removed: [])),
                CellChange(cell: 8, write: .assign([.real(0)])),
            ])
    }

    @Test("fields that are closed to writers go back, the rest enters (M6)")
    func closedFields() throws {
        try made()
        try sandbox.sqlite3(
            "UPDATE customer SET rank_by_server = 7, fax = '1', name = 'new'; UPDATE activity SET what = 'no'")
        let replica = try sandbox.open()
        let row = try #require(try replica.read { try $0.row("customer", id(1)) })
        #expect(row[11] == .null && row[12] == .null && row[0] == .text("new"))
        #expect(try replica.read { try $0.row("activity", id(5)) }?[2] == .text("call"))
        #expect(try changes(replica).flatMap(\.cells) == [CellChange(cell: 0, write: .assign([.text("new")]))])
        #expect(Set(try replica.issues().map(\.code)) == [.serverField, .appendOnly])
    }

    @Test("what CHECKs refuse never enters, whoever writes it (K3)")
    func checks() throws {
        try made()
        let malformed = ["x", "01900000-0000-7000-8000-00000000000G", "01900000-0000-7000-8000-00000000000A"]
        for id in malformed {
            #expect(try sandbox.sqlite3("UPDATE customer SET id = '\(id)'").status != 0)
            #expect(try sandbox.sqlite3("INSERT INTO region(id, name) VALUES ('\(id)', 'a')").status != 0)
            #expect(try sandbox.sqlite3("UPDATE deal SET owner_id = '\(id)'").status != 0)
            #expect(
                try sandbox.sqlite3("INSERT INTO deal(id, owner_id) VALUES ('\(PeykReplicaTests.id(9))', '\(id)')")
                    .status != 0)
        }
        #expect(try sandbox.sqlite3("UPDATE customer SET name = 'a' || char(0)").status != 0)
        #expect(try sandbox.sqlite3("UPDATE deal SET stage = 'x'").status != 0)
        #expect(try sandbox.sqlite3("UPDATE customer SET visits = 'x'").status != 0)
        #expect(try changes(try sandbox.open()).isEmpty)
    }

    @Test("operations may be written by any program (M5)")
    func operations() throws {
        try made()
        try sandbox.sqlite3(
            "UPDATE deal SET stage = 'won';"
                + "INSERT INTO peyk_operation(kind, table_name, record_id) VALUES ('reopen', 'deal', '\(id(4))'), ('dance', NULL, NULL)"
        )
        let replica = try sandbox.open()
        let last = try #require(try SealedView.all(replica).last)
        #expect(last.body.operations == [Operation(kind: .reopen, table: 4, record: id(4))])
        #expect(try replica.issues().count == 1)
    }

    @Test("VACUUM between write and sealing moves rowids and loses nothing")
    func vacuum() throws {
        try made()
        try sandbox.sqlite3(
            "INSERT INTO region(rowid, id, name) VALUES (1000, '\(id(91))', 'south');"
                + "INSERT INTO region(rowid, id, name) VALUES (2000, '\(id(92))', 'east'); VACUUM")
        let replica = try sandbox.open()
        #expect(try changes(replica).map(\.record) == [id(91), id(92)])
    }

    @Test("a later library write does not mix with them")
    func notMixed() throws {
        try made()
        let replica = try sandbox.open()
        try sandbox.sqlite3("UPDATE region SET name = 'theirs'")
        try replica.write { try $0.update("customer", id(1), ["name": .text("mine")]) }
        let commits = try SealedView.all(replica)
        #expect(commits.dropFirst().map { $0.body.changes.map(\.record) } == [[id(90)], [id(1)]])
    }

    @Test("more than 500 deletes, or a fifth of a table, wait for a word (D7)")
    func massDelete() throws {
        let replica = try sandbox.create()
        try replica.write { write in
            for number in 1...60 as ClosedRange<UInt64> {
                try write.insert(into: "region", id: id(number), ["name": .text("r\(number)")])
            }
        }
        let few = try replica.write { try $0.execute("DELETE FROM region WHERE id <= ?1", [Value(id(9))]) }
        #expect(!few.isHeld)
        let many = try replica.write { try $0.execute("DELETE FROM region WHERE id <= ?1", [Value(id(25))]) }
        #expect(many.isHeld && many.seq == 0)
        // What follows on those records waits with it; the rest goes.
        let after = try replica.write { try $0.insert(into: "region", id: id(10), ["name": .text("again")]) }
        #expect(after.isHeld)
        let other = try replica.write { try $0.update("region", id(60), ["name": .text("x")]) }
        #expect(!other.isHeld && other.seq == 3)
        #expect(try replica.outbox(after: 0, bytesMax: .max).commits.count == 3)
        #expect(try replica.status().held == 2)
        #expect(try replica.pendingCommits().map(\.state) == [.pending, .pending, .pending, .held, .held])
        #expect(try replica.confirmPending() == 2)
        let commits = try SealedView.all(replica)
        #expect(commits.map(\.seq) == [1, 2, 3, 4, 5])
        #expect(zip(commits, commits.dropFirst()).allSatisfy { $0.stamp < $1.stamp })
        #expect(try replica.write { try $0.update("region", id(10), ["name": .text("y")]) }.seq == 6)
    }

    @Test("an undo withdraws a held commit as if it had not been")
    func withdrawHeld() throws {
        let replica = try sandbox.create()
        try replica.write { write in
            for number in 1...20 as ClosedRange<UInt64> {
                try write.insert(into: "region", id: id(number), ["name": .text("r\(number)")])
            }
        }
        let held = try replica.write { try $0.execute("DELETE FROM region") }
        #expect(held.isHeld)
        try replica.undo(held.commit)
        #expect(try replica.read { try $0.value("SELECT count(*) FROM region") } == .integer(20))
        #expect(try replica.status().pending == 1)
    }
}
