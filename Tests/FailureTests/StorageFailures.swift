import Foundation
import ProgramKit
import Testing

/// Files, other programs, migrations, sizes. Each test is a failure that a shipped system had (Tests/README.md).
@Suite("Failures of storage", .serialized)
struct StorageFailures {
    @Test(
        "F076: edits behind our back are captured, or found by verify, and never stop a sync (P15, P26)",
        .timeLimit(.minutes(5)))
    func behindOurBack() async throws {
        try await Field.with { field in
            _ = try await field.anna.sqlite(
                """
                UPDATE customer SET industry = 'by hand' WHERE id = '\(field.customer)';
                INSERT INTO contact(id, name, customer_id)
                    VALUES ('\(EditMaker.id(7, 1))', 'Sara', '\(field.customer)');
                """)
            try await field.settle()
            #expect(try await field.industry(field.babak) == "by hand")
            // A program that drops the triggers first: nothing is captured, so verify must say so.
            let triggers = try await field.anna.value(
                "SELECT group_concat('DROP TRIGGER \"' || name || '\";', char(10)) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'contact'"
            )
            _ = try await field.anna.sqlite(triggers + "\nUPDATE contact SET name = 'Hidden';")
            let verify = try await field.anna.attempt(["verify"])
            #expect(verify.status != 0, "\(verify)")
            let sync = try await field.anna.attempt(["sync"])
            #expect([0, 65, 70, 74].contains(sync.status), "\(sync)")
            try await field.babak.sync()
            #expect(try await field.babak.value("SELECT name FROM contact") == "Sara")
        }
    }

