import PeykModel
import PeykReplica
import PeykServer
import PeykSession
import PeykWire
import SeededRandom
import SimDisk

/// What must hold after each step, and at the end.
extension SimulatedWorld {
    /// No record waits to be fetched (rule K7): only then is confirmed state exactly that of the cursor.
    func hasNoFaults(_ replica: Replica) throws -> Bool {
        try replica.read { try $0.value("SELECT 1 FROM peyk_fault LIMIT 1") } == nil
    }

    /// Confirmed rows are the server's at the cursor, within the scope that is held (P1, P12, P17, P21), and
    /// references hold in what is shown (P22).
    func check(_ client: SimulatedClient) throws {
        guard let replica = client.replica, !client.disk.isStopped, client.comparedAt != client.disk.changes else {
            return
        }
        do {
            let status = try replica.status()
            guard !status.isLoading, !status.scope.buckets.isEmpty else { return }
            statistics.checks += 1
            let broken = try replica.read { try $0.rows("PRAGMA foreign_key_check") }
            guard broken.isEmpty else {
                throw Finding("P22", "device \(client.number) shows a broken reference: \(broken[0])")
            }
            guard try hasNoFaults(replica) else { return }
            let found = try replica.digests(DigestRequest())
            // Digests seal first; what they sealed was written at the same cursor.
            try note(client)
            // While the server's disk fails, the archive waits with its look.
            let epoch = client.seen.epoch
            guard archive.head(of: epoch) >= found.position else { return }
            client.comparedAt = client.disk.changes
            let schema = replica.schema
            guard schema.version >= archive.schemaVersion(at: found.position, of: epoch) else {
                throw Finding(
                    "T2", "device \(client.number) is at \(found.position) with version \(schema.version) of the schema"
                )
            }
            let expected = archive.digests(at: found.position, of: epoch, in: status.scope.buckets, as: schema)
            for item in found.parts
            where (expected[item.table].count, expected[item.table].digest) != (item.count, item.digest) {
                throw Finding("P1", try difference(client, replica, item.table, found.position, status.scope.buckets))
            }
        } catch let error as ReplicaError {
            if !isClientFaulty { throw Finding("client", "device \(client.number) while it is checked: \(error)") }
        }
    }

    func difference(
        _ client: SimulatedClient, _ replica: Replica, _ table: Int, _ position: Position, _ buckets: [Bucket]
    ) throws -> String {
        let definition = replica.schema.tables[table]
        let expected = archive.rows(
            of: table, at: position, of: client.seen.epoch, in: buckets, as: replica.schema)
        let found = try replica.digests(DigestRequest(ranges: [DigestRange(table: table)]))
        var digests: [RecordID: UInt64] = [:]
        for part in found.parts where part.count == 1 { if let record = part.upTo { digests[record] = part.digest } }
        var lines: [String] = []
        for (record, row) in expected.sorted(by: { $0.key < $1.key })
        where digests[record] != row.digest(table: definition, record: record) {
            let shown = try replica.read { try $0.row(definition.name, record) }
            let what = digests[record] == nil ? "is missing" : "is \(shown.map { "\($0.values)" } ?? "?")"
            lines.append("\(definition.name) \(record) \(what), the server has \(row.values)")
        }
        for record in digests.keys.sorted() where expected[record] == nil {
            lines.append("\(definition.name) \(record) is there, the server has none in scope")
        }
        return "device \(client.number) at \(position): " + lines.prefix(3).joined(separator: "; ")
    }

    // MARK: What leaves the server (P20)

    /// - Parameter epoch: of the session.
    func checkSent(_ message: ServerMessage, to client: SimulatedClient, in epoch: Epoch?) throws {
        // While the server's disk fails, looking at it could fail as well. What a restore found under way is of a
        // history whose positions say nothing in this one.
        guard !isServerFaulty, epoch == nil || epoch == archive.epoch else { return }
        switch message {
        case .batch(let batch):
            // The log may have grown since the last look.
            try catchUp()
            for entry in batch.entries {
                for effect in entry.effects { try checkSent(effect, at: entry.position, to: client) }
            }
        case .records(let records):
            try catchUp()
            for effect in records.effects { try checkSent(effect, at: records.position, to: client) }
        case .page(let page) where page.rowCount > 0:
            try catchUp()
            for record in try RowPageReader(page.payload).ids {
                try checkSent(RecordKey(table: page.table, record: record), at: page.position, to: client)
            }
        case .history(let reply):
            for entry in reply.entries {
                for effect in entry.effects { try checkSent(effect, at: entry.position, to: client) }
            }
        default: break
        }
    }

    private func checkSent(_ effect: Effect, at position: Position, to client: SimulatedClient) throws {
        switch effect.kind {
        case .delete, .evict: return
        case .full, .delta, .touched: try checkSent(effect.key, at: position, to: client)
        }
    }

