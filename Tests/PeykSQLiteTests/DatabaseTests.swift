import Foundation
import PeykModel
import PeykSQLite
import PropertyKit
import Testing

@Suite("One SQLite file")
struct DatabaseTests {
    private let folder = Folder()

    /// A folder of its own, removed with the test.
    private final class Folder: Sendable {
        let path = NSTemporaryDirectory() + "peyk-sqlite-\(UUID().uuidString)"
        init() { try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(atPath: path) }
    }

    private var path: String { folder.path + "/a.sqlite" }
    private var lockPath: String { folder.path + "/a.lock" }

    private func made(busySeconds: Double = 5) throws -> Database {
        let database = try Database(path: path, access: .create, lockPath: lockPath, busySeconds: busySeconds)
        try database.write { try $0.execute("CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b ANY) STRICT") }
        return database
    }

    @Test("is opened with the pragmas of the design (K2, K4)")
    func pragmas() throws {
        let names = [
            "journal_mode", "synchronous", "foreign_keys", "recursive_triggers", "trusted_schema", "wal_autocheckpoint",
        ]
        let values = try made().read { connection in try names.map { try connection.value("PRAGMA \($0)") } }
        #expect(values == [.text("wal"), .integer(2), .integer(1), .integer(1), .integer(0), .integer(0)])
        #expect(Database.libraryVersion.hasPrefix("3."))
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
    }

    @Test(
        "gives back each value bit by bit (P24)",
        arguments: [
            .null, .integer(.min), .integer(0), .real(0.1), .real(-.infinity), .real(.leastNonzeroMagnitude), .text(""),
            .text("پیک\u{200C}ها"),
            .text("e\u{301}"), .blob([]), .blob([0, 1, 255]),
        ] as [Value])
    func values(_ value: Value) throws {
        let database = try made()
        try database.write { try $0.run("INSERT INTO t(b) VALUES (?1)", [value]) }
        #expect(try database.read { try $0.rows("SELECT b FROM t") } == [[value]])
    }

    @Test("gives back any canonical values bit by bit, in their order, and finds them by equality (P24)")
    func anyValues() throws {
        let database = try made()
        Property(cases: 60) { $0.list(upTo: 30, usual: 10) { $0.value() } }.holds { values in
            let (back, sorted, found) = try database.write { connection in
                try connection.run("DELETE FROM t")
                for value in values { try connection.run("INSERT INTO t(b) VALUES (?1)", [value]) }
                return (
                    try connection.rows("SELECT b FROM t ORDER BY a").map { $0[0] },
                    try connection.rows("SELECT b FROM t ORDER BY b").map { $0[0] },
                    try values.map { try connection.value("SELECT count(*) FROM t WHERE b IS ?1", [$0]) }
                )
            }
            try same(back, values)
            // SQLite leaves open which of an integer and the equal real comes first.
            let isMixed = values.contains { if case .real = $0 { true } else { false } }
            if !isMixed { try same(sorted, values.sorted()) }
            for (value, count) in zip(values, found) where !isMixed {
                try same(count, .integer(Int64(values.count { $0 == value })), "\(value)")
            }
        }
    }

