import Foundation
import ProgramKit
import SeededRandom
import Testing

/// Values and references. Each test is a failure that a shipped system had (Tests/README.md).
@Suite("Failures of values", .serialized)
struct ValueFailures {
    @Test("F092: ids that are no UUIDs are refused where they are typed (P23, P3)", .timeLimit(.minutes(5)))
    func integerKeys() async throws {
        try await Field.with { field in
            for id in ["1", "'1'", "'0190C000-0007-7000-8000-000000000001'", "NULL", "x'00'"] {
                let output = try await Program.sqlite.run(
                    [field.anna.file],
                    input: "INSERT INTO customer(id, name, territory_id) VALUES (\(id), 'n', '\(field.north)');")
                #expect(output.status != 0, "\(id) was taken: \(output)")
            }
            try await field.settle()
            #expect(try await field.anna.value("SELECT count(*) FROM customer") == "1")
        }
    }

    @Test(
        "F096: text of any script is kept to the byte, and invalid UTF-8 is put aside with its bytes (P24, P29)",
        .timeLimit(.minutes(5)))
    func textOfAnyScript() async throws {
        try await Field.with { field in
            let family = "\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}\u{200D}\u{1F466}"
            let texts = ["پیک\u{200C}ها", family, "\u{20BB7}野家", "e\u{301}", "\u{FEFF}bom", "\u{202E}rtl", "🇮🇷"]
            for (index, text) in texts.enumerated() {
                try await field.write(
                    "INSERT INTO contact(id, name, customer_id) VALUES ('\(EditMaker.id(7, index))', '\(text)', '\(field.customer)')",
                    on: field.anna)
            }
            try await field.settle()
            for (index, text) in texts.enumerated() {
                let hex = text.utf8.map { String(format: "%02X", $0) }.joined()
                for replica in field.all {
                    #expect(
                        try await replica.value("SELECT hex(name) FROM contact WHERE id = '\(EditMaker.id(7, index))'")
                            == hex)
                }
            }
            for bytes in ["ff", "eda080", "f09f98", "c080"] {
                _ = try await Program.sqlite.run(
                    [field.anna.file],
                    input: "UPDATE customer SET industry = CAST(x'\(bytes)' AS TEXT) WHERE id = '\(field.customer)';")
                let status = try await field.anna.attempt(["status"])
                #expect(status.status == 0, "\(status)")
                try await field.anna.sync()
                #expect(try await field.industry(field.anna).isEmpty, "\(bytes) went back")
            }
            try await field.settle()
        }
    }

    @Test("F098: doubles keep every bit (P24)", .timeLimit(.minutes(10)))
    func doubles() async throws {
        try await Field.with { field in
            var random = SplitMix64(seed: RunSettings.seed)
            let special: [UInt64] = [
                1, 0x000F_FFFF_FFFF_FFFF, 0x0010_0000_0000_0000, 0x7FEF_FFFF_FFFF_FFFF, 0x3FB9_9999_9999_999A,
            ]
            let patterns = special + (0..<4_000).map { _ in random.next() }
            var expected: [String: UInt64] = [:]
            var rows: [String] = []
            for (index, bits) in patterns.enumerated() {
                let value = Double(bitPattern: bits)
                // Those come in by their own rules: no infinities, no NaN, no negative zero.
                guard value.isFinite, value != 0 else { continue }
                let id = EditMaker.id(7, index)
                expected[id] = bits
                let hex = String(repeating: "0", count: 16 - String(bits, radix: 16).count) + String(bits, radix: 16)
                rows.append("('\(id)', 'n', '\(field.north)', ieee754_from_blob(x'\(hex)'), 0.0)")
            }
            try await field.script(
                [
                    "INSERT INTO customer(id, name, territory_id, latitude, longitude) VALUES \(rows.joined(separator: ","));"
                ],
                on: field.anna)
            try await field.settle()
            for replica in [field.anna, field.maria] {
                let lines = try await replica.value(
                    "SELECT id || ' ' || hex(ieee754_to_blob(latitude)) FROM customer WHERE latitude IS NOT NULL"
                ).split(separator: "\n")
                #expect(lines.count == expected.count)
                let wrong = lines.filter { line in
                    let parts = line.split(separator: " ").map(String.init)
                    return parts.count != 2 || UInt64(parts[1], radix: 16) != expected[parts[0]]
                }
                #expect(wrong.isEmpty, "\(wrong.prefix(3))")
            }
        }
    }

    @Test("F100: names in two normal forms are two names (P24, P23)", .timeLimit(.minutes(5)))
    func normalForms() async throws {
        try await Field.with { field in
            for (index, name) in ["caf\u{e9}", "cafe\u{301}"].enumerated() {
                try await field.write(
                    "INSERT INTO customer(id, name, legal_id, territory_id) VALUES ('\(EditMaker.id(7, index))', '\(name)', '\(name)', '\(field.north)')",
                    on: index == 0 ? field.anna : field.babak)
            }
            try await field.settle()
            for replica in field.all {
                let names = try await replica.value(
                    "SELECT hex(name) FROM customer WHERE legal_id IS NOT NULL ORDER BY id")
                #expect(names == "636166C3A9\n63616665CC81")
                #expect(try await replica.value("SELECT count(*) FROM peyk_ledger") == "0", "no duplicates")
            }
        }
    }

    @Test(
        "F104: what SQLite would bend into a column is the same on both sides, or refused (P24)",
        .timeLimit(.minutes(5)))
    func affinity() async throws {
        try await Field.with { field in
            for (value, taken) in [
                ("'1e3'", true), ("'12abc'", false), ("1.5", false), ("'7'", true), ("x'31'", false),
            ] {
                let output = try await Program.sqlite.run(
                    [field.anna.file],
                    input: "UPDATE customer SET employees = \(value) WHERE id = '\(field.customer)';")
                #expect((output.status == 0) == taken, "\(value): \(output)")
                try await field.settle()
                let query =
                    "SELECT typeof(employees) || ' ' || coalesce(employees, '') FROM customer WHERE id = '\(field.customer)'"
                let mine = try await field.anna.value(query)
                #expect(!mine.hasPrefix("text") && !mine.hasPrefix("blob") && !mine.hasPrefix("real"))
                let server = try await Program.sqlite.run(
                    [field.world.server.data.appendingPathComponent("workspace.sqlite").path], input: query + ";")
                #expect(server.trimmed == mine)
            }
        }
    }

    @Test(
        "F118: a field that one may not write keeps its value, and the rest of the row goes through (P20)",
        .timeLimit(.minutes(5)))
    func fieldRights() async throws {
        try await Field.with { field in
            // Reference data is the manager's: a rep's change to it goes back, her own row's change stands.
            let stage = try await field.anna.value("SELECT id FROM stage ORDER BY position LIMIT 1")
            let name = try await field.anna.value("SELECT name FROM stage WHERE id = '\(stage)'")
            try await field.script(
                [
                    "UPDATE stage SET name = 'Mine' WHERE id = '\(stage)';",
                    "UPDATE customer SET industry = 'stands' WHERE id = '\(field.customer)';",
                ], on: field.anna)
            for _ in 0..<2 { try await field.anna.sync() }
            #expect(try await field.anna.value("SELECT name FROM stage WHERE id = '\(stage)'") == name)
            #expect(try await field.anna.peyk("parked", "list", "--format", "json").json().rows.count == 1)
            try await field.settle()
            #expect(try await field.industry(field.babak) == "stands")
            #expect(try await field.babak.value("SELECT name FROM stage WHERE id = '\(stage)'") == name)
        }
    }
}
