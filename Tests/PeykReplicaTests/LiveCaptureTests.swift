import Foundation
import PeykModel
import PeykSQLite
import SeededRandom
import Testing

@testable import PeykReplica

/// Two ways to the same commits (decision 0013): own writes are captured as they happen, those of other programs, and
/// all writes in a file with triggers of its owner's, by our triggers.
@Suite("Capture as it happens")
struct LiveCaptureTests {
    let sandbox = CaptureSandbox()

    private func withTriggers(_ sandbox: CaptureSandbox) throws -> Replica {
        let replica = try sandbox.create()
        try sandbox.addForeignTrigger()
        return replica
    }

    // MARK: One against the other

    /// What a write became: an error, or changes and the rows that they replaced.
    private struct Outcome: Equatable {
        var error: String?
        var isHeld = false
        var changes: [Change] = []
        var formers: [Row?] = []
        /// The bytes of each change, and of all with their header.
        var bytes: [[UInt8]] = []
        var size = 0
    }

    private func outcome(_ replica: Replica, _ body: (LocalWrite) throws -> Void) throws -> Outcome {
        let result: WriteResult
        do {
            result = try replica.write(body)
        } catch {
            return Outcome(error: String(describing: error))
        }
        guard let id = result.commit else { return Outcome() }
        return try replica.reading { connection in
            let commit = try #require(try OutboxCommit.find(id, connection))
            let pairs = zip(try commit.body().changes, try commit.beforeImages())
                .sorted { ($0.0.table, $0.0.record) < ($1.0.table, $1.0.record) }
            let formers = try pairs.map { change, image in
                let present = try PresentRow(change.record, replica.state.layout.tables[change.table], connection)
                return image.unwind(present?.row)
            }
            let bytes = pairs.map { change, _ in
                var writer = ByteWriter()
                change.encode(to: &writer)
                return writer.bytes
            }
            return Outcome(
                isHeld: result.isHeld, changes: pairs.map(\.0), formers: formers, bytes: bytes,
                size: commit.sealed.count)
        }
    }

    @Test("makes the commits that triggers make, whatever SQL does (K2)", arguments: seeds)
    func sameAsTriggers(seed: UInt64) throws {
        let (first, second) = (CaptureSandbox(), CaptureSandbox())
        let live = try first.create()
        let triggered = try withTriggers(second)
        var script = SQLScript(seed: seed)
        var compared = 0
        for _ in 0..<60 {
            let statements = script.transaction()
            func run(_ write: LocalWrite) throws {
                for statement in statements {
                    do { try write.execute(statement) } catch is ReplicaError { continue }
                }
            }
            let (mine, theirs) = (try outcome(live, run), try outcome(triggered, run))
            compared += mine.changes.count
            guard mine == theirs else {
                Issue.record("seed \(seed): \(statements.joined(separator: "; "))\nlive \(mine)\ntriggers \(theirs)")
                return
            }
        }
        for table in CaptureSandbox.schema.ownTables {
            let sql = "SELECT * FROM \(table.name) ORDER BY id"
            #expect(try live.read { try $0.rows(sql) } == triggered.read { try $0.rows(sql) })
        }
        #expect(compared > 50, "too few changes were compared")
        #expect(live.state.capturesLive || !RowWatch.isAvailable)
        #expect(!triggered.state.capturesLive)
        let left = try live.read { try $0.rows("SELECT 1 FROM peyk_capture_customer") }
        #expect(left.isEmpty)
    }

    private static let seeds: [UInt64] = {
        if let one = ProcessInfo.processInfo.environment["PEYK_SEED"].flatMap({ UInt64($0) }) { return [one] }
        let count = ProcessInfo.processInfo.environment["PEYK_SEEDS"].flatMap { UInt64($0) } ?? 1
        return Array(1...(12 * max(1, min(count, 1_000))))
    }()

    // MARK: What is taken back

