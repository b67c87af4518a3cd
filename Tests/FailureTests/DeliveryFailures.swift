import Foundation
import ProgramKit
import Testing

/// Retry, acknowledgement, checkpoints, feeds. Each test is a failure that a shipped system had (Tests/README.md).
@Suite("Failures of delivery", .serialized)
struct DeliveryFailures {
    @Test("F004: a filtered first sync beside writers has every row, each time (P1)", .timeLimit(.minutes(30)))
    func filteredFirstSync() async throws {
        try await Field.with { field in
            let rows = (0..<300).map { "('\(EditMaker.id(7, $0))', 'Row \($0)', '\(field.north)')" }
            try await field.script(
                ["INSERT INTO customer(id, name, territory_id) VALUES \(rows.joined(separator: ","));"], on: field.maria
            )
            try await field.maria.sync()
            for round in 0..<RunSettings.number("PEYK_REPEAT", 6) {
                let newcomer = field.world.replica("newcomer-\(round)")
                let invite = try await field.world.server.invite("Anna")
                async let joined = newcomer.peyk("join", invite)
                for index in 0..<4 {
                    try await field.write(
                        "UPDATE customer SET industry = 'r\(round)i\(index)' WHERE id < '\(EditMaker.id(7, 50 + index))'",
                        on: field.babak)
                    try await field.babak.sync()
                }
                _ = try await joined
                try await newcomer.sync()
                expectEqual(try await newcomer.dump(), try await field.world.server.dump(), "newcomer \(round)")
                try FileManager.default.removeItem(at: newcomer.home)
            }
        }
    }

    @Test("F008: a puller beside eight pushers never skips a position (P17)", .timeLimit(.minutes(20)))
    func noGaps() async throws {
        try await World.with { world in
            var reps: [Rep] = []
            for index in 0..<8 {
                let name = "Rep\(index)"
                reps.append(Rep(name, try await world.join(name, territories: ["North"]), index: index + 1))
            }
            let puller = Rep("Puller", try await world.join("Puller", territories: ["North"]), index: 9)
            let north = try await puller.replica.value("SELECT id FROM territory WHERE name = 'North'")
            try await puller.begin(territory: north, makesShared: true)
            try await puller.replica.sync()
            for rep in reps { try await rep.begin(territory: north) }
            let pushed = try await withThrowingTaskGroup(of: Rep.self) { group in
                for rep in reps {
                    group.addTask {
                        var rep = rep
                        for _ in 0..<6 {
                            for _ in 0..<5 { try await rep.pair() }
                            try await rep.replica.sync()
                        }
                        return rep
                    }
                }
                for _ in 0..<12 {
                    try await puller.replica.sync()
                    // What it has is a prefix of the log: each pair whole, and nothing missing below its cursor.
                    let gaps = try await puller.replica.value(
                        "SELECT count(*) - (max(position) - min(position) + 1) FROM peyk_log")
                    #expect(gaps == "0" || gaps.isEmpty, "the replica's log has a gap")
                }
                var pushed: [Rep] = []
                for try await rep in group { pushed.append(rep) }
                return pushed
            }
            var everybody = pushed + [puller]
            let found = try await world.settled(&everybody)
            #expect(found.isEmpty, "\(found.joined(separator: "\n"))")
        }
    }

