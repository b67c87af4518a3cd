import Foundation
import ProgramKit
import Testing

/// Clocks, clones, restored images. Each test is a failure that a shipped system had (Tests/README.md).
@Suite("Failures of clocks and identity", .serialized)
struct IdentityFailures {
    @Test(
        "F056: stamps 60 days old are taken, and a clock that jumps while asleep stops nobody (P9)",
        .enabled(if: ShiftedClock.canBeMade, "there is no clang here"), .timeLimit(.minutes(5)))
    func oldStampsAndSleep() async throws {
        try await Field.with { field in
            let old = try await ShiftedClock.environment(days: -60, in: field.world.folder)
            try await field.anna.peyk(
                ["customer", "set", field.customer, "industry=sixty days ago"], environment: old)
            try await field.anna.sync()
            #expect(try await field.industry(field.anna) == "sixty days ago")
            // A laptop that sleeps in the middle of a sync and wakes up ten months later.
            try await field.anna.peyk("customer", "set", field.customer, "industry=before the sleep")
            let syncing = try field.anna.start(["sync"], environment: ["PEYK_FAILPOINT": "replica.outbox.read=pause"])
            try #require(try await syncing.waitUntilStopped())
            try await Task.sleep(for: .seconds(1))
            syncing.signal(SIGCONT)
            _ = try await syncing.finish()
            let later = try await ShiftedClock.environment(days: 300, in: field.world.folder)
            try await field.anna.peyk(["customer", "set", field.customer, "location=after it"], environment: later)
            try await field.anna.sync(environment: later)
            try await field.settle()
            let seen = try await field.babak.value(
                "SELECT industry || '|' || location FROM customer WHERE id = '\(field.customer)'")
            #expect(seen == "before the sleep|after it")
        }
    }

    @Test(
        "F058: of edits seconds apart on clocks half a minute apart both are seen (P2)",
        .enabled(if: ShiftedClock.canBeMade, "there is no clang here"), .timeLimit(.minutes(5)))
    func ordinaryDrift() async throws {
        try await Field.with { field in
            let ahead = try await ShiftedClock.environment(seconds: 30, in: field.world.folder)
            try await field.anna.peyk(["customer", "set", field.customer, "industry=earlier"], environment: ahead)
            try await Task.sleep(for: .seconds(1))
            try await field.babak.peyk("customer", "set", field.customer, "industry=later")
            try await field.anna.sync(environment: ahead)
            try await field.settle()
            let dump = try await field.world.server.dump()
            #expect(dump.contains("earlier") && dump.contains("later"))
            for replica in field.all {
                let entries = try await replica.peyk("conflicts", "list", "--format", "json").json().rows
                #expect(entries.count == 1, "both see it")
            }
        }
    }

    @Test(
        "F060: writes over both edges of summer time and a leap second keep their order (P8, P24)",
        .enabled(if: ShiftedClock.canBeMade, "there is no clang here"), .timeLimit(.minutes(10)))
    func edgesOfTime() async throws {
        // 2026-03-29 01:00 UTC, 2026-10-25 01:00 UTC, 2016-12-31 23:59:60.
        try await Field.with { field in
            for (edge, name) in [(1_774_746_000, "spring"), (1_792_890_000, "autumn"), (1_483_228_800, "leap")] {
                for step in -1...2 {
                    let shift = edge + step - Int(Date().timeIntervalSince1970)
                    var environment = try await ShiftedClock.environment(seconds: shift, in: field.world.folder)
                    environment["TZ"] = "Europe/Berlin"
                    try await field.anna.peyk(
                        ["customer", "set", field.customer, "industry=\(name) \(step)"], environment: environment)
                }
                try await field.settle()
                #expect(try await field.industry(field.babak) == "\(name) 2")
            }
            let stamps = try await field.anna.value("SELECT stamp FROM peyk_log WHERE site <> 0 ORDER BY position")
                .split(separator: "\n").compactMap { Int64($0) }
            #expect(stamps == stamps.sorted() && Set(stamps).count == stamps.count, "stamps of one site rise")
            #expect(try await field.maria.value("SELECT count(*) FROM peyk_ledger") == "0", "no conflict with herself")
        }
    }

