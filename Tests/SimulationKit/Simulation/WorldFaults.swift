import PeykModel
import PeykReplica
import PeykServer
import PeykSession
import PeykWire
import SeededRandom
import SimDisk

/// Steps beside editing and syncing: stops, faults, and what IT does.
extension SimulatedWorld {
    // MARK: Stops and faults

    /// The machine stops between two steps, or at some write of what it does next.
    func stop(_ client: SimulatedClient, _ random: inout SplitMix64) throws {
        if !client.disk.isStopped, random.chance(60) {
            isClientFaulty = true
            client.disk.fail(.changes, nth: UInt64(1 + random.draw(30)), .stop)
            if random.chance(50) { try edit(client, &random) } else { try sync(client, &random) }
            guard client.disk.isStopped else { return client.disk.heal() }
        }
        isClientFaulty = true
        statistics.stops += 1
        let loss: SimulatedDisk.Loss = random.chance(40) ? .nothing : .unsynced(seed: random.next() | 1)
        if let link = client.link { abandoned.append(link) }
        statistics.lostWrites += try client.restart(losing: loss)
        guard let replica = client.replica else { return }
        let status = try replica.status()
        if status.site == client.site, status.lastSealed < client.noted {
            throw Finding(
                "P15", "device \(client.number) lost commits above \(status.lastSealed), it had sealed \(client.noted)")
        }
        try note(client, hasRestarted: true)
        try check(client)
    }

    func stopServer(_ random: inout SplitMix64) throws {
        if !server.disk.isStopped, random.chance(60), let client = random.pickIfAny(clients) {
            isServerFaulty = true
            server.disk.fail(.changes, nth: UInt64(1 + random.draw(30)), .stop)
            try sync(client, &random)
            guard server.disk.isStopped else { return server.disk.heal() }
        }
        isServerFaulty = true
        statistics.stops += 1
        let loss: SimulatedDisk.Loss = random.chance(40) ? .nothing : .unsynced(seed: random.next() | 1)
        statistics.lostWrites += try server.restart(losing: loss)
        try catchUp(afterStop: true)
    }

    func faultClient(_ client: SimulatedClient, _ random: inout SplitMix64) throws {
        isClientFaulty = true
        arm(client.disk, &random)
        if random.chance(50) { try edit(client, &random) } else { try sync(client, &random) }
        statistics.faults += client.disk.failed
        client.disk.heal()
        try note(client)
    }

    func faultServer(_ client: SimulatedClient, _ random: inout SplitMix64) throws {
        isServerFaulty = true
        arm(server.disk, &random)
        try sync(client, &random)
        server.flush()
        statistics.faults += server.disk.failed
        server.disk.heal()
    }

    func arm(_ disk: SimulatedDisk, _ random: inout SplitMix64) {
        let failures: [SimulatedDisk.Failure] = [.deviceError, .full, .shortWrite]
        let kinds: [SimulatedDisk.Operations] = [.write, .sync, .changes, [.write, .sync], .all]
        disk.fail(
            kinds[random.draw(kinds.count)], nth: UInt64(1 + random.draw(25)), failures[random.draw(3)],
            sticky: random.chance(40))
    }

    // MARK: What IT and managers do

    func changeGrant(_ random: inout SplitMix64) throws {
        let user = random.draw(schedule.shape.clients)
        let isManager = schedule.shape.isOpen || random.chance(15)
        var chosen: Set<Int> = [random.draw(Template.territories)]
        if random.chance(40) { chosen.insert(random.draw(Template.territories)) }
        let territories = isManager ? [] : chosen.sorted().map { TestSchema.territory($0).description }
        try server.workspace.setUser(
            TestSchema.user(user), name: "user\(user)", role: isManager ? .manager : .rep, territories: territories)
        rights[user]?.append((try server.workspace.head() - 1, try grant(of: user)))
        server.tellHead()
    }

    /// A customer or an opportunity goes to another territory or owner, by IT's own commit.
    func move(_ random: inout SplitMix64) throws {
        let isCustomer = random.chance(70)
        let name = isCustomer ? "customer" : "opportunity"
        let record =
            isCustomer
            ? TestSchema.customer(random.draw(Template.customers))
            : TestSchema.opportunity(random.draw(Template.opportunities))
        guard let index = archive.schema.tableIndex(name), let table = archive.schema.table(at: index),
            let territory = table.cell(named: "territory_id"), let owner = table.cell(named: "owner_id")
        else { return }
        var cells: [CellChange] = []
        if random.chance(75) {
            let value = random.chance(10) ? Value.null : Value(TestSchema.territory(random.draw(Template.territories)))
            cells.append(CellChange(cell: territory.tag, write: .assign([value])))
        }
        if cells.isEmpty || random.chance(20) {
            let value = random.chance(30) ? Value.null : Value(TestSchema.user(random.draw(schedule.shape.clients)))
            cells.append(CellChange(cell: owner.tag, write: .assign([value])))
        }
        try server.workspace.serverCommit(
            [Change(table: index, record: record, kind: .update, cells: cells.sorted { $0.cell < $1.cell })])
        server.tellHead()
    }

