import Foundation
import ProgramKit
import SeededRandom
import Testing

/// Merging, deletes and tombstones. Each test is a failure that a shipped system had (Tests/README.md).
@Suite("Failures of merging", .serialized)
struct MergeFailures {
    @Test(
        "F024: create, delete, create, delete, create ends the same on all, whoever syncs when (P13, P1)",
        .timeLimit(.minutes(5)), arguments: [[0, 1], [1, 0], [0, 0], [1, 1]])
    func createAndDelete(order: [Int]) async throws {
        try await Field.with { field in
            let id = EditMaker.id(7, 1)
            let others = [field.babak, field.maria]
            for step in 0..<5 {
                if step % 2 == 0 {
                    try await field.write(
                        "INSERT INTO contact(id, name, customer_id) VALUES ('\(id)', 'Life \(step)', '\(field.customer)')",
                        on: field.anna)
                } else {
                    try await field.write("DELETE FROM contact WHERE id = '\(id)'", on: field.anna)
                }
                if step != 2 { try await field.anna.sync() }
                try await others[order[step % order.count]].sync()
            }
            try await field.settle()
            for replica in field.all { #expect(try await replica.value("SELECT name FROM contact") == "Life 4") }
        }
    }

    @Test("F026: a row that two delete at once is gone for the third, too (P1, P13)", .timeLimit(.minutes(5)))
    func bothDelete() async throws {
        try await Field.with { field in
            let contact = try await field.anna.peyk(
                "contact", "add", "--name", "Sara", "--customer", field.customer
            ).trimmed
            try await field.settle()
            for replica in [field.anna, field.babak] { try await replica.peyk("contact", "delete", "--yes", contact) }
            try await field.settle()
            for replica in field.all { #expect(try await replica.value("SELECT count(*) FROM contact") == "0") }
            #expect(try await field.world.server.dump().contains(contact) == false)
        }
    }

    @Test("F028: two fields of a group are always the two that somebody wrote (P12)", .timeLimit(.minutes(15)))
    func groupsStayWhole() async throws {
        try await Field.with { field in
            let ids = (0..<250).map { EditMaker.id(7, $0) }
            let rows = ids.map { "('\($0)', 'x', '\(field.north)')" }.joined(separator: ",")
            try await field.script(["INSERT INTO customer(id, name, territory_id) VALUES \(rows);"], on: field.anna)
            try await field.settle()
            var random = SplitMix64(seed: RunSettings.seed)
            var edits = 0
            for _ in 0..<RunSettings.number("PEYK_REPEAT", 4) {
                for replica in [field.anna, field.babak] {
                    var statements: [String] = []
                    for _ in 0..<250 {
                        let number = random.draw(80) + 1
                        // Whole pairs, and halves of which the other half comes from what the writer saw.
                        let sets = "latitude = \(number), longitude = -\(number)"
                        statements.append("UPDATE customer SET \(sets) WHERE id = '\(random.pick(ids))';")
                        edits += 1
                    }
                    try await field.script(statements, on: replica)
                }
                try await field.settle()
                for replica in field.all {
                    let torn = try await replica.value(
                        "SELECT count(*) FROM customer WHERE coalesce(latitude, 0) <> -coalesce(longitude, 0)")
                    #expect(torn == "0", "after \(edits) edits")
                }
            }
        }
    }

    @Test("F036: a conflict whose merge was killed is merged when it comes again (P26, P27)", .timeLimit(.minutes(5)))
    func killedInTheMerge() async throws {
        try await Field.with { field in
            try await field.write(
                "UPDATE customer SET industry = 'his' WHERE id = '\(field.customer)'", on: field.babak)
            try await field.write(
                "UPDATE customer SET industry = 'hers' WHERE id = '\(field.customer)'", on: field.anna)
            try await field.babak.sync()
            // Once: what is under way at two crashes is parked (rule A4).
            do {
                _ = try await field.world.server.stop()
                try await field.world.server.start(environment: ["PEYK_FAILPOINT": "server.commit.merged=kill"])
                _ = try await field.anna.attempt(["sync"])
                #expect(try await field.world.server.hasDied())
                await field.world.server.kill()
            }
            try await field.world.server.start()
            try await field.settle()
            let entries = try await field.maria.peyk("conflicts", "list", "--format", "json").json().rows
            #expect(entries.count == 1, "one entry, not one for each attempt")
            #expect(try await field.industry(field.babak) == "hers", "the later of the two")
        }
    }

    @Test(
        "F044: an update made before the delete was seen ends the same on every node (P13, P14)",
        .timeLimit(.minutes(5)))
    func updateOfTheDeleted() async throws {
        try await Field.with { field in
            let contact = try await field.anna.peyk(
                "contact", "add", "--name", "Sara", "--customer", field.customer
            ).trimmed
            try await field.settle()
            try await field.anna.peyk("contact", "delete", "--yes", contact)
            try await field.anna.sync()
            try await field.babak.peyk("contact", "set", contact, "name=Sara A")
            try await field.settle()
            // The policy: a concurrent update wins over the delete, and the ledger says so.
            for replica in field.all { #expect(try await replica.value("SELECT name FROM contact") == "Sara A") }
            #expect(try await field.maria.value("SELECT count(*) FROM peyk_ledger") == "1")
            // What is deleted by somebody who saw that is gone for good.
            try await field.maria.peyk("contact", "delete", "--yes", contact)
            try await field.settle()
            for replica in field.all { #expect(try await replica.value("SELECT count(*) FROM contact") == "0") }
        }
    }

    @Test("F046: of many deletes beside pulls, none comes back by itself (P13)", .timeLimit(.minutes(15)))
    func deletesStay() async throws {
        try await Field.with { field in
            var random = SplitMix64(seed: RunSettings.seed)
            for round in 0..<RunSettings.number("PEYK_REPEAT", 3) {
                let ids = (0..<120).map { EditMaker.id(7, round * 1_000 + $0) }
                let rows = ids.map { "('\($0)', 'Contact', '\(field.customer)')" }.joined(separator: ",")
                try await field.script(["INSERT INTO contact(id, name, customer_id) VALUES \(rows);"], on: field.anna)
                try await field.settle()
                var left = Set(ids)
                for replica in [field.anna, field.babak, field.maria] {
                    // Each sees what she does of the others' deletes, and deletes a few: never a fifth (D7).
                    let present = try await replica.value("SELECT id FROM contact ORDER BY id").split(separator: "\n")
                    let chosen = (0..<12).map { _ in String(random.pick(Array(present))) }
                    try await field.script(
                        Set(chosen).sorted().map { "DELETE FROM contact WHERE id = '\($0)';" }, on: replica)
                    left.subtract(chosen)
                    if random.draw(2) == 0 { try await replica.sync() }
                    _ = try await field.babak.attempt(["sync"], environment: ["PEYK_FAILPOINT": "replica.apply.*=kill"])
                }
                try await field.settle()
                for replica in field.all {
                    let present = Set(
                        try await replica.value("SELECT id FROM contact WHERE name = 'Contact'").split(separator: "\n")
                            .map(String.init))
                    #expect(present.intersection(ids) == left, "round \(round)")
                }
            }
        }
    }

    @Test("F050: a cascade of SQLite's own has a delete for each of 100 children (P22)", .timeLimit(.minutes(5)))
    func cascades() async throws {
        try await Field.with { field in
            let more = (0..<8).map { "('\(EditMaker.id(6, $0))', 'Other', '\(field.north)')" }.joined(separator: ",")
            let rows = (0..<600).map { index in
                let parent = index < 100 ? field.customer : EditMaker.id(6, index % 8)
                return "('\(EditMaker.id(7, index))', 'Contact', '\(parent)')"
            }
            try await field.script(
                [
                    "INSERT INTO customer(id, name, territory_id) VALUES \(more);",
                    "INSERT INTO contact(id, name, customer_id) VALUES \(rows.joined(separator: ","));",
                ], on: field.anna)
            try await field.settle()
            _ = try await field.anna.sqlite(
                "PRAGMA foreign_keys = ON; DELETE FROM customer WHERE id = '\(field.customer)';")
            try await field.anna.peyk("status")
            if try await field.anna.peyk("status", "--format", "json").json()["held"].number ?? 0 > 0 {
                try await field.anna.peyk("pending", "confirm")
            }
            try await field.settle()
            for replica in field.all {
                #expect(try await replica.value("SELECT count(*) FROM contact") == "500")
                #expect(try await replica.value("SELECT count(*) FROM pragma_foreign_key_check") == "0")
            }
        }
    }

    @Test(
        "F090: a child under a parent that another deletes brings the parent back, and sync goes on (P22, P27)",
        .timeLimit(.minutes(5)))
    func childUnderADeletedParent() async throws {
        try await Field.with { field in
            let lone = try await field.anna.peyk("customer", "add", "--name", "Lone", "--territory", field.north)
                .trimmed
            try await field.settle()
            try await field.anna.peyk("customer", "delete", "--yes", lone)
            try await field.babak.peyk("contact", "add", "--name", "Sara", "--customer", lone)
            try await field.write(
                "UPDATE customer SET industry = 'goes on' WHERE id = '\(field.customer)'", on: field.babak)
            try await field.settle()
            for replica in field.all {
                #expect(try await replica.value("SELECT name FROM customer WHERE id = '\(lone)'") == "Lone")
                #expect(try await field.industry(replica) == "goes on")
            }
        }
    }
}
