import PeykModel
import PeykServer
import PeykSession
import PeykWire
import SeededRandom

/// A device with a valid certificate whose program sends valid frames with illegal content.
extension SimulatedWorld {
    func hostile(_ random: inout SplitMix64) throws {
        guard let link = try intrude(&random), let context = link.context else { return }
        let lastSeq = try server.workspace.store.read { reader in
            try reader.document(SiteDocument.self, context.site.description)?.lastSeq ?? 0
        }
        for offset in 0..<Int64(1 + random.draw(3)) where !link.serverClosed {
            let message = try attack(context, seq: lastSeq + 1 + offset, &random)
            let frame =
                message.map { WireCodec.encode($0) } ?? (0..<random.draw(200)).map { _ in UInt8(random.draw(256)) }
            trace.add(frame)
            server.receive(frame, on: link)
            server.flush()
        }
        for frame in link.down {
            try checkSent(
                try WireCodec.decodeServer(frame, limit: SessionLimits.frameBytes), to: link.client, in: context.epoch)
        }
        server.disconnected(link)
    }

    /// An open session of the intruder, greeted as any other.
    private func intrude(_ random: inout SplitMix64) throws -> Link? {
        let client: SimulatedClient
        if let intruder {
            client = intruder
        } else {
            let device = template.devices[Template.hostile]
            client = try SimulatedClient(
                number: -1, user: Template.hostile, keySeed: device.keySeed, files: device.files, time: time, plant: nil
            )
            intruder = client
        }
        let link = Link(
            number: 0, client: client, session: ClientSession(purpose: .sync, workspace: "simulated"))
        client.link = link
        server.connect(link)
        while !link.down.isEmpty || !link.up.isEmpty, link.context == nil, !link.serverClosed {
            if !link.up.isEmpty {
                server.receive(link.up.removeFirst(), on: link)
            } else {
                let message = try WireCodec.decodeServer(link.down.removeFirst(), limit: SessionLimits.frameBytes)
                try client.carryOut(link.session.received(message, bytes: 0), link)
            }
        }
        link.down = []
        return link.context == nil ? nil : link
    }

    /// Nil for bytes that are no message.
    private func attack(_ context: SessionContext, seq: Sequence64, _ random: inout SplitMix64) throws -> ClientMessage?
    {
        switch random.draw(12) {
        case 0: return nil
        case 1: return .applied(position: .max - Int64(random.draw(9)))
        case 2: return .credit(bytes: random.chance(50) ? -1 : .max)
        case 3: return .fetch((0..<8).map { RecordKey(table: random.draw(9), record: TestSchema.customer($0)) })
        case 4: return .history(HistoryRequest(key: RecordKey(table: 4, record: TestSchema.customer(random.draw(8)))))
        case 5: return .digest(DigestRequest(ranges: [DigestRange(table: random.draw(12))]))
        default: return .push(Push(commits: [try forged(context, seq: seq, &random)]))
        }
    }

    private func forged(
        _ context: SessionContext, seq: Sequence64, _ random: inout SplitMix64
    ) throws -> SealedCommit {
        let lineage = try server.workspace.store.read { try $0.workspaceDocument().lineage }
        let id = CommitID(bits: UUIDBits(high: random.next(), low: random.next()))
        var dot = Dot(site: context.site, seq: seq)
        var clock = VectorClock(lineage: lineage, anchor: context.sent, dots: [Dot(site: context.site, seq: seq - 1)])
        var stamp = HLC(milliseconds: time.now)
        var body = CommitBody(id: id, schemaVersion: archive.schema.version, changes: [forgedChange(&random)])
        switch random.draw(12) {
        case 0: dot = Dot(site: random.pickIfAny(clients)?.site ?? context.site, seq: seq)
        case 1: clock.anchor = archive.head + 1 + Int64(random.draw(1_000_000))
        case 2: clock.anchor = -1
        case 3:
            clock = VectorClock(
                lineage: lineage, anchor: 0, dots: clients.compactMap { $0.site.map { Dot(site: $0, seq: 1 << 40) } })
        case 4: clock = VectorClock(lineage: Lineage([Era(epoch: Epoch(bits: id.bits), after: 0)]), anchor: 5)
        case 5: stamp = HLC(rawValue: .max)
        case 6: dot = Dot(site: context.site, seq: seq + 5)
        case 7: dot = Dot(site: context.site, seq: max(1, seq - 1))
        case 8: body.id = CommitID(bits: UUIDBits(high: 1, low: 1))
        case 9: body.schemaVersion = 99
        case 10: body.operations = forgedOperations(&random)
        default: break
        }
        var sealed = body.encoded()
        if random.chance(15), !sealed.isEmpty {
            if random.chance(50) {
                sealed[random.draw(sealed.count)] ^= UInt8(1 + random.draw(255))
            } else {
                sealed = Array(sealed.prefix(random.draw(sealed.count)))
            }
        }
        return SealedCommit(id: id, envelope: Envelope(dot: dot, stamp: stamp, clock: clock), sealed: sealed)
    }

    private func forgedOperations(_ random: inout SplitMix64) -> [PeykModel.Operation] {
        let kinds = PeykModel.Operation.Kind.allCases
        let records = [TestSchema.customer(random.draw(8)), TestSchema.opportunity(random.draw(8))]
        return (0..<3).map { _ in
            PeykModel.Operation(
                kind: kinds[random.draw(kinds.count)], table: random.draw(12), record: random.pickIfAny(records),
                argument: random.chance(50) ? archive.entries.last?.commit.description : "x")
        }
    }

    /// Another's record, a table that only the server or nobody has, a field that only the server writes, a value of
    /// the wrong type.
    private func forgedChange(_ random: inout SplitMix64) -> Change {
        let table = random.draw(archive.schema.tables.count + 2)
        let known = archive.versions.keys.filter { $0.table == table }.sorted()
        let record = random.pickIfAny(known)?.record ?? TestSchema.id(77, random.draw(1 << 20))
        guard random.chance(80), let definition = archive.schema.table(at: table),
            let cell = random.pickIfAny(definition.cells)
        else {
            return Change(table: table, record: record, kind: random.chance(50) ? .delete : .insert)
        }
        let values: [Value] = [
            .null, .integer(7), .text("stolen"), .text("a\u{0}b"), .real(.nan), .blob([1, 2]), .integer(.max),
            Value(TestSchema.customer(random.draw(8))), Value(TestSchema.territory(0)),
            Value(TestSchema.user(Template.hostile)),
        ]
        let writes: [CellWrite] = [
            .assign(cell.fields.map { _ in values[random.draw(values.count)] }), .assign([]), .add(.max), .add(1),
            .elements(added: ["x", "x"], removed: ["y"]), .text(base: nil, new: "z"),
        ]
        let write = random.chance(70) ? writes[0] : writes[random.draw(writes.count)]
        var cells = [CellChange(cell: random.chance(90) ? cell.tag : 999, write: write)]
        if random.chance(10) { cells.append(cells[0]) }
        return Change(table: table, record: record, kind: random.chance(75) ? .update : .insert, cells: cells)
    }
}
