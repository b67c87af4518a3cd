import PeykMerge
import PeykModel
import PeykReplica
import PeykServer
import SeededRandom
import SimDisk

/// IT changes the schema while the world runs (rule T2).
extension SimulatedWorld {
    /// As `peykd schema apply` does; perhaps the server's disk fails or its machine stops in the middle of it.
    func changeSchema(_ client: SimulatedClient, _ random: inout SplitMix64) throws {
        try look()
        let before = try server.workspace.schema()
        var evolution = SchemaEvolution(before, seed: random.next())
        let wish = evolution.next()
        tell?("  IT asks: \(wish.what)")
        let admin = Admin(server.workspace)
        let checked = admin.run(.checkSchema(wish.document))
        if random.chance(25) {
            isServerFaulty = true
            if random.chance(50) {
                server.disk.fail(.changes, nth: UInt64(1 + random.draw(30)), .stop)
            } else {
                arm(server.disk, &random)
            }
        }
        let reply = admin.run(.applySchema(wish.document))
        statistics.faults += server.disk.failed
        if server.disk.isStopped { return }
        server.disk.heal()
        let after = try server.workspace.schema()
        if after.version > before.version { statistics.schemas += 1 }
        if !isServerFaulty { try judge(wish, checked, reply, before, after) }
        server.tellHead()
        try look()
        if random.chance(40) { try writeAsIT(after, &random) }
        // The next welcome upgrades the device; perhaps it stops, or its disk fails, in the middle of that.
        if random.chance(30) {
            if random.chance(50) { try faultClient(client, &random) } else { try stop(client, &random) }
        }
    }

    private func judge(
        _ wish: SchemaEvolution.Wish, _ checked: AdminReply, _ reply: AdminReply, _ before: Schema, _ after: Schema
    ) throws {
        switch (checked, reply) {
        case (.done, .done(let change)):
            guard wish.verdict != .refused else { throw Finding("T2", "the server took this: \(wish.what)") }
            guard after.version == before.version + 1 else {
                throw Finding("T2", "\(wish.what) led from version \(before.version) to \(after.version)")
            }
            if change["dropped"] != [] { try checkNobodyNeeds(before, after) }
        case (.failed(let first), .failed(let failure)):
            tell?("  refused: \(failure.message)")
            guard first == failure, failure.kind == .data, wish.verdict != .taken else {
                throw Finding("T2", "\(wish.what) was refused: \(failure.message)")
            }
            guard after == before else { throw Finding("T2", "\(wish.what) was refused, but has changed the schema") }
        default: throw Finding("T2", "the check of “\(wish.what)” says \(checked), the apply says \(reply)")
        }
    }

    /// What was just dropped no live device has in edits that the server lacks: the drop would have been refused.
    private func checkNobodyNeeds(_ before: Schema, _ after: Schema) throws {
        let sites = try server.workspace.store.read { reader in
            Set(try reader.documents(SiteDocument.self).filter(\.isLive).map(\.site))
        }
        for (id, made) in archive.made where archive.positions[id] == nil && !exempt.contains(id) {
            let author = clients[made.client]
            guard !author.isRevoked, !author.isCopied, !author.forgotten.contains(id),
                let site = author.site, sites.contains(site), let sealed = archive.schemas[made.body.schemaVersion]
            else { continue }
            for change in made.body.changes where change.kind != .delete {
                for cell in change.cells.map(\.cell)
                where after.isDropped(change.table, cell) && !before.isDropped(change.table, cell)
                    && !sealed.isRetired(change.table, cell)
                {
                    throw Finding(
                        "T2",
                        "\(after.tables[change.table].name) lost what device \(made.client) has in unsynced edits: "
                            + archive.text(of: id))
                }
            }
        }
    }

