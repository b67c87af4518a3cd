import PeykMerge
import PeykModel

/// Conflicts, for people (rule M7).
extension CommitMerge {
    /// Tells the author, and writes the ledger, about what a change met.
    func report(_ outcome: ChangeOutcome, _ index: Int, _ key: RecordKey, _ table: Table) throws {
        for cell in outcome.lostCells { notices.append(Answer.Notice(change: index, cell: cell, code: .lost)) }
        for conflict in outcome.conflicts { try open(conflict, key, table) }
        for cell in outcome.resolved { try closeEntries(of: key, cell: table.cell(tag: cell)?.name) }
        if let deletion = outcome.deletion {
            if deletion.losers.contains(where: { $0.commit == writer.commit }) {
                notices.append(Answer.Notice(change: index, code: .deleteLost))
            }
            try open(deletion, key, table)
        }
        if let incarnation = outcome.incarnation {
            if incarnation.losers.contains(where: { $0.commit == writer.commit }) {
                notices.append(Answer.Notice(change: index, code: .lost))
            }
            try open(incarnation, key, table)
        }
    }

    private func open(_ conflict: CellConflict, _ key: RecordKey, _ table: Table) throws {
        guard let cell = table.cell(tag: conflict.cell) else { return }
        func shown(_ values: [Value]) -> JSON { Self.shown(values, cell, table) }
        let winner = try claim(conflict.winner.writer, shown(conflict.winner.values))
        let losers = try conflict.losers.map { try claim($0.writer, shown($0.values)) }
        try write(key, table, cell: cell.name, kind: .field, rule: conflict.rule.rawValue, isOpen: conflict.isOpen) {
            row in
            if row.text("base") == nil, let base = conflict.base { row.set("base", .text(shown(base).text)) }
            row.winner = winner
            row.losers = losers
        }
    }

    func open(_ deletion: DeleteConflict, _ key: RecordKey, _ table: Table) throws {
        let losers = try deletion.losers.map { try claim($0, nil) }
        let winner = try deletion.winners.last.map { try claim($0, nil) }
        let rule = deletion.winners.isEmpty && deletion.hasLivingChildren ? "living-child" : "update-beats-delete"
        try write(key, table, cell: nil, kind: .delete, rule: rule, isOpen: false) { row in
            row.winner = winner ?? row.winner
            for loser in losers { Self.join(loser, to: &row) }
        }
    }

    private func open(_ conflict: IncarnationConflict, _ key: RecordKey, _ table: Table) throws {
        var values: [String: JSON] = [:]
        for value in conflict.values where table.fields.indices.contains(value.field) {
            values[table.fields[value.field].name] = JSON(value.value)
        }
        let losers = try conflict.losers.map { try claim($0, .object(values)) }
        let winner = try claim(conflict.winner, nil)
        try write(key, table, cell: nil, kind: .incarnation, rule: "incarnation", isOpen: false) { row in
            row.winner = winner
            for loser in losers { Self.join(loser, to: &row) }
        }
    }

    /// A parent that came back because a child needs it (rule D1).
    func openRevived(_ key: RecordKey, neededBy child: RecordKey) throws {
        guard let table = schema.table(at: key.table), let stored = try current(key) else { return }
        let losers = try stored.state.clock.deletes.map { try claim($0, nil) }
        let winner = try claim(writer, nil)
        try write(key, table, cell: nil, kind: .revived, rule: "living-child", isOpen: false) { row in
            row.winner = winner
            row.losers = losers
        }
    }

    /// Tells the author that the record has moved, and whoever has it now what was written to it and what was there
    /// before (rule S4). What one author hands off stands together until somebody has settled it.
    func handOff(_ index: Int, _ key: RecordKey, _ table: Table, before: StoredRecord?) throws {
        notices.append(Answer.Notice(change: index, code: .handedOff))
        let had = before.flatMap { $0.state.isAlive ? $0.state.row : nil }
        let has = try current(key).flatMap { $0.state.isAlive ? $0.state.row : nil }
        // What lost has an entry of its own.
        guard had != has else { return }
        var old: [String: JSON] = [:]
        var new: [String: JSON] = [:]
        if let had, let has {
            for (field, definition) in table.fields.enumerated() where had[field] != has[field] {
                old[definition.name] = JSON(had[field])
                new[definition.name] = JSON(has[field])
            }
        }
        let isSame: (LedgerRow) -> Bool = { $0.winner?["user"] == self.userID.map { .string($0.description) } }
        try write(key, table, cell: nil, kind: .handedOff, rule: "moved", isOpen: false, matching: isSame) { row in
            // As it was before all that she handed off; as she left it.
            let first = row.text("base").flatMap { try? JSON(parsing: $0) }?.objectValue ?? [:]
            let last = row.winner?["value"]?.objectValue ?? [:]
            let base = first.merging(old) { first, _ in first }
            if !base.isEmpty { row.set("base", .text(JSON.object(base).text)) }
            row.winner = try self.claim(
                self.writer, has == nil ? nil : .object(had == nil ? [:] : last.merging(new) { _, new in new }))
        }
    }

    private static func join(_ loser: JSON, to row: inout LedgerRow) {
        row.losers = row.losers.filter { $0["commit"] != loser["commit"] } + [loser]
    }

    static func shown(_ values: [Value], _ cell: Cell, _ table: Table) -> JSON {
        if cell.fields.count == 1, let value = values.first { return JSON(value) }
        var members: [String: JSON] = [:]
        for (field, value) in zip(cell.fields, values) { members[table.fields[field].name] = JSON(value) }
        return .object(members)
    }

