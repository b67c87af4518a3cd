import PeykMerge
import PeykModel

/// Who sees what after the commit (rules S1 to S3).
extension CommitMerge {
    func audience(_ key: RecordKey, _ row: Row) throws -> Audience {
        try rules.audience(
            table: key.table, record: key.record, row: row,
            rows: { table, record in
                // Not of a tombstone: what outlives its record, the ledger, names its readers itself (rule M7).
                try current(RecordKey(table: table, record: record)).flatMap { $0.state.isAlive ? $0.state.row : nil }
            },
            borrowers: { table, record in try borrowers(table, record) })
    }

    /// The audience of a record that begins to live. A child takes its parent's as it stands: where the commit moves
    /// the parent, too, ``settleAudiences()`` comes to the child. A new root is lent by nobody yet.
    func firstAudience(_ key: RecordKey, _ row: Row, isNew: Bool) throws -> Audience {
        switch schema.table(at: key.table)?.kind {
        case .root where isNew: return Audience(home: rules.home(table: key.table, row: row))
        case .child, .ledger:
            guard let parent = parentKey(key.table, row), let stored = try current(parent) else { break }
            return stored.audience
        default: break
        }
        return try audience(key, row)
    }

    /// Living roots that lend the record (rule S2).
    private func borrowers(_ table: Int, _ record: RecordID) throws -> [(table: Int, row: Row)] {
        var found: [(table: Int, row: Row)] = []
        for field in incoming(to: table) {
            guard isLending(field) else { continue }
            for id in try transaction.referrers(table: field.table, field: field.field, to: record) {
                guard let row = try current(RecordKey(table: field.table, record: id))?.state.row else {
                    continue
                }
                found.append((field.table, row))
            }
        }
        return found
    }

    private func isLending(_ field: IncomingField) -> Bool {
        guard case .root(_, let lends?)? = schema.table(at: field.table)?.kind else { return false }
        return schema.tables[field.table].fieldIndex(lends) == field.field
    }

    /// Computes anew what the commit may have changed: of the touched records, of what they lend, and of all below.
    func settleAudiences() throws {
        var queue: [RecordKey] = []
        for key in touches.keys.sorted() {
            guard let before = touches[key]?.before else {
                try enqueueLent(key, nil, &queue)
                continue
            }
            let after = try current(key)
            let placing = schema.table(at: key.table)?.placingFields ?? []
            let isPlaced = placing.contains { before.state.row[$0] != after?.state.row[$0] }
            guard isPlaced || before.state.isAlive != after?.state.isAlive else { continue }
            queue.append(key)
            try enqueueLent(key, before, &queue)
            if before.state.isAlive, after?.state.isAlive == true,
                parentKey(key.table, before.state.row) != after.flatMap({ parentKey(key.table, $0.state.row) })
            {
                moved.insert(key)
            }
        }
        var done: Set<RecordKey> = []
        var next = 0
        while next < queue.count {
            let key = queue[next]
            next += 1
            if done.insert(key).inserted { try settleAudience(of: key, &queue) }
        }
    }

    private func parentKey(_ table: Int, _ row: Row) -> RecordKey? {
        rules.parent(table: table, row: row).map { RecordKey(table: $0.table, record: $0.record) }
    }

    private func settleAudience(of key: RecordKey, _ queue: inout [RecordKey]) throws {
        guard var stored = try current(key), stored.state.isAlive else { return }
        let audience = try audience(key, stored.state.row)
        if key.table == Schema.ledgerIndex { try noteReaders(audience, of: key, &stored) }
        let former = touches[key].map(\.before) ?? stored
        let isNew = former?.state.isAlive != true
        guard audience != stored.audience || former?.audience != audience || isNew else { return }
        if audience != stored.audience {
            touch(key, stored)
            stored.audience = audience
            stored.position = writer.position
            try write(stored, at: key)
        }
        if !isNew { moved.insert(key) }
        for field in incoming(to: key.table) {
            guard case .child? = schema.table(at: field.table)?.kind, field.isHard else { continue }
            for child in try transaction.referrers(table: field.table, field: field.field, to: key.record) {
                queue.append(RecordKey(table: field.table, record: child))
            }
        }
        for entry in try transaction.ledgerEntries(of: key) {
            queue.append(RecordKey(table: Schema.ledgerIndex, record: entry))
        }
    }

