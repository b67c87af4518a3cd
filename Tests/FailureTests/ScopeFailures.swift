import Foundation
import ProgramKit
import Testing

/// Scope, permissions, authentication. Each test is a failure that a shipped system had (Tests/README.md).
@Suite("Failures of scope", .serialized)
struct ScopeFailures {
    /// Adds the territory and gives its id, as Maria has it.
    private func territory(_ name: String, _ field: Field) async throws -> String {
        try await field.world.server.peykd("territory", "add", name)
        try await field.maria.sync()
        return try await field.maria.value("SELECT id FROM territory WHERE name = '\(name)'")
    }

    @Test(
        "F088: a parent outside the scope is lent to read, or refused, never half there (P22, P21)",
        .timeLimit(.minutes(5)))
    func parentOutOfScope() async throws {
        try await Field.with { field in
            let south = try await territory("South", field)
            let customer = try await field.maria.peyk("customer", "add", "--name", "Far", "--territory", south).trimmed
            try await field.maria.sync()
            // Down: an opportunity of hers under it lends it to her.
            let opportunity = try await field.maria.peyk(
                "opp", "add", "--name", "Deal", "--customer", customer, "--stage", "Proposal", "--territory",
                field.north
            ).trimmed
            for replica in [field.maria, field.anna] { try await replica.sync() }
            #expect(try await field.anna.value("SELECT name FROM customer WHERE id = '\(customer)'") == "Far")
            // Up: what she hangs on a customer that she may only read is refused, and hers to see.
            try await field.anna.peyk("contact", "add", "--name", "Not hers", "--customer", customer)
            for _ in 0..<2 { try await field.anna.sync() }
            #expect(try await field.anna.value("SELECT count(*) FROM contact") == "0")
            #expect(try await field.anna.peyk("parked", "list", "--format", "json").json().rows.count == 1)
            try await field.maria.peyk("opp", "delete", "--yes", opportunity)
            for replica in [field.maria, field.anna] { try await replica.sync() }
            #expect(try await field.anna.value("SELECT count(*) FROM customer WHERE id = '\(customer)'") == "0")
            #expect(try await field.anna.value("SELECT count(*) FROM pragma_foreign_key_check") == "0")
        }
    }

    @Test(
        "F106: edits to records that moved are handed off, those without the right are parked (P21, P27)",
        .timeLimit(.minutes(5)))
    func permissionRemoved() async throws {
        try await Field.with { field in
            let south = try await territory("South", field)
            for index in 0..<5 {
                try await field.anna.peyk("contact", "add", "--name", "c\(index)", "--customer", field.customer)
            }
            try await field.maria.peyk("customer", "set", field.customer, "territory_id=\(south)")
            try await field.maria.sync()
            let sync = try await field.anna.sync()
            #expect(sync["handed_off"].number == 5, "\(sync)")
            #expect(try await field.anna.value("SELECT count(*) FROM customer") == "0", "evicted, not deleted")
            try await field.maria.sync()
            #expect(try await field.maria.value("SELECT count(*) FROM contact") == "5")
            // The right itself taken away: parked, kept whole, and said.
            let other = try await field.babak.peyk("customer", "add", "--name", "His", "--territory", field.north)
                .trimmed
            try await field.babak.sync()
            for index in 0..<5 {
                try await field.babak.peyk("contact", "add", "--name", "d\(index)", "--customer", other)
            }
            try await field.world.server.peykd("user", "set", "Babak", "--role", "viewer", "--territory", "North")
            for _ in 0..<2 { _ = try await field.babak.attempt(["sync"]) }
            let parked = try await field.babak.peyk("parked", "list", "--format", "json").json().rows
            #expect(parked.count == 5, "\(parked)")
            #expect(try await field.babak.peyk("status", "--format", "json").json()["pending"].number == 0)
        }
    }

