import PeykModel
import PeykReplica
import PeykServer
import PeykSession
import PeykWire
import SeededRandom
import SimDisk

/// Connections between devices and the server, and what happens on them.
extension SimulatedWorld {
    func connect(_ client: SimulatedClient, purpose: ClientSession.Purpose = .sync) throws {
        abandon(client)
        linkCount += 1
        statistics.sessions += 1
        let session = ClientSession(
            purpose: purpose, workspace: "simulated", mustEnrol: !client.hasJoined)
        let link = Link(number: linkCount, client: client, session: session)
        link.isWatching = purpose == .watch
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
        try checkSent(message, to: link.client, in: link.context?.epoch)
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
        case .renewal where client.isCopied: return
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

    /// The shell of one that watches sees that the replica's file has changed.
    private func noticeChange(on link: Link) throws {
        if link.isWatching { try onClient(link) { link.session.localChange() } }
    }

    /// Nothing is under way on the connection.
    private func isQuiet(_ link: Link) -> Bool {
        link.up.isEmpty && link.down.isEmpty && !link.serverClosed && !server.waiting.contains { $0.link === link }
    }

    func sync(_ client: SimulatedClient, _ random: inout SplitMix64) throws {
        if isHealing {
            try connect(client)
        } else if client.link == nil || random.chance(30) {
            try connect(client, purpose: random.chance(40) ? .watch : .sync)
        }
        guard let link = client.link else { return }
        try noticeChange(on: link)
        if isHealing || random.chance(40) {
            var left = 3_000
            while left > 0, !(link.isWatching && isQuiet(link)), try advance(link, &random), client.link === link {
                left -= 1
            }
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
            // One that watches has nothing to do most of the time.
            if link.isWatching, isQuiet(link), random.chance(80) { break }
            guard client.link === link, try advance(link, &random) else { break }
        }
        // A group may stay open over the end of the step, so that others join it.
        if random.chance(60) { server.flush() }
    }

    func storm(_ random: inout SplitMix64) throws {
        let members = random.shuffled(clients).prefix(2 + random.draw(3))
        for client in members where client.link == nil { try connect(client) }
        for client in members { if let link = client.link { try noticeChange(on: link) } }
        for _ in 0..<(20 + random.draw(100)) {
            guard let client = random.pickIfAny(Array(members)), let link = client.link else { continue }
            if link.isWatching, isQuiet(link) { continue }
            _ = try advance(link, &random)
        }
        server.flush()
    }

    func late(_ random: inout SplitMix64) throws {
        guard let link = random.pickIfAny(abandoned.filter { !$0.serverClosed }) else { return }
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
