import Foundation
import PeykMerge
import PeykModel
import PeykSQLite
import PeykServer
import PeykStoreSQLite
import Testing

@Suite("SQLite store")
struct SQLiteStoreTests {
    @Test("living rows stand in ordinary typed tables")
    func typedTables() throws {
        let subject = try StoreUnderTest(.sqlite)
        defer { subject.end() }
        let store = subject.store
        try store.write { transaction throws in
            try transaction.put(
                Sample.record(Sample.customerRow("Ali", phone: .text("1"))), at: Sample.key(Sample.customer, 1))
            try transaction.put(
                Sample.record(Sample.customerRow("gone"), alive: false), at: Sample.key(Sample.customer, 2))
        }
        let rows = try store.query(
            "SELECT id, name, amount, currency, score, photo, visits, typeof(score) FROM customer WHERE phone = ?",
            [.text("1")])
        #expect(
            rows == [
                [
                    Value(Sample.id(1)), .text("Ali"), .integer(-5), .text("EUR"), .real(1.5), .blob([0, 255, 7]),
                    .integer(3), .text("real"),
                ]
            ])
        #expect(try store.query("SELECT count(*) FROM customer", []) == [[.integer(1)]])
        #expect(try store.query("SELECT count(*) FROM \"order\"", []) == [[.integer(0)]])
    }

    @Test(
        "a query cannot write",
        arguments: [
            "DELETE FROM customer", "CREATE TABLE x(y)", "UPDATE customer SET name = 'x'", "PRAGMA user_version = 5",
            "ATTACH 'x.sqlite' AS x",
        ])
    func readOnly(sql: String) throws {
        let subject = try StoreUnderTest(.sqlite)
        defer { subject.end() }
        let store = subject.store
        #expect(throws: (any Error).self) { try store.query(sql, []) }
    }

    @Test("a copy is whole, taken beside readers and a writer, and opens as a store (I10)")
    func copies() throws {
        let subject = try StoreUnderTest(.sqlite)
        defer { subject.end() }
        let store = try #require(subject.store as? SQLiteStore)
        try store.write { try $0.append(Sample.entry(1)) }
        let target = subject.path + ".copy"
        try store.copy(to: target)
        try store.write { try $0.append(Sample.entry(2)) }
        let copy = try SQLiteStore(path: target)
        #expect(try copy.read { try $0.head() } == 1)
        #expect(try copy.query("PRAGMA integrity_check", []) == [[.text("ok")]])
        try copy.write { try $0.append(Sample.entry(2)) }
        #expect(throws: (any Error).self, "it exists") { try store.copy(to: target) }
    }

    @Test("a store of an older program learns to let commits wait")
    func olderIndexes() throws {
        let subject = try StoreUnderTest(.sqlite)
        defer { subject.end() }
        let plain = try Database(path: subject.path, access: .readWrite, lockPath: subject.path + ".lock")
        try plain.write {
            try $0.execute(
                """
                DROP INDEX peyk_log_dot;
                DROP INDEX peyk_log_commit;
                CREATE UNIQUE INDEX peyk_log_dot ON peyk_log(site, seq) WHERE seq > 0;
                CREATE UNIQUE INDEX peyk_log_commit ON peyk_log(commit_id) WHERE kind <> 1;
                UPDATE peyk_meta SET value = 2 WHERE key = 'format';
                """)
        }
        try plain.close()
        let store = try #require(try subject.reopened())
        var waiting = Sample.entry(1)
        waiting.kind = .waiting
        var merged = Sample.entry(1)
        merged.position = 2
        try store.write { transaction in for entry in [waiting, merged] { try transaction.append(entry) } }
        #expect(try store.read { try $0.position(of: merged.commit) } == 2)
    }

    @Test("a memory store answers no SQL")
    func noSQL() throws {
        let subject = try StoreUnderTest(.memory)
        defer { subject.end() }
        let store = subject.store
        #expect(throws: StoreError.noSQL) { try store.query("SELECT 1", []) }
    }

    @Test("hard references are foreign keys that are checked where a commit ends, not in between")
    func references() throws {
        let subject = try StoreUnderTest(.sqlite)
        defer { subject.end() }
        let store = subject.store
        try store.write { transaction throws in
            try transaction.savepoint { () throws in
                try transaction.put(Sample.record(Row([Value(Sample.id(1)), .null])), at: Sample.key(Sample.order, 1))
                try transaction.put(Sample.record(Sample.customerRow("c")), at: Sample.key(Sample.customer, 1))
            }
            #expect(throws: (any Error).self) {
                try transaction.savepoint { () throws in
                    try transaction.put(
                        Sample.record(Row([Value(Sample.id(9)), .null])), at: Sample.key(Sample.order, 2))
                }
            }
            // Soft references are kept as written (rule D3).
            try transaction.put(
                Sample.record(Sample.customerRow("d", owner: Value(Sample.id(77)))), at: Sample.key(Sample.customer, 2))
        }
        #expect(try store.read { try $0.count(of: Sample.order) } == 1)
        #expect(throws: (any Error).self) {
            try store.write {
                try $0.put(
                    Sample.record(Sample.customerRow("c"), alive: false), at: Sample.key(Sample.customer, 1))
            }
        }
        #expect(try store.query("PRAGMA foreign_key_check", []) == [])
    }

    @Test("a dot names one commit for ever (P18)")
    func uniqueDot() throws {
        let subject = try StoreUnderTest(.sqlite)
        defer { subject.end() }
        let store = subject.store
        try store.write { try $0.append(Sample.entry(1)) }
        var second = Sample.entry(2)
        second.dot = Dot(site: Sample.site, seq: 1)
        #expect(throws: (any Error).self) { try store.write { try $0.append(second) } }
    }

    @Test("a file that is something else is refused with a plain message")
    func notAStore() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "peyk-store-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "a file").path
        #expect(throws: (any Error).self) { _ = try SQLiteStore(path: path) }
        try Data("not a database, but long enough to be read as one".utf8).write(to: URL(filePath: path))
        #expect(throws: (any Error).self) { _ = try SQLiteStore(path: path) }
    }

    @Test("readers go on while a writer writes, and the writer while they read")
    func readersBesideWriter() async throws {
        let subject = try StoreUnderTest(.sqlite)
        defer { subject.end() }
        let store = subject.store
        try store.write { try TransactionContractTests.fill($0, 1, position: 1) }
        try store.write { transaction throws in
            try TransactionContractTests.fill(transaction, 2, position: 2)
            #expect(try store.read { try $0.head() } == 1)
        }
        #expect(try store.read { try $0.head() } == 2)
    }
}
