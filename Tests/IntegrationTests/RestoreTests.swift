import Foundation
import ProgramKit
import Testing

/// Backups and restores with the shipped programs (rules I5 to I10).
@Suite("Backup and restore")
struct RestoreTests {
    private func status(_ world: World) async throws -> JSON {
        try await world.server.peykd("status", "--format", "json").json()
    }

    private func customers(_ replica: ReplicaProcess) async throws -> String {
        try await replica.value("SELECT group_concat(name) FROM (SELECT name FROM customer ORDER BY name);")
    }

    @Test("a backup is written while the server serves, and says so in status (I10)")
    func online() async throws {
        try await World.with { world in
            let ann = try await world.join("Ann", role: "manager")
            try await ann.peyk("customer", "add", "--name", "Alpha")
            _ = try await ann.sync()
            let file = world.folder.appendingPathComponent("b1.peykd").path
            let done = try await world.server.peykd("backup", file, "--format", "json").json()
            #expect(done["position"].number ?? 0 > 0)
            let facts = try FileManager.default.attributesOfItem(atPath: file)
            #expect((facts[.posixPermissions] as? NSNumber)?.intValue == 0o600)
            let status = try await status(world)
            #expect(status["backups"].list.count == 1)
            #expect(status["backup_due"].number == 0)
            let left = try FileManager.default.contentsOfDirectory(atPath: world.folder.path)
            #expect(!left.contains { $0.contains("partial") })
            let listed = try await Program(url: URL(fileURLWithPath: "/usr/bin/tar")).run(["-tf", file])
            #expect(listed.out.contains("manifest.json") && listed.out.contains("workspace.sqlite"))
        }
    }

    @Test("a restore is refused while the server runs, and for a damaged file; nothing is changed")
    func refused() async throws {
        try await World.with { world in
            let file = world.folder.appendingPathComponent("b1.peykd").path
            try await world.server.peykd("backup", file)
            let busy = try await world.server.peykd("restore", file, status: 75)
            #expect(busy.err.contains("serving") && busy.err.contains("Nothing was changed"))
            _ = try await world.server.stop()
            var bytes = try Data(contentsOf: URL(fileURLWithPath: file))
            bytes[bytes.count / 2] ^= 1
            let damaged = world.folder.appendingPathComponent("b2.peykd")
            try bytes.write(to: damaged)
            let before = try await world.server.dump()
            let wrong = try await world.server.peykd("restore", damaged.path, status: 65)
            #expect(wrong.err.contains("damaged"))
            expectEqual(before, try await world.server.dump(), "the store")
        }
    }

    @Test(
        "serve, sync, backup, more syncs, power cut, restore: users, devices and invites come back from the journal (I9)"
    )
    func journal() async throws {
        try await World.with { world in
            let file = world.folder.appendingPathComponent("b1.peykd").path
            try await world.server.peykd("backup", file)
            try await world.server.peykd("territory", "add", "North")
            let ann = try await world.join("Ann", territories: ["North"])
            let link = try await world.server.invite("Ann")
            try await world.server.peykd("user", "add", "Bob", "--role", "manager")
            await world.server.kill()
            let done = try await world.server.peykd("restore", file, "--format", "json").json()
            #expect(done["acts"].number ?? 0 >= 4)
            #expect(done["awaited"].number == 1)
            try await world.server.start()
            let users = try await world.server.peykd("user", "list", "--format", "json").json()
            #expect(users.list.count == 2)
            let status = try await status(world)
            #expect(status["refill"]["open"].number == 1)
            #expect(status["epochs"].list.count == 2)
            _ = try await ann.sync()
            let second = world.replica("Ann2")
            try await second.peyk("join", link)
        }
    }

    @Test("what a too old backup lacks is said, listed with its values, and written anew (I8, I10)")
    func acceptedLoss() async throws {
        try await World.with { world in
            let ann = try await world.join("Ann", role: "manager")
            func backup(_ number: Int) async throws -> String {
                let file = world.folder.appendingPathComponent("b\(number).peykd").path
                try await world.server.peykd("backup", file)
                try await ann.sync()
                return file
            }
            let old = try await backup(1)
            try await ann.peyk("customer", "add", "--name", "Acknowledged", "city=Basel")
            try await ann.sync()
            for number in 2...4 { _ = try await backup(number) }
            _ = try await world.server.stop()
            try await world.server.peykd("restore", old, status: 65)
            let said = try await world.server.peykd("restore", old, "--accept-loss").err
            #expect(said.contains("epoch supersede"), "the way back: \(said)")
            // At once again: what the first one kept may be the only copy.
            try await world.server.peykd("restore", old, "--accept-loss")
            let kept = try FileManager.default.contentsOfDirectory(atPath: world.server.data.path)
                .filter { $0.hasPrefix("workspace.before-") && $0.hasSuffix(".sqlite") }
            #expect(kept.count == 2, "\(kept)")
            try await world.server.start()
            let sync = try await ann.peyk("sync")
            #expect(sync.err.contains("Missing on the restored server: 1 record"), "\(sync)")
            #expect(!sync.err.contains("Nothing is lost"), "\(sync)")
            let issue = try #require(
                try await ann.peyk("parked", "list", "--all", "--format", "json").json().rows.first?["id"].number)
            let shown = try await ann.peyk("parked", "show", "\(issue)").out
            #expect(shown.contains("Name: Acknowledged") && shown.contains("City: Basel"), "\(shown)")
            try await ann.peyk("parked", "retry", "\(issue)")
            try await ann.sync()
            #expect(try await customers(ann) == "Acknowledged")
            #expect(try await world.server.dump().contains("Acknowledged"))
        }
    }

    @Test("what was synced after the backup comes back from the devices (I7, P19)")
    func comesBack() async throws {
        try await World.with { world in
            let ann = try await world.join("Ann", role: "manager")
            let bob = try await world.join("Bob", role: "manager")
            try await ann.peyk("customer", "add", "--name", "Alpha")
            _ = try await ann.sync()
            let file = world.folder.appendingPathComponent("b1.peykd").path
            try await world.server.peykd("backup", file)
            try await ann.peyk("customer", "add", "--name", "Beta")
            _ = try await ann.sync()
            _ = try await bob.sync()
            try await bob.peyk("customer", "add", "--name", "Gamma")
            _ = try await bob.sync()
            _ = try await ann.sync()
            let before = try await customers(ann)
            #expect(before == "Alpha,Beta,Gamma")
            await world.server.kill()
            try await world.server.peykd("restore", file)
            try await world.server.start()
            for _ in 0..<2 {
                for replica in [ann, bob] { _ = try await replica.sync() }
            }
            _ = try await ann.sync()
            #expect(try await customers(ann) == before)
            #expect(try await customers(bob) == before)
            let status = try await status(world)
            #expect(status["refill"]["open"].number == 0, "all have come back")
        }
    }
}
