import PeykMerge
import PeykModel

/// What is not a row write (rule M5).
extension CommitMerge {
    /// What the operations allow, before any change is merged.
    func readOperations() throws {
        for operation in body.operations {
            switch operation.kind {
            case .reopen:
                if let record = operation.record {
                    reopened.insert(RecordKey(table: operation.table, record: record))
                } else {
                    for change in body.changes {
                        reopened.insert(RecordKey(table: change.table, record: change.record))
                    }
                }
            case .undo:
                let words = (operation.argument ?? "").split(whereSeparator: { " ;,".contains($0) })
                undoes = words.lazy.compactMap { CommitID($0) }.first
                isForced = words.contains("force") || words.contains("--force")
                if undoes == nil { noteOperation(.invalid, "undo names no commit") }
            case .settle:
                if let entry = try ledgerEntry(operation), let parent = ledgerParent(entry.record) {
                    settledKeys.insert(parent)
                }
            case .merge, .unmerge: noteOperation(.invalid, "“\(operation.kind.rawValue)” is not supported yet")
            case .revive, .whole: break
            }
        }
    }

    func carryOutOperations() throws {
        if let former, former.notices.contains(where: { $0.change < 0 && $0.code.parks }) {
            // The author knows that they were refused (rule I8).
            notices += former.notices.filter { $0.change < 0 && $0.code.parks }
            return
        }
        for operation in body.operations {
            switch operation.kind {
            case .settle: try settle(operation)
            case .revive: try revive(operation)
            default: break
            }
        }
    }

    private func noteOperation(_ code: NoticeCode, _ detail: String) {
        notices.append(Answer.Notice(change: -1, code: code, detail: detail))
    }

    // MARK: - Settle (rule M7)

    private func ledgerEntry(_ operation: Operation) throws -> (key: RecordKey, record: StoredRecord)? {
        guard let id = operation.record else { return nil }
        let key = RecordKey(table: Schema.ledgerIndex, record: id)
        guard let record = try current(key), record.state.isAlive else { return nil }
        return (key, record)
    }

    private func ledgerParent(_ entry: StoredRecord) -> RecordKey? {
        rules.parent(table: Schema.ledgerIndex, row: entry.state.row)
            .map { RecordKey(table: $0.table, record: $0.record) }
    }

    private func settle(_ operation: Operation) throws {
        guard let (key, entry) = try ledgerEntry(operation), let parent = ledgerParent(entry),
            let stored = try current(parent)
        else {
            noteOperation(.unknownRecord, "the ledger entry is not known")
            return
        }
        guard try right(toWrite: parent, stored) != .none else {
            noteOperation(.scope, "the ledger entry’s record")
            return
        }
        try close(key, entry)
    }

    // MARK: - Revive (rule D2)

    /// Brings back a deleted record, and what was deleted with it below it.
    private func revive(_ operation: Operation) throws {
        guard let id = operation.record, let table = schema.table(at: operation.table), !table.isLedger else {
            noteOperation(.invalid, "revive names no record")
            return
        }
        guard !table.isDropped else {
            noteOperation(.retired, table.name)
            return
        }
        let key = RecordKey(table: operation.table, record: id)
        guard let stored = try current(key) else {
            noteOperation(.unknownRecord, table.name)
            return
        }
        switch try right(toWrite: key, stored) {
        case .none:
            noteOperation(.scope, table.name)
            return
        case .handedOff: noteOperation(.handedOff, table.name)
        case .held: break
        }
        guard !stored.state.isAlive else { return try revive(key) }
        let deleted = try entry(stored.position)?.effects.filter { $0.after == nil }.map(\.key) ?? []
        for other in [key] + deleted where try current(other)?.state.isAlive == false {
            if try other == key || isBelow(other, key) { try revive(other) }
        }
    }

    /// Rule D2: the same incarnation with its last values. What lives only learns that somebody wants it to: a delete
    /// that had not seen this loses (rule D1).
    func revive(_ key: RecordKey) throws {
        guard let table = schema.table(at: key.table), let stored = try current(key) else { return }
        let outcome = PeykMerge.revive(stored.state, context(for: key, table))
        guard let state = outcome.state else { return }
        try put(state, at: key, stored)
        if let deletion = outcome.deletion { try open(deletion, key, table) }
    }

    private func isBelow(_ key: RecordKey, _ top: RecordKey) throws -> Bool {
        var next = key
        for _ in 0..<AudienceRules.depthMax {
            guard let row = try current(next)?.state.row,
                let parent = rules.parent(table: next.table, row: row)
            else { return false }
            next = RecordKey(table: parent.table, record: parent.record)
            if next == top { return true }
        }
        return false
    }
}
