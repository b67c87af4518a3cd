import Foundation
import ProgramKit
import Testing

/// A disk that is full on either side: a clear message, nothing lost, and on when there is room (F82).
@Suite("Full disks", .serialized)
struct FullDiskTests {
    /// A file system of its own in memory; nil where the test may not mount one.
    struct SmallDisk {
        let url: URL

        /// Runs `body` with such a disk and a server that is to live on it, and takes both away whatever happens; not
        /// at all where none may be mounted.
        static func with(megabytes: Int, _ body: (SmallDisk, ServerProcess) async throws -> Void) async throws {
            guard let disk = try await SmallDisk(megabytes: megabytes) else { return }
            let server = ServerProcess(data: disk.url.appendingPathComponent("server"))
            do {
                try await body(disk, server)
                await disk.remove(server)
            } catch {
                await disk.remove(server)
                throw error
            }
        }

        private init?(megabytes: Int) async throws {
            url = try Scratch.folder("disk")
            let mount = Program(url: URL(fileURLWithPath: "/usr/bin/mount"))
            guard mount.isThere,
                try await mount.run(["-t", "tmpfs", "-o", "size=\(megabytes)m", "tmpfs", url.path]).status == 0
            else {
                print("skipped: a small disk cannot be mounted here")
                return nil
            }
        }

        /// Takes all that is left but `leaving` bytes.
        func fill(leaving: Int = 0) throws {
            let facts = try FileManager.default.attributesOfFileSystem(forPath: url.path)
            let free = (facts[.systemFreeSize] as? NSNumber)?.intValue ?? 0
            _ = FileManager.default.createFile(atPath: filler.path, contents: nil)
            let handle = try FileHandle(forWritingTo: filler)
            try handle.write(contentsOf: Data(count: max(0, free - leaving)))
            try handle.close()
        }

        func makeRoom() throws { try FileManager.default.removeItem(at: filler) }

        private func remove(_ server: ServerProcess) async {
            await server.kill()
            _ = try? await Program(url: URL(fileURLWithPath: "/usr/bin/umount")).run(["-l", url.path])
            try? FileManager.default.removeItem(at: url)
        }

        private var filler: URL { url.appendingPathComponent("filler") }
    }

    @Test("on a device: local writes and syncs say so, keep all, and go on", .timeLimit(.minutes(5)))
    func device() async throws {
        try await SmallDisk.with(megabytes: 6) { disk, _ in
            try await World.with { world in
                try await world.server.peykd("user", "add", "Anna", "--territory", "North")
                let babak = try await world.join("Babak", territories: ["North"])
                let anna = ReplicaProcess(home: disk.url.appendingPathComponent("home"))
                try await anna.peyk("join", try await world.server.invite("Anna"))
                try await anna.peyk("customer", "add", "--name", "Kept")
                let territory = try await anna.value("SELECT id FROM territory WHERE name = 'North'")
                let csv = world.folder.appendingPathComponent("many.csv")
                let lines = (0..<4_000).map { "Customer \($0),industry \($0) of a certain length,\(territory)" }
                try Data((["name,industry,territory_id"] + lines).joined(separator: "\n").utf8).write(to: csv)
                try await babak.peyk("import", csv.path, "--into", "customer", "--key", "name")
                try await babak.sync()
                let scope = try await anna.value("SELECT count(*) FROM peyk_meta")

                try disk.fill()
                let written = try await anna.peyk(["customer", "add", "--name", "Refused"], status: 74)
                #expect(written.err.contains("disk is full"), "\(written)")
                #expect(try await anna.peyk("customer", "list").out.contains("Kept"))
                let synced = try await anna.peyk(["sync"], status: 74)
                #expect(synced.err.contains("disk"), "\(synced)")
                try disk.makeRoom()
                #expect(try await anna.value("SELECT count(*) FROM peyk_meta") == scope)
                #expect(try await anna.value("SELECT count(*) FROM customer WHERE name IN ('Kept', 'Refused')") == "1")
                // Nothing is left but the file itself, as after a restart: reading goes on all the same.
                #expect(!FileManager.default.fileExists(atPath: anna.file + "-shm"))
                try disk.fill()
                #expect(try await anna.peyk("customer", "list").out.contains("Kept"))
                #expect(try await anna.peyk("status", "--format", "json").json()["pending"].number == 1)
                let refused = try await anna.peyk(["customer", "add", "--name", "Refused"], status: 74)
                #expect(refused.err.contains("disk is full"), "\(refused)")
                try disk.makeRoom()
                let done = try await anna.sync()
                #expect(done["pushed"].number == 1, "\(done)")
                expectEqual(try await anna.dump(), try await world.server.dump(), "Anna and the server")
            }
        }
    }

