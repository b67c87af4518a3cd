import Foundation
import PeykModel
import PeykSQLite
import PeykServer
import PeykStoreSQLite
import Testing

@Suite("Upgrade of the store's own layout")
struct StoreUpgradeTests {
    /// A store as format 1 had it: no table of commits, no index of tombstones.
    private func former(_ subject: StoreUnderTest, extra: String = "") throws {
        try subject.store.write { transaction throws in
            for number: UInt64 in 1...3 {
                try TransactionContractTests.fill(transaction, number, position: Position(number))
            }
            try RetentionContractTests.bury(transaction, Sample.key(Sample.customer, 1), at: 3)
        }
        try change(
            subject,
            """
            DROP TABLE peyk_commit; DROP INDEX peyk_tombstone_position;
            UPDATE peyk_meta SET value = 1 WHERE key = 'format'; \(extra)
            """)
    }

    private func change(_ subject: StoreUnderTest, _ sql: String) throws {
        let file = try Database(path: subject.path, lockPath: subject.path + ".lock")
        try file.write { try $0.execute(sql) }
        try file.close()
    }

    private func format(_ subject: StoreUnderTest) throws -> Int64? {
        let file = try Database(path: subject.path, access: .readOnly, lockPath: nil)
        defer { try? file.close() }
        return try file.read { try $0.value("SELECT value FROM peyk_meta WHERE key = 'format'")?.integerValue }
    }

    @Test("a store of format 1 is brought to the present one when it is opened for writing")
    func upgrade() throws {
        let subject = try StoreUnderTest(.sqlite)
        defer { subject.end() }
        try former(subject)
        let store = try SQLiteStore(path: subject.path)
        try store.write { try $0.trimLog(upTo: 2) }
        try store.read { reader throws in
            #expect(try reader.tombstoneCount() == 1)
            #expect(try reader.origin(of: Sample.commit(1))?.position == 1)
            #expect(try reader.firstPosition() == 3)
        }
    }

    @Test("an upgrade that fails leaves the file as it was (F84)")
    func atomic() throws {
        let subject = try StoreUnderTest(.sqlite)
        defer { subject.end() }
        // The second statement of the step finds its name taken.
        try former(subject, extra: "CREATE INDEX peyk_tombstone_position ON peyk_tombstone(audience);")
        #expect(throws: SQLiteError.self) { _ = try SQLiteStore(path: subject.path) }
        #expect(try format(subject) == 1)
        try change(subject, "DROP INDEX peyk_tombstone_position")
        #expect(try SQLiteStore(path: subject.path).read { try $0.head() } == 3)
    }

    @Test("a store of a newer peykd is refused, and an older one is not read beside a server")
    func refused() throws {
        let subject = try StoreUnderTest(.sqlite)
        defer { subject.end() }
        try former(subject)
        let older = #expect(throws: SQLiteStoreError.self) { _ = try SQLiteStore(reading: subject.path) }
        #expect(older == .older(found: 1))
        try change(subject, "UPDATE peyk_meta SET value = 99 WHERE key = 'format'")
        let newer = #expect(throws: SQLiteStoreError.self) { _ = try SQLiteStore(path: subject.path) }
        #expect(newer == .newer(found: 99))
        #expect(newer?.description.contains("Nothing was changed") == true)
        #expect(try format(subject) == 99)
    }
}
