import Foundation
import PeykModel
import PeykSQLite
import SimDisk
import Testing

@Suite("The simulated disk")
struct SimulatedDiskTests {
    /// Runs `body` with a database on a disk of its own.
    func onDisk(_ body: (SimulatedDisk, String) throws -> Void) throws {
        let disk = try SimulatedDisk()
        defer { disk.remove() }
        try body(disk, disk.folder + "/a.sqlite")
    }

    func open(_ path: String) throws -> Database {
        let isThere = FileManager.default.fileExists(atPath: path)
        return try Database(path: path, access: isThere ? .readWrite : .create, lockPath: path + ".lock")
    }

    func numbers(_ path: String) throws -> [Int64] {
        let database = try open(path)
        let rows = try database.read { try $0.rows("SELECT n FROM t ORDER BY n") }
        let check = try database.read { try $0.value("PRAGMA integrity_check") }
        #expect(check == .text("ok"))
        try database.close()
        return rows.compactMap { $0.first?.integerValue }
    }

    @Test("what was committed survives a loss of power, whatever else is lost", arguments: UInt64(1)...60)
    func powerLoss(seed: UInt64) throws {
        try onDisk { disk, path in
            let database = try open(path)
            try database.write { try $0.execute("CREATE TABLE t(n INTEGER PRIMARY KEY, filler BLOB)") }
            var committed: [Int64] = []
            // The machine stops at some write of some transaction.
            disk.fail(.changes, nth: 1 + seed % 17 * 3, .stop)
            for n in Int64(1)...20 {
                do {
                    try database.write {
                        try $0.run("INSERT INTO t VALUES (?, randomblob(3000))", [.integer(n)])
                        if n % 5 == 0 { try $0.execute("UPDATE t SET filler = randomblob(2000)") }
                    }
                    committed.append(n)
                    if n % 7 == 0 { try database.checkpoint(truncate: true) }
                } catch is SQLiteError { break }
            }
            #expect(disk.isStopped)
            try? database.close()
            #expect(disk.openHandles == 0)
            try disk.start(losing: .unsynced(seed: seed))
            let found = try numbers(path)
            // A commit whose sync did not return may be there or not; nothing else may.
            #expect(found == committed || found == committed + [Int64(committed.count + 1)])
        }
    }

    @Test("a killed process loses nothing that it had written")
    func kill() throws {
        try onDisk { disk, path in
            let database = try open(path)
            try database.write { try $0.execute("CREATE TABLE t(n INTEGER PRIMARY KEY)") }
            try database.write { try $0.run("INSERT INTO t VALUES (1)") }
            disk.stop()
            #expect(throws: SQLiteError.self) { try database.write { try $0.run("INSERT INTO t VALUES (2)") } }
            try? database.close()
            try disk.start(losing: .nothing)
            #expect(try numbers(path) == [1])
        }
    }

    @Test("where syncs are not done, a loss of power takes committed transactions, so the disk can fail a test")
    func unsynced() throws {
        try onDisk { disk, path in
            var lost = 0
            for seed in UInt64(1)...20 {
                let name = path + "\(seed)"
                let database = try open(name)
                try database.write { try $0.execute("CREATE TABLE t(n INTEGER PRIMARY KEY)") }
                try database.checkpoint(truncate: true)
                disk.isLying = true
                for n in Int64(1)...5 { try database.write { try $0.run("INSERT INTO t VALUES (?)", [.integer(n)]) } }
                disk.stop()
                try? database.close()
                try disk.start(losing: .unsynced(seed: seed))
                disk.isLying = false
                if try numbers(name).count < 5 { lost += 1 }
            }
            #expect(lost > 5)
        }
    }

    @Test(
        "each kind of fault is an error of the transaction, and the file stays whole",
        arguments: SimulatedDisk.Failure.allCases.filter { $0 != .stop }, [false, true])
    func faults(_ failure: SimulatedDisk.Failure, isSticky: Bool) throws {
        try onDisk { disk, path in
            let database = try open(path)
            try database.write { try $0.execute("CREATE TABLE t(n INTEGER PRIMARY KEY, filler BLOB)") }
            var expected: [Int64] = []
            for n in Int64(1)...12 {
                disk.fail([.write, .sync], nth: UInt64(n), failure, sticky: isSticky)
                do {
                    try database.write { try $0.run("INSERT INTO t VALUES (?, zeroblob(20000))", [.integer(n)]) }
                    expected.append(n)
                    #expect(disk.failed == 0)
                } catch let error as SQLiteError {
                    #expect(disk.failed > 0 && !error.description.isEmpty)
                }
                disk.heal()
            }
            try database.close()
            let found = try numbers(path)
            // A failed sync may leave a commit behind that the caller was not told of; never the other way.
            #expect(Set(expected).isSubset(of: found))
            #expect(expected.count < 12)
        }
    }
}
