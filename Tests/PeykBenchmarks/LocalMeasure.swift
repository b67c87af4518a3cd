import Foundation
import GRDBSQLite
import PeykModel
import PeykReplica

/// W1 and W2: captured and sealed writes against the same writes without us, and the sizes of the files.
struct LocalMeasure {
    let settings: Settings

    func run(into results: inout Results) throws {
        let plain = try PlainSQLite(path: settings.path("plain.sqlite"))
        let engine = try Self.replica(at: settings.path("local"))
        let count = settings.count
        let rows = 2 * count

        let plainInsert = try Measure.of { try Workload.insert(plain, count: count, perTransaction: 1_000) }
        let ourInsert = try Measure.of { try Workload.insert(engine, count: count, perTransaction: 1_000) }
        results.add("W1 insert, 1,000 a transaction", rows: rows, plain: plainInsert, ours: ourInsert, target: 1.8)
        let sizes = (try plain.size(), try engine.size())
        results.add(
            "file, unsynced", plain: Self.megabytes(sizes.0), ours: Self.megabytes(sizes.1),
            ratio: Double(sizes.1) / Double(sizes.0), target: 1.8, isMost: true)

        for (perTransaction, target) in [(1_000, 1.8), (1, 2.2)] {
            let seed = UInt64(2_000 + perTransaction)
            let plainUpdate = try Measure.of {
                try Workload.update(plain, count: count, updates: rows, perTransaction: perTransaction, seed: seed)
            }
            let ourUpdate = try Measure.of {
                try Workload.update(engine, count: count, updates: rows, perTransaction: perTransaction, seed: seed)
            }
            let name = "W2 update, \(perTransaction == 1 ? "1" : "1,000") a transaction"
            results.add(name, rows: rows, plain: plainUpdate, ours: ourUpdate, target: target)
        }
        try engine.replica.close()
    }

    /// A replica that has joined nothing, with the same two indexes as the plain tables.
    static func replica(at home: String) throws -> ReplicaEngine {
        let environment = ReplicaEnvironment.system
        let facts = WorkspaceFacts(
            workspace: "bench", site: SiteID(rawValue: environment.random() | 1),
            user: RecordID(
                milliseconds: UInt64(environment.now()), randomHigh: environment.random(),
                randomLow: environment.random()),
            userName: "Bench", role: .manager)
        let replica = try Replica.create(at: home, facts: facts, schema: ReplicaEngine.schema)
        try execute(Workload.closeDateIndex, in: Replica.databasePath(home))
        return ReplicaEngine(replica: replica)
    }

    static func megabytes(_ bytes: Int) -> String { String(format: "%.1f MB", Double(bytes) / 1e6) }
}

/// Runs SQL over a connection of its own, as another program would.
func execute(_ sql: String, in path: String) throws {
    var handle: OpaquePointer?
    defer { sqlite3_close(handle) }
    guard sqlite3_open(path, &handle) == SQLITE_OK, sqlite3_busy_timeout(handle, 10_000) == SQLITE_OK,
        sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK
    else { throw PlainSQLite.Failure(description: "\(sql) failed on \(path)") }
}

func checkpoint(_ path: String) throws { try execute("PRAGMA wal_checkpoint(TRUNCATE)", in: path) }
