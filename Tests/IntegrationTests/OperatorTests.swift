import Foundation
import ProgramKit
import Testing

/// What an administrator sees in an hour in which everything happens: each message says what happened, whether work is
/// safe, and what to do.
@Suite("The operator's hour", .serialized)
struct OperatorTests {
    private func devices(_ world: World) async throws -> [JSON] {
        try await world.server.peykd("device", "list", "--format", "json").json().list
    }

    @Test("a sync ends when its last report is on its way: no device is listed as behind (T1)", .timeLimit(.minutes(5)))
    func lastReport() async throws {
        try await World.with { world in
            let sara = try await world.join("Sara", role: "manager")
            for index in 0..<RunSettings.number("PEYK_REPEAT", 15) {
                try await sara.peyk("customer", "add", "--name", "c\(index)")
                try await sara.sync()
                var lag: Int?
                let deadline = ContinuousClock.now + .seconds(5)
                repeat {
                    lag = try await devices(world).first?["lag"].number
                } while lag != 0
                    && ContinuousClock.now < deadline
                #expect(lag == 0, "after sync \(index)")
            }
        }
    }

    @Test("a copied laptop is listed under the one that it is a copy of (I3)", .timeLimit(.minutes(5)))
    func copies() async throws {
        try await World.with { world in
            let sara = try await world.join("Sara", role: "manager")
            try await sara.sync()
            let twin = world.replica("twin")
            try FileManager.default.copyItem(at: sara.home, to: twin.home)
            for replica in [sara, sara, twin, sara] { try await replica.sync() }
            let listed = try await devices(world)
            try #require(listed.count == 2)
            let original = try #require(listed[0]["site"].text)
            #expect(listed[0]["copy_of"] == .null)
            #expect(listed[1]["copy_of"].text == original)
            let table = try await world.server.peykd("device", "list").lines
            #expect(table[0].contains("Copy of"))
            #expect(table[2].contains(original.prefix(8)))
            let revoked = try await world.server.peykd("device", "revoke", original).out
            #expect(revoked.contains("Sara") && revoked.contains("copy of \(original.prefix(8))"), "\(revoked)")
        }
    }

    @Test("a backup into a folder that is not there says so (73)", .timeLimit(.minutes(5)), arguments: [true, false])
    func noFolder(isServing: Bool) async throws {
        try await World.with(serving: isServing) { world in
            let path = world.folder.path + "/none/b.peykd"
            let output = try await world.server.peykd(["backup", path], status: 73)
            #expect(output.err.contains("There is no folder") && output.err.contains("No backup was made"))
        }
    }

    @Test("a clock in 2031 is seen by doctor before anything is stamped (C4)", .timeLimit(.minutes(5)))
    func clocks() async throws {
        guard ShiftedClock.canBeMade else { return }
        try await World.with { world in
            let sara = try await world.join("Sara", role: "manager")
            let future = try await ShiftedClock.environment(days: 1_600, in: world.folder)
            let doctor = try await sara.peyk(["doctor"], environment: future).lines.first { $0.hasPrefix("clock") }
            #expect(doctor?.contains("1,600 days ahead") == true, "\(doctor ?? "")")
            #expect(doctor?.contains("set this machine’s clock") == true, "\(doctor ?? "")")
            _ = try await world.server.stop()
            let server = try await Program.peykd.run(
                ["doctor"], environment: future.merging(["PEYKD_DATA": world.server.data.path]) { $1 })
            #expect(server.status == 78)
            let line = server.lines.first { $0.hasPrefix("clock") }
            #expect(line?.contains("days ahead of the last commit") == true, "\(server)")
        }
    }

    @Test(
        "after a restore status says how many have not come back, and how many are nearly done (I7)",
        .timeLimit(.minutes(5)))
    func refill() async throws {
        try await World.with { world in
            let sara = try await world.join("Sara", role: "manager")
            let babak = try await world.join("Babak", role: "manager")
            let path = world.folder.path + "/b.peykd"
            try await world.server.peykd("backup", path)
            try await babak.peyk("customer", "add", "--name", "after the backup")
            try await babak.sync()
            _ = try await world.server.stop()
            try await world.server.peykd("restore", path)
            try await world.server.start()
            func line() async throws -> String {
                try await world.server.peykd("status").lines.first { $0.hasPrefix("Refill") } ?? ""
            }
            #expect(try await line().contains("open, 2 devices to come back"))
            try await babak.sync()
            #expect(try await line().contains("open, 1 devices to come back, 1 to sync once more"))
            let closed = try await world.server.peykd("refill", "close")
            #expect(closed.err.contains("2 devices had not come back"), "\(closed)")
            #expect(try await line().contains("none open"))
            try await sara.sync()
            #expect(try await sara.value("SELECT count(*) FROM customer") == "1")
        }
    }
}