    @Test("F010: edits made while the first is in flight win in their order (P2, P10)", .timeLimit(.minutes(5)))
    func editsInFlight() async throws {
        try await Field.with { field in
            let line = try await field.line()
            let anna = try await field.annaOver(line)
            var slow = FaultyLine.Weather()
            slow.delayMilliseconds = 900
            line.weather = slow
            for word in ["A", "B", "C", "D", "E"] {
                try await field.write(
                    "UPDATE customer SET industry = '\(word)' WHERE id = '\(field.customer)'", on: anna)
                let syncing = try anna.start("sync")
                try await Task.sleep(for: .milliseconds(300))
                if word == "E" { _ = try await syncing.finish() } else { syncing.signal(SIGKILL) }
                _ = try await syncing.finish()
            }
            line.weather = .fair
            try await field.settle([anna] + field.all)
            for replica in field.all { #expect(try await field.industry(replica) == "E") }
            #expect(try await anna.peyk("conflicts", "list", "--format", "json").json().rows == [], "her own edits")
            await line.close()
        }
    }

    @Test(
        "F012: an update made while the insert is in flight is a commit of its own (P12, P2)", .timeLimit(.minutes(5)))
    func updateOfInsertInFlight() async throws {
        try await Field.with { field in
            let id = EditMaker.id(7, 1)
            try await field.write(
                "INSERT INTO customer(id, name, territory_id) VALUES ('\(id)', 'New', '\(field.north)')", on: field.anna
            )
            let syncing = try field.anna.start(["sync"], environment: ["PEYK_FAILPOINT": "sync.push.sent=pause"])
            try #require(try await syncing.waitUntilStopped())
            try await field.write("UPDATE customer SET industry = 'Later' WHERE id = '\(id)'", on: field.anna)
            syncing.signal(SIGKILL)
            _ = try await syncing.finish()
            try await field.settle()
            #expect(
                try await field.babak.value("SELECT name || industry FROM customer WHERE id = '\(id)'") == "NewLater")
        }
    }

    @Test("F014: an edit between collecting and marking as sent goes with the next push (P2)", .timeLimit(.minutes(5)))
    func editBetweenCollectAndMark() async throws {
        try await Field.with { field in
            try await field.write(
                "UPDATE customer SET industry = 'First' WHERE id = '\(field.customer)'", on: field.anna)
            for place in ["replica.outbox.read", "sync.push.sent", "replica.acknowledge.received"] {
                try await field.write(
                    "UPDATE customer SET location = '\(place)' WHERE id = '\(field.customer)'", on: field.anna)
                let syncing = try field.anna.start(["sync"], environment: ["PEYK_FAILPOINT": "\(place)=pause"])
                try #require(try await syncing.waitUntilStopped(), "\(place) was not passed")
                // One by peyk and one by another program.
                try await field.write(
                    "UPDATE customer SET industry = '\(place)' WHERE id = '\(field.customer)'", on: field.anna)
                _ = try await field.anna.sqlite(
                    "UPDATE customer SET website = '\(place)' WHERE id = '\(field.customer)';")
                syncing.signal(SIGCONT)
                let output = try await syncing.finish()
                #expect(output.status == 0, "\(output)")
                try await field.settle()
                let seen = try await field.babak.value(
                    "SELECT industry || '|' || website FROM customer WHERE id = '\(field.customer)'")
                #expect(seen == "\(place)|\(place)")
            }
        }
    }

    @Test("F016: a lost acknowledgement and ten retries make one record and no conflict (P4)", .timeLimit(.minutes(5)))
    func lostAcknowledgement() async throws {
        try await Field.with { field in
            try await field.anna.peyk("contact", "add", "--name", "Sara", "--customer", field.customer)
            for _ in 0..<10 {
                let output = try await field.anna.attempt(
                    ["sync"], environment: ["PEYK_FAILPOINT": "replica.acknowledge.received=kill"])
                #expect(output.status == Rep.killed || output.status == 0, "\(output)")
            }
            let line = try await field.line()
            let anna = try await field.annaOver(line)
            try await anna.peyk("contact", "add", "--name", "Reza", "--customer", field.customer)
            for bytes in stride(from: 200, to: 4_200, by: 400) {
                var swallow = FaultyLine.Weather()
                swallow.swallowRepliesAfter = bytes
                line.weather = swallow
                _ = try await anna.attempt(["sync", "--timeout", "10"])
            }
            line.weather = .fair
            try await field.settle([anna] + field.all)
            for replica in field.all {
                #expect(try await replica.value("SELECT count(*), count(DISTINCT name) FROM contact") == "2|2")
                #expect(try await replica.value("SELECT count(*) FROM peyk_ledger") == "0")
            }
            await line.close()
        }
    }

