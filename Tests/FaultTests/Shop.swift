import Foundation
import PeykMerge
import PeykModel
import PeykReplica
import PeykSQLite
import PeykServer
import PeykSession
import PeykStoreSQLite
import SimulationKit

/// A workspace in an SQLite store and two replicas, all in one folder and one process: the real code without sockets.
/// Made once; each case works on a copy of the folder.
final class Shop {
    static let customers = 40

    let time: SimulatedTime
    let keys: WorkspaceKeys
    /// What each device signs with: a copy goes on as the same device.
    private var keySeeds: [String: [UInt8]] = [:]

    init(seed: UInt64) throws {
        let time = SimulatedTime(seed: seed)
        self.time = time
        keys = try WorkspaceKeys.generate(random: { time.bytes($0) })
    }

    /// Everything that is open in one copy of the folder.
    final class Open {
        let shop: Shop
        let folder: String
        let store: SQLiteStore
        let workspace: Workspace
        var anna: Replica?
        let babak: Replica

        init(_ shop: Shop, _ folder: String) throws {
            self.shop = shop
            self.folder = folder
            store = try SQLiteStore(path: Shop.storePath(folder))
            workspace = try Workspace(store: store, keys: shop.keys, environment: shop.time.server)
            babak = try Replica.open(folder + "/babak", environment: shop.time.replica(skew: 0), busySeconds: 0.2)
            anna = try? Replica.open(folder + "/anna", environment: shop.time.replica(skew: 0), busySeconds: 0.2)
        }

        func close() {
            // What fails here is what a process that ends does not see either.
            try? anna?.close()
            try? babak.close()
        }

        var annas: Replica {
            get throws {
                guard let anna else { throw SessionError.disconnected }
                return anna
            }
        }

        /// One session to its end.
        func sync(_ name: String) throws {
            let replica = name == "anna" ? try annas : babak
            let link = try LocalLink(
                replica: replica, home: folder + "/" + name, environment: shop.time.replica(skew: 0),
                workspace: workspace, keySeed: shop.keySeed(of: name))
            if let failure = try link.run().failure { throw failure }
        }

        /// Enrols with a new invite and loads everything, or goes on with that.
        func join(_ name: String) throws {
            let home = folder + "/" + name
            let isMade = FileManager.default.fileExists(atPath: Replica.databasePath(home))
            let environment = shop.time.replica(skew: 0)
            let replica = try isMade ? Replica.open(home, environment: environment, busySeconds: 0.2) : nil
            defer { try? replica?.close() }
            let link = try LocalLink(
                replica: replica, home: home, environment: environment, workspace: workspace,
                keySeed: shop.keySeed(of: name))
            let code =
                isMade ? "" : try workspace.invite(user: TestSchema.user(0), lifetimeSeconds: 900).code
            defer { try? link.replica?.close() }
            if let failure = try link.run(code: code).failure { throw failure }
        }

        /// Both sync until nothing moves.
        func settle() throws {
            for _ in 0..<8 {
                let before = try workspace.head()
                for name in ["anna", "babak", "anna"] {
                    do { try sync(name) } catch let error as SessionError where error.isScopeChange { try sync(name) }
                }
                if try workspace.head() == before { return }
            }
        }
    }

    func keySeed(of name: String) -> [UInt8] {
        if let seed = keySeeds[name] { return seed }
        let seed = time.bytes(32)
        keySeeds[name] = seed
        return seed
    }

    static func storePath(_ folder: String) -> String { folder + "/workspace.sqlite" }

    /// Makes the folder that all cases begin with.
    func make(in folder: String) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let store = try SQLiteStore(path: Self.storePath(folder), create: true)
        let workspace = try Workspace.create(
            name: "shop", schema: TestSchema.schema, store: store, keys: keys, environment: time.server)
        _ = try workspace.serverCommit(
            TestSchema.seedChanges(territories: 2, users: 2, customers: Self.customers, opportunities: 10))
        for (number, name) in ["anna", "babak"].enumerated() {
            _ = try workspace.setUser(
                TestSchema.user(number), name: name, role: .rep, territories: [TestSchema.territory(0).description])
            let code = try workspace.invite(user: TestSchema.user(number), lifetimeSeconds: 900).code
            let link = try LocalLink(
                replica: nil, home: folder + "/" + name, environment: time.replica(skew: 0), workspace: workspace,
                keySeed: keySeed(of: name))
            if let failure = try link.run(code: code).failure { throw failure }
            try link.replica?.close()
        }
        try store.checkpoint()
    }

    // MARK: What is there

    /// Rows of a replica, a line each, and what it has not sent.
    static func lines(of replica: Replica) throws -> [String] {
        try replica.read { reader in
            var lines: [String] = ["schema \(replica.schema.version)"]
            for table in replica.schema.tables {
                let columns = (["id"] + table.fields.map(\.name)).joined(separator: ", ")
                for row in try reader.rows("SELECT \(columns) FROM \(table.name) ORDER BY id") {
                    lines.append(table.name + " " + row.map { JSON($0).text }.joined(separator: " "))
                }
            }
            return lines
        }
    }

    static func lines(of workspace: Workspace) throws -> [String] {
        try workspace.store.read { reader in
            var lines: [String] = ["schema \(reader.schema.version)"]
            for (index, table) in reader.schema.tables.enumerated() {
                try reader.records(of: index, after: nil) { id, stored in
                    let values = [Value(id)] + table.fields.indices.map { stored.state.row[$0] }
                    lines.append(table.name + " " + values.map { JSON($0).text }.joined(separator: " "))
                    return true
                }
            }
            for number in 0..<2 {
                let user = try reader.document(UserDocument.self, TestSchema.user(number).description)
                lines.append("user \(number) \(user?.grant.read.map(\.text) ?? [])")
            }
            return lines
        }
    }

    /// SQLite's own checks of a file.
    static func isWhole(_ path: String) throws -> Bool {
        let database = try Database(path: path, access: .readOnly, lockPath: nil)
        defer { try? database.close() }
        return try database.read { connection in
            try connection.value("PRAGMA integrity_check", [])?.textValue == "ok"
                && connection.rows("PRAGMA foreign_key_check", []).isEmpty
        }
    }
}

extension SessionError {
    /// The grant or the schema changed in the middle: the next session brings it.
    var isScopeChange: Bool {
        if case .refused(let refusal) = self { refusal.code == .scopeChanged } else { false }
    }
}
