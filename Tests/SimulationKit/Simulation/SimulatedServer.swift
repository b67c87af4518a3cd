import PeykModel
import PeykServer
import PeykSession
import PeykStoreSQLite
import PeykWire
import SimDisk

/// The server's machine: its disk, and while it runs its workspace and its half of each connection. Real core, real
/// store, real codec; only the shell is this one.
final class SimulatedServer {
    let disk: SimulatedDisk
    let time: SimulatedTime
    let keys: WorkspaceKeys
    private(set) var workspace: Workspace
    /// On the same disk, but not part of the store: a restore keeps it (rule I9).
    let journal: SimulatedJournal
    private(set) var links: [Link] = []
    /// Pushes that wait for the next group.
    private(set) var waiting: [(link: Link, request: PushRequest)] = []
    /// Errors of the store since the last look; expected only while the disk is failing.
    var troubles: [String] = []
    static let fingerprint = [UInt8](repeating: 7, count: 32)

    init(_ template: Template, time: SimulatedTime, plant: Plant?) throws {
        self.time = time
        keys = template.keys
        disk = try SimulatedDisk(isInMemory: true)
        disk.isLying = plant == .lyingDisk
        try disk.replace(with: template.serverFiles)
        journal = SimulatedJournal(disk)
        workspace = try Self.open(disk, keys, time, journal)
        workspace.beginServing()
    }

    /// As the program does at each start.
    private static func open(
        _ disk: SimulatedDisk, _ keys: WorkspaceKeys, _ time: SimulatedTime, _ journal: SimulatedJournal
    ) throws -> Workspace {
        let workspace = try Workspace(
            store: SQLiteStore(path: disk.folder + "/server.sqlite"), keys: keys,
            environment: KnownSignatures.shared.checking(time.server), journal: journal)
        try workspace.replayJournal()
        return workspace
    }

    /// Stops the machine, loses what it loses, and starts again. All connections are gone.
    func restart(losing loss: SimulatedDisk.Loss) throws -> Int64 {
        let lost = try stop(losing: loss)
        workspace = try Self.open(disk, keys, time, journal)
        workspace.beginServing()
        return lost
    }

    private func stop(losing loss: SimulatedDisk.Loss) throws -> Int64 {
        disk.stop()
        for link in links { link.serverIsGone() }
        links = []
        waiting = []
        // The old process holds the files until it is gone.
        workspace = try Placeholder.workspace.get()
        guard disk.openHandles == 0 else { throw Finding("harness", "the server's files are still open") }
        return try disk.start(losing: loss)
    }

    /// Another store takes the place of the present one while the server is stopped; the new one is served after
    /// `prepare`.
    ///
    /// - Returns: writes of the former store that were lost when it was stopped.
    func replace(
        with files: [String: [UInt8]], losing loss: SimulatedDisk.Loss, prepare: (Workspace) throws -> Void
    ) throws -> Int64 {
        let lost = try stop(losing: loss)
        try disk.replace(with: files)
        let workspace = try Workspace(
            store: SQLiteStore(path: disk.folder + "/server.sqlite"), keys: keys,
            environment: KnownSignatures.shared.checking(time.server), journal: journal)
        try prepare(workspace)
        try (workspace.store as? SQLiteStore)?.checkpoint()
        self.workspace = workspace
        workspace.beginServing()
        return lost
    }

    func shutDown() {
        disk.stop()
        links = []
        waiting = []
        if let placeholder = try? Placeholder.workspace.get() { workspace = placeholder }
        disk.remove()
    }

    func connect(_ link: Link) {
        links.append(link)
        link.challenge = workspace.challenge()
        link.down.append(WireCodec.encode(ServerMessage.challenge(link.challenge)))
    }

    func forget(_ link: Link) {
        links.removeAll { $0 === link }
        waiting.removeAll { $0.link === link }
    }

    // MARK: Events

    func receive(_ frame: [UInt8], on link: Link) {
        do {
            let message = try WireCodec.decodeClient(frame, limit: SessionLimits.frameBytes)
            carryOut(link.server.received(message, bytes: frame.count), link)
        } catch {
            end(link, Refusal(.protocolBroken, "unreadable: \(error)"))
        }
    }

    func disconnected(_ link: Link) {
        _ = link.server.disconnected()
        forget(link)
    }

    func timedOut(_ link: Link) { carryOut(link.server.timedOut(), link) }

    /// Commits what waits, in one group, and tells all sessions.
    func flush() {
        guard !waiting.isEmpty else { return }
        let group = waiting
        waiting = []
        do {
            let results = try workspace.commit(group.map(\.request))
            for (member, result) in zip(group, results) {
                switch result {
                case .acknowledge(var acknowledge):
                    acknowledge.credit = Int64(member.request.commits.reduce(0) { $0 + $1.sealed.count + 128 })
                    carryOut(member.link.server.committed(acknowledge), member.link)
                case .refuse(let refusal): end(member.link, refusal)
                }
            }
        } catch {
            for member in group { end(member.link, refusal(error, member.link)) }
        }
        tellHead()
    }

    func tellHead() {
        guard let head = try? workspace.head() else { return }
        for link in links { carryOut(link.server.headMoved(to: head), link) }
    }

    /// Ends the session where it may not go on, as the server's own look every few seconds does.
    func checkStanding(of link: Link) {
        guard let context = link.context, let refusal = try? workspace.standing(of: context) else { return }
        end(link, refusal)
    }