    @Test("F018: a pending write survives a kill and ten starts of the program (P2, P18)", .timeLimit(.minutes(5)))
    func pendingOverRestarts() async throws {
        try await Field.with { field in
            try await field.anna.peyk("contact", "add", "--name", "Sara", "--customer", field.customer)
            let site = try await field.anna.peyk("status", "--format", "json").json()["site"]
            for start in 0..<10 {
                let place = start % 2 == 0 ? "sqlite.transaction.begun" : "replica.outbox.read"
                _ = try await field.anna.attempt(
                    start % 2 == 0 ? ["customer", "set", field.customer, "industry=x"] : ["sync"],
                    environment: ["PEYK_FAILPOINT": "\(place)=kill"])
                let status = try await field.anna.peyk("status", "--format", "json").json()
                #expect(status["pending"].number == 1)
                #expect(status["site"] == site, "no new name at start-up")
            }
            try await field.settle()
            #expect(try await field.babak.value("SELECT count(*) FROM contact WHERE name = 'Sara'") == "1")
        }
    }

    @Test("F022: a server killed between merging and book-keeping has both or neither (P17)", .timeLimit(.minutes(5)))
    func bookkeepingIsAtomic() async throws {
        let places = [
            "server.commit.merged", "server.group.merged", "server.group.before-commit", "server.group.committed",
        ]
        try await Field.with { field in
            for (index, place) in places.enumerated() {
                try await field.write(
                    "UPDATE customer SET visits = visits + 1 WHERE id = '\(field.customer)'", on: field.anna)
                _ = try await field.world.server.stop()
                try await field.world.server.start(environment: ["PEYK_FAILPOINT": "\(place)=kill"])
                _ = try await field.anna.attempt(["sync"])
                #expect(try await field.world.server.hasDied(), "\(place) was not passed")
                await field.world.server.kill()
                let found = try await field.world.serverFindings(field.all)
                #expect(found.isEmpty, "\(place): \(found)")
                try await field.world.server.start()
                try await field.settle()
                #expect(
                    try await field.babak.value("SELECT visits FROM customer WHERE id = '\(field.customer)'")
                        == "\(index + 1)")
            }
        }
    }

    @Test("F034: what was received is not sent again (P26)", .timeLimit(.minutes(5)))
    func noEcho() async throws {
        try await Field.with { field in
            for word in ["a", "b", "c"] {
                try await field.write(
                    "UPDATE customer SET industry = '\(word)' WHERE id = '\(field.customer)'", on: field.anna)
                let sent = try await field.anna.sync()
                #expect(sent["pushed"].number == 1)
                for replica in [field.babak, field.maria, field.anna, field.babak] {
                    #expect(try await replica.sync()["pushed"].number == 0, "nothing of its own to send")
                }
            }
        }
    }

    @Test(
        "F032: two who both restore their own value do so once each, and then it is quiet (P26)",
        .timeLimit(.minutes(5)))
    func noPingPong() async throws {
        try await Field.with { field in
            try await field.write(
                "UPDATE customer SET industry = 'hers' WHERE id = '\(field.customer)'", on: field.anna)
            try await field.write(
                "UPDATE customer SET industry = 'his' WHERE id = '\(field.customer)'", on: field.babak)
            try await field.settle()
            let before = try await field.world.server.peykd("status", "--format", "json").json()
            for replica in [field.anna, field.babak] {
                let entries = try await replica.peyk("conflicts", "list", "--format", "json").json().rows
                guard let id = entries.first?["id"].text else { continue }
                try await replica.peyk("conflicts", "restore", id)
            }
            try await field.settle()
            try await field.settle()
            let after = try await field.world.server.peykd("status", "--format", "json").json()
            let head = (before["head"].number ?? 0, after["head"].number ?? 0)
            #expect(head.0 > 0 && head.1 - head.0 <= 2, "at most two more commits: \(head)")
        }
    }

    @Test("F040: a sync ends although somebody writes without a pause (P26)", .timeLimit(.minutes(5)))
    func endsBesideAWriter() async throws {
        try await Field.with { field in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for index in 0..<25 {
                        try await field.write(
                            "UPDATE customer SET industry = 'i\(index)' WHERE id = '\(field.customer)'", on: field.anna)
                        try await field.anna.sync()
                    }
                }
                for _ in 0..<8 {
                    try await field.write(
                        "UPDATE customer SET visits = visits + 1 WHERE id = '\(field.customer)'", on: field.babak)
                    let start = ContinuousClock.now
                    try await field.babak.sync()
                    #expect(ContinuousClock.now - start < .seconds(20))
                }
                try await group.waitForAll()
            }
            try await field.settle()
        }
    }
}