    private func checkSent(_ key: RecordKey, at position: Position, to client: SimulatedClient) throws {
        let audience = archive.version(of: key, at: position)?.audience ?? .nobody
        let grants = rights[client.user] ?? []
        for (index, right) in grants.enumerated() {
            // In force at the position, or at any time after it.
            let isLast = index == grants.count - 1
            guard isLast || grants[index + 1].after >= position else { continue }
            if right.grant.reads(audience) { return }
        }
        throw Finding(
            "P20", "device \(client.number) was sent \(key) of \(position), to which it never had a right")
    }

    // MARK: What enters the server (P9, P20, P22)

    func checkEntries(after former: Position) throws {
        guard archive.head > former else { return }
        for position in (former + 1)...archive.head {
            guard let entry = archive.entry(at: position) else { continue }
            if entry.stamp.milliseconds > max(entry.time, time.now) + 60_000 + 1 {
                throw Finding("P9", "the stamp \(entry.stamp) at \(position) is over a minute ahead of \(entry.time)")
            }
            guard entry.kind == .commit, let user = entry.user else { continue }
            try checkRetired(entry)
            for effect in entry.effects where effect.isNamed && changes(effect) {
                try checkRight(user, entry, effect)
            }
        }
        try archive.checkReferences()
    }

    private func changes(_ effect: LogEffect) -> Bool {
        !effect.replaced.isEmpty || (effect.after == nil) != (effect.audienceBefore == nil)
    }

    private func checkRight(_ user: RecordID, _ entry: LogEntry, _ effect: LogEffect) throws {
        guard let number = (0...Template.hostile).first(where: { TestSchema.user($0) == user }) else { return }
        var audiences = [effect.audienceBefore].compactMap { $0 }
        if audiences.isEmpty, let list = archive.versions[effect.key] {
            // One that comes back is where it was when it was deleted.
            let last = list.last { $0.position < entry.position && $0.row != nil }
            audiences += [last?.audience].compactMap { $0 }
        }
        let anchors = archive.anchors(of: entry.clock)
        for anchor in anchors {
            let seen = archive.version(of: effect.key, at: anchor.position, of: anchor.epoch)
            if let seen, seen.row != nil { audiences.append(seen.audience) }
            // Of what lies below the log's horizon the server knows the end alone (rule T1).
            let horizon = try logHorizon()
            if anchor.position < horizon, let known = archive.version(of: effect.key, at: horizon), known.row != nil {
                audiences.append(known.audience)
            }
        }
        // Where it was not there yet, what counts is where its author put it; so for later edits of it, too (rule S4).
        if audiences.isEmpty || inserts(entry, effect) { audiences += [effect.audienceAfter].compactMap { $0 } }
        for anchor in anchors where audiences.isEmpty || isNew(effect.key, to: anchor, of: user) {
            audiences += parents(of: effect.key, effect.after, at: anchor, user).map(\.audience)
        }
        let grants = rights[number] ?? []
        guard audiences.contains(where: { audience in grants.contains { $0.grant.writes(audience) } }) else {
            throw Finding("P20", "user \(number) changed \(effect.key) at \(entry.position), which it may not write")
        }
    }

    /// Whether the commit makes a new record under an id that no living one has.
    private func inserts(_ entry: LogEntry, _ effect: LogEffect) -> Bool {
        guard effect.audienceBefore == nil, let body = archive.made[entry.commit]?.body else { return false }
        return body.changes.contains {
            $0.kind == .insert && $0.table == effect.key.table && $0.record == effect.key.record
        }
    }

    private func logHorizon() throws -> Position {
        // While the server's disk fails, looking at it could fail as well; then it has collected nothing.
        isServerFaulty ? 0 : try server.workspace.store.read { try $0.clockDocument().logHorizon }
    }

    /// Whether the user made the record, above the anchor.
    private func isNew(_ key: RecordKey, to anchor: Archive.Standing, of user: RecordID) -> Bool {
        guard archive.version(of: key, at: anchor.position, of: anchor.epoch) == nil,
            let first = archive.versions[key]?.first(where: { $0.row != nil })
        else { return false }
        return archive.entry(at: first.position)?.user == user
    }

    /// What a new record's parents were as its author saw them; of one that she made as well, its own.
    private func parents(
        of key: RecordKey, _ row: Row?, at anchor: Archive.Standing, _ user: RecordID, depth: Int = 0
    ) -> [Archive.Version] {
        // Of a deleted one, as it was.
        guard let row = row ?? archive.versions[key]?.last(where: { $0.row != nil })?.row, depth < 4,
            let table = archive.schema.table(at: key.table)
        else { return [] }
        return table.fields.enumerated().flatMap { index, field -> [Archive.Version] in
            guard case .reference(let name) = field.type, let target = archive.schema.tableIndex(name),
                let record = row[index].recordID
            else { return [] }
            let parent = RecordKey(table: target, record: record)
            if let seen = archive.version(of: parent, at: anchor.position, of: anchor.epoch) { return [seen] }
            guard isNew(parent, to: anchor, of: user) else { return [] }
            return parents(of: parent, nil, at: anchor, user, depth: depth + 1)
        }
    }

