import Foundation
import PeykModel
import PeykReplica
import PeykServer
import PeykStoreSQLite
import SimDisk

/// A server and twelve joined replicas as files, made once a process: each world begins with copies.
struct Template: Sendable {
    struct Device: Sendable {
        var user: Int
        var keySeed: [UInt8]
        var files: [String: [UInt8]]
    }

    var keys: WorkspaceKeys
    var serverFiles: [String: [UInt8]]
    var devices: [Device]
    var now: Int64

    static let seed: UInt64 = 1
    static let clientsMax = 12
    static let territories = 3
    static let customers = 8
    static let opportunities = 8
    /// The last user is the one that sends what is not allowed: a rep of the first territory.
    static let hostile = clientsMax

    /// The role that a user has at the start.
    static func role(of user: Int) -> Role { user % 4 == 3 ? .manager : .rep }
    static func territories(of user: Int) -> [String] {
        role(of: user) == .rep ? [TestSchema.territory(user % territories).description] : []
    }

    private static let made = Result { try Template() }

    static func shared() throws -> Template { try made.get() }

    private init() throws {
        let folder = SimulatedDisk.root + "/peyk-template-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let time = SimulatedTime(seed: Self.seed)
        keys = try WorkspaceKeys.generate { time.bytes($0) }
        devices = []
        do {
            let store = try SQLiteStore(path: folder + "/server.sqlite", create: true)
            let workspace = try Workspace.create(
                name: "simulated", schema: TestSchema.schema, store: store, keys: keys, environment: time.server)
            _ = try workspace.serverCommit(
                TestSchema.seedChanges(
                    territories: Self.territories, users: Self.clientsMax + 1, customers: Self.customers,
                    opportunities: Self.opportunities))
            for user in 0...Self.clientsMax {
                try workspace.setUser(
                    TestSchema.user(user), name: "user\(user)", role: Self.role(of: user),
                    territories: Self.territories(of: user))
            }
            for user in 0...Self.clientsMax {
                devices.append(try Self.join(user, workspace, time, home: folder + "/\(user)"))
            }
            var retention = RetentionDocument()
            retention.leaseSeconds = 600
            retention.logSeconds = 1_800
            retention.tombstoneSeconds = 60
            try store.write { try $0.set(retention) }
            try store.checkpoint()
        }
        serverFiles = try Self.files(in: folder)
        for index in devices.indices { devices[index].files = try Self.files(in: folder + "/\(index)") }
        now = time.now
    }

    private static func join(
        _ user: Int, _ workspace: Workspace, _ time: SimulatedTime, home: String
    ) throws -> Device {
        let keySeed = time.bytes(32)
        let code = try workspace.invite(user: TestSchema.user(user), lifetimeSeconds: 900).code
        let link = try LocalLink(
            replica: nil, home: home, environment: time.replica(skew: 0), workspace: workspace, keySeed: keySeed)
        let report = try link.run(code: code)
        if let failure = report.failure { throw failure }
        try link.replica?.close()
        return Device(user: user, keySeed: keySeed, files: [:])
    }

    /// The databases of a folder, and their logs.
    static func files(in folder: String) throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: folder)
        where name.hasSuffix(".sqlite") || name.hasSuffix("-wal") {
            files[name] = [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder + "/" + name)))
        }
        return files
    }
}
