import Foundation
import PeykModel
import PeykReplica
import Testing

@Suite("Several programs and sudden ends")
struct ProcessesTests {
    let sandbox = CaptureSandbox()

    @Test("two handles write at the same time and every commit has its own seq")
    func concurrent() async throws {
        let first = try sandbox.create()
        let second = try sandbox.open()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (offset, replica) in [first, second].enumerated() {
                group.addTask {
                    for number in 0..<40 as Range<UInt64> {
                        let record = id(UInt64(offset) * 1_000 + number + 1)
                        try replica.write { try $0.insert(into: "region", id: record, ["name": .text("r")]) }
                    }
                }
            }
            try await group.waitForAll()
        }
        let commits = try SealedView.all(first)
        #expect(commits.map(\.seq) == Array(1...80))
        #expect(Set(commits.map(\.body.id)).count == 80)
        #expect(zip(commits, commits.dropFirst()).allSatisfy { $0.stamp < $1.stamp })
        #expect(commits.dropFirst().allSatisfy { $0.clock.seq(of: CaptureSandbox.site) == $0.seq - 1 })
    }

    @Test("the sqlite3 program writes beside us and nothing is lost", .enabled(if: CaptureSandbox.hasSQLite3))
    func besideSQLite() async throws {
        let replica = try sandbox.create()
        let box = sandbox
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for number in 1...20 as ClosedRange<UInt64> {
                    _ = try box.sqlite3(
                        "PRAGMA busy_timeout = 10000; INSERT INTO region(id, name) VALUES ('\(id(number))', 's')")
                }
            }
            group.addTask {
                for number in 101...140 as ClosedRange<UInt64> {
                    try replica.write { try $0.insert(into: "region", id: id(number), ["name": .text("l")]) }
                }
            }
            try await group.waitForAll()
        }
        let changes = try SealedView.all(replica).flatMap(\.body.changes)
        #expect(Set(changes.map(\.record)).count == 60)
        #expect(changes.count == 60)
    }

    @Test("a transaction that never committed leaves no trace, one that did is whole (P15)")
    func killed() throws {
        struct Killed: Error {}
        var replica: Replica? = try sandbox.create()
        try replica?.write { try $0.insert(into: "region", id: id(1), ["name": .text("kept")]) }
        // As if the process ended inside the transaction: rolled back by SQLite, the handle dropped without a close.
        #expect(throws: Killed.self) {
            try replica?.write { write in
                try write.insert(into: "region", id: id(2), ["name": .text("lost")])
                throw Killed()
            }
        }
        // The file as a killed process leaves it: database, log and shared memory copied while open.
        let copy = CaptureSandbox()
        try FileManager.default.createDirectory(atPath: copy.home, withIntermediateDirectories: true)
        for suffix in ["", "-wal"] {
            try FileManager.default.copyItem(
                atPath: sandbox.databasePath + suffix, toPath: copy.databasePath + suffix)
        }
        replica = nil
        for reopened in [try sandbox.open(), try copy.open()] {
            #expect(try reopened.read { try $0.rows("SELECT id FROM region") } == [[Value(id(1))]])
            #expect(try SealedView.all(reopened).map(\.seq) == [1])
        }
    }

    @Test("a read inside a write, or the other way round, is an error and no deadlock")
    func nested() throws {
        let replica = try sandbox.create()
        #expect(throws: ReplicaError.self) { try replica.write { _ in _ = try replica.status() } }
        try replica.write { try $0.insert(into: "region", id: id(1), ["name": .text("goes on")]) }
    }
}

@Suite("Opening, creating, changing the schema")
struct OpenTests {
    let sandbox = CaptureSandbox()

    @Test("files and folder are for their owner alone, and a second create is refused")
    func creates() throws {
        let replica = try sandbox.create()
        let attributes = try FileManager.default.attributesOfItem(atPath: sandbox.databasePath)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        #expect(try replica.facts()?.workspace == "demo")
        #expect(throws: ReplicaError.alreadyExists(path: sandbox.home)) { try sandbox.create() }
        #expect(throws: ReplicaError.notFound(path: "/nowhere")) { try Replica.open("/nowhere") }
    }

    @Test("other files are refused in words")
    func foreignFile() throws {
        try FileManager.default.createDirectory(atPath: sandbox.home, withIntermediateDirectories: true)
        try Data("no database, but long enough to look at".utf8).write(to: URL(fileURLWithPath: sandbox.databasePath))
        #expect(throws: ReplicaError.self) { try sandbox.open() }
    }

    @Test("ids are UUIDv7 in the canonical form")
    func ids() throws {
        let replica = try sandbox.create()
        let made = replica.newID()
        #expect(made.description.dropFirst(14).first == "7")
        #expect(made.bits.high >> 16 == 1_800_000_000_000)
        #expect(replica.newID() != made)
    }

    @Test("the layout of every table is one that sqlite3’s own check accepts", .enabled(if: CaptureSandbox.hasSQLite3))
    func integrity() throws {
        let replica = try sandbox.create()
        try replica.write { try $0.insert(into: "customer", id: id(1), ["name": .text("a")]) }
        try replica.close()
        #expect(try sandbox.sqlite3("PRAGMA integrity_check; PRAGMA foreign_key_check").output == "ok\n")
    }
}