    @Test("a statement that failed, or a savepoint taken back, leaves nothing in the commit")
    func takenBack() throws {
        let replica = try sandbox.create()
        let result = try replica.write { write in
            try write.insert(into: "region", id: id(1), ["name": .text("kept")])
            #expect(throws: ReplicaError.self) {
                // The third row fails, after two were told.
                try write.execute(
                    "INSERT INTO region(id, name) VALUES (?1, 'a'), (?2, 'b'), (?3, NULL)",
                    [Value(id(2)), Value(id(3)), Value(id(4))])
            }
            try write.execute("SAVEPOINT half")
            try write.execute("UPDATE region SET name = 'lost'")
            try write.execute("INSERT INTO region(id, name) VALUES (?1, 'lost')", [Value(id(5))])
            try write.execute(" /* back */ ROLLBACK TRANSACTION TO half")
            try write.execute("RELEASE half")
        }
        #expect(result.changes == 1)
        let changes = try #require(try SealedView.all(replica).last).body.changes
        #expect(
            changes == [
                Change(
                    table: 1, record: id(1), kind: .insert,
                    cells: [CellChange(cell: 0, write: .assign([.text("kept")]))])
            ])
    }

    @Test(
        "what would end the transaction is refused, and the write goes on",
        arguments: [
            "COMMIT", "end", "; Commit transaction", "-- now\nROLLBACK", "/* x */ BEGIN IMMEDIATE",
            "ROLLBACK TRANSACTION",
        ])
    func transactionVerbs(sql: String) throws {
        let replica = try sandbox.create()
        try replica.write { write in
            try write.insert(into: "region", id: id(1), ["name": .text("a")])
            #expect(throws: ReplicaError.self) { try write.execute(sql) }
            #expect(throws: ReplicaError.self) { try write.rows(sql) }
            #expect(throws: ReplicaError.self) { try write.prepare(sql) }
        }
        #expect(try SealedView.all(replica).count == 1)
    }

    @Test("a conflict that rolls the whole transaction back leaves nothing, and the next write is sound")
    func orRollback() throws {
        let replica = try sandbox.create()
        try replica.write { try $0.insert(into: "region", id: id(1), ["name": .text("a")]) }
        #expect(throws: ReplicaError.self) {
            try replica.write { write in
                try write.insert(into: "region", id: id(2), ["name": .text("b")])
                try? write.execute("INSERT OR ROLLBACK INTO region(id, name) VALUES (?1, 'c')", [Value(id(1))])
            }
        }
        try replica.write { try $0.insert(into: "region", id: id(3), ["name": .text("d")]) }
        #expect(try SealedView.all(replica).map { $0.body.changes.map(\.record) } == [[id(1)], [id(3)]])
        #expect(
            try replica.read { try $0.rows("SELECT id FROM region ORDER BY id") } == [[Value(id(1))], [Value(id(3))]])
    }

    @Test("the ledger is refused at once, and cannot be smuggled in")
    func ledger() throws {
        let replica = try sandbox.create()
        let sql = """
            INSERT INTO peyk_ledger(id, table_name, record_id, kind, rule, state, position, opened_at)
            VALUES (?1, 'region', ?1, '\(LedgerKind.allCases[0].rawValue)', 'lww', 'open', 1, 1)
            """
        func attempt() throws {
            try replica.write { write in
                try write.insert(into: "region", id: id(1), ["name": .text("a")])
                try? write.execute(sql, [Value(id(9))])
            }
        }
        #expect(throws: ReplicaError.ledgerIsReadOnly) { try attempt() }
        #expect(throws: ReplicaError.self) { try replica.write { try $0.execute(sql, [Value(id(9))]) } }
        #expect(try replica.read { try $0.rows("SELECT 1 FROM region UNION ALL SELECT 1 FROM peyk_ledger") }.isEmpty)
    }

    @Test("ids and references of another form are refused, whatever becomes of the error (K3)", .bothCaptures)
    func malformed() throws {
        let replica = try sandbox.create()
        try replica.write { try $0.insert(into: "deal", id: id(1), ["stage": .text("lead")]) }
        let wrong = "01900000-0000-7000-8000-00000000000G"
        for sql in [
            "INSERT INTO region(id, name) VALUES ('\(wrong)', 'a')", "UPDATE deal SET id = '\(wrong)'",
            "UPDATE deal SET owner_id = '\(wrong)'",
        ] {
            #expect(throws: ReplicaError.self) { try replica.write { try $0.execute(sql) } }
        }
        _ = try? replica.write { try? $0.execute("INSERT INTO region(id, name) VALUES ('\(wrong)', 'a')") }
        let rows = try replica.read {
            try $0.rows("SELECT id, owner_id FROM deal UNION ALL SELECT id, name FROM region")
        }
        #expect(rows == [[Value(id(1)), .null]])
        #expect(try SealedView.all(replica).count == 1)
    }

    @Test("what a failed write captured is not mixed with what another program wrote", .bothCaptures)
    func failedBefore() throws {
        let replica = try sandbox.create()
        struct Stop: Error {}
        #expect(throws: Stop.self) {
            try replica.write { write in
                try write.insert(into: "region", id: id(1), ["name": .text("mine")])
                throw Stop()
            }
        }
        let other = try Database(path: sandbox.databasePath, lockPath: nil)
        try other.write { try $0.execute("INSERT INTO region(id, name) VALUES ('\(id(2))', 'theirs')") }
        try other.close()
        try replica.write { try $0.insert(into: "region", id: id(3), ["name": .text("next")]) }
        #expect(try SealedView.all(replica).map { $0.body.changes.map(\.record) } == [[id(2)], [id(3)]])
    }

    // MARK: Other programs' triggers

    @Test("a trigger that somebody makes runs, also for the writes of this process, from the next write on")
    func foreignTrigger() throws {
        let replica = try withTriggers(sandbox)
        try replica.write { try $0.insert(into: "region", id: id(1), ["name": .text("a")]) }
        #expect(try replica.read { try $0.rows("SELECT name FROM app_seen") } == [[.text("a")]])
        try replica.write { try $0.execute("DROP TRIGGER app_see") }
        try replica.write { try $0.insert(into: "region", id: id(2), ["name": .text("b")]) }
        #expect(replica.state.capturesLive || !RowWatch.isAvailable)
        try replica.write {
            try $0.execute(
                "CREATE TRIGGER app_see AFTER DELETE ON region BEGIN INSERT INTO app_seen VALUES (old.name); END")
        }
        try replica.write { try $0.delete("region", id(2)) }
        #expect(try replica.read { try $0.rows("SELECT name FROM app_seen") } == [[.text("a")], [.text("b")]])
        #expect(try SealedView.all(replica).map { $0.body.changes.map(\.kind) } == [[.insert], [.insert], [.delete]])
    }

    @Test("a field added later is captured with its standing value in rows from before (T2)")
    func addedField() throws {
        let replica = try sandbox.create()
        try replica.write { try $0.insert(into: "region", id: id(1), ["name": .text("a")]) }
        var tables = Array(CaptureSandbox.schema.ownTables)
        tables[0] = Table(
            "region", .reference, fields: tables[0].fields + [Field("size", .integer, default: .integer(10))])
        try replica.changing { try replica.migrate($0, to: Schema(version: 2, tables: tables)) }
        let result = try replica.write { try $0.execute("UPDATE region SET name = 'b'") }
        let made = try #require(result.commit)
        let commit = try replica.reading { try OutboxCommit.find(made, $0) }
        #expect(
            try commit?.body().changes == [
                Change(
                    table: 1, record: id(1), kind: .update,
                    cells: [CellChange(cell: 0, write: .assign([.text("b")]))])
            ])
        let removal = try #require(try replica.write { try $0.delete("region", id(1)) }.commit)
        let last = try #require(try replica.reading { try OutboxCommit.find(removal, $0) })
        #expect(try last.beforeImages() == [.row(Row([.text("b"), .integer(10)]))])
    }
}

