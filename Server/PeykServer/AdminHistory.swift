import PeykMerge
import PeykModel

/// Every value that a record had: who, device, when, what it replaced, what it beat, with the vector clocks.
struct AdminHistory {
    let reader: any StoreReader
    private let names: AdminNames

    init(_ reader: any StoreReader) {
        self.reader = reader
        names = AdminNames(reader)
    }

    func document(of place: AdminRequest.RecordPlace) throws -> JSON {
        guard let index = reader.schema.tableIndex(place.table) else {
            throw AdminFailure(.missing, "This workspace has no table \(place.table).")
        }
        let table = reader.schema.tables[index]
        let key = try reader.resolve(place.record, table: index)
        var fields: [Int]?
        if let name = place.field {
            guard let cell = table.cell(named: name) else {
                throw AdminFailure(.missing, "\(table.name) has no field \(name).")
            }
            fields = cell.fields
        }
        let ledger = try ledgerRows(of: key)
        var entries: [JSON] = []
        for position in try reader.positions(of: key) {
            guard let entry = try reader.entry(at: position),
                let effect = entry.effects.first(where: { $0.key == key })
            else { continue }
            if let line = line(entry, effect, table, fields, ledger) { entries.append(line) }
        }
        let record = try reader.record(key)
        return [
            "table": .string(table.name), "record": .string(key.record.description),
            "field": place.field.map { .string($0) } ?? .null, "alive": .bool(record?.state.isAlive ?? false),
            "values": record.map { values($0.state.row, table, fields) } ?? .null,
            "since": .integer(try reader.clockDocument().logHorizon), "entries": .array(entries),
        ]
    }

    private func ledgerRows(of key: RecordKey) throws -> [(id: RecordID, row: LedgerRow)] {
        try reader.ledgerEntries(of: key).compactMap { id in
            try reader.record(RecordKey(table: Schema.ledgerIndex, record: id)).map { (id, LedgerRow($0.state.row)) }
        }
    }

    /// One position; nil where it neither changed nor contested the fields that were asked for.
    private func line(
        _ entry: LogEntry, _ effect: LogEffect, _ table: Table, _ fields: [Int]?,
        _ ledger: [(id: RecordID, row: LedgerRow)]
    ) -> JSON? {
        let changes = changes(effect, table, fields)
        let cells = fields.map { fields in Set(fields.map { table.cells[table.cellOfField[$0]].name }) }
        let contests = ledger.compactMap { contest(entry.commit, $0.id, $0.row, cells) }
        let isDelete = effect.after == nil && effect.audienceBefore != nil
        guard !changes.isEmpty || !contests.isEmpty || isDelete || (fields == nil && effect.isNamed) else { return nil }
        let kind = isDelete ? "delete" : effect.audienceBefore == nil && effect.after != nil ? "insert" : "update"
        var clock: [String: JSON] = ["anchor": .integer(entry.clock.anchor)]
        clock["epoch"] = entry.clock.lineage.epoch.map { .string($0.description) } ?? .null
        clock["dots"] = .object(
            Dictionary(entry.clock.dots.map { ($0.site.description, .integer($0.seq)) }) { first, _ in first })
        return [
            "position": .integer(entry.position), "kind": .string(kind), "commit": .string(entry.commit.description),
            "site": .string(entry.dot.site.description), "seq": .integer(entry.dot.seq),
            "device": names.device(entry.dot.site.description).map { .string($0) } ?? .null,
            "user": entry.user.map { .string(names.user($0.description)) } ?? .null,
            "stamp": .string(entry.stamp.description), "written_at": .integer(entry.stamp.milliseconds),
            "merged_at": .integer(entry.time), "clock": .object(clock), "changes": .array(changes),
            "conflicts": .array(contests),
        ]
    }

    private func changes(_ effect: LogEffect, _ table: Table, _ fields: [Int]?) -> [JSON] {
        guard let after = effect.after else { return [] }
        func isAsked(_ field: Int) -> Bool {
            table.fields.indices.contains(field) && (fields?.contains(field) ?? true)
        }
        guard effect.audienceBefore != nil else {
            let before = Row.empty(table)
            return table.fields.indices.filter { isAsked($0) && !after[$0].isNull }.map {
                change($0, of: table, from: before, to: after)
            }
        }
        var before = after
        for field in effect.replaced where before.values.indices.contains(field.field) {
            before[field.field] = field.value
        }
        return effect.replaced.filter { isAsked($0.field) }.map {
            change($0.field, of: table, from: before, to: after)
        }
    }

    /// With the names of what a reference points to, and the currencies of amounts.
    private func change(_ index: Int, of table: Table, from before: Row, to after: Row) -> JSON {
        let field = table.fields[index]
        let (old, new) = (before[index], after[index])
        var members: [String: JSON] = [
            "field": .string(field.name), "type": .string(field.type.name), "old": JSON(old), "new": JSON(new),
        ]
        if case .reference(let target) = field.type {
            members["old_name"] = name(of: old, in: target).map { .string($0) }
            members["new_name"] = name(of: new, in: target).map { .string($0) }
        }
        if case .money(let name) = field.type {
            members["old_currency"] = before.text(table, name).map { .string($0) }
            members["new_currency"] = after.text(table, name).map { .string($0) }
        }
        return .object(members)
    }

    private func name(of value: Value, in table: String) -> String? {
        guard let id = value.recordID, let index = reader.schema.tableIndex(table),
            let record = try? reader.record(RecordKey(table: index, record: id))
        else { return nil }
        return record.state.row.text(reader.schema.tables[index], "name")
    }

    /// What the ledger says that this commit won or lost.
    private func contest(_ commit: CommitID, _ id: RecordID, _ row: LedgerRow, _ cells: Set<String>?) -> JSON? {
        if let cells, let cell = row.cell, !cells.contains(cell) { return nil }
        let name = JSON.string(commit.description)
        let members: [String: JSON] = [
            "id": .string(id.description), "cell": row.cell.map { .string($0) } ?? .null,
            "rule": row.text("rule").map { .string($0) } ?? .null,
            "state": row.text("state").map { .string($0) } ?? .null,
        ]
        if row.winner?["commit"] == name {
            return .object(
                members.merging(["won": true, "beat": .array(row.losers.map { names.named($0) })]) { $1 })
        }
        if let mine = row.losers.first(where: { $0["commit"] == name }) {
            return .object(
                members.merging([
                    "won": false, "value": mine["value"] ?? .null, "lost_to": names.named(row.winner ?? .null),
                ]) { $1 })
        }
        return nil
    }

    private func values(_ row: Row, _ table: Table, _ fields: [Int]?) -> JSON {
        var members: [String: JSON] = [:]
        for field in fields ?? Array(table.fields.indices) where !row[field].isNull || fields != nil {
            members[table.fields[field].name] = JSON(row[field])
        }
        return .object(members)
    }
}