    @Test("on a device by the limit of a file's size, with the same words", .timeLimit(.minutes(5)))
    func sizeLimit() async throws {
        try await World.with { world in
            let anna = try await world.join("Anna", territories: ["North"])
            let territory = try await anna.value("SELECT id FROM territory WHERE name = 'North'")
            let csv = world.folder.appendingPathComponent("many.csv")
            let lines = (0..<3_000).map { "Customer \($0),industry \($0) of a certain length,\(territory)" }
            try Data((["name,industry,territory_id"] + lines).joined(separator: "\n").utf8).write(to: csv)
            let shell = Program(url: URL(fileURLWithPath: "/bin/sh"))
            let script = "ulimit -f 900; exec \"$0\" import \"$1\" --into customer --key name"
            let output = try await shell.run(
                ["-c", script, Program.peyk.url.path, csv.path], environment: ["PEYK_HOME": anna.home.path])
            #expect(output.status == 74 && output.err.contains("disk is full"), "\(output)")
            try await anna.peyk("import", csv.path, "--into", "customer", "--key", "name")
            try await anna.sync()
            expectEqual(try await anna.dump(), try await world.server.dump(), "Anna and the server")
        }
    }

    @Test(
        "on the server: pushes are put off, reading goes on, and all goes up when there is room",
        .timeLimit(.minutes(5)))
    func server() async throws {
        try await SmallDisk.with(megabytes: 24) { disk, server in
            try await World.with(serving: false) { world in
                try await server.peykd("init", "--workspace", "acme")
                try await server.start(arguments: ["--disk-reserve", "4"])
                for name in ["Anna", "Babak"] { try await server.peykd("user", "add", name, "--territory", "North") }
                let anna = world.replica("anna")
                let babak = world.replica("babak")
                try await anna.peyk("join", try await server.invite("Anna"))
                try await babak.peyk("join", try await server.invite("Babak"))
                try await anna.peyk("customer", "add", "--name", "Before")
                try await anna.sync()

                try disk.fill(leaving: 3 << 20)
                try await Task.sleep(for: .milliseconds(2_500))
                try await babak.peyk("customer", "add", "--name", "Waiting")
                let refused = try await babak.peyk(["sync", "--timeout", "5"], status: 75)
                #expect(refused.err.contains("no room") && refused.err.contains("Try again in 30 s"), "\(refused)")
                #expect(try await babak.value("SELECT name FROM customer ORDER BY name") == "Before\nWaiting")
                #expect(try await babak.peyk("status", "--format", "json").json()["pending"].number == 1)
                #expect(await server.log.contains("the disk is nearly full"))
                #expect(try await server.peykd("status", "--format", "json").json()["network"]["disk_full"].number == 1)

                try disk.makeRoom()
                try await Task.sleep(for: .milliseconds(2_500))
                try await babak.sync()
                try await anna.sync()
                expectEqual(try await anna.dump(), try await babak.dump(), "Anna and Babak")
                #expect(try await anna.value("SELECT count(*) FROM customer") == "2")
            }
        }
    }

    @Test("on the server, without any reserve: a failed write is no end either", .timeLimit(.minutes(5)))
    func serverWithoutReserve() async throws {
        try await SmallDisk.with(megabytes: 24) { disk, server in
            try await World.with(serving: false) { world in
                try await server.peykd("init", "--workspace", "acme")
                try await server.start(arguments: ["--disk-reserve", "0"])
                try await server.peykd("user", "add", "Anna", "--territory", "North")
                let anna = world.replica("anna")
                try await anna.peyk("join", try await server.invite("Anna"))
                for number in 0..<30 {
                    _ = try await anna.sqlite(
                        """
                        INSERT INTO customer(id, name, description, territory_id) SELECT '\(EditMaker.id(9, number))',
                        'Big \(number)', printf('%.*c', 100000, 'x'), id FROM territory LIMIT 1;
                        """)
                }
                try disk.fill()
                let refused = try await anna.attempt(["sync", "--timeout", "5"])
                #expect([75].contains(refused.status), "\(refused)")
                #expect(await server.isUp)
                try disk.makeRoom()
                try await anna.sync()
                #expect(try await anna.value("SELECT count(*) FROM customer") == "30")
                expectEqual(try await anna.dump(), try await server.dump(), "Anna and the server")
            }
        }
    }
}
