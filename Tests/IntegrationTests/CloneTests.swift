import Foundation
import ProgramKit
import Testing

/// Copies of a replica's folder and restored images, with the shipped programs (failures F62, F64; rules I2, I3, K5).
@Suite("Copies of a replica", .serialized)
struct CloneTests {
    private func copy(_ replica: ReplicaProcess, to home: URL) throws {
        try? FileManager.default.removeItem(at: home)
        try FileManager.default.copyItem(at: replica.home, to: home)
    }

    private func add(_ name: String, on replica: ReplicaProcess) async throws {
        try await replica.peyk("customer", "add", "--name", name)
    }

    private func names(_ replica: ReplicaProcess) async throws -> [String] {
        try await replica.sqlite("SELECT name FROM customer ORDER BY name").trimmed.split(separator: "\n").map(
            String.init)
    }

    private func device(_ replica: ReplicaProcess) async throws -> JSON {
        try await replica.peyk("status", "--format", "json").json()
    }

    @Test("F62: an image put back after later writes: w1, w2 and w3 all reach the server", .timeLimit(.minutes(5)))
    func imagePutBack() async throws {
        try await World.with { world in
            let sara = try await world.join("Sara", role: "manager")
            try await add("w1", on: sara)
            try await sara.sync()
            let image = world.replica("image").home
            try copy(sara, to: image)
            try await add("w2", on: sara)
            try await sara.sync()
            try copy(ReplicaProcess(home: image), to: sara.home)
            try await add("w3", on: sara)
            try await sara.sync()
            #expect(try await names(sara) == ["w1", "w2", "w3"])
            let status = try await device(sara)
            #expect(status["pending"].number == 0)
            let why = try await sara.peyk("status").out
            #expect(why.contains("identity"), "says in plain words what happened: \(why)")
            try await sara.peyk("verify")
            expectEqual(try await sara.dump(), try await world.server.dump(), "the replica and the server")
        }
    }

    @Test(
        "F64: a copy on a second laptop: both sync by turns, each with its own identity and key",
        .timeLimit(.minutes(5)))
    func twoLaptops() async throws {
        try await World.with { world in
            let sara = try await world.join("Sara", role: "manager")
            try await add("before", on: sara)
            let twin = world.replica("twin")
            try copy(sara, to: twin.home)
            try await add("on the first", on: sara)
            try await add("on the second", on: twin)
            // The copy comes first: nobody can tell yet. The original is the one that looks copied then; both live.
            for replica in [twin, sara, twin, sara, twin] { try await replica.sync() }
            let all = ["before", "on the first", "on the second"]
            #expect(try await names(sara) == all)
            #expect(try await names(twin) == all)
            let first = try await device(sara)
            let second = try await device(twin)
            #expect(first["site"].text != second["site"].text)
            let folders = try [sara, twin].map { try FileManager.default.contentsOfDirectory(atPath: $0.home.path) }
            #expect(folders.flatMap { $0 }.filter { $0.hasPrefix("device.key.") }.count == 1, "one of them made a key")
            // IT takes the stolen laptop out: the family goes together.
            let site = try #require(second["site"].text)
            try await world.server.peykd("device", "revoke", site)
            for replica in [sara, twin] { try await replica.peyk(["sync"], status: 77) }
            #expect(try await names(sara) == all, "nothing was lost")
        }
    }

    @Test(
        "a folder copied while writes of other programs are not sealed yet: they count once (P4)",
        .timeLimit(.minutes(5)))
    func copiedBeforeSealing() async throws {
        try await World.with { world in
            let sara = try await world.join("Sara", role: "manager")
            try await add("Asal", on: sara)
            try await sara.sync()
            _ = try await sara.sqlite(
                """
                UPDATE customer SET visits = visits + 1;
                INSERT INTO activity(id, customer_id, kind, subject, occurred_at)
                SELECT '01890000-0000-7000-8000-00000000000a', id, 'visit', 'once', 1700000000000 FROM customer;
                """)
            let twin = world.replica("twin")
            try copy(sara, to: twin.home)
            for replica in [sara, twin, sara, twin] { try await replica.sync() }
            for replica in [sara, twin] {
                let counts = "SELECT visits, (SELECT count(*) FROM activity) FROM customer"
                #expect(try await replica.sqlite(counts).trimmed == "1|1")
                #expect(try await device(replica)["pending"].number == 0)
            }
            expectEqual(try await twin.dump(), try await world.server.dump(), "the copy and the server")
        }
    }

    @Test("K5: a sync beside a watching one is let in, and the watch goes on", .timeLimit(.minutes(5)))
    func besideWatch() async throws {
        try await World.with { world in
            let sara = try await world.join("Sara", role: "manager")
            let watch = try sara.start("sync", "--watch", "--format", "json")
            _ = try await watch.line(beginning: "{\"event\":\"connected\"")
            let start = ContinuousClock.now
            try await sara.sync()
            #expect(ContinuousClock.now - start < .seconds(8), "it asked, it did not wait for the end")
            try await add("later", on: sara)
            let deadline = ContinuousClock.now + .seconds(20)
            while try await device(sara)["pending"].number != 0, ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(200))
            }
            #expect(try await device(sara)["pending"].number == 0, "the watch sends again what is written")
            watch.signal(SIGTERM)
            _ = try await watch.finish(within: 20)
        }
    }

    @Test("K5: a second watch of one replica gives way, and the first is not disturbed", .timeLimit(.minutes(5)))
    func twoWatches() async throws {
        try await World.with { world in
            let sara = try await world.join("Sara", role: "manager")
            let first = try sara.start("sync", "--watch", "--format", "json")
            _ = try await first.line(beginning: "{\"event\":\"connected\"")
            let second = try await sara.peyk(["sync", "--watch", "--timeout", "1"], status: 75)
            #expect(second.err.contains("Another process syncs this replica"), "\(second)")
            first.signal(SIGTERM)
            let told = try await first.finish(within: 20)
            #expect(told.lines.count { $0.contains("\"connected\"") } == 1, "it never let go: \(told)")
        }
    }

    @Test("K5: two plain syncs: the second waits for the first up to its time-out", .timeLimit(.minutes(5)))
    func secondWaits() async throws {
        try await World.with { world in
            let sara = try await world.join("Sara", role: "manager")
            // Holds the session as a sync does that does not end.
            let lock = try Program(url: URL(fileURLWithPath: "/usr/bin/flock")).start(
                ["--no-fork", sara.home.path + "/session.lock", "sleep", "30"], environment: [:])
            try await Task.sleep(for: .milliseconds(500))
            let output = try await sara.peyk(["sync", "--timeout", "1"], status: 75)
            #expect(output.err.contains("Nothing was changed"), "\(output)")
            lock.signal(SIGTERM)
            _ = try await lock.finish(within: 20)
            try await sara.sync()
        }
    }
}