    /// A ledger entry says itself who may read it, for when its record is gone (rule M7).
    private func noteReaders(_ audience: Audience, of key: RecordKey, _ stored: inout StoredRecord) throws {
        var row = LedgerRow(stored.state.row)
        row.readers = audience.readers
        guard row.row != stored.state.row else { return }
        touch(key, stored)
        stored.state.row = row.row
        stored.position = writer.position
        try write(stored, at: key)
    }

    /// The record that this root lends, before and after, where that changes who may read it.
    private func enqueueLent(_ key: RecordKey, _ before: StoredRecord?, _ queue: inout [RecordKey]) throws {
        guard case .root(_, _?)? = schema.table(at: key.table)?.kind else { return }
        let after = try current(key)
        if let before, before.state.isAlive, let lent = rules.lent(table: key.table, row: before.state.row) {
            queue.append(RecordKey(table: lent.table, record: lent.record))
        }
        guard let after, after.state.isAlive, let lent = rules.lent(table: key.table, row: after.state.row) else {
            return
        }
        let lentKey = RecordKey(table: lent.table, record: lent.record)
        let readers = try current(lentKey)?.audience.readers ?? []
        let home = rules.home(table: key.table, row: after.state.row)
        if before != nil || !home.allSatisfy({ readers.contains($0) }) { queue.append(lentKey) }
    }

    // MARK: - Effects

    /// What the log keeps of the commit: every record that it names or changed, in key order.
    func effects() throws -> [LogEffect] {
        try touches.keys.sorted().compactMap { key in
            guard let touch = touches[key], let table = schema.table(at: key.table) else { return nil }
            return effect(key, touch, try current(key), table)
        }
    }

    private func effect(_ key: RecordKey, _ touch: Touch, _ stored: StoredRecord?, _ table: Table) -> LogEffect? {
        let before = touch.before.flatMap { $0.state.isAlive ? $0 : nil }
        let after = stored.flatMap { $0.state.isAlive ? $0 : nil }
        let plain: Row?
        if let index = touch.change {
            plain = plainEffect(of: body.changes[index], on: before?.state.row, in: table)
        } else {
            plain = before?.state.row
        }
        let correction: LogEffect.Correction
        switch (plain, after?.state.row) {
        case (nil, nil): correction = .none
        case (nil, _?): correction = .full
        case (_?, nil): correction = .delete
        case (let plain?, let row?):
            let fields = difference(from: plain, to: row, in: table)
            correction = fields.isEmpty ? .none : .delta(fields)
        }
        let isMove = moved.contains(key) && before != nil && after != nil
        let replaced = replaced(before?.state.row, after?.state.row, table)
        if before == nil, after == nil, correction == .none { return nil }
        if touch.change == nil, replaced.isEmpty, !isMove, (before == nil) == (after == nil) { return nil }
        return LogEffect(
            key: key, replaced: replaced, after: after?.state.row, audienceBefore: before?.audience,
            audienceAfter: after?.audience, isMove: isMove, isNamed: touch.change != nil, correction: correction,
            writers: after?.writers(above: backupHorizon) ?? [])
    }

    /// Old values of what changed; of a record that is gone, all that it had.
    private func replaced(_ before: Row?, _ after: Row?, _ table: Table) -> [FieldValue] {
        guard let before else { return [] }
        guard let after else {
            return table.fields.indices.map { FieldValue(field: $0, value: before[$0]) }.filter { !$0.value.isNull }
        }
        return difference(from: after, to: before, in: table)
    }
}