    /// Reference data and `server` fields are IT's.
    private func writeAsIT(_ schema: Schema, _ random: inout SplitMix64) throws {
        var changes: [Change] = []
        for (index, table) in schema.tables.enumerated() where !table.isRetired && !table.isLedger {
            if table.isReference, TestSchema.schema.table(at: index) == nil {
                let id = TestSchema.id(300 + UInt64(index), random.draw(4))
                var row = Row(table.fields.map(\.standingValue))
                row[0] = .text("IT \(random.draw(100))")
                let present = try server.workspace.store.read {
                    try $0.record(RecordKey(table: index, record: id))?.state
                }
                let former = present.flatMap { $0.isAlive ? $0.row : nil }
                changes += [Change.make(table: index, record: id, before: former, after: row, in: schema)]
                    .compactMap { $0 }
            }
            guard let cell = table.cells.first(where: { $0.policy == .server && !table.fields[$0.tag].isRetired }),
                let record = random.pickIfAny(archive.living(in: index))
            else { continue }
            changes.append(
                Change(
                    table: index, record: record, kind: .update,
                    cells: [CellChange(cell: cell.tag, write: .assign([.integer(Int64(random.draw(100)))]))]))
        }
        guard let change = random.pickIfAny(changes) else { return }
        try server.workspace.serverCommit([change])
        server.tellHead()
    }

    /// IT's next pass of collection empties what was dropped.
    ///
    /// - Returns: whether there is anything of that kind.
    func emptyDropped() throws -> Bool {
        guard archive.schema.tables.contains(where: { $0.isDropped || $0.fields.contains(where: \.isDropped) }) else {
            return false
        }
        try server.workspace.collectAll()
        server.tellHead()
        try look()
        return true
    }

    /// A set out of which all was taken is an empty list.
    private func isEmptied(_ value: Value, _ field: Field) -> Bool {
        let standing = field.standingValue
        guard field.policy == .set, standing.isNull else { return value == standing }
        return value.isNull || value.textValue.flatMap { ValueSet(json: $0) }?.elements.isEmpty == true
    }

    /// Then it is empty for good, whatever comes back or is undone (rule T2).
    func checkDropped() throws {
        for (index, table) in archive.schema.tables.enumerated() {
            let dropped = table.fields.indices.filter { table.fields[$0].isDropped }
            guard table.isDropped || !dropped.isEmpty else { continue }
            for record in archive.living(in: index) {
                guard let version = archive.version(of: RecordKey(table: index, record: record), at: archive.head),
                    let row = version.row?.widened(to: table)
                else { continue }
                guard !table.isDropped else { throw Finding("T2", "\(table.name) was dropped, but has \(record)") }
                for field in dropped where !isEmptied(row[field], table.fields[field]) {
                    throw Finding(
                        "T2", "\(table.name).\(table.fields[field].name) was dropped, but \(record) has \(row[field])")
                }
            }
        }
    }

    /// A commit is read under the version that it was sealed under: what was retired then is refused, what was retired
    /// later is not, unless it is dropped (rule T2).
    func checkRetired(_ entry: LogEntry) throws {
        guard archive.schemas.count > 1, let body = archive.made[entry.commit]?.body, entry.answer.verdict == .merged,
            let sealed = archive.schemas[body.schemaVersion],
            let present = archive.schemas[archive.schemaVersion(at: entry.position)]
        else { return }
        for (index, change) in body.changes.enumerated() where change.kind != .delete {
            let notices = entry.answer.notices.filter { $0.change == index }
            for cell in change.cells.map(\.cell) {
                let isClosed =
                    sealed.isRetired(change.table, cell) || present.isDropped(change.table, cell)
                if !isClosed, notices.contains(where: { $0.code == .retired && $0.cell == cell }) {
                    throw Finding("T2", "\(entry.dot) was sealed before the retirement for which it was refused")
                }
                if isClosed, !notices.contains(where: { $0.code.parks }) {
                    throw Finding("T2", "\(entry.dot) wrote what was retired: \(change.record), cell \(cell)")
                }
            }
        }
    }
}

extension Schema {
    /// Whether a cell, or its whole table, is retired.
    fileprivate func isRetired(_ table: Int, _ cell: Int) -> Bool {
        guard let table = self.table(at: table), let cell = table.cell(tag: cell) else { return false }
        return table.isRetired || cell.fields.allSatisfy { table.fields[$0].isRetired }
    }

    fileprivate func isDropped(_ table: Int, _ cell: Int) -> Bool {
        guard let table = self.table(at: table), let cell = table.cell(tag: cell) else { return false }
        return table.isDropped || cell.fields.allSatisfy { table.fields[$0].isDropped }
    }
}
