import PeykModel
import PeykReplica
import PeykSQLite
import PeykServer
import PeykSession
import PeykWire
import SeededRandom
import SimDisk

/// A server, its devices and the lines between them, in one thread; everything follows from the schedule.
final class SimulatedWorld {
    let schedule: Schedule
    let plant: Plant?
    let time: SimulatedTime
    let template: Template
    let server: SimulatedServer
    let archive: Archive
    var clients: [SimulatedClient] = []
    /// Connections that their clients have given up, with frames that may still arrive.
    var abandoned: [Link] = []
    var trace = Trace()
    var statistics = Statistics()
    var linkCount = 0
    /// Edits that only a device held which was revoked, or an image that was overwritten.
    var exempt: Set<CommitID> = []
    /// A fault is planned in this step: errors of that side are expected.
    var isClientFaulty = false
    var isServerFaulty = false
    /// What each user was granted, and above which position (P20).
    var rights: [Int: [(after: Position, grant: Grant)]] = [:]
    /// The device that sends what is not allowed; made when it is first needed.
    var intruder: SimulatedClient?
    private(set) var checkedUpTo: Position = 0
    /// What `backup` made, oldest first.
    var backups: [Backup] = []
    /// ``SimulatedDisk/changes`` of the server as of the last look.
    private var caughtUpAt: UInt64?
    /// Takes a line for each thing that happens; nil for silence.
    var tell: ((String) -> Void)?
    /// In force: no more faults, the world must come to rest.
    var isHealing = false

    struct Statistics: Sendable {
        var steps = 0
        var frames = 0
        var sessions = 0
        var commits = 0
        var stops = 0
        var lostWrites: Int64 = 0
        var faults: UInt64 = 0
        var checks = 0
        var collected: Int64 = 0
        var expired = 0
        var settled = 0
        var backups = 0
        var restores = 0
        var schemas = 0
        var kinds: [Schedule.Kind: Int] = [:]
    }

    init(_ schedule: Schedule, plant: Plant? = nil) throws {
        self.schedule = schedule
        self.plant = plant
        template = try Template.shared()
        // Captured writes of other programs have nonces of SQLite's generator (decision 0018).
        try SimulatedDisk.seedRandomNumbers(schedule.seed)
        // Never the template's numbers again: ids that are in its log would come a second time.
        time = SimulatedTime(seed: schedule.seed == Template.seed ? .max : schedule.seed)
        time.advance(86_400_000)
        server = try SimulatedServer(template, time: time, plant: plant)
        archive = try Archive(server.workspace.store)
        var random = SplitMix64(seed: schedule.seed &+ 77)
        for user in 0...Template.hostile { rights[user] = [(0, try grant(of: user))] }
        for user in 0..<schedule.shape.clients {
            if schedule.shape.isOpen {
                try server.workspace.setUser(
                    TestSchema.user(user), name: "user\(user)", role: .manager, territories: [])
                rights[user]?.append((try server.workspace.head() - 1, try grant(of: user)))
            }
            let device = template.devices[user]
            let client = try SimulatedClient(
                number: user, user: user, keySeed: device.keySeed, files: device.files, time: time,
                plant: plant)
            if random.chance(40) { client.clock.disturb(&random) }
            if let status = try client.replica?.status() {
                client.seen = Archive.Standing(epoch: status.epoch, position: status.anchor)
                client.site = status.site
            }
            clients.append(client)
        }
        checkedUpTo = archive.head
        try archive.catchUp(server.workspace.store)
    }

    /// Closes everything and takes the files away.
    func shutDown() {
        for client in clients { client.shutDown() }
        intruder?.shutDown()
        server.shutDown()
    }

    func grant(of user: Int) throws -> Grant {
        try server.workspace.store.read { reader in
            guard let found = try reader.document(UserDocument.self, TestSchema.user(user).description) else {
                throw Finding("P16", "user \(user) is gone from the server")
            }
            return found.grant
        }
    }

    // MARK: Steps

    func run() throws {
        for step in schedule.steps {
            try perform(step)
            statistics.steps += 1
            statistics.kinds[step.kind, default: 0] += 1
        }
    }