    @Test("gives free pages back, as many as asked, where the file was made for it", arguments: [false, true])
    func shrinking(_ mayShrink: Bool) throws {
        let database = try Database(path: path, access: .create, lockPath: lockPath, mayShrink: mayShrink)
        try database.write { connection in
            try connection.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB) STRICT")
            for number in 1...200 {
                try connection.run("INSERT INTO t VALUES (?1, zeroblob(8000))", [.integer(Int64(number))])
            }
            try connection.run("DELETE FROM t WHERE a <= 150")
        }
        let before = try database.pages()
        #expect(before.free > 250)
        try database.shrink(pagesMax: 100)
        let after = try database.pages()
        #expect(after.free == before.free - (mayShrink ? 100 : 0))
        #expect(before.all - after.all >= (mayShrink ? 100 : 0))
        #expect(try database.read { try $0.value("PRAGMA integrity_check") } == .text("ok"))
        #expect(try database.read { try $0.value("SELECT count(*) FROM t") } == .integer(50))
    }

    @Test("rolls back what throws, by transaction and by savepoint")
    func rollback() throws {
        struct Stop: Error {}
        let database = try made()
        #expect(throws: Stop.self) {
            try database.write { connection in
                try connection.run("INSERT INTO t(a) VALUES (1)")
                throw Stop()
            }
        }
        try database.write { connection in
            try connection.run("INSERT INTO t(a) VALUES (2)")
            try? connection.savepoint {
                try connection.run("INSERT INTO t(a) VALUES (3)")
                try connection.run("INSERT INTO t(a) VALUES (2)")
            }
        }
        #expect(try database.read { try $0.rows("SELECT a FROM t") } == [[.integer(2)]])
    }

    @Test("a transaction inside a transaction is an error and no deadlock")
    func nested() throws {
        let database = try made()
        #expect(throws: SQLiteError.self) { _ = try database.write { _ in try database.read { _ in 0 } } }
        #expect(throws: SQLiteError.self) { _ = try database.read { _ in try database.write { _ in 0 } } }
        try database.write { try $0.run("INSERT INTO t(a) VALUES (1)") }
    }

    @Test("a read sees one state throughout, whatever is written meanwhile")
    func snapshot() throws {
        let reader = try made()
        let writer = try made()
        let counts = try reader.read { connection in
            let before = try connection.value("SELECT count(*) FROM t")
            try writer.write { try $0.run("INSERT INTO t(a) VALUES (1)") }
            return [before, try connection.value("SELECT count(*) FROM t")]
        }
        #expect(counts == [.integer(0), .integer(0)])
        #expect(try reader.read { try $0.value("SELECT count(*) FROM t") } == .integer(1))
    }

    @Test("one statement may be used in its own loop")
    func reentrantStatement() throws {
        let database = try made()
        try database.write { try $0.execute("INSERT INTO t(a) VALUES (1), (2), (3)") }
        let pairs = try database.read { connection in
            var pairs = 0
            let outer = try connection.statement("SELECT a FROM t")
            while try outer.step() { pairs += try connection.rows("SELECT a FROM t").count }
            return pairs
        }
        #expect(pairs == 9)
    }

    @Test("names the watched tables that were changed, by triggers too")
    func watch() throws {
        let database = try made()
        let names = try database.write { connection in
            try connection.execute(
                """
                CREATE TABLE log_a(x); CREATE TABLE log_b(x);
                CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO log_a VALUES (new.a); END
                """)
            connection.watchTables(prefix: "log_")
            try connection.run("INSERT INTO t(a) VALUES (1)")
            try connection.run("INSERT INTO t(a) VALUES (2)")
            let first = connection.takeTouchedTables()
            let second = connection.takeTouchedTables()
            try connection.run("INSERT INTO log_b VALUES (1)")
            return [first, second, connection.takeTouchedTables()]
        }
        #expect(names == [["a"], [], ["b"]])
    }

    @Test("a writer waits for the lock, and says busy in words when the time is up")
    func busy() throws {
        let database = try made(busySeconds: 0.05)
        let lock = try FileLock(path: lockPath)
        #expect(lock.lock(seconds: 0))
        let error = #expect(throws: SQLiteError.self) { try database.write { _ in } }
        #expect(error?.isBusy == true)
        #expect(error?.description.contains("try again") == true)
        lock.unlock()
        try database.write { _ in }
    }

    @Test("the lock is one holder’s at a time, reentrant for its thread")
    func fileLock() throws {
        let first = try FileLock(path: lockPath)
        let second = try FileLock(path: lockPath)
        #expect(first.lock(seconds: 0))
        #expect(first.lock(seconds: 0))
        #expect(!second.lock(seconds: 0.01))
        first.unlock()
        #expect(!second.lock(seconds: 0))
        first.unlock()
        #expect(second.lock(seconds: 0))
        #expect(second.isHeld && !first.isHeld)
    }

    @Test("threads with handles of their own write one after the other and lose nothing")
    func concurrent() async throws {
        let handles = [try made(), try made(), try made()]
        try await withThrowingTaskGroup(of: Void.self) { group in
            for handle in handles {
                group.addTask {
                    for _ in 0..<50 { try handle.write { try $0.run("INSERT INTO t(b) SELECT count(*) FROM t") } }
                }
            }
            try await group.waitForAll()
        }
        #expect(try handles[0].read { try $0.rows("SELECT b FROM t ORDER BY a") } == (0..<150).map { [.integer($0)] })
    }

    @Test("the log is moved into the file now and then, and wholly on demand")
    func checkpoints() throws {
        let database = try made()
        let big = Value.blob([UInt8](repeating: 7, count: 100_000))
        for _ in 0..<200 { try database.write { try $0.run("INSERT INTO t(b) VALUES (?1)", [big]) } }
        func size(_ suffix: String) throws -> Int {
            try FileManager.default.attributesOfItem(atPath: path + suffix)[.size] as? Int ?? 0
        }
        // 20 MB were written; the log is used again and again after 1,000 pages.
        #expect(try size("-wal") < 10_000_000)
        try database.checkpoint(truncate: true)
        #expect(try size("-wal") == 0)
        #expect(try size("") > 20_000_000)
    }

    @Test("opened for reading it refuses to write, and missing or foreign files are named")
    func access() throws {
        try made().close()
        let reader = try Database(path: path, access: .readOnly, lockPath: lockPath)
        #expect(throws: SQLiteError.self) { try reader.write { _ in } }
        #expect(throws: SQLiteError.self) { try reader.read { try $0.execute("DELETE FROM t") } }
        #expect(throws: SQLiteError.self) { try Database(path: folder.path + "/none", lockPath: nil) }
        try Data(repeating: 65, count: 5_000).write(to: URL(fileURLWithPath: folder.path + "/text"))
        let error = #expect(throws: SQLiteError.self) {
            try Database(path: folder.path + "/text", lockPath: nil).read { try $0.rows("SELECT * FROM sqlite_schema") }
        }
        #expect(error?.isDamaged == true)
    }

    @Test("a full disk is told in words, and nothing is kept (P15)")
    func fullDisk() throws {
        let database = try made()
        try database.write { try $0.run("INSERT INTO t(b) VALUES (1)") }
        try database.read { connection in
            _ = try connection.value("PRAGMA max_page_count = 10")
        }
        let error = #expect(throws: SQLiteError.self) {
            try database.write { try $0.run("INSERT INTO t(b) VALUES (zeroblob(1000000))") }
        }
        #expect(error?.isDiskFull == true)
        #expect(error?.description.contains("disk is full") == true)
        #expect(try database.read { try $0.value("SELECT count(*) FROM t") } == .integer(1))
    }

    @Test("a first load may leave references unchecked; afterwards they are checked again")
    func withoutForeignKeys() throws {
        let database = try made()
        try database.write { try $0.execute("CREATE TABLE c(a INTEGER REFERENCES t(a) DEFERRABLE INITIALLY DEFERRED)") }
        try database.write(checkingForeignKeys: false) { try $0.run("INSERT INTO c VALUES (9)") }
        #expect(throws: SQLiteError.self) {
            try database.write { connection in
                try connection.run("INSERT INTO c VALUES (10)")
                #expect(connection.hasForeignKeyViolations)
            }
        }
    }
}