    /// Some minutes of service, then a pass of collection. Leases last ten minutes here, tombstones one (rule T1).
    func collect(_ random: inout SplitMix64) throws {
        for _ in 0..<(1 + random.draw(4)) {
            time.advance(2 * Workspace.noteServedMilliseconds)
            try server.workspace.noteServed()
        }
        try server.workspace.moveBackupHorizonByAge()
        var pass = CollectionPass()
        while !pass.isDone { try server.workspace.collect(&pass) }
        statistics.collected += pass.tombstones
        statistics.expired += pass.expired.count
    }

    func second(_ client: SimulatedClient, _ random: inout SplitMix64) throws {
        guard client.hasJoined else { return }
        if client.second != nil, random.chance(40) { return client.closeSecond() }
        try client.openSecond()
        try note(client)
        for _ in 0..<(1 + random.draw(3)) { try edit(client, &random) }
    }

    func verify(_ client: SimulatedClient, _ random: inout SplitMix64) throws {
        guard let replica = client.replica, try !replica.status().isLoading else { return }
        let request = DigestRequest()
        try connect(client, purpose: .ask(.digest(request)))
        guard let link = client.link else { return }
        var left = 400
        while left > 0, client.link === link, try advance(link, &random) { left -= 1 }
        guard client.seen.epoch == archive.epoch else { return }
        for case .digest(let reply) in link.delivered where reply.position == (try replica.status().anchor) {
            // A record that waits to be fetched (rule K7) is not of any position yet.
            guard try hasNoFaults(replica) else { continue }
            let differing = try replica.compare(reply, to: request).ranges.map(\.table)
            guard differing.isEmpty else {
                let buckets = try replica.status().scope.buckets
                let what = try differing.map { try difference(client, replica, $0, reply.position, buckets) }
                throw Finding(
                    "T5",
                    "device \(client.number) differs from the server at \(reply.position) in tables "
                        + "\(differing): \(what.joined(separator: "; "))")
            }
        }
        try note(client)
    }

    // MARK: Devices

    static let clientsMax = 15

    func enrol(_ random: inout SplitMix64) throws {
        guard clients.count < Self.clientsMax else { return }
        let user = random.draw(schedule.shape.clients)
        try enrol(user: user)
        if let client = clients.last { try sync(client, &random) }
    }

    private func enrol(user: Int) throws {
        let client = try SimulatedClient(
            number: clients.count, user: user, keySeed: time.bytes(32), files: nil, time: time, plant: plant)
        client.code = try server.workspace.invite(user: TestSchema.user(user), lifetimeSeconds: 40_000 * 86_400).code
        clients.append(client)
    }

    func revoke(_ client: SimulatedClient, _ random: inout SplitMix64) throws {
        guard let site = client.site, !client.isRevoked, clients.count < Self.clientsMax else { return }
        var revoked = try server.workspace.revoke(site)
        // A restored server may not know the site that a copy was given; it knows the one that had enrolled, and with
        // it the family (rules I3, I9).
        if revoked.isEmpty, let origin = client.enrolled { revoked = try server.workspace.revoke(origin) }
        guard !revoked.isEmpty else { throw Finding("I3", "device \(client.number)'s site is not known to the server") }
        for member in clients where member.family == client.family { member.isRevoked = true }
        for link in server.links where link.client.isRevoked { server.checkStanding(of: link) }
        try enrol(user: client.user)
    }

    func clone(_ client: SimulatedClient) throws {
        guard clients.count < Self.clientsMax, client.hasJoined else { return }
        let image = try client.takeImage()
        let copy = try SimulatedClient(
            number: clients.count, family: client.family, user: client.user, keySeed: client.keySeed,
            files: nil, time: time, plant: plant)
        clients.append(copy)
        copy.isRevoked = client.isRevoked
        copy.enrolled = client.enrolled
        client.isCopied = true
        copy.isCopied = true
        try copy.restore(image)
        try note(copy, hasRestarted: true)
    }

    func rewind(_ client: SimulatedClient) throws {
        guard let image = client.image else { return }
        var kept: Set<CommitID> = []
        var former = image.former
        while let id = former {
            kept.insert(id)
            former = archive.made[id]?.former
        }
        // What only the overwritten disk held is gone, whatever we do; what the server has may be lost with it later.
        for (id, made) in archive.made where made.client == client.number && !kept.contains(id) {
            client.forgotten.insert(id)
            if archive.positions[id] == nil { exempt.insert(id) }
        }
        if let link = client.link { abandoned.append(link) }
        client.isCopied = true
        try client.restore(image)
        try note(client, hasRestarted: true)
    }
}