    @Test(
        "F108: no byte about another territory reaches a replica, deletes and conflicts included (P20)",
        .timeLimit(.minutes(5)))
    func nothingLeaks() async throws {
        try await Field.with { field in
            let south = try await territory("South", field)
            let omid = try await field.world.join("Omid", territories: ["South"])
            let sara = try await field.world.join("Sara", territories: ["South"])
            let secret = try await omid.peyk("customer", "add", "--name", "Verysecretname", "--territory", south)
                .trimmed
            for replica in [omid, sara] { try await replica.sync() }
            // A conflict, a delete, a refused write, all in the south.
            try await field.write("UPDATE customer SET industry = 'Secretone' WHERE id = '\(secret)'", on: omid)
            try await field.write("UPDATE customer SET industry = 'Secrettwo' WHERE id = '\(secret)'", on: sara)
            for replica in [omid, sara, omid, field.anna] { try await replica.sync() }
            try await omid.peyk("customer", "delete", "--yes", secret)
            try await omid.sync()
            // Somebody of the north names the id: she learns nothing by it.
            try await field.write(
                "INSERT INTO customer(id, name, territory_id) VALUES ('\(secret)', 'Guess', '\(field.north)')",
                on: field.anna)
            for _ in 0..<2 { try await field.anna.sync() }
            try await field.babak.sync()
            for replica in [field.babak, field.anna] {
                for file in [replica.file, replica.file + "-wal"] {
                    let bytes = (try? Data(contentsOf: URL(fileURLWithPath: file))) ?? Data()
                    for word in ["Verysecretname", "Secretone", "Secrettwo"] {
                        #expect(bytes.range(of: Data(word.utf8)) == nil, "\(word) in \(file)")
                    }
                }
            }
            let bytes = try Data(contentsOf: URL(fileURLWithPath: field.babak.file))
            #expect(bytes.range(of: Data(secret.utf8)) == nil, "the id itself, at somebody who never named it")
        }
    }

