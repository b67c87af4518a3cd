import Foundation
import PeykModel
import Synchronization
import Testing

@testable import PeykReplica

@Suite("Capture and sealing of library writes", .bothCaptures)
struct CaptureTests {
    let sandbox = CaptureSandbox()
    var table: (String) -> Int { { CaptureSandbox.schema.tableIndex($0) ?? -1 } }

    @Test("one transaction is one commit, parents before children")
    func oneCommit() throws {
        let replica = try sandbox.create()
        let result = try replica.write { write in
            // The child first: foreign keys are checked at the end.
            try write.insert(into: "contact", id: id(2), ["customer_id": Value(id(1)), "name": .text("Sara")])
            try write.insert(into: "customer", id: id(1), ["name": .text("Kaveh"), "phone": .text("+98 21")])
        }
        let commits = try SealedView.all(replica)
        #expect(commits.count == 1)
        #expect(result == WriteResult(commit: commits[0].body.id, seq: 1, changes: 2, isHeld: false))
        #expect(
            commits[0].body.changes == [
                Change(
                    table: table("customer"), record: id(1), kind: .insert,
                    cells: [
                        CellChange(cell: 0, write: .assign([.text("Kaveh")])),
                        CellChange(cell: 1, write: .assign([.text("+98 21")])),
                        CellChange(cell: 7, write: .add(0)),
                        CellChange(cell: 9, write: .assign([.integer(1)])),
                    ]),
                Change(
                    table: table("contact"), record: id(2), kind: .insert,
                    cells: [
                        CellChange(cell: 0, write: .assign([Value(id(1))])),
                        CellChange(cell: 1, write: .assign([.text("Sara")])),
                    ]),
            ])
        #expect(commits[0].body.schemaVersion == 1)
        #expect(try replica.status().pending == 1)
    }

    @Test("an empty transaction seals nothing")
    func nothing() throws {
        let replica = try sandbox.create()
        let result = try replica.write { _ in }
        #expect(result == WriteResult(commit: nil, seq: 0, changes: 0, isHeld: false))
        #expect(try SealedView.all(replica).isEmpty)
    }

    @Test("each policy travels in its own form, groups whole (M6, K8)")
    func policies() throws {
        let replica = try sandbox.create()
        try replica.write { write in
            try write.insert(
                into: "customer", id: id(1),
                [
                    "name": .text("Kaveh"), "city": .text("Yazd"), "street": .text("Imam"), "notes": .text("a\nb"),
                    "tags": .text(#"["vip"]"#), "visits": .integer(3), "rating": .real(1.5), "logo": .blob([0, 255]),
                ])
        }
        try replica.write { write in
            try write.update(
                "customer", id(1),
                [
                    "street": .text("Qiam"), "notes": .text("a\nc"), "tags": .text(#"["new"]"#),
                    "visits": .integer(5), "rating": .real(-0.0), "active": .integer(0), "since": .text("2026-02-28"),
                    "logo": .null,
                ])
        }
        let changes = try SealedView.all(replica).flatMap(\.body.changes)
        #expect(
            changes[0].cells.map(\.write) == [
                .assign([.text("Kaveh")]), .assign([.text("Yazd"), .text("Imam")]), .text(base: nil, new: "a\nb"),
                .elements(added: ["vip"], removed: []), .add(3), .assign([.real(1.5)]), .assign([.integer(1)]),
                .assign([.blob([0, 255])]),
            ])
        #expect(
            changes[1]
                == Change(
                    table: table("customer"), record: id(1), kind: .update,
                    cells: [
                        CellChange(cell: 2, write: .assign([.text("Yazd"), .text("Qiam")])),
                        CellChange(cell: 5, write: .text(base: "a\nb", new: "a\nc")),
                        CellChange(cell: 6, write: .elements(added: ["new"], removed: ["vip"])),
                        CellChange(cell: 7, write: .add(2)),
                        CellChange(cell: 8, write: .assign([.real(0)])),
                        CellChange(cell: 9, write: .assign([.integer(0)])),
                        CellChange(cell: 10, write: .assign([.text("2026-02-28")])),
                        CellChange(cell: 13, write: .assign([.null])),
                    ]))
    }

    @Test("many writes of one record in one transaction coalesce into one change")
    func coalesces() throws {
        let replica = try sandbox.create()
        try replica.write { try $0.insert(into: "customer", id: id(1), ["name": .text("a"), "visits": .integer(1)]) }
        try replica.write { write in
            for step in 1...5 {
                try write.update("customer", id(1), ["name": .text("a\(step)")])
                try write.execute("UPDATE customer SET visits = visits + 1 WHERE id = ?1", [Value(id(1))])
            }
            try write.update("customer", id(1), ["phone": .text("1")])
            try write.update("customer", id(1), ["phone": .null])
            try write.insert(into: "customer", id: id(2), ["name": .text("short life")])
            try write.delete("customer", id(2))
        }
        let last = try #require(try SealedView.all(replica).last)
        #expect(
            last.body.changes == [
                Change(
                    table: table("customer"), record: id(1), kind: .update,
                    cells: [
                        CellChange(cell: 0, write: .assign([.text("a5")])), CellChange(cell: 7, write: .add(5)),
                    ])
            ])
    }

    @Test("writes that leave everything as it was seal nothing")
    func noOps() throws {
        let replica = try sandbox.create()
        try replica.write { try $0.insert(into: "customer", id: id(1), ["name": .text("a")]) }
        let same = try replica.write { try $0.update("customer", id(1), ["name": .text("a")]) }
        #expect(same.commit == nil)
        let back = try replica.write { write in
            try write.update("customer", id(1), ["name": .text("b")])
            try write.update("customer", id(1), ["name": .text("a")])
        }
        #expect(back.commit == nil)
        let again = try replica.write { write in
            let row = try #require(try write.row("customer", id(1)))
            try write.delete("customer", id(1))
            try write.insert(into: "customer", id: id(1), ["name": row[0]])
        }
        #expect(again.commit == nil)
        #expect(try SealedView.all(replica).count == 1)
    }

    @Test("delete and insert of one id is an update of the columns that differ (K2)")
    func replaced() throws {
        let replica = try sandbox.create()
        try replica.write {
            try $0.insert(
                into: "customer", id: id(1), ["name": .text("a"), "phone": .text("1"), "since": .text("2020-01-01")])
        }
        try replica.write { write in
            try write.execute(
                "INSERT OR REPLACE INTO customer(id, name, since) VALUES (?1, 'b', '2020-01-01')", [Value(id(1))])
        }
        let last = try #require(try SealedView.all(replica).last)
        #expect(
            last.body.changes == [
                Change(
                    table: table("customer"), record: id(1), kind: .update,
                    cells: [
                        CellChange(cell: 0, write: .assign([.text("b")])), CellChange(cell: 1, write: .assign([.null])),
                    ])
            ])
    }

    @Test(
        "each kind of statement is captured",
        arguments: [
            ("UPDATE customer SET phone = '9' WHERE name = 'a'", [Change.Kind.update]),
            ("INSERT OR IGNORE INTO customer(id, name) VALUES ('\(id(1))', 'x')", []),
            (
                "INSERT INTO customer(id, name) VALUES ('\(id(1))', 'x') ON CONFLICT(id) DO UPDATE SET name = 'z'",
                [.update]
            ),
            ("INSERT INTO customer(id, name) VALUES ('\(id(1))', 'x') ON CONFLICT DO NOTHING", []),
            ("REPLACE INTO customer(id, name) VALUES ('\(id(1))', 'x')", [.update]),
            ("INSERT INTO customer(id, name) SELECT '\(id(7))', name FROM customer", [.insert]),
            ("UPDATE customer SET id = '\(id(8))'", [.insert, .delete]),
            ("DELETE FROM customer", [.delete]),
            ("WITH c AS (SELECT id FROM customer) DELETE FROM customer WHERE id IN c", [.delete]),
            ("UPDATE customer SET name = name", []),
        ])
    func statements(_ statement: String, _ expected: [Change.Kind]) throws {
        let replica = try sandbox.create()
        try replica.write { try $0.insert(into: "customer", id: id(1), ["name": .text("a"), "visits": .integer(2)]) }
        let result = try replica.write { try $0.execute(statement) }
        #expect(result.changes == expected.count)
        let commits = try SealedView.all(replica)
        #expect((commits.count > 1 ? commits[1].body.changes.map(\.kind) : []) == expected)
    }

    @Test("a cascade has a change for each child, children deleted first (D1)")
    func cascade() throws {
        let replica = try sandbox.create()
        try replica.write { write in
            try write.insert(into: "customer", id: id(1), ["name": .text("a")])
            try write.insert(into: "contact", id: id(2), ["customer_id": Value(id(1)), "name": .text("b")])
            try write.insert(into: "activity", id: id(3), ["customer_id": Value(id(1)), "what": .text("call")])
        }
        try replica.write { try $0.delete("customer", id(1)) }
        let last = try #require(try SealedView.all(replica).last)
        #expect(Set(last.body.changes.map(\.record)) == [id(1), id(2), id(3)])
        #expect(last.body.changes.allSatisfy { $0.kind == .delete })
        #expect(last.body.changes.last?.record == id(1))
    }

    @Test("tables with more columns than a mask has bits are captured exactly")
    func wideTable() throws {
        let replica = try sandbox.create()
        try replica.write { try $0.insert(into: "wide", id: id(1), ["f0": .integer(0), "f59": .integer(59)]) }
        try replica.write { try $0.update("wide", id(1), ["f60": .integer(6), "f129": .integer(9), "f0": .null]) }
        let last = try #require(try SealedView.all(replica).last)
        #expect(last.body.changes.first?.cells.map(\.cell) == [0, 60, 129])
    }

    @Test(
        "a clock without a hello is the wall clock; stamps rise strictly, also over 200,000 ticks in one instant (C2)")
    func clock() throws {
        let replica = try sandbox.create()
        for number in 1...300 as ClosedRange<UInt64> {
            try replica.write { try $0.insert(into: "region", id: id(number), ["name": .text("r")]) }
        }
        let stamps = try SealedView.all(replica).map(\.stamp)
        #expect(stamps.first == HLC(milliseconds: 1_800_000_000_000))
        #expect(zip(stamps, stamps.dropFirst()).allSatisfy { $0 < $1 })
        // The counter of one millisecond has 65,536 places; the clock carries into the next and goes on.
        var clock = HybridClock(last: stamps.last ?? .zero)
        for _ in 0..<200_000 {
            let before = clock.last
            #expect(clock.tick(milliseconds: 1_800_000_000_000) > before)
        }
        // Set back by years, it goes on above its last stamp.
        sandbox.clock.withLock { $0 = 5 }
        try replica.write { try $0.insert(into: "region", id: id(999), ["name": .text("r")]) }
        let later = try #require(try SealedView.all(replica).last)
        #expect(later.stamp == stamps.last?.successor)
        #expect(later.clock.seq(of: CaptureSandbox.site) == 300)
    }
}
