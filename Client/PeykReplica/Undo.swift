import PeykMerge
public import PeykModel
import PeykSQLite
import Synchronization

/// The way back of one record.
private struct UndoStep {
    /// One cell: what the commit left there, and how to go back from what is there now.
    struct CellStep {
        var cell: Cell
        /// The values that must still be there; nil where any are fine (counters and sets).
        var expected: [Value]?
        var inverse: CellWrite
    }

    enum Kind {
        case created([CellStep])
        case changed([CellStep])
        case deleted(Row)
    }

    var key: RecordKey
    var kind: Kind
}

extension Replica {
    /// Undoes a commit by a new one with the former values (rules M8, D2); deleted records are revived with their
    /// children. The server checks again, with what it knows by then.
    ///
    /// - Parameters:
    ///   - commit: nil for the latest commit of this replica that is neither an undo nor undone.
    ///   - force: overwrites what was built on it since.
    /// - Throws: ``ReplicaError/builtUpon(table:record:field:)`` where a value was changed since, among others.
    @discardableResult
    public func undo(_ commit: CommitID? = nil, force: Bool = false) throws -> WriteResult {
        if let held = try heldCommit(commit) { return try withdraw(held) }
        return try write { write in
            let id = try commit ?? latestUndoable(write.connection)
            let steps = try undoSteps(id, write.connection)
            guard !steps.isEmpty else { throw ReplicaError.cannotUndo(reason: "it changed nothing that can be undone") }
            let deleted = Set(steps.compactMap { step in if case .deleted = step.kind { step.key } else { nil } })
            for step in steps.reversed() { try carryOut(step, of: steps, deleted: deleted, force: force, write) }
            try write.operation(.undo, argument: force ? "\(id) force" : id.description)
        }
    }

    // MARK: Finding

    private func heldCommit(_ id: CommitID?) throws -> OutboxCommit? {
        try reading { connection in
            guard let id else { return nil }
            return try OutboxCommit.find(id, connection).flatMap { $0.state == .held ? $0 : nil }
        }
    }

    private func latestUndoable(_ connection: Connection) throws -> CommitID {
        let statement = try connection.statement(
            "SELECT \(OutboxCommit.columns) FROM peyk_commit WHERE state <> 3 ORDER BY stamp DESC LIMIT 1000")
        defer { statement.reset() }
        var undone: Set<CommitID> = []
        while try statement.step() {
            let commit = try OutboxCommit(statement)
            let body = try commit.body()
            if let undo = body.operations.first(where: { $0.kind == .undo }) {
                if let target = undo.argument.flatMap({ CommitID($0.prefix(36)) }) { undone.insert(target) }
            } else if !undone.contains(commit.id), !body.changes.isEmpty {
                return commit.id
            }
        }
        throw ReplicaError.cannotUndo(reason: "this replica keeps no commit that can be undone")
    }

    private func undoSteps(_ id: CommitID, _ connection: Connection) throws -> [UndoStep] {
        if let commit = try OutboxCommit.find(id, connection) {
            return try zip(try commit.body().changes, try commit.beforeImages()).compactMap { try step($0, $1) }
        }
        let rows = try connection.rows(
            "SELECT effects FROM peyk_log WHERE commit_id = ?1 ORDER BY position", [.blob(id.bytes)])
        guard !rows.isEmpty else { throw ReplicaError.unknownCommit(id.description) }
        return try rows.flatMap { row -> [UndoStep] in
            guard case .blob(let bytes)? = row.first else { return [] }
            return try EntryLog.effects(bytes).compactMap { try step($0) }
        }
    }

    private func step(_ change: Change, _ before: BeforeImage) throws -> UndoStep? {
        let key = RecordKey(table: change.table, record: change.record)
        guard let table = schema.table(at: change.table) else { return nil }
        switch before {
        case .row(let row): return UndoStep(key: key, kind: .deleted(row))
        case .absent:
            let cells = change.cells.compactMap { write -> UndoStep.CellStep? in
                guard let cell = table.cell(tag: write.cell), case .assign(let values) = write.write else { return nil }
                return UndoStep.CellStep(cell: cell, expected: values, inverse: .assign(values))
            }
            return UndoStep(key: key, kind: .created(cells))
        case .fields(let fields):
            let old = Dictionary(fields.map { ($0.field, $0.value) }) { first, _ in first }
            let cells = change.cells.compactMap { write -> UndoStep.CellStep? in
                guard let cell = table.cell(tag: write.cell) else { return nil }
                return cellStep(cell, write.write) { old[$0] }
            }
            return UndoStep(key: key, kind: .changed(cells))
        }
    }

    private func cellStep(_ cell: Cell, _ write: CellWrite, old: (Int) -> Value?) -> UndoStep.CellStep? {
        switch write {
        case .assign(let values):
            // A member of the group that the commit did not change keeps the value that it carried.
            let former = zip(cell.fields, values).map { old($0) ?? $1 }
            return UndoStep.CellStep(cell: cell, expected: values, inverse: .assign(former))
        case .add(let delta): return UndoStep.CellStep(cell: cell, inverse: .add(0 &- delta))
        case .elements(let added, let removed):
            return UndoStep.CellStep(cell: cell, inverse: .elements(added: removed, removed: added))
        case .text(let base, let new):
            let expected = [new.map { Value.text($0) } ?? .null]
            return UndoStep.CellStep(cell: cell, expected: expected, inverse: .text(base: new, new: base))
        }
    }