/// Random statements over a few records: all that SQL can do to a row, much of it wrong.
private struct SQLScript {
    private var random: SplitMix64

    init(seed: UInt64) { random = SplitMix64(seed: seed) }

    private mutating func draw(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &random) }

    private mutating func pick(_ kind: Int) -> String { "'\(id(UInt64(kind * 100 + draw(5))))'" }

    private mutating func word() -> String { ["'a'", "'b'", "'سلام'", "NULL", "''", "'a' || char(0)"][draw(6)] }

    mutating func transaction() -> [String] {
        var statements: [String] = []
        for _ in 0...draw(7) {
            let next = statement()
            if draw(12) == 0 {
                statements += ["SAVEPOINT s", next, draw(2) == 0 ? "ROLLBACK TO s" : "SAVEPOINT s", "RELEASE s"]
            } else {
                statements.append(next)
            }
        }
        return statements
    }

    private mutating func statement() -> String {
        let (customer, region, contact) = (pick(2), pick(1), pick(3))
        let or = ["", "", "OR REPLACE", "OR IGNORE", "OR FAIL"][draw(5)]
        switch draw(20) {
        case 0: return "INSERT \(or) INTO region(id, name) VALUES (\(region), \(word()))"
        case 1: return "INSERT \(or) INTO region(id, name) VALUES (\(region), 'x'), (\(pick(1)), \(word()))"
        case 2, 3:
            return "INSERT \(or) INTO customer(id, name, phone, region_id, rating, tags) VALUES (\(customer), 'c', "
                + "\(draw(3) == 0 ? "NULL" : "'\(draw(9))'"), \(draw(2) == 0 ? "NULL" : region), \(draw(3)), "
                + "'[\"\(draw(3))\"]')"
        case 4: return "INSERT \(or) INTO contact(id, customer_id, name) VALUES (\(contact), \(customer), \(word()))"
        case 5: return "UPDATE \(or) customer SET id = \(pick(2)) WHERE id = \(customer)"
        case 6: return "DELETE FROM customer WHERE id = \(customer)"
        case 7: return "DELETE FROM contact" + (draw(3) == 0 ? "" : " WHERE id = \(contact)")
        case 8: return "DELETE FROM region WHERE id = \(region)"
        case 9: return "UPDATE customer SET visits = visits + \(draw(3)), rating = \(draw(2)) WHERE id = \(customer)"
        case 10: return "UPDATE customer SET name = \(word()), notes = \(word()) WHERE id >= \(customer)"
        case 11: return "UPDATE customer SET city = \(word()), tags = '[\"\(draw(3))\",\"z\"]' WHERE id = \(customer)"
        case 12: return "UPDATE customer SET name = name, logo = x'0\(draw(9))' WHERE id <= \(customer)"
        case 13:
            return "INSERT INTO customer(id, name) VALUES (\(customer), \(word())) "
                + "ON CONFLICT(id) DO UPDATE SET name = excluded.name, street = \(word())"
        case 14: return "INSERT \(or) INTO wide(id, f0, f70) VALUES (\(pick(4)), \(draw(2)), \(draw(2)))"
        case 15: return "UPDATE wide SET f\(draw(130)) = \(draw(3)) WHERE id = \(pick(4))"
        case 16: return "UPDATE customer SET rank_by_server = \(draw(8) == 0 ? "1" : "rank_by_server")"
        case 17: return "INSERT INTO region(rowid, id, name) VALUES (\(1 + draw(4)), \(region), 'r')"
        case 18: return "INSERT OR REPLACE INTO region(rowid, id, name) VALUES (\(1 + draw(4)), \(region), 'r')"
        default: return "UPDATE contact SET customer_id = \(customer), name = \(word()) WHERE id = \(contact)"
        }
    }
}