    // MARK: The end

    /// No more faults: within bounded rounds all devices have everything, and the server has all of theirs (P26).
    func heal() throws {
        isHealing = true
        for client in clients {
            abandon(client)
            client.closeSecond()
            client.disk.heal()
        }
        server.disk.heal()
        for link in server.links { server.disconnected(link) }
        abandoned = []
        var random = SplitMix64(seed: schedule.seed &+ 99)
        try rest(&random)
        // Devices that are never seen again would keep a refill open; IT ends it, and what waits is merged as it is.
        if try server.workspace.closeRefill() != nil {
            server.tellHead()
            try look()
            try rest(&random)
        }
        if try emptyDropped() { try rest(&random) }
        try finish(&random)
    }

    private func rest(_ random: inout SplitMix64) throws {
        var left = clients.filter { !$0.isRevoked }
        for _ in 0..<40 where !left.isEmpty {
            for client in random.shuffled(left) {
                time.advance(1_000)
                try sync(client, &random)
                try look()
                if !server.troubles.isEmpty { throw Finding("server", server.troubles.joined(separator: "; ")) }
            }
            left = try clients.filter { try !$0.isRevoked && !isDone($0) }
        }
        guard left.isEmpty else {
            let states = try clients.filter { !$0.isRevoked }.map { client in
                let status = try client.replica?.status()
                return "device \(client.number) at \(status?.anchor ?? -1), pending \(status?.pending ?? -1)"
            }
            throw Finding(
                "P26", "no rest after 40 rounds, the head is \(archive.head): " + states.joined(separator: "; "))
        }
    }

    func isDone(_ client: SimulatedClient) throws -> Bool {
        guard let status = try client.replica?.status() else { return false }
        let grant = try grant(of: client.user)
        return status.anchor == archive.head && status.pending == status.held && !status.isLoading
            && status.scope.buckets == grant.read && client.seen.epoch == archive.epoch
    }

    private func finish(_ random: inout SplitMix64) throws {
        try archive.compare(server.workspace.store)
        try checkDropped()
        for client in clients where !client.isRevoked {
            try check(client)
            try checkShown(client)
        }
        let head = archive.head
        for client in clients where !client.isRevoked {
            try connect(client)
            guard let link = client.link else { continue }
            while client.link === link, try advance(link, &random) {}
            // The facts about other devices (rule T4) are some 60 bytes each: beyond eight devices they are extra.
            let sites = try server.workspace.store.read { reader in
                try reader.documents(SiteDocument.self).filter { !$0.isRevoked && $0.replacedBy == nil }.count
            }
            let facts = 64 * max(0, sites - 8)
            guard link.roundTrips <= 2, link.bytes <= 2_048 + facts else {
                throw Finding("P26", "a sync of nothing took \(link.roundTrips) round trips and \(link.bytes) bytes")
            }
            try checkBounds(client)
        }
        try look()
        guard archive.head == head else { throw Finding("P26", "syncs of nothing led from \(head) to \(archive.head)") }
        let findings = try server.workspace.store.read { reader in
            try Audit(reader, written: accepted(), hadSeen: archive.hadSeen, entries: archive.entries).findings()
        }
        if let first = findings.first { throw Finding("P2", first) }
        trace.add(UInt64(archive.head))
    }

    /// With nothing pending, what is shown is what is confirmed.
    private func checkShown(_ client: SimulatedClient) throws {
        guard let replica = client.replica, try replica.status().pending == 0, try hasNoFaults(replica) else { return }
        let buckets = try grant(of: client.user).read
        for (index, table) in archive.schema.tables.enumerated() where !table.isLedger {
            let expected = archive.rows(of: index, at: archive.head, in: buckets, as: archive.schema)
            let columns = (["id"] + table.fields.map(\.name)).joined(separator: ", ")
            let shown = try replica.read { try $0.rows("SELECT \(columns) FROM \(table.name)") }
            for line in shown {
                guard let record = line[0].recordID, let row = expected[record],
                    row.differs(from: Row(Array(line.dropFirst())), count: table.fields.count).isEmpty
                else { throw Finding("P1", "device \(client.number) shows \(table.name) \(line), the server does not") }
            }
            guard shown.count == expected.count else {
                throw Finding("P1", "device \(client.number) does not show all of \(table.name)")
            }
        }
    }

    /// What the audit may expect to find: all but what only lost or revoked devices held.
    private func accepted() -> [Audit.Written] {
        archive.made.values.filter { made in
            if archive.positions[made.commit.id] != nil { return true }
            let client = clients[made.client]
            return !exempt.contains(made.commit.id) && !client.isRevoked
        }
        .map { Audit.Written(author: $0.client, commit: $0.commit, body: $0.body) }
    }
}