    @Test(
        "F110: reps of many territories in parallel each get their own and nothing else (P20)", .timeLimit(.minutes(10))
    )
    func parallelTenants() async throws {
        try await Field.with { field in
            let names = ["East", "West", "Coast", "Desert"]
            var reps: [(name: String, replica: ReplicaProcess)] = []
            for name in names {
                let id = try await territory(name, field)
                try await field.maria.peyk("customer", "add", "--name", "Marker of \(name)", "--territory", id)
                for index in 0..<3 {
                    reps.append((name, try await field.world.join("\(name)\(index)", territories: [name])))
                }
            }
            try await field.maria.sync()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for rep in reps { group.addTask { for _ in 0..<3 { try await rep.replica.sync() } } }
                try await group.waitForAll()
            }
            for rep in reps {
                let dump = try await rep.replica.dump()
                for name in names {
                    #expect(dump.contains("Marker of \(name)") == (name == rep.name), "\(rep.name) and \(name)")
                }
            }
        }
    }

    @Test("F112: without a grant nothing flows, also while grants are changed (P20)", .timeLimit(.minutes(5)))
    func missingGrant() async throws {
        try await Field.with { field in
            try await field.world.server.peykd("territory", "add", "Empty")
            let nobody = try await field.world.join("Nobody", territories: ["Empty"])
            #expect(try await nobody.value("SELECT count(*) FROM customer") == "0")
            for _ in 0..<3 {
                async let sync = nobody.attempt(["sync"])
                async let there = field.world.server.peykd("user", "set", "Nobody", "--territory", "North")
                _ = try await (sync, there)
                try await nobody.sync()
                #expect(try await nobody.value("SELECT count(*) FROM customer") == "1")
                try await field.world.server.peykd("user", "set", "Nobody", "--territory", "Empty")
                try await nobody.sync()
                #expect(try await nobody.value("SELECT count(*) FROM customer") == "0")
                #expect(try await nobody.dump().contains("Blue Harbour") == false)
            }
        }
    }

    @Test("F114: a revoked device keeps its 100 pending commits, readable (P2, P27)", .timeLimit(.minutes(5)))
    func revokedWithPending() async throws {
        try await Field.with { field in
            for index in 0..<100 {
                _ = try await field.anna.sqlite(
                    "INSERT INTO contact(id, name, customer_id) VALUES ('\(EditMaker.id(7, index))', 'c\(index)', '\(field.customer)');"
                )
                if index % 10 == 9 { try await field.anna.peyk("status") }
            }
            let before = try await field.anna.peyk("status", "--format", "json").json()
            let site = try #require(before["site"].text)
            try await field.world.server.peykd("device", "revoke", site)
            for _ in 0..<3 { try await field.anna.peyk(["sync"], status: 77) }
            let after = try await field.anna.peyk("status", "--format", "json").json()
            #expect(after["pending"] == before["pending"])
            #expect(try await field.anna.value("SELECT count(*) FROM contact") == "100")
            try await field.babak.sync()
            #expect(try await field.babak.value("SELECT count(*) FROM contact") == "0", "quarantined, not merged")
        }
    }

    @Test("F116: any text may be a territory's name, and none may be missing (P28, P20)", .timeLimit(.minutes(5)))
    func oddTerritories() async throws {
        try await Field.with { field in
            for (index, name) in ["شمال غرب", "é'; DROP TABLE customer;--", String(repeating: "x", count: 900)]
                .enumerated()
            {
                let id = try await {
                    try await field.world.server.peykd("territory", "add", name)
                    try await field.maria.sync()
                    return try await field.maria.value(
                        "SELECT id FROM territory WHERE name = '\(name.replacingOccurrences(of: "'", with: "''"))'")
                }()
                #expect(!id.isEmpty, "\(name.prefix(20))")
                let rep = try await field.world.join("Odd\(index)", territories: [name])
                try await field.maria.peyk("customer", "add", "--name", "Odd \(index)", "--territory", id)
                try await field.maria.sync()
                try await rep.sync()
                #expect(try await rep.value("SELECT group_concat(name) FROM customer") == "Odd \(index)")
            }
            let empty = try await field.world.server.attempt(["territory", "add", ""])
            #expect(empty.status != 0 && empty.status != 70, "\(empty)")
            // Without a territory and an owner: unassigned, which managers hold.
            try await field.write(
                "INSERT INTO customer(id, name) VALUES ('\(EditMaker.id(7, 1))', 'Nobody''s')", on: field.maria)
            try await field.maria.sync()
            try await field.anna.sync()
            #expect(try await field.anna.dump().contains("Nobody's") == false)
            #expect(try await field.maria.dump().contains("Nobody's"))
        }
    }

    @Test("F124: many connections that come and go leave nothing behind in the server (P28)", .timeLimit(.minutes(10)))
    func comeAndGo() async throws {
        try await Field.with { field in
            let stranger = try Stranger(address: await field.world.server.address)
            func round(_ count: Int) async throws {
                for index in 0..<count {
                    _ = try await stranger.say(
                        index % 2 == 0 ? [] : [0, 0, 0, 1, 7], overTLS: index % 3 == 0, seconds: 0)
                }
            }
            try await round(100)
            let before = (
                try #require(await field.world.server.megabytes), try #require(await field.world.server.openFiles)
            )
            try await round(400)
            try await Task.sleep(for: .seconds(1))
            let after = (
                try #require(await field.world.server.megabytes), try #require(await field.world.server.openFiles)
            )
            #expect(after.0 <= before.0 + 24, "memory from \(before.0) to \(after.0) MB")
            #expect(after.1 <= before.1 + 8, "open files from \(before.1) to \(after.1)")
            try await field.anna.sync()
        }
    }

    @Test("F128: identifiers cannot carry SQL, and no log holds a secret (P29, P30)", .timeLimit(.minutes(5)))
    func identifiersAndLogs() async throws {
        try await Field.with { field in
            for name in [#"\"; DROP TABLE customer;--"#, "]", "`", #"\"\""#, "a\\u0000b", "peyk_meta", "id", ""] {
                let file = #"{"add": {"fields": {"customer": [{"name": "\#(name)", "type": "text"}]}}}"#
                let output = try await field.world.server.attempt(["schema", "apply", "-"], input: file)
                #expect([64, 65].contains(output.status), "\(name): \(output)")
            }
            let table = #"{"add": {"tables": [{"name": "x\"; DROP TABLE customer;--", "fields": []}]}}"#
            #expect(try await field.world.server.attempt(["schema", "apply", "-"], input: table).status == 65)
            _ = try await field.world.server.stop()
            try await field.world.server.start(arguments: ["--log-level", "debug"])
            let invite = try await field.world.server.invite("Anna")
            let code = try #require(invite.split(separator: "#").last?.split(separator: ".").first.map(String.init))
            let device = field.world.replica("device")
            let joined = try await device.peyk("join", invite)
            _ = try await field.world.replica("again").attempt(["join", invite])
            try await field.write(
                "UPDATE customer SET industry = 'Canaryvalue' WHERE id = '\(field.customer)'", on: field.anna)
            try await field.anna.sync()
            let log = await field.world.server.log
            for secret in [code, "Canaryvalue"] {
                #expect(!(log + joined.out + joined.err).contains(secret), "\(secret)")
            }
            #expect(log.count > 100, "there is a log")
        }
    }
}