    func perform(_ step: Schedule.Step) throws {
        var random = SplitMix64(seed: step.seed)
        time.advance([1, 50, 1_000, 60_000][random.draw(4)])
        trace.add(step.seed)
        guard let client = random.pickIfAny(clients) else { return }
        tell?("\(step.kind.rawValue) \(step.seed) at device \(client.number)")
        defer {
            client.disk.heal()
            server.disk.heal()
            isClientFaulty = false
            isServerFaulty = false
        }
        try dispatch(step.kind, client, &random)
        if server.disk.isStopped { try stopServer(&random) }
        if client.disk.isStopped { try stop(client, &random) }
        try look()
        if !server.troubles.isEmpty, !isServerFaulty {
            throw Finding("server", server.troubles.joined(separator: "; "))
        }
        server.troubles = []
        if abandoned.count > 6 { for link in abandoned.prefix(abandoned.count - 6) { server.disconnected(link) } }
        abandoned = abandoned.suffix(6)
        trace.add(UInt64(archive.head))
    }

    /// Takes in what became visible on the server, and checks it.
    func look() throws {
        try catchUp()
        if let tell {
            for position in checkedUpTo..<max(checkedUpTo, archive.head) {
                if let entry = archive.entry(at: position + 1) { tell(archive.text(of: entry)) }
            }
        }
        try checkEntries(after: checkedUpTo)
        checkedUpTo = archive.head
    }

    /// Reads the server's log where its disk has changed since the last look.
    ///
    /// - Parameter afterStop: it may have lost something, too.
    func catchUp(afterStop: Bool = false) throws {
        let changes = server.disk.changes
        guard afterStop || caughtUpAt != changes else { return }
        try archive.catchUp(server.workspace.store)
        caughtUpAt = changes
    }

    private func dispatch(_ kind: Schedule.Kind, _ client: SimulatedClient, _ random: inout SplitMix64) throws {
        switch kind {
        case .edit: try edit(client, &random)
        case .sync: try sync(client, &random)
        case .storm: try storm(&random)
        case .late: try late(&random)
        case .deadline: try deadline(&random)
        case .stopClient: try stop(client, &random)
        case .stopServer: try stopServer(&random)
        case .faultClient: try faultClient(client, &random)
        case .faultServer: try faultServer(client, &random)
        case .clock: client.clock.disturb(&random)
        case .pause: time.advance(Int64(1 + random.draw(90)) * 86_400_000)
        case .grant: try changeGrant(&random)
        case .move: try move(&random)
        case .second: try second(client, &random)
        case .verify: try verify(client, &random)
        case .collect: try collect(&random)
        case .enrol: try enrol(&random)
        case .revoke: try revoke(client, &random)
        case .hostile: try hostile(&random)
        case .undo: try undo(client, &random)
        case .conflict: try settleConflict(client, &random)
        case .issue: try settleIssue(client, &random)
        case .clone: try clone(client)
        case .image: if client.hasJoined { client.image = try client.takeImage() }
        case .rewind: try rewind(client)
        case .backup: try backup(&random)
        case .restore: try restoreServer(&random)
        case .schema: try changeSchema(client, &random)
        }
    }

    // MARK: Local writes

    func edit(_ client: SimulatedClient, _ random: inout SplitMix64) throws {
        guard let replica = client.writer(&random), replica.schema.version > 0 else { return }
        var edits = RandomEdits(
            seed: random.next(), site: client.number, customers: Template.customers,
            opportunities: Template.opportunities, territories: Template.territories)
        edits.skipIDs(random.draw(1 << 20))
        var statements = edits.next()
        // As the file has it: after an upgrade that failed an open replica names the version that did not come.
        if replica.schema.version > TestSchema.schema.version, random.chance(50),
            let schema = try? replica.read({ $0.schema })
        {
            var more = SchemaEdits(schema, seed: random.next(), site: client.number)
            if random.chance(60) { statements = [] }
            statements += (0..<(1 + random.draw(2))).compactMap { _ in more.next() }
        }
        do {
            if random.chance(85) {
                _ = try replica.write { writer in
                    for statement in statements { try writer.execute(statement.sql, statement.values) }
                }
            } else {
                try client.writeAsOtherProgram(statements)
            }
        } catch let error as ReplicaError {
            // Refused where it was typed: nothing was accepted.
            try admit(error, of: client)
        }
        if !client.disk.isStopped { try note(client) }
    }

