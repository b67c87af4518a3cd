import Foundation
import PeykModel
import PeykSQLite
import Testing

@testable import PeykReplica

@Suite("Interrupted migrations")
struct MigrationTests {
    private let sandbox = CaptureSandbox()

    private func id(_ number: UInt64) -> RecordID {
        RecordID(bits: UUIDBits(high: 0x0190_0000_0000_7000, low: 0x8000_0000_0000_0000 | number))
    }

    /// New fields with and without a default, a reference, more words for an enum, new tables that refer to each other.
    private var next: Schema {
        var tables = Array(CaptureSandbox.schema.ownTables)
        let deal = tables[3]
        var fields = deal.fields
        fields[1].type = .enumeration(CaptureSandbox.stages + ["parked"])
        fields.append(Field("probability", .integer, default: .integer(10)))
        fields.append(Field("partner_id", .reference(table: "customer")))
        tables[3] = Table(deal.name, deal.kind, fields: fields)
        for number in 0..<12 {
            tables.append(
                Table(
                    "made\(number)", .reference,
                    fields: [
                        Field("name", .text, required: true),
                        Field("other_id", .reference(table: "made\(max(0, number - 1))"), hard: true),
                    ], unique: [["name"]]))
        }
        return Schema(version: 2, tables: tables)
    }

    /// Every object of the file and every row, to be compared.
    private func contents() throws -> [String] {
        let file = try Database(path: sandbox.databasePath, access: .readOnly, lockPath: nil)
        defer { try? file.close() }
        return try file.read { connection in
            let objects = try connection.rows("SELECT name, sql FROM sqlite_schema ORDER BY name")
            var lines = objects.map { "\($0)" }
            for table in objects.compactMap({ $0.first?.textValue })
            where ["deal", "customer", "peyk_commit"].contains(table) {
                lines += try connection.rows("SELECT * FROM \(table) ORDER BY 1").map { "\(table) \($0)" }
            }
            lines.append("\(try connection.value("SELECT value FROM peyk_meta WHERE key = 'schema_version'") as Any)")
            #expect(try connection.rows("PRAGMA integrity_check") == [[.text("ok")]])
            return lines
        }
    }

    @Test("a migration that fails at any page that it needs leaves the file whole and as it was (F84, T2)")
    func atomic() throws {
        let replica = try sandbox.create()
        try replica.write { write in
            try write.insert(into: "deal", id: id(1), ["stage": .text("lead")])
            try write.insert(into: "customer", id: id(2), ["name": .text("c")])
        }
        try replica.close()
        var before = try contents()
        var failures = 0
        for extra in 0..<2_000 {
            let replica = try sandbox.open()
            try replica.database.write { connection in
                let pages = try connection.value("PRAGMA page_count")?.integerValue ?? 0
                _ = try connection.rows("PRAGMA max_page_count = \(pages + Int64(extra))")
            }
            do {
                try replica.changing { try replica.migrate($0, to: next) }
                #expect(replica.schema == next)
                try replica.close()
                break
            } catch let error as ReplicaError {
                failures += 1
                #expect("\(error)".isEmpty == false)
                #expect(try contents() == before, "after \(extra) pages")
                // The same object goes on as if nothing had been.
                if extra % 8 == 0 {
                    try replica.database.write { _ = try $0.rows("PRAGMA max_page_count = 1000000") }
                    try replica.write {
                        try $0.update("deal", id(1), ["stage": .text(extra % 16 == 0 ? "offer" : "lead")])
                    }
                    #expect(replica.schema == CaptureSandbox.schema)
                    before = try contents()
                }
                try replica.close()
            }
        }
        #expect(failures > 20, "\(failures) places failed")
        let migrated = try sandbox.open()
        #expect(migrated.schema == next)
        try migrated.write { write in
            try write.update("deal", id(1), ["stage": .text("parked"), "probability": .integer(30)])
            try write.insert(into: "made11", id: id(5), ["name": .text("x")])
        }
        #expect(try migrated.read { try $0.row("deal", id(1)) }?[5] == .integer(30))
    }

    @Test("a retired table takes no new records and no new values, and gives what it has away (T2)")
    func retiredTable() throws {
        let replica = try sandbox.create()
        try replica.write { try $0.insert(into: "deal", id: id(1), ["stage": .text("lead")]) }
        var tables = Array(CaptureSandbox.schema.ownTables)
        tables[3] = Table(tables[3].name, tables[3].kind, fields: tables[3].fields, retired: true)
        try replica.changing { try replica.migrate($0, to: Schema(version: 2, tables: tables)) }
        #expect(throws: ReplicaError.retiredTable("deal")) {
            try replica.write { try $0.insert(into: "deal", id: id(2), ["stage": .text("lead")]) }
        }
        #expect(throws: ReplicaError.retiredTable("deal")) {
            try replica.write { try $0.update("deal", id(1), ["stage": .text("offer")]) }
        }
        try replica.write { try $0.delete("deal", id(1)) }
        #expect(try replica.read { try $0.row("deal", id(1)) } == nil)
    }

    @Test("a file of layout 2 is brought up to date: its ledger takes what was handed off (S4)")
    func formerLayout() throws {
        let replica = try sandbox.create()
        let name = Schema.ledger.name
        try replica.database.write { connection in
            let text = try #require(
                try connection.value("SELECT sql FROM sqlite_schema WHERE name = ?1", [.text(name)])?.textValue)
            let former = text.replacingOccurrences(of: " OR \"kind\" = 'handed-off'", with: "")
            #expect(former != text)
            try connection.rewriteSchema(ofTable: name, to: former)
            try connection.run("UPDATE peyk_meta SET value = 2 WHERE key = 'layout'")
            try connection.execute(
                "CREATE TABLE peyk_stage_gone(tbl INTEGER, record TEXT, PRIMARY KEY(tbl, record)) WITHOUT ROWID")
        }
        try replica.close()
        for _ in 0..<2 {
            let again = try sandbox.open()
            try again.database.write { connection in
                #expect(try connection.value("SELECT value FROM peyk_meta WHERE key = 'layout'") == .integer(3))
                let text = try connection.value("SELECT sql FROM sqlite_schema WHERE name = ?1", [.text(name)])
                #expect(try connection.rows("SELECT deleted FROM peyk_stage_gone") == [])
                #expect(text?.textValue?.contains("'duplicate' OR \"kind\" = 'handed-off'") == true)
                #expect(try connection.rows("PRAGMA integrity_check") == [[.text("ok")]])
            }
            try again.close()
        }
    }

    @Test("tables and triggers that another program dropped are named (P15)")
    func missingParts() throws {
        let replica = try sandbox.create()
        #expect(try replica.missingParts() == [])
        try replica.database.write { connection in
            try connection.execute("DROP TRIGGER peyk_ai_deal; DROP INDEX IF EXISTS none; DROP TRIGGER peyk_ad_deal")
        }
        #expect(try replica.missingParts() == ["peyk_ad_deal", "peyk_ai_deal"])
    }

    @Test("a file of a newer layout is refused, and says what to do")
    func newer() throws {
        let replica = try sandbox.create()
        try replica.database.write { try $0.run("UPDATE peyk_meta SET value = 99 WHERE key = 'layout'") }
        try replica.close()
        let error = #expect(throws: ReplicaError.self) { _ = try sandbox.open() }
        #expect("\(try #require(error))".contains("99"))
    }
}
