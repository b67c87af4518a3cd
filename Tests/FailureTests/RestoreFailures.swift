import Foundation
import ProgramKit
import Testing

/// Restores of either side. Each test is a failure that a shipped system had (Tests/README.md).
@Suite("Failures of restores", .serialized)
struct RestoreFailures {
    @Test(
        "F048: a restored replica's unsent edits outlive deletes that they had not seen (P13, P19)",
        .timeLimit(.minutes(5)))
    func tombstonesAreCausal() async throws {
        try await Field.with { field in
            var contacts: [String] = []
            for name in ["edited", "left alone"] {
                contacts.append(
                    try await field.anna.peyk("contact", "add", "--name", name, "--customer", field.customer).trimmed)
            }
            try await field.settle()
            try await field.anna.peyk("contact", "set", contacts[0], "name=edited, unsent")
            let image = field.world.folder.appendingPathComponent("image")
            try FileManager.default.copyItem(at: field.anna.home, to: image)
            // The laptop is lost with the edit unsent; meanwhile both contacts are deleted.
            for contact in contacts { try await field.maria.peyk("contact", "delete", "--yes", contact) }
            try await field.maria.sync()
            try FileManager.default.removeItem(at: field.anna.home)
            try FileManager.default.moveItem(at: image, to: field.anna.home)
            try await field.settle()
            for replica in field.all {
                #expect(try await replica.value("SELECT name FROM contact") == "edited, unsent")
            }
        }
    }

    @Test(
        "F068: a server made anew is refused in words, one restored is filled again by its devices (P19)",
        .timeLimit(.minutes(10)))
    func wipedServer() async throws {
        try await Field.with { field in
            let server = field.world.server
            let backup = field.world.folder.appendingPathComponent("early.peykd").path
            try await server.peykd("backup", backup)
            for index in 0..<20 {
                let replica = index % 2 == 0 ? field.anna : field.babak
                try await replica.peyk("contact", "add", "--name", "c\(index)", "--customer", field.customer)
                if index % 5 == 4 { try await replica.sync() }
            }
            try await field.settle()
            let before = try await field.anna.dump()
            _ = try await server.stop()
            // Another server at the address: another key, so nobody talks to it.
            let stranger = ServerProcess(
                data: field.world.folder.appendingPathComponent("other"), address: await server.address)
            try await stranger.peykd("init", "--workspace", "acme")
            try await stranger.start()
            let refused = try await field.anna.attempt(["sync"])
            #expect(refused.status == 76, "\(refused)")
            #expect(try await field.anna.dump() == before)
            await stranger.kill()
            // The server restored from the early backup: everything comes back from the devices.
            try await server.peykd("restore", backup)
            try await server.start(arguments: ["--accept-clock"])
            for _ in 0..<3 { for replica in field.all { _ = try await replica.attempt(["sync"]) } }
            try await field.settle()
            #expect(try await field.maria.value("SELECT count(*), count(DISTINCT name) FROM contact") == "20|20")
        }
    }

    @Test(
        "F072: after two servers from one backup a device is told of the fork, and IT decides (P19)",
        .timeLimit(.minutes(10)))
    func fork() async throws {
        try await Field.with { field in
            let first = field.world.server
            let backup = field.world.folder.appendingPathComponent("b.peykd").path
            try await first.peykd("backup", backup)
            _ = try await first.stop()
            let second = ServerProcess(
                data: field.world.folder.appendingPathComponent("second"), address: await first.address)
            try FileManager.default.copyItem(at: first.data, to: second.data)
            try await first.peykd("restore", backup)
            try await second.peykd("restore", backup)
            try await first.start()
            try await field.anna.peyk("contact", "add", "--name", "at the first", "--customer", field.customer)
            try await field.anna.sync()
            _ = try await first.stop()
            try await second.start()
            try await field.babak.peyk("contact", "add", "--name", "at the second", "--customer", field.customer)
            try await field.babak.sync()
            // Anna changes servers.
            let before = try await field.anna.dump()
            let forked = try await field.anna.attempt(["sync"])
            #expect([76, 78].contains(forked.status), "\(forked)")
            #expect(forked.err.contains("supersede"), "says who decides, and how: \(forked)")
            #expect(try await field.anna.dump() == before, "nothing was changed")
            let epoch = try #require(try await field.anna.peyk("status", "--format", "json").json()["epoch"].text)
            try await second.peykd("epoch", "supersede", epoch)
            for _ in 0..<2 { for replica in field.all { _ = try await replica.attempt(["sync"]) } }
            for replica in field.all {
                try await replica.sync()
                #expect(
                    try await replica.value("SELECT group_concat(name) FROM (SELECT name FROM contact ORDER BY name)")
                        == "at the first,at the second")
            }
            await second.kill()
        }
    }

    @Test(
        "F074: a backup made under load is whole and has all that was acknowledged before it (P16)",
        .timeLimit(.minutes(10)))
    func backupUnderLoad() async throws {
        try await World.with { world in
            var anna = Rep("Anna", try await world.join("Anna", territories: ["North"]), index: 1)
            let north = try await anna.replica.value("SELECT id FROM territory WHERE name = 'North'")
            try await anna.begin(territory: north, makesShared: true)
            let backup = world.folder.appendingPathComponent("under-load.peykd").path
            for round in 0..<6 {
                for _ in 0..<4 { try await anna.pair() }
                if round == 3 {
                    let rep = anna.replica
                    async let syncing = rep.attempt(["sync"])
                    try await world.server.peykd("backup", backup)
                    _ = try await syncing
                } else {
                    try await anna.replica.sync()
                }
            }
            let whileServing = try await world.server.attempt(["restore", backup])
            #expect(whileServing.status != 0, "refused while it serves: \(whileServing)")
            #expect(whileServing.err.contains("Stop"), "\(whileServing)")
            _ = try await world.server.stop()
            try await world.server.peykd("restore", backup)
            try await world.server.start()
            // The three rounds before it are in the backup itself.
            let rows = try await world.server.dump().split(separator: "\n").filter { $0.contains("pair Anna") }
            #expect(rows.count >= 12)
            for _ in 0..<3 { _ = try await anna.replica.attempt(["sync"]) }
            var reps = [anna]
            let found = try await world.settled(&reps)
            #expect(found.isEmpty, "\(found.joined(separator: "\n"))")
        }
    }
}