    private func step(_ effect: LoggedEffect) throws -> UndoStep? {
        guard let table = schema.table(at: effect.key.table), !table.isLedger else { return nil }
        switch effect.kind {
        case .created: return UndoStep(key: effect.key, kind: .created([]))
        case .deleted:
            var row = Row.empty(table)
            for field in effect.fields { row[field.field] = field.old }
            return UndoStep(key: effect.key, kind: .deleted(row))
        case .changed:
            var before = Row.empty(table)
            var after = before
            for field in effect.fields {
                before[field.field] = field.old
                after[field.field] = field.new
            }
            let named = Set(effect.fields.map(\.field))
            let cells = table.cells.filter { !named.isDisjoint(with: $0.fields) && $0.policy != .server }
            return UndoStep(
                key: effect.key,
                kind: .changed(
                    cells.compactMap { cell in
                        // A group whose other members are not in the log cannot be checked or restored as one.
                        guard cell.fields.allSatisfy({ named.contains($0) }) || cell.fields.count == 1,
                            let write = CellWrite.make(cell: cell, in: table, before: before, after: after)
                        else { return nil }
                        return cellStep(cell, write) { before[$0] }
                    }))
        case .evicted, .touched: return nil
        }
    }

    // MARK: Going back

    private func carryOut(
        _ step: UndoStep, of steps: [UndoStep], deleted: Set<RecordKey>, force: Bool, _ write: LocalWrite
    ) throws {
        guard let layout = write.layout(step.key.table) else { return }
        let present = try write.row(layout.name, step.key.record)
        switch step.kind {
        case .deleted(let row):
            guard present == nil else { return }
            try write.revive(step.key.record, row, layout, isTop: !hasParent(row, layout, in: deleted))
        case .created(let cells):
            guard let present else { return }
            if !force {
                try check(cells, present, step.key, layout)
                try checkChildren(of: step.key, layout, made: Set(steps.map(\.key)), write)
            }
            try write.delete(layout.name, step.key.record)
        case .changed(let cells):
            guard let present else {
                if force { return }
                throw ReplicaError.unknownRecord(table: layout.name, record: step.key.record.description)
            }
            if !force { try check(cells, present, step.key, layout) }
            let writes = cells.map { CellChange(cell: $0.cell.tag, write: $0.inverse) }
            try write.apply(Change(table: step.key.table, record: step.key.record, kind: .update, cells: writes))
        }
    }

    private func check(
        _ cells: [UndoStep.CellStep], _ present: Row, _ key: RecordKey, _ layout: TableLayout
    ) throws {
        for step in cells {
            guard let expected = step.expected, expected != step.cell.fields.map({ present[$0] }) else { continue }
            throw ReplicaError.builtUpon(table: layout.name, record: key.record, field: step.cell.name)
        }
    }

    private func checkChildren(
        of key: RecordKey, _ layout: TableLayout, made: Set<RecordKey>, _ write: LocalWrite
    ) throws {
        for referrer in layout.referrers {
            guard let other = write.layout(referrer.table) else { continue }
            let rows = try write.rows(
                "SELECT id FROM \(TableLayout.quoted(other.name)) WHERE \(other.columns[referrer.field]) = ?1",
                [Value(key.record)])
            for child in rows.compactMap({ $0.first?.recordID })
            where !made.contains(RecordKey(table: referrer.table, record: child)) {
                throw ReplicaError.builtUpon(table: layout.name, record: key.record, field: other.name)
            }
        }
    }

    private func hasParent(_ row: Row, _ layout: TableLayout, in deleted: Set<RecordKey>) -> Bool {
        layout.hardReferences.contains { reference in
            row[reference.field].recordID.map { deleted.contains(RecordKey(table: reference.target, record: $0)) }
                ?? false
        }
    }

    // MARK: Held commits (rule D7)

    /// Takes back a commit that was never sent: its rows return, and nothing of it stays.
    private func withdraw(_ commit: OutboxCommit) throws -> WriteResult {
        try changing { connection in
            let later = try OutboxCommit.held(connection).filter { $0.seq > commit.seq }
            let changes = try commit.body().changes
            let records = Set(changes.map { RecordKey(table: $0.table, record: $0.record) })
            for other in later {
                for change in try other.body().changes
                where records.contains(RecordKey(table: change.table, record: change.record)) {
                    throw ReplicaError.cannotUndo(reason: "a later held commit builds on it; undo that first")
                }
            }
            let restore = SealRestore(replica: self, connection: connection)
            for (change, image) in zip(changes, try commit.beforeImages()).reversed() {
                try restore.goBack(change, image)
            }
            try connection.run("DELETE FROM peyk_commit WHERE seq = ?1", [.integer(commit.seq)])
            overlay.index.withLock { $0 = nil }
            return WriteResult(commit: nil, seq: 0, changes: changes.count, isHeld: false)
        }
    }
}

extension LocalWrite {
    /// Puts a deleted record back, and asks the server for the same life of it (rule D2).
    fileprivate func revive(_ record: RecordID, _ row: Row, _ layout: TableLayout, isTop: Bool) throws {
        let cells = layout.table.cells.compactMap { cell -> CellChange? in
            guard !cell.fields.contains(where: { layout.codings[$0].isClosed }) else { return nil }
            return CellWrite.make(cell: cell, in: layout.table, before: nil, after: row)
                .map { CellChange(cell: cell.tag, write: $0) }
        }
        try apply(Change(table: layout.index, record: record, kind: .insert, cells: cells))
        if isTop { try operation(.revive, table: layout.name, record: record) }
    }
}