    @Test("F078: local writes go on beside a large sync, none is refused (P29)", .timeLimit(.minutes(10)))
    func writesBesideALargeSync() async throws {
        try await Field.with { field in
            try await field.world.server.peykd("territory", "add", "South")
            try await field.maria.sync()
            let id = try await field.maria.value("SELECT id FROM territory WHERE name = 'South'")
            let count = 4_000
            let rows = (0..<count).map { "('\(EditMaker.id(7, $0))', 'Southern \($0)', '\(id)')" }
            try await field.script(
                ["INSERT INTO customer(id, name, territory_id) VALUES \(rows.joined(separator: ","));"], on: field.maria
            )
            try await field.maria.sync()
            try await field.world.server.peykd("user", "set", "Anna", "--territory", "North", "--territory", "South")
            let syncing = try field.anna.start("sync")
            var slowest = Duration.zero
            var writes = 0
            while syncing.isRunning, writes < 200 {
                let start = ContinuousClock.now
                _ = try await field.anna.sqlite(
                    "UPDATE customer SET visits = visits + 1 WHERE id = '\(field.customer)';")
                slowest = max(slowest, ContinuousClock.now - start)
                writes += 1
            }
            let output = try await syncing.finish()
            #expect(output.status == 0, "\(output)")
            #expect(writes > 0 && slowest < .seconds(10), "the slowest of \(writes) writes took \(slowest)")
            try await field.anna.sync()
            try await field.babak.sync()
            #expect(
                try await field.babak.value("SELECT visits FROM customer WHERE id = '\(field.customer)'") == "\(writes)"
            )
            #expect(try await field.anna.value("SELECT count(*) FROM customer") == "\(count + 1)")
        }
    }

    @Test("F080: readers that overlap do not let the write-ahead log grow without end (P28)", .timeLimit(.minutes(10)))
    func walStaysBounded() async throws {
        try await Field.with { field in
            let wal = field.anna.file + "-wal"
            func bytes() -> Int {
                ((try? FileManager.default.attributesOfItem(atPath: wal))?[.size] as? NSNumber)?.intValue ?? 0
            }
            // Two readers that take turns, so that there is always one.
            var readers: [RunningProgram] = []
            for round in 0..<6 {
                let script = "BEGIN; SELECT count(*) FROM customer;\n.shell sleep 3\nCOMMIT;\n"
                readers.append(try Program.sqlite.start([field.anna.file], input: script))
                let filler = String(repeating: "x", count: 4_000)
                for index in 0..<20 {
                    let rows = (0..<10).map { "('\(EditMaker.id(7, round * 1_000 + index * 10 + $0))', '\(filler)')" }
                    try await field.script(
                        [
                            "INSERT INTO customer(id, description, name, territory_id) "
                                + "SELECT column1, column2, 'n', '\(field.north)' FROM (VALUES \(rows.joined(separator: ",")));"
                        ],
                        on: field.anna)
                }
            }
            let during = bytes()
            for reader in readers { _ = try await reader.finish() }
            try await field.anna.sync()
            try await field.anna.sync()
            let after = bytes()
            #expect(after < 16 << 20, "\(after) bytes after \(during)")
        }
    }

    @Test("F084: a migration killed at any statement is done again or not begun (P25, P15)", .timeLimit(.minutes(20)))
    func interruptedMigration() async throws {
        try await Field.with { field in
            try await field.anna.peyk("contact", "add", "--name", "Sara", "--customer", field.customer)
            try await field.world.server.peykd(["schema", "apply", "-"], input: Self.addition(0))
            // How many statements it takes, from a replica that does it undisturbed.
            let log = field.world.folder.appendingPathComponent("passed")
            _ = try await field.babak.attempt(["sync"], environment: ["PEYK_FAILPOINT_LOG": log.path])
            let passed = try String(contentsOf: log, encoding: .utf8).split(separator: "\n")
            let begin = try #require(passed.firstIndex(of: "replica.migrate.begun"))
            let end = try #require(passed.firstIndex(of: "replica.migrate.upgraded"))
            let before = passed[..<begin].filter { $0 == "sqlite.statement.begun" }.count
            let within = passed[begin..<end].filter { $0 == "sqlite.statement.begun" }.count
            #expect(within > 5)
            let step = max(1, within / RunSettings.number("PEYK_STATEMENTS", 25))
            for statement in stride(from: before - 2, through: before + within + 4, by: step) {
                let output = try await field.anna.attempt(
                    ["sync"], environment: ["PEYK_FAILPOINT": "sqlite.statement.begun=kill@\(max(1, statement))"])
                if output.status == 0 { break }
                #expect(output.status == Rep.killed, "\(output)")
                let whole = try await field.anna.value(
                    """
                    PRAGMA integrity_check;
                    SELECT count(*) FROM contact WHERE name = 'Sara';
                    SELECT count(*) FROM pragma_table_info('customer') WHERE name = 'extra_0';
                    """
                )
                #expect(whole == "ok\n1\n0", "statement \(statement): the old shape, whole: \(whole)")
                try await field.anna.peyk("status")
            }
            try await field.settle()
            #expect(
                try await field.anna.value("SELECT count(*) FROM pragma_table_info('customer') WHERE name = 'extra_0'")
                    == "1")
        }
    }

    private static func addition(_ number: Int) -> String {
        #"""
        {"add": {"fields": {"customer": [{"name": "extra_\#(number)", "type": "text"}],
        "contact": [{"name": "extra_\#(number)", "type": "integer"}]}}}
        """#
    }

    @Test(
        "F086: a server with much behind it is ready within seconds, and rests when there is nothing to do (P28)",
        .timeLimit(.minutes(10)))
    func restartIsQuick() async throws {
        try await Field.with { field in
            for batch in 0..<5 {
                let rows = (0..<2_000).map { "('\(EditMaker.id(7, batch * 2_000 + $0))', 'Row', '\(field.north)')" }
                try await field.script(
                    ["INSERT INTO customer(id, name, territory_id) VALUES \(rows.joined(separator: ","));"],
                    on: field.anna)
            }
            try await field.anna.sync()
            await field.world.server.kill()
            let start = ContinuousClock.now
            try await field.world.server.start()
            #expect(ContinuousClock.now - start < .seconds(10))
            try await Task.sleep(for: .seconds(2))
            let before = try #require(await field.world.server.cpuSeconds)
            try await Task.sleep(for: .seconds(4))
            let after = try #require(await field.world.server.cpuSeconds)
            #expect(after - before < 0.8, "an idle server took \(after - before) s of processor time in 4 s")
        }
    }

    @Test(
        "F102: one transaction of 20,000 rows goes through whole, in bounded memory (P28, P12)",
        .timeLimit(.minutes(15)))
    func hugeTransaction() async throws {
        try await Field.with { field in
            let count = 20_000
            let rows = (0..<count).map { "('\(EditMaker.id(7, $0))', 'Row \($0)', '\(field.north)')" }
            try await field.script(
                ["INSERT INTO customer(id, name, territory_id) VALUES \(rows.joined(separator: ","));"], on: field.anna)
            #expect(try await field.anna.peyk("status", "--format", "json").json()["pending"].number == 1)
            let syncing = try field.anna.start("sync")
            // Another device looks while it goes through: all or nothing.
            while syncing.isRunning {
                try await field.babak.sync()
                let seen = try await field.babak.value("SELECT count(*) FROM customer")
                #expect(seen == "1" || seen == "\(count + 1)", "half a commit")
            }
            let output = try await syncing.finish()
            #expect(output.status == 0, "\(output)")
            try await field.settle()
            let peak = try #require(await field.world.server.peakMegabytes)
            #expect(peak < 700, "the server took \(peak) MB")
        }
    }
}
