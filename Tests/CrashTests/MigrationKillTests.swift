import Foundation
import ProgramKit
import Testing

/// SIGKILL of `peyk sync` at each SQL statement of the sync that brings a newer schema.
///
/// `PEYK_MIGRATION_STEP` is the distance between two of them; 1 is every statement.
@Suite("Killed migrations", .serialized)
struct MigrationKillTests {
    @Test(
        "leave the replica with the old schema or with the new one, and the next sync ends it (F84, T2, P15, P25)",
        .timeLimit(.minutes(20)))
    func everyStatement() async throws {
        try await World.with { world in
            let anna = try await world.join("Anna", territories: ["North"])
            try await anna.peyk("customer", "add", "--name", "Blue Harbour")
            try await anna.sync()
            try await anna.peyk("customer", "add", "--name", "Not yet sent")
            let change = world.folder.appendingPathComponent("change.json")
            try Data(
                #"""
                {"add": {"fields": {"customer": [{"name": "size", "type": "integer", "default": 4},
                  {"name": "origin_id", "type": "reference", "table": "customer"}]},
                 "tables": [{"name": "brand", "kind": "reference", "fields": [{"name": "label", "type": "text"}]}]}}
                """#.utf8
            ).write(to: change)
            try await world.server.peykd("schema", "apply", change.path)
            let step = RunSettings.number("PEYK_MIGRATION_STEP", 7)
            var kills = 0
            var versions: [String] = []
            for number in stride(from: 1, to: 20_000, by: max(1, step)) {
                let sync = try await anna.attempt(
                    ["sync"], environment: ["PEYK_FAILPOINT": "sqlite.statement.begun=kill@\(number)"])
                guard sync.status == Rep.killed else {
                    #expect(sync.status == 0, "\(sync)")
                    break
                }
                kills += 1
                #expect(try await anna.value("PRAGMA integrity_check") == "ok")
                let version = try await anna.value("SELECT value FROM peyk_meta WHERE key = 'schema_version'")
                versions.append(version)
                let columns = try await anna.value(
                    "SELECT count(*) FROM pragma_table_info('customer') WHERE name IN ('size', 'origin_id')")
                let tables = try await anna.value("SELECT count(*) FROM sqlite_schema WHERE name = 'brand'")
                #expect(columns == (version == "1" ? "0" : "2"), "killed at statement \(number)")
                #expect(tables == (version == "1" ? "0" : "1"), "killed at statement \(number)")
                #expect(try await anna.value("SELECT count(*) FROM customer") == "2")
            }
            print("crash: \(kills) kills of a migrating sync, \(versions.count { $0 == "1" }) before its commit")
            #expect(kills > 10 && versions.contains("1") && versions == versions.sorted())
            try await anna.sync()
            try await anna.peyk("customer", "add", "--name", "After")
            try await anna.sync()
            #expect(try await anna.value("SELECT group_concat(DISTINCT size) FROM customer") == "4")
            #expect(try await anna.peyk("status", "--format", "json").json()["pending"].number == 0)
        }
    }
}