    @Test("F062: what a restored copy writes reaches the server, like all else (P18, P2)", .timeLimit(.minutes(5)))
    func restoredCopy() async throws {
        try await Field.with { field in
            let image = field.world.folder.appendingPathComponent("image")
            try await field.anna.peyk("contact", "add", "--name", "w1", "--customer", field.customer)
            try await field.anna.sync()
            try FileManager.default.copyItem(at: field.anna.home, to: image)
            try await field.anna.peyk("contact", "add", "--name", "w2", "--customer", field.customer)
            try await field.anna.sync()
            try FileManager.default.removeItem(at: field.anna.home)
            try FileManager.default.moveItem(at: image, to: field.anna.home)
            try await field.anna.peyk("contact", "add", "--name", "w3", "--customer", field.customer)
            try await field.anna.sync()
            try await field.settle()
            for replica in field.all {
                #expect(
                    try await replica.value("SELECT group_concat(name) FROM (SELECT name FROM contact ORDER BY name)")
                        == "w1,w2,w3")
            }
        }
    }

    @Test("F064: two laptops with one identity are told apart, and both keep their work (P18)", .timeLimit(.minutes(5)))
    func twoWithOneIdentity() async throws {
        try await Field.with { field in
            try await field.anna.peyk("contact", "add", "--name", "both", "--customer", field.customer)
            let copy = field.world.replica("copy")
            try FileManager.default.copyItem(at: field.anna.home, to: copy.home)
            let twins = [field.anna, copy]
            for round in 0..<3 {
                for (index, twin) in twins.enumerated() {
                    try await twin.peyk("contact", "add", "--name", "t\(index)r\(round)", "--customer", field.customer)
                }
                async let first = field.anna.attempt(["sync"])
                async let second = copy.attempt(["sync"])
                for output in try await [first, second] {
                    #expect([0, 75, 76].contains(output.status), "\(output)")
                }
            }
            try await field.settle(field.all + [copy])
            let sites = try await [
                field.anna.peyk("status", "--format", "json").json()["site"],
                copy.peyk("status", "--format", "json").json()["site"],
            ]
            #expect(sites[0] != sites[1], "each has a site of its own")
            #expect(try await field.maria.value("SELECT count(*), count(DISTINCT name) FROM contact") == "7|7")
        }
    }

    @Test("F066: emptied tables do not delete everybody's rows (P19, P2)", .timeLimit(.minutes(5)))
    func emptiedTables() async throws {
        try await Field.with { field in
            let rows = (0..<800).map { "('\(EditMaker.id(7, $0))', 'Contact', '\(field.customer)')" }
            try await field.script(
                ["INSERT INTO contact(id, name, customer_id) VALUES \(rows.joined(separator: ","));"], on: field.maria)
            try await field.settle()
            // With the triggers on: a mass delete, which waits for a word (D7).
            _ = try await field.anna.sqlite("DELETE FROM contact;")
            try await field.anna.sync()
            #expect(
                try await field.world.server.dump().split(separator: "\n").filter { $0.contains("Contact") }.count
                    == 800)
            #expect(try await field.anna.peyk("status", "--format", "json").json()["held"].number == 1)
            try await field.babak.sync()
            #expect(try await field.babak.value("SELECT count(*) FROM contact") == "800")
            // With capture muted, as a restored index without its data would be: nothing is sent, verify finds it.
            _ = try await field.babak.sqlite(
                "INSERT INTO peyk_mute(muted) VALUES (1); DELETE FROM contact; DELETE FROM peyk_mute;")
            try await field.babak.sync()
            try await field.maria.sync()
            #expect(try await field.maria.value("SELECT count(*) FROM contact") == "800")
            let verify = try await field.babak.attempt(["verify"])
            #expect(verify.status != 0, "verify must find it: \(verify)")
            try await field.babak.peyk("verify", "--repair")
            #expect(try await field.babak.value("SELECT count(*) FROM contact") == "800")
        }
    }

    @Test("F030: one corrupted cell is found by verify, exactly, and mended (P1)", .timeLimit(.minutes(5)))
    func corruptedCell() async throws {
        try await Field.with { field in
            let rows = (0..<300).map { "('\(EditMaker.id(7, $0))', 'Contact \($0)', '\(field.customer)')" }
            try await field.script(
                ["INSERT INTO contact(id, name, customer_id) VALUES \(rows.joined(separator: ","));"], on: field.maria)
            try await field.settle()
            let victim = EditMaker.id(7, 123)
            _ = try await field.anna.sqlite(
                """
                INSERT INTO peyk_mute(muted) VALUES (1);
                UPDATE contact SET name = 'Contact 12З' WHERE id = '\(victim)';
                DELETE FROM peyk_mute;
                """)
            let verify = try await field.anna.attempt(["verify"])
            #expect(verify.status != 0, "\(verify)")
            let named = (0..<300).map { EditMaker.id(7, $0) }.filter { (verify.out + verify.err).contains($0) }
            #expect(named == [victim], "exactly the one: \(verify)")
            try await field.anna.peyk("verify", "--repair")
            try await field.anna.peyk("verify")
            #expect(try await field.anna.value("SELECT name FROM contact WHERE id = '\(victim)'") == "Contact 123")
        }
    }
}