    private func end(_ link: Link, _ refusal: Refusal) {
        carryOut(link.server.isOpen ? link.server.ended(refusal) : link.server.refused(refusal), link)
    }

    /// As the real shell: refusals as they are, our own faults without their inside.
    private func refusal(_ error: any Error, _ link: Link) -> Refusal {
        if let refusal = error as? Refusal { return refusal }
        link.hasFailed = true
        troubles.append("\(error)")
        return Refusal(.internal, "the server could not go on")
    }

    private func carryOut(_ directives: [ServerSession.Directive], _ link: Link) {
        var line = directives
        while !line.isEmpty {
            let directive = line.removeFirst()
            do {
                line += try carryOut(directive, link)
            } catch {
                let refusal = refusal(error, link)
                line += link.server.isOpen ? link.server.ended(refusal) : link.server.refused(refusal)
            }
        }
    }

    private func carryOut(_ directive: ServerSession.Directive, _ link: Link) throws -> [ServerSession.Directive] {
        switch directive {
        case .send(let message): if !link.isDownDead { link.down.append(WireCodec.encode(message)) }
        case .close: link.serverIsGone()
        case .enrol(let enrol):
            return link.server.enrolled(
                try workspace.enrol(enrol, challenge: link.challenge, fingerprint: Self.fingerprint))
        case .admit(let hello):
            link.greeted = hello.site
            let admission = try workspace.admit(hello, challenge: link.challenge, fingerprint: Self.fingerprint)
            link.context = admission.context
            return link.server.admitted(
                admission.welcome, cursor: admission.cursor, backfill: admission.backfill, credit: admission.credit)
                + link.server.headMoved(to: try workspace.head())
        case .quarantine(let commits, let bytes):
            guard let site = link.greeted else { return [] }
            return link.server.quarantined(upTo: try workspace.quarantine(commits, of: site), credit: bytes)
        default:
            guard let context = link.context else { return [] }
            return try carryOut(directive, link, context)
        }
        return []
    }

    private func carryOut(
        _ directive: ServerSession.Directive, _ link: Link, _ context: SessionContext
    ) throws -> [ServerSession.Directive] {
        switch directive {
        case .commit(let commits, _):
            waiting.append((link, PushRequest(context: context, commits: commits)))
        case .recordNames(let names, let isLast, _):
            waiting.append((link, PushRequest(context: context, commits: [], names: names, endsNames: isLast)))
        case .readBatch(let from, let upTo, let bytes, let scope, let isWhole):
            let batch = try workspace.batch(
                for: context, from: from, upTo: upTo, bytesMax: bytes, scope: scope, whole: isWhole)
            return link.server.read(batch: batch, bytes: WireCodec.encode(ServerMessage.batch(batch)).count)
        case .readPage(let mark):
            let page = try workspace.page(for: context, after: mark)
            return link.server.read(page: page, bytes: page.payload.count)
        case .answer(let question):
            let reply = try workspace.answer(question, for: context)
            return link.server.answered(reply, bytes: WireCodec.encode(reply).count)
        case .recordApplied(let position): record { try workspace.applied(position, by: context) }
        case .confirmNonce: record { try workspace.confirmNonce(of: context) }
        case .rekey(let rekey):
            return link.server.rekeyed(
                try workspace.rekey(rekey, challenge: link.challenge, fingerprint: Self.fingerprint, for: context))
        default: break
        }
        return []
    }

    /// As the real shell: what cannot be recorded is logged, and the session goes on.
    private func record(_ body: () throws -> Void) {
        do { try body() } catch { if !(error is Refusal) { troubles.append("\(error)") } }
    }
}

/// Stands in for a workspace between two lives of a server's process.
private enum Placeholder {
    static let workspace = Result {
        let time = SimulatedTime(seed: 2)
        return try Workspace.create(
            name: "none", schema: Schema(version: 1, tables: []), store: MemoryStore(),
            keys: WorkspaceKeys.generate { time.bytes($0) }, environment: time.server)
    }
}

/// One connection: both halves' sessions, and the frames under way between them.
final class Link {
    let number: Int
    let client: SimulatedClient
    var session: ClientSession
    var server = ServerSession()
    var challenge = Challenge(nonce: [], workspace: "", serverTime: 0, versions: 1...1)
    var context: SessionContext?
    /// The site that hello named.
    var greeted: SiteID?
    var up: [[UInt8]] = []
    var down: [[UInt8]] = []
    /// Nothing that is sent from now on arrives, and nobody is told: half-open.
    var isUpDead = false
    var isDownDead = false
    /// The server closed it after what is under way; the client has not noticed.
    private(set) var serverClosed = false
    /// The server's disk failed under it.
    var hasFailed = false
    /// The client's side is no more.
    var clientClosed = false
    /// Round trips and bytes, for P26.
    var roundTrips = 0
    var bytes = 0
    var isAwaiting = false
    /// The client stays, and its shell tells the session of local changes.
    var isWatching = false
    var delivered: [ServerMessage] = []

    init(number: Int, client: SimulatedClient, session: ClientSession) {
        self.number = number
        self.client = client
        self.session = session
    }

    func serverIsGone() { serverClosed = true }

    /// The line is cut: of what is under way only whole frames within the first bytes arrive.
    func cut(upTo count: Int) {
        var left = count
        func fits(_ frame: [UInt8]) -> Bool {
            left -= frame.count + 4
            return left >= 0
        }
        up = up.filter(fits)
        left = count
        down = down.filter(fits)
        isUpDead = true
        isDownDead = true
    }
}
