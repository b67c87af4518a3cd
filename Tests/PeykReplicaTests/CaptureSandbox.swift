import Foundation
import PeykModel
import PeykReplica
import PeykSQLite
import SeededRandom
import Synchronization
import Testing

/// A replica in a folder of its own, with a clock and a generator that the test drives.
final class CaptureSandbox: Sendable {
    let home: String
    let clock = Mutex<Int64>(1_800_000_000_000)
    private let generator = Mutex(SplitMix64(seed: 7))

    static let site = SiteID(rawValue: 0x00AB_CDEF_0123_4567)
    static let user = RecordID(bits: UUIDBits(high: 0x0000_0000_0000_7000, low: 0x8000_0000_0000_0001))

    init() {
        home = NSTemporaryDirectory() + "peyk-\(UUID().uuidString)"
    }

    deinit { try? FileManager.default.removeItem(atPath: home) }

    var environment: ReplicaEnvironment {
        ReplicaEnvironment(
            now: { self.clock.withLock { $0 } }, uptime: { self.clock.withLock { $0 } - 1_700_000_000_000 },
            random: { self.generator.withLock { $0.next() } })
    }

    /// Somebody made a trigger in the file, so that all triggers run and capture (decision 0013).
    @TaskLocal static var hasForeignTrigger = false

    func create(schema: Schema = CaptureSandbox.schema) throws -> Replica {
        let replica = try Replica.create(
            at: home,
            facts: WorkspaceFacts(
                workspace: "demo", site: Self.site, user: Self.user, userName: "Sara", role: .rep),
            schema: schema, environment: environment)
        if Self.hasForeignTrigger { try addForeignTrigger() }
        return replica
    }

    func addForeignTrigger() throws {
        let other = try Database(path: databasePath, lockPath: nil)
        try other.write {
            try $0.execute(
                """
                CREATE TABLE app_seen(name TEXT);
                CREATE TRIGGER app_see AFTER INSERT ON region BEGIN INSERT INTO app_seen VALUES (new.name); END;
                """)
        }
        try other.close()
    }

    func open() throws -> Replica { try Replica.open(home, environment: environment) }

    var databasePath: String { Replica.databasePath(home) }

    /// Runs statements in the plain `sqlite3` program: foreign keys and recursive triggers off, as people have it.
    @discardableResult
    func sqlite3(_ sql: String) throws -> (output: String, status: Int32) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/sqlite3")
        process.arguments = ["-bail", databasePath, sql]
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (String(decoding: output, as: UTF8.self), process.terminationStatus)
    }

    static let hasSQLite3 = FileManager.default.isExecutableFile(atPath: "/usr/bin/sqlite3")

    static let stages = ["lead", "offer", "won", "lost"]

    static let schema = Schema(
        version: 1,
        tables: [
            Table("region", .reference, fields: [Field("name", .text, required: true)]),
            Table(
                "customer", .root(AudienceFields(), lends: nil),
                fields: [
                    Field("name", .text, required: true),
                    Field("phone", .text),
                    Field("city", .text, group: "address"),
                    Field("street", .text, group: "address"),
                    Field("region_id", .reference(table: "region"), hard: true),
                    Field("notes", .text, .text),
                    Field("tags", .set, .set),
                    Field("visits", .integer, .counter),
                    Field("rating", .double),
                    Field("active", .bool, default: .integer(1)),
                    Field("since", .date),
                    Field("rank_by_server", .integer, .server),
                    Field("fax", .text, retired: true),
                    Field("logo", .blob),
                ], unique: [["phone"]]),
            Table(
                "contact", .child(parents: ["customer_id"], owner: nil),
                fields: [
                    Field("customer_id", .reference(table: "customer"), hard: true),
                    Field("name", .text, required: true),
                    Field("order", .integer),
                ]),
            Table(
                "deal", .root(AudienceFields(), lends: "customer_id"),
                fields: [
                    Field("customer_id", .reference(table: "customer"), hard: true),
                    Field("stage", .enumeration(stages), .rank),
                    Field("amount", .money(currency: "currency"), .review, group: "price"),
                    Field("currency", .text, .review, group: "price"),
                    Field("owner_id", .reference(table: "contact")),
                ]),
            Table(
                "activity", .child(parents: ["deal_id", "customer_id"], owner: nil),
                fields: [
                    Field("deal_id", .reference(table: "deal"), hard: true),
                    Field("customer_id", .reference(table: "customer"), hard: true),
                    Field("what", .text),
                ], appendOnly: true),
            Table("wide", .reference, fields: (0..<130).map { Field("f\($0)", .integer) }),
        ])
}

/// What a test looks at: the commits of the outbox, decoded.
struct SealedView {
    var seq: Sequence64
    var stamp: HLC
    var body: CommitBody
    var clock: VectorClock

    static func all(_ replica: Replica) throws -> [SealedView] {
        try replica.outbox(after: 0, bytesMax: .max).commits.map { commit in
            SealedView(
                seq: commit.envelope.dot.seq, stamp: commit.envelope.stamp,
                body: try CommitBody(decoding: commit.sealed), clock: commit.envelope.clock)
        }
    }
}

/// A fixed id for a small number.
func id(_ number: UInt64) -> RecordID {
    RecordID(bits: UUIDBits(high: 0x0190_0000_0000_7000, low: 0x8000_0000_0000_0000 | number))
}

/// Runs each test twice: where writes are captured as they happen, and where triggers capture them.
struct BothCaptures: SuiteTrait, TestTrait, TestScoping {
    var isRecursive: Bool { true }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        try await function()
        guard testCase != nil else { return }
        try await CaptureSandbox.$hasForeignTrigger.withValue(true) { try await function() }
    }
}

extension Trait where Self == BothCaptures {
    static var bothCaptures: Self { BothCaptures() }
}
