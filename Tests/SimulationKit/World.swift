import Foundation
import PeykMerge
public import PeykModel
public import PeykReplica
import PeykSQLite
public import PeykServer
public import PeykSession
public import SeededRandom
import Synchronization

/// One clock and one generator that a whole run shares.
public final class SimulatedTime: Sendable {
    private let state: Mutex<(now: Int64, random: SplitMix64)>

    public init(seed: UInt64) { state = Mutex((1_790_000_000_000, SplitMix64(seed: seed ^ 0xA5A5_A5A5))) }

    public var now: Int64 { state.withLock { $0.now } }
    public func advance(_ milliseconds: Int64) { state.withLock { $0.now += milliseconds } }
    public func random() -> UInt64 { state.withLock { $0.random.next() } }

    public func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: random() >> 13) }
    }

    /// The environment of a laptop whose wall clock is off by `skew` milliseconds.
    public func replica(skew: Int64) -> ReplicaEnvironment {
        ReplicaEnvironment(
            now: { self.now + skew }, uptime: { self.now - 1_700_000_000_000 }, random: { self.random() })
    }

    public var server: ServerEnvironment {
        ServerEnvironment(now: { self.now }, random: { self.bytes($0) })
    }
}

/// A workspace and its reps, on one thread. Everything follows from the seed.
public final class World {
    public final class Rep {
        public let number: Int
        public let user: RecordID
        public let home: String
        public let keySeed: [UInt8]
        public let environment: ReplicaEnvironment
        public var replica: Replica
        public var edits: RandomEdits
        /// The seq up to which sealed commits were noted for the audit, and the site that it is of.
        var noted: Sequence64 = 0
        var notedSite: SiteID?

        init(
            number: Int, user: RecordID, home: String, keySeed: [UInt8], environment: ReplicaEnvironment,
            replica: Replica, edits: RandomEdits
        ) {
            self.number = number
            self.user = user
            self.home = home
            self.keySeed = keySeed
            self.environment = environment
            self.replica = replica
            self.edits = edits
        }
    }

    public struct Shape: Sendable {
        public var reps = 3
        public var territories = 2
        public var customers = 20
        public var opportunities = 20
        /// Managers see all; reps their territory.
        public var role = Role.manager
        public init(
            reps: Int = 3, territories: Int = 2, customers: Int = 20, opportunities: Int = 20, role: Role = .manager
        ) {
            self.reps = reps
            self.territories = territories
            self.customers = customers
            self.opportunities = opportunities
            self.role = role
        }
    }

    public let time: SimulatedTime
    public internal(set) var workspace: Workspace
    public internal(set) var reps: [Rep] = []
    public internal(set) var written: [Audit.Written] = []
    /// Ids in `written`: a commit keeps its id under every dot that it gets.
    var known: Set<CommitID> = []
    public var random: SplitMix64
    let folder: String