    /// An error of a local write is the disk's, or says what is wrong with the write.
    func admit(_ error: ReplicaError, of client: SimulatedClient) throws {
        switch error {
        case .damaged, .broken, .notAReplica: throw Finding("P15", "a local write at device \(client.number): \(error)")
        case .sqlite(let inner) where !isClientFaulty && !inner.isConstraint:
            throw Finding("P15", "a local write at device \(client.number): \(inner.message) \(inner.sql ?? "")")
        default: break
        }
    }

    /// Remembers what was sealed, with what its author had seen then: the log as far as it was applied at the last
    /// look, since sealing comes before applying (rule K1).
    ///
    /// - Parameter hasRestarted: something may have been applied, and sealed after it, since the last look.
    func note(_ client: SimulatedClient, hasRestarted: Bool = false) throws {
        guard let replica = client.replica, !client.disk.isStopped, client.lookedAt != client.disk.changes else {
            return
        }
        do {
            let status = try look(at: client, replica)
            if status.site != client.site {
                client.site = status.site
                client.noted = 0
            }
            // Reading the outbox seals and writes: only where there is something that it could show.
            while client.hasOthersWrites || status.lastCommit > client.noted {
                let slice = try replica.outbox(after: client.noted, bytesMax: 1 << 20)
                for commit in slice.commits {
                    client.noted = max(client.noted, commit.envelope.dot.seq)
                    guard archive.made[commit.id] == nil else { continue }
                    statistics.commits += 1
                    let clock = commit.envelope.clock
                    let anchor = Archive.Standing(epoch: clock.lineage.epoch, position: clock.anchor)
                    guard anchor == client.seen || (hasRestarted && anchor == status.standing) else {
                        throw Finding(
                            "K1",
                            "a commit is anchored at \(anchor.position), its author stood at "
                                + "\(client.seen.position)\(anchor.epoch == client.seen.epoch ? "" : ", elsewhere")")
                    }
                    try archive.note(commit, client: client.number, seen: anchor, former: client.former)
                    client.former = commit.id
                    tell?("  device \(client.number) seals \(archive.text(of: commit.id))")
                }
                if !slice.hasMore {
                    client.hasOthersWrites = false
                    break
                }
            }
            // In another history it stands where that one takes it (rule I8).
            guard status.standing.epoch != client.seen.epoch || status.standing.position >= client.seen.position else {
                throw Finding(
                    "P11",
                    "device \(client.number) went back from \(client.seen.position) to \(status.standing.position)")
            }
            client.seen = status.standing
            client.lookedAt = client.disk.changes
        } catch let error as ReplicaError where isClientFaulty { _ = error }
    }

    /// The part of a replica's status that is looked at all the time.
    private struct Look {
        var site: SiteID?
        var standing = Archive.Standing(position: 0)
        /// Commits that are held come last (rule D7), and are no news.
        var lastCommit: Sequence64 = 0
    }

    private func look(at client: SimulatedClient, _ replica: Replica) throws -> Look {
        let rows = try replica.read {
            try $0.rows(
                """
                SELECT (SELECT value FROM peyk_meta WHERE key = 'site'),
                    (SELECT value FROM peyk_meta WHERE key = 'cursor'),
                    (SELECT value FROM peyk_meta WHERE key = 'lineage'),
                    (SELECT max(seq) FROM peyk_commit WHERE seq < 1 << 60)
                """)
        }
        guard let row = rows.first else { return Look() }
        // Only a restore changes it.
        if client.lineage.eras != row[2] { client.lineage = (row[2], try replica.status().epoch) }
        return Look(
            site: row[0].integerValue.map { SiteID(rawValue: UInt64(bitPattern: $0)) },
            standing: Archive.Standing(epoch: client.lineage.epoch, position: row[1].integerValue ?? 0),
            lastCommit: row[3].integerValue ?? 0)
    }

    /// The server's history ends at `position` now; what comes above it is another's (rule I6).
    func goBack(to position: Position, under lineage: Lineage) {
        archive.goBack(to: position, under: lineage)
        checkedUpTo = min(checkedUpTo, position)
        caughtUpAt = nil
        // A right was in force in the restored history from where it ends, at the latest.
        for user in rights.keys {
            rights[user] = rights[user]?.map { (after: min($0.after, position), grant: $0.grant) }
        }
    }
}
