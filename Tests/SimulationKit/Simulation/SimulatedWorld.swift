import PeykModel
import PeykReplica
import PeykSQLite
import PeykServer
import PeykSession
import PeykWire
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
    private var linkCount = 0
    /// Edits that only a device held which was revoked, or an image that was overwritten.
    var exempt: Set<CommitID> = []
    /// A fault is planned in this step: errors of that side are expected.
    var isClientFaulty = false
    var isServerFaulty = false
    /// What each user was granted, and above which position (P20).
    var rights: [Int: [(after: Position, grant: Grant)]] = [:]
    /// The device that sends what is not allowed; made when it is first needed.
    var intruder: SimulatedClient?
    private var checkedUpTo: Position = 0
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
        var kinds: [Schedule.Kind: Int] = [:]
    }

    init(_ schedule: Schedule, plant: Plant? = nil) throws {
        self.schedule = schedule
        self.plant = plant
        template = try Template.shared()
        time = SimulatedTime(seed: schedule.seed)
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
            client.seen = try client.replica?.status().anchor ?? 0
            client.site = try client.replica?.status().site
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
        guard let client = random.pick(clients) else { return }
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
        try archive.catchUp(server.workspace.store)
        if let tell {
            for position in checkedUpTo..<max(checkedUpTo, archive.head) {
                if let entry = archive.entry(at: position + 1) { tell(archive.text(of: entry)) }
            }
        }
        try checkEntries(after: checkedUpTo)
        checkedUpTo = archive.head
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
        case .enrol: try enrol(&random)
        case .revoke: try revoke(client, &random)
        case .hostile: try hostile(&random)
        case .clone: try clone(client)
        case .image: if client.hasJoined { client.image = try client.takeImage() }
        case .rewind: try rewind(client)
        }
    }

    // MARK: Local writes

    func edit(_ client: SimulatedClient, _ random: inout SplitMix64) throws {
        guard let replica = client.writer(&random), replica.schema.version > 0 else { return }
        var edits = RandomEdits(
            seed: random.next(), site: client.number, customers: Template.customers,
            opportunities: Template.opportunities, territories: Template.territories)
        edits.skipIDs(random.draw(1 << 20))
        let statements = edits.next()
        do {
            if random.chance(70) {
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
    private func admit(_ error: ReplicaError, of client: SimulatedClient) throws {
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
        guard let replica = client.replica, !client.disk.isStopped else { return }
        do {
            let status = try replica.status()
            if status.site != client.site {
                client.site = status.site
                client.noted = 0
            }
            while true {
                let slice = try replica.outbox(after: client.noted, bytesMax: 1 << 20)
                for commit in slice.commits {
                    client.noted = max(client.noted, commit.envelope.dot.seq)
                    guard archive.made[commit.id] == nil else { continue }
                    statistics.commits += 1
                    let anchor = commit.envelope.clock.anchor
                    guard anchor == client.seen || (hasRestarted && anchor == status.anchor) else {
                        throw Finding("K1", "a commit is anchored at \(anchor), its author stood at \(client.seen)")
                    }
                    try archive.note(commit, client: client.number, seen: anchor, former: client.former)
                    client.former = commit.id
                    tell?("  device \(client.number) seals \(archive.text(of: commit.id))")
                }
                if !slice.hasMore { break }
            }
            guard status.anchor >= client.seen else {
                throw Finding("P11", "device \(client.number) went back from \(client.seen) to \(status.anchor)")
            }
            client.seen = status.anchor
        } catch let error as ReplicaError where isClientFaulty { _ = error }
    }

    // MARK: Sessions

    func connect(_ client: SimulatedClient, purpose: ClientSession.Purpose = .sync) throws {
        abandon(client)
        linkCount += 1
        statistics.sessions += 1
        let session = ClientSession(
            purpose: purpose, workspace: "simulated", mustEnrol: !client.hasJoined)
        let link = Link(number: linkCount, client: client, session: session)
        client.link = link
        server.connect(link)
    }

    /// The client's side of its connection is no more; what it sent may still arrive.
    func abandon(_ client: SimulatedClient) {
        guard let link = client.link else { return }
        link.clientClosed = true
        client.link = nil
        abandoned.append(link)
    }

    /// One thing happens on the connection: a frame arrives on one side, or a deadline passes. False where nothing can.
    func advance(_ link: Link, _ random: inout SplitMix64) throws -> Bool {
        let canUp = !link.up.isEmpty && !link.serverClosed
        let canDown = !link.down.isEmpty && !link.clientClosed
        if canUp, !canDown || random.chance(50) {
            let frame = link.up.removeFirst()
            trace.add(frame)
            statistics.frames += 1
            server.receive(frame, on: link)
            return true
        }
        if canDown {
            try receive(link.down.removeFirst(), on: link, &random)
            return true
        }
        if !server.waiting.isEmpty {
            server.flush()
            return true
        }
        if link.clientClosed { return false }
        if link.serverClosed {
            try onClient(link) { link.session.disconnected() }
            return true
        }
        // Silence: the client's deadline comes.
        time.advance(SessionLimits.idleSeconds * 1_000)
        try onClient(link) { link.session.timedOut() }
        return !link.clientClosed
    }

    private func receive(_ frame: [UInt8], on link: Link, _ random: inout SplitMix64) throws {
        trace.add(frame)
        statistics.frames += 1
        link.bytes += frame.count + 4
        if link.isAwaiting {
            link.isAwaiting = false
            link.roundTrips += 1
        }
        let message: ServerMessage
        do {
            message = try WireCodec.decodeServer(frame, limit: SessionLimits.frameBytes)
        } catch {
            throw Finding("P29", "the server sent what cannot be read: \(error)")
        }
        try checkSent(message, to: link.client)
        tell?("  device \(link.client.number) hears \(Self.text(of: message))")
        try onClient(link) { link.session.received(message, bytes: frame.count) }
        switch message {
        case .batch, .records, .welcome: if isHealing || random.chance(35) { try check(link.client) }
        default: break
        }
    }

    private static func text(of message: ServerMessage) -> String {
        switch message {
        case .welcome(let welcome):
            "welcome \(welcome.entrance), head \(welcome.head), merged up to \(welcome.lastMerged)"
        case .batch(let batch):
            "batch \(batch.from) to \(batch.to)\(batch.isWhole ? " whole" : ""), at "
                + batch.entries.map { "\($0.position)" }.joined(separator: ", ")
        case .page(let page): "page of \(page.rowCount) in table \(page.table) at \(page.position)"
        case .refuse(let refusal), .bye(let refusal): "\(message.name) \(refusal.code.rawValue)"
        default: message.name
        }
    }

    /// Feeds the client's session and judges the errors that come of it.
    func onClient(_ link: Link, _ event: () -> [ClientSession.Directive]) throws {
        let client = link.client
        do {
            try client.carryOut(event(), link)
        } catch let error as SessionError {
            close(link)
            try judge(error, link)
        } catch let error as ReplicaError {
            close(link)
            if !isClientFaulty { throw Finding("client", "device \(client.number) in a session: \(error)") }
        }
        if client.disk.isStopped { return }
        try note(client)
        if link.session.isClosed { close(link) }
    }

    private func close(_ link: Link) {
        if link.client.link === link { abandon(link.client) }
    }

    /// Which refusals and failures are right.
    private func judge(_ error: SessionError, _ link: Link) throws {
        let client = link.client
        switch error {
        case .timeout, .disconnected: return
        case .refused(let refusal):
            switch refusal.code {
            case .overtaken, .scopeChanged: return
            case .revoked where client.isRevoked: return
            case .internal where link.hasFailed: return
            case .invite where !client.hasJoined: return
            // The server's deadline came first.
            case .protocolBroken where refusal.message.hasPrefix("No complete greeting"): return
            default:
                throw Finding(
                    "session", "device \(client.number) was refused: \(refusal.code.rawValue) \(refusal.message)")
            }
        default: throw Finding("session", "device \(client.number): \(error)")
        }
    }

    func sync(_ client: SimulatedClient, _ random: inout SplitMix64) throws {
        if client.link == nil || random.chance(40) { try connect(client) }
        guard let link = client.link else { return }
        if isHealing || random.chance(40) {
            var left = 3_000
            while left > 0, try advance(link, &random), client.link === link { left -= 1 }
            return
        }
        let count = [1, 2, 3, 5, 8, 13, 40][random.draw(7)]
        for _ in 0..<count {
            if random.chance(4) {
                switch random.draw(4) {
                case 0: link.cut(upTo: random.draw(4_000))
                case 1: link.isUpDead = true
                case 2: link.isDownDead = true
                default:
                    link.cut(upTo: random.draw(4_000))
                    abandon(client)
                }
            }
            guard client.link === link, try advance(link, &random) else { break }
        }
        // A group may stay open over the end of the step, so that others join it.
        if random.chance(60) { server.flush() }
    }

    func storm(_ random: inout SplitMix64) throws {
        let members = random.shuffled(clients).prefix(2 + random.draw(3))
        for client in members where client.link == nil { try connect(client) }
        for _ in 0..<(20 + random.draw(100)) {
            guard let client = random.pick(Array(members)), let link = client.link else { continue }
            _ = try advance(link, &random)
        }
        server.flush()
    }

    func late(_ random: inout SplitMix64) throws {
        guard let link = random.pick(abandoned.filter { !$0.serverClosed }) else { return }
        for _ in 0..<(1 + random.draw(4)) where !link.up.isEmpty && !link.serverClosed {
            let frame = link.up.removeFirst()
            trace.add(frame)
            server.receive(frame, on: link)
        }
        server.flush()
        if link.up.isEmpty { server.disconnected(link) }
    }

    func deadline(_ random: inout SplitMix64) throws {
        time.advance(SessionLimits.idleSeconds * 1_000)
        for link in server.links where random.chance(70) { server.timedOut(link) }
        for client in clients {
            if let link = client.link, random.chance(50) { try onClient(link) { link.session.timedOut() } }
        }
    }
}