    public init(seed: UInt64, shape: Shape, store: any Store) throws {
        time = SimulatedTime(seed: seed)
        random = SplitMix64(seed: seed)
        let time = time
        workspace = try Workspace.create(
            name: "simulated", schema: TestSchema.schema, store: store,
            keys: WorkspaceKeys.generate(random: { time.bytes($0) }), environment: time.server)
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("peyk-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        _ = try workspace.serverCommit(
            TestSchema.seedChanges(
                territories: shape.territories, users: shape.reps, customers: shape.customers,
                opportunities: shape.opportunities))
        for number in 0..<shape.reps { try join(number, shape, seed) }
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private func join(_ number: Int, _ shape: Shape, _ seed: UInt64) throws {
        let user = TestSchema.user(number)
        let territories = shape.role == .rep ? [TestSchema.territory(number % shape.territories).description] : []
        _ = try workspace.setUser(user, name: "user\(number)", role: shape.role, territories: territories)
        let code = try workspace.invite(user: user, lifetimeSeconds: 900).code
        // Clocks a few minutes apart, one of them three days slow.
        let skew = number == 0 ? -3 * 86_400_000 : Int64(random.draw(600_000)) - 300_000
        let environment = time.replica(skew: skew)
        let home = folder + "/rep\(number)"
        let keySeed = time.bytes(32)
        let link = try LocalLink(
            replica: nil, home: home, environment: environment, workspace: workspace, keySeed: keySeed)
        let report = try link.run(code: code)
        if let failure = report.failure { throw failure }
        guard let replica = link.replica else { throw SessionError.disconnected }
        reps.append(
            Rep(
                number: number, user: user, home: home, keySeed: keySeed, environment: environment, replica: replica,
                edits: RandomEdits(
                    seed: seed, site: number, customers: shape.customers, opportunities: shape.opportunities,
                    territories: shape.territories)))
    }

    /// One random transaction at a rep, by the library or as another program would make it.
    public func edit(_ rep: Rep) throws {
        time.advance(Int64(1 + random.draw(5_000)))
        let statements = rep.edits.next()
        do {
            if random.chance(50) {
                _ = try rep.replica.write { writer in
                    for statement in statements { try writer.execute(statement.sql, statement.values) }
                }
            } else {
                let other = try Database(
                    path: Replica.databasePath(rep.home), lockPath: Replica.lockPath(rep.home))
                try other.write { connection in
                    for statement in statements { try connection.run(statement.sql, statement.values) }
                    try drawNonces(connection)
                }
                try other.close()
            }
        } catch is ReplicaError {
            // Refused where it was typed: nothing was accepted.
        } catch is SQLiteError {}
    }

    /// Captured writes have nonces of SQLite's generator (decision 0018), and two runs of a seed must be one.
    private func drawNonces(_ connection: Connection) throws {
        let found = try connection.rows(
            "SELECT m.name FROM sqlite_schema m, pragma_table_info(m.name) c "
                + "WHERE m.type = 'table' AND c.name = 'nonce' ORDER BY m.name")
        for table in found.compactMap({ $0.first?.textValue }) {
            try connection.run("UPDATE \(table) SET nonce = n * 1000003 + ?1", [.integer(time.now)])
        }
    }

    /// Remembers what a rep has sealed, for the audit.
    public func note(_ rep: Rep) throws {
        let site = try rep.replica.status().site
        if site != rep.notedSite {
            rep.notedSite = site
            rep.noted = 0
        }
        while true {
            let slice = try rep.replica.outbox(after: rep.noted, bytesMax: 1 << 20)
            for commit in slice.commits {
                rep.noted = max(rep.noted, commit.envelope.dot.seq)
                guard known.insert(commit.id).inserted else { continue }
                written.append(
                    Audit.Written(author: rep.number, commit: commit, body: try CommitBody(decoding: commit.sealed)))
            }
            if !slice.hasMore { return }
        }
    }

    @discardableResult
    public func sync(_ rep: Rep, cutAfter: Int? = nil, purpose: ClientSession.Purpose = .sync) throws
        -> LocalLink.Report
    {
        try note(rep)
        time.advance(Int64(1 + random.draw(1_000)))
        let link = try LocalLink(
            replica: rep.replica, home: rep.home, environment: rep.environment, workspace: workspace,
            keySeed: rep.keySeed, purpose: purpose)
        return try link.run(cutAfter: cutAfter)
    }

    /// IT gives a rep other territories: one, another one, or two.
    public func regrant(_ rep: Rep, territories count: Int) throws {
        let first = random.draw(count)
        let chosen = random.chance(50) ? [first] : Array(Set([first, random.draw(count)])).sorted()
        _ = try workspace.setUser(
            rep.user, name: "user\(rep.number)", role: .rep,
            territories: chosen.map { TestSchema.territory($0).description })
    }

    /// Every rep syncs in random order until nothing moves. Throws the first failure of a session.
    public func settle(rounds: Int = 6) throws {
        for _ in 0..<rounds {
            let before = try workspace.head()
            for rep in random.shuffled(reps) {
                var failure = try sync(rep).failure
                // A restored image that finds itself out gets its new identity in the next session.
                if failure?.isPassing == true { failure = try sync(rep).failure }
                if let failure { throw failure }
            }
            if try workspace.head() == before { return }
        }
    }

    /// All rows that a rep sees, a line each, ordered by table and id.
    public func dump(_ rep: Rep) throws -> [String] {
        try rep.replica.read { reader in
            var lines: [String] = []
            for table in rep.replica.schema.tables {
                let columns = (["id"] + table.fields.map(\.name)).joined(separator: ", ")
                for row in try reader.rows("SELECT \(columns) FROM \(table.name) ORDER BY id") {
                    lines.append(table.name + " " + row.map { JSON($0).text }.joined(separator: " "))
                }
            }
            return lines
        }
    }

    /// All rows of the server that `user` may read.
    public func serverDump(as user: RecordID? = nil) throws -> [String] {
        try workspace.store.read { reader in
            let grant = try user.flatMap { try reader.document(UserDocument.self, $0.description)?.grant }
            var lines: [String] = []
            for (index, table) in reader.schema.tables.enumerated() {
                try reader.records(of: index, after: nil) { id, stored in
                    guard grant?.reads(stored.audience) ?? true else { return true }
                    let values = [Value(id)] + table.fields.indices.map { stored.state.row[$0] }
                    lines.append(table.name + " " + values.map { JSON($0).text }.joined(separator: " "))
                    return true
                }
            }
            return lines
        }
    }

    /// Property P2 over everything that was sealed, or over these commits.
    public func auditFindings(of commits: [Audit.Written]? = nil) throws -> [String] {
        try workspace.store.read { reader in try Audit(reader, written: commits ?? written).findings() }
    }
}
