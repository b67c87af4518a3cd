import Foundation
import Logging
import PeykModel
import PeykNet
import PeykReplica
import PeykServer
import PeykStoreSQLite
import PeykSync
import PeykTransport

/// W3: the first sync of all rows into an empty replica, over TLS on the loopback address, with the server in this
/// process; and the sizes of the files after a sync.
struct SyncMeasure {
    let settings: Settings

    private static func now() -> Int64 { Int64(Date().timeIntervalSince1970 * 1_000) }

    func run(into results: inout Results) async throws {
        let workspace = try makeWorkspace()
        let identity = try TLSIdentity.create(directory: settings.folder.path, workspace: "bench")
        let logger = Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }
        let server = try await SyncServer.start(workspace, NetConfiguration(identity: identity, logger: logger))
        let plain = try PlainSQLite(path: settings.path("source.sqlite"))
        try Workload.insert(plain, count: settings.count, perTransaction: 1_000)
        let plainSize = try plain.size()

        let author = try await join("author", workspace, server, identity)
        try await push(author, plainSize: plainSize, into: &results)

        let rows = 2 * settings.count
        let copy = try plain.export()
        let target = try PlainSQLite(path: settings.path("target.sqlite"))
        let bulk = try Measure.of { try target.bulkLoad(copy) }
        PlainSQLite.free(copy)

        var first: (client: SyncClient, summary: SyncSummary)?
        let sync = try await Measure.of { first = try await join("reader", workspace, server, identity) }
        guard let first else { return }
        func rate(_ measure: Measure) -> String { String(format: "%.0f rows/s", Double(rows) / measure.wall) }
        results.add(
            "W3 first sync (wall clock)", plain: rate(bulk) + " bulk load", ours: rate(sync),
            ratio: bulk.wall / sync.wall, target: 0.4, isMost: false)
        let bytes = Double(first.summary.bytesIn) / Double(rows)
        results.add(
            "W3 bytes a row on the wire", plain: "", ours: String(format: "%.1f", bytes), ratio: bytes, target: 100,
            isMost: true)
        try addSize("file, after a first sync", ReplicaEngine(replica: first.client.replica), plainSize, to: &results)
        guard try count(first.client.replica) == rows else {
            throw PlainSQLite.Failure(
                description: "the reader does not hold all \(rows) rows, so the numbers mean nothing")
        }
        try await backUp(workspace, author, plainSize: plainSize, into: &results)
        try await pushUpdates(author, into: &results)
        await server.shutdown()
    }

    /// Updates of single fields: merges that meet a record.
    private func pushUpdates(
        _ author: (client: SyncClient, summary: SyncSummary), into results: inout Results
    ) async throws {
        let engine = ReplicaEngine(replica: author.client.replica)
        try Workload.update(
            engine, count: settings.count, updates: settings.count, perTransaction: 1_000, seed: 4_000)
        let upload = try await Measure.of { _ = try await author.client.sync() }
        results.note(
            "push of updates, 1,000 a commit",
            String(format: "%.0f rows/s", Double(settings.count) / upload.wall))
    }

    /// The author's own rows: captured, pushed, merged, and seen again in the stream.
    private func push(
        _ author: (client: SyncClient, summary: SyncSummary), plainSize: Int, into results: inout Results
    ) async throws {
        let engine = ReplicaEngine(replica: author.client.replica)
        try execute(Workload.closeDateIndex, in: Replica.databasePath(engine.replica.home))
        try Workload.insert(engine, count: settings.count, perTransaction: 1_000)
        let upload = try await Measure.of { _ = try await author.client.sync() }
        results.note(
            "push of all rows, merged and back",
            String(format: "%.0f rows/s", Double(2 * settings.count) / upload.wall))
        try addSize("file, after its own push", engine, plainSize, to: &results)
    }

    /// What the author's file keeps when the server has a backup of it all (rule I10).
    private func backUp(
        _ workspace: Workspace, _ author: (client: SyncClient, summary: SyncSummary), plainSize: Int,
        into results: inout Results
    ) async throws {
        let (head, lineage) = try workspace.store.read { (try $0.head(), try $0.workspaceDocument().lineage) }
        guard let epoch = lineage.epoch else { return }
        try workspace.note(
            BackupsDocument.Item(path: "bench", position: head, epoch: epoch, time: Self.now(), bytes: 0))
        _ = try await author.client.sync()
        let engine = ReplicaEngine(replica: author.client.replica)
        try addSize("file, after a backup of that", engine, plainSize, to: &results)
    }

    private func addSize(_ name: String, _ engine: ReplicaEngine, _ plainSize: Int, to results: inout Results) throws {
        let size = try engine.size()
        results.add(
            name, plain: LocalMeasure.megabytes(plainSize), ours: LocalMeasure.megabytes(size),
            ratio: Double(size) / Double(plainSize), target: 1.1, isMost: true)
    }

    private func count(_ replica: Replica) throws -> Int {
        try Workload.tables.reduce(0) { sum, table in
            let found = try replica.read { try $0.value("SELECT count(*) FROM \(table)") }
            return sum + Int(found?.integerValue ?? 0)
        }
    }

    private func makeWorkspace() throws -> Workspace {
        let environment = ServerEnvironment.live(now: { Self.now() })
        let workspace = try Workspace.create(
            name: "bench", schema: ReplicaEngine.schema,
            store: try SQLiteStore(path: settings.path("server.sqlite"), create: true),
            keys: try WorkspaceKeys.generate(random: environment.random), environment: environment)
        guard case .done = Admin(workspace).run(.addUser(name: "Bench", role: .manager, territories: [])) else {
            throw PlainSQLite.Failure(description: "no user could be added")
        }
        return workspace
    }

    private func join(
        _ name: String, _ workspace: Workspace, _ server: SyncServer, _ identity: TLSIdentity
    ) async throws -> (client: SyncClient, summary: SyncSummary) {
        guard case .done(let invite) = Admin(workspace).run(.invite(user: "Bench", seconds: 600)),
            let code = invite["code"]?.stringValue
        else { throw PlainSQLite.Failure(description: "no invite could be made") }
        let url = InviteURL(
            host: server.host, port: server.port, workspace: "bench", code: code, fingerprint: identity.fingerprint)
        return try await SyncClient.join(home: settings.path(name), invite: url, deviceName: name)
    }
}