    /// Who wrote what, having seen what.
    private func claim(_ author: Writer, _ value: JSON?) throws -> JSON {
        var user = userID
        var seen = clock
        if author.commit != writer.commit {
            let former = try entry(author.position)
            user = former?.user
            seen = former?.clock ?? VectorClock(lineage: Lineage([]), anchor: 0)
        }
        var dots: [String: JSON] = [:]
        for dot in seen.dots { dots[dot.site.description] = .integer(dot.seq) }
        var members: [String: JSON] = [
            "commit": .string(author.commit.description), "site": .string(author.dot.site.description),
            "seq": .integer(author.dot.seq), "stamp": .string(author.stamp.description),
            "clock": [
                "anchor": .integer(seen.anchor), "epoch": seen.lineage.epoch.map { .string($0.description) } ?? .null,
                "dots": .object(dots),
            ],
        ]
        members["user"] = user.map { .string($0.description) } ?? .null
        members["value"] = value
        return .object(members)
    }

    // MARK: - Rows

    /// Changes the entry of this record, cell and kind that is not settled, or makes one.
    private func write(
        _ key: RecordKey, _ table: Table, cell: String?, kind: LedgerKind, rule: String, isOpen: Bool,
        matching: (LedgerRow) -> Bool = { _ in true }, _ body: (inout LedgerRow) throws -> Void
    ) throws {
        for id in try transaction.ledgerEntries(of: key) {
            let entryKey = RecordKey(table: Schema.ledgerIndex, record: id)
            guard let stored = try current(entryKey) else { continue }
            var row = LedgerRow(stored.state.row)
            guard !row.isSettled, row.kind == kind, row.cell == cell, matching(row) else { continue }
            try body(&row)
            row.set("rule", .text(rule))
            row.set("position", .integer(writer.position))
            if isOpen { row.open() }
            var state = stored.state
            state.row = row.row
            try put(state, at: entryKey, stored)
            return
        }
        var row = LedgerRow(key, table: table.name, cell: cell, kind: kind, rule: rule, time: now)
        row.set("position", .integer(writer.position))
        if isOpen { row.open() }
        try body(&row)
        row.readers = try current(key)?.audience.readers ?? []
        let entryKey = RecordKey(table: Schema.ledgerIndex, record: nextLedgerID())
        touch(entryKey, nil)
        try write(
            StoredRecord(
                state: RecordState(row: row.row, clock: RowClock(created: [writer])),
                audience: try firstAudience(entryKey, row.row, isNew: true), position: writer.position,
                insertedBy: nil),
            at: entryKey)
    }

    /// Equal runs give equal ids.
    private func nextLedgerID() -> RecordID {
        var bytes = ByteWriter()
        bytes.text("peyk ledger")
        bytes.bits(writer.commit.bits)
        bytes.fixed(writer.dot.site.rawValue)
        bytes.fixed(UInt64(bitPattern: writer.position))
        bytes.count(ledgerCount)
        ledgerCount += 1
        return RecordID(digest: WorkspaceKeys.sha256(bytes.bytes)) ?? RecordID(bits: writer.commit.bits)
    }

    /// A later write covers the winner and the losers: the conflict is over (rule M7).
    private func closeEntries(of key: RecordKey, cell: String?) throws {
        for id in try transaction.ledgerEntries(of: key) {
            let entryKey = RecordKey(table: Schema.ledgerIndex, record: id)
            guard let stored = try current(entryKey) else { continue }
            let row = LedgerRow(stored.state.row)
            if row.kind == .field, row.cell == cell { try close(entryKey, stored) }
        }
    }

    func close(_ key: RecordKey, _ stored: StoredRecord) throws {
        var row = LedgerRow(stored.state.row)
        guard !row.isSettled else { return }
        row.settle(by: userID, at: now)
        var state = stored.state
        state.row = row.row
        try put(state, at: key, stored)
    }

    // MARK: - Duplicates (rule D4)

    /// Rows that equal another in what should be unique: both stay, the later one is a probable duplicate.
    ///
    /// The entry holds the values and not the other's id: who sees both finds it, who sees one learns nothing.
    func findDuplicates() throws {
        for key in touches.keys.sorted() {
            guard let touch = touches[key], let index = touch.change, let table = schema.table(at: key.table),
                !table.unique.isEmpty, let stored = try current(key), stored.state.isAlive
            else { continue }
            for names in table.unique {
                let fields = names.compactMap { table.fieldIndex($0) }
                let values = fields.map { stored.state.row[$0] }
                let former = touch.before.flatMap { $0.state.isAlive ? $0.state.row : nil }
                let isChanged = former.map { row in fields.contains { row[$0] != stored.state.row[$0] } } ?? true
                guard isChanged, fields.count == names.count, !values.contains(where: \.isNull) else { continue }
                let others = try transaction.records(of: key.table, matching: fields, values)
                    .filter { $0 != key.record }
                guard !others.isEmpty else { continue }
                try openDuplicate(key, table, names, values)
                for other in others {
                    let otherKey = RecordKey(table: key.table, record: other)
                    guard let record = try current(otherKey), try canSee(otherKey, record) else { continue }
                    notices.append(
                        Answer.Notice(change: index, code: .duplicate, detail: names.joined(separator: ", ")))
                    break
                }
            }
        }
    }

    private func openDuplicate(_ key: RecordKey, _ table: Table, _ names: [String], _ values: [Value]) throws {
        var base: [String: JSON] = [:]
        for (name, value) in zip(names, values) { base[name] = JSON(value) }
        let winner = try claim(writer, nil)
        try write(
            key, table, cell: names.joined(separator: ","), kind: .duplicate, rule: "unique", isOpen: true
        ) { row in
            row.set("base", .text(JSON.object(base).text))
            row.winner = winner
        }
    }
}
