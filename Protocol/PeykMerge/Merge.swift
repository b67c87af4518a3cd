public import PeykModel

/// Merges one change into the record's state: the server's decision (rules M1, M2, M6, M8, D1, D2, K8).
///
/// Pure: equal arguments give an equal outcome. The change should have passed ``validate(_:in:byServer:)``; writes that
/// do not fit their cell are refused here too, and nothing traps on them.
///
/// - Parameters:
///   - state: the record, alive or as a tombstone; nil where the server never had it.
///   - hasLivingChildren: whether, at this place in the commit, a record that lives has this one as its parent
///     (asked for deletes only; within a commit children are deleted first).
/// - Complexity: O(cells of the change × writers of each); texts by lines (``TextMerge``).
public func merge(
    _ change: Change, into state: RecordState?, _ context: MergeContext, hasLivingChildren: Bool
) -> ChangeOutcome {
    guard let state else { return mergeUnknown(change, context) }
    switch change.kind {
    case .delete: return mergeDelete(state, context, hasLivingChildren)
    case .insert:
        switch incarnation(ofInsertInto: state, context) {
        case .higher: return startIncarnation(change, state, context)
        case .lower: return loseToHigher(change, state, context)
        case .present: return mergeWrites(change, state, context)
        }
    case .update:
        // It belongs to the latest incarnation whose creation it covers (rule D2).
        if state.clock.incarnation > 0, !context.isServer, !context.coversAny(state.clock.created) {
            return loseToHigher(change, state, context)
        }
        return mergeWrites(change, state, context)
    }
}

/// Brings a deleted record back with its last values, in the same incarnation.
///
/// The operation *revive* (rule D2), and the server's own act where a child needs its parent (rule D1). A record that
/// lives only learns of its new writer.
public func revive(_ state: RecordState, _ context: MergeContext) -> ChangeOutcome {
    var after = state
    after.isAlive = true
    after.clock.note(context)
    var outcome = ChangeOutcome(state: after)
    outcome.isRevived = !state.isAlive
    // A delete that the author had seen is what she takes back; whose she had not seen has to hear of it (P2).
    let losers = state.isAlive ? [] : state.clock.deletes.filter { !context.covers($0) }
    if !losers.isEmpty {
        outcome.deletion = DeleteConflict(losers: losers, winners: [context.writer], hasLivingChildren: false)
    }
    outcome.decisions = [Decision(rule: .revive, verdict: .applied, others: state.isAlive ? [] : state.clock.deletes)]
    return outcome
}

// MARK: - Records

private func mergeUnknown(_ change: Change, _ context: MergeContext) -> ChangeOutcome {
    var outcome = ChangeOutcome(state: nil)
    switch change.kind {
    case .update:
        outcome.refusals = [CellRefusal(code: .unknownRecord)]
        outcome.isRefused = true
        outcome.decisions = [Decision(rule: .causal, verdict: .refused)]
    case .delete:
        // Its tombstone is gone: what the author wanted holds.
        outcome.decisions = [Decision(rule: .delete, verdict: .applied)]
    case .insert:
        return inserted(change, RowClock(created: [context.writer]), context)
    }
    return outcome
}

/// A record that is new, or begins anew.
private func inserted(_ change: Change, _ clock: RowClock, _ context: MergeContext) -> ChangeOutcome {
    let table = context.table
    var outcome = ChangeOutcome(state: nil)
    for write in change.cells {
        guard let cell = table.cell(of: write.cell), write.write.fits(cell) else {
            outcome.refusals.append(CellRefusal(cell: write.cell, code: .invalid))
            continue
        }
        if cell.policy == .server, !context.isServer {
            outcome.refusals.append(CellRefusal(cell: cell.tag, code: .serverField, detail: cell.name))
        }
    }
    guard outcome.refusals.isEmpty else {
        outcome.refuseWhole(.insert)
        return outcome
    }
    let bare = Change(table: change.table, record: change.record, kind: .insert, cells: change.cells)
    // Late under a remembered delete, it comes back deleted (rule I7.4).
    let isAlive = !context.successors.contains { $0.kind == .delete }
    outcome.state = plainEffect(of: bare, on: nil, in: table).map { row in
        var clock = clock
        clock.listNulls(of: bare, by: context.writer, table, row)
        return RecordState(row: row, clock: clock, isAlive: isAlive)
    }
    outcome.decisions = [Decision(rule: .insert, verdict: .applied)]
    return outcome
}

private func mergeDelete(_ state: RecordState, _ context: MergeContext, _ hasLivingChildren: Bool) -> ChangeOutcome {
    var outcome = ChangeOutcome(state: state)
    var after = state
    if state.clock.incarnation > 0, !context.isServer, !context.coversAny(state.clock.created + state.clock.deletes) {
        // It meant an earlier life, which has ended; who saw it and inserts anew begins no life of their own.
        after.clock.ended = after.clock.ended.with(delete: context.writer)
        outcome.state = after
        outcome.decisions = [Decision(rule: .incarnation, verdict: .lost, others: state.clock.created)]
        return outcome
    }
    after.clock.deletes = after.clock.deletes.with(delete: context.writer)
    guard state.isAlive else {
        // Remembered as well: who saw it and inserts anew begins an incarnation.
        outcome.state = after
        outcome.decisions = [Decision(rule: .delete, verdict: .applied, others: state.clock.deletes)]
        return outcome
    }
    let unseen = state.clock.record.filter { !context.covers($0) }
    if unseen.isEmpty, !hasLivingChildren {
        after.isAlive = false
        outcome.decisions = [Decision(rule: .delete, verdict: .applied, others: state.clock.record)]
    } else {
        outcome.deletion = DeleteConflict(
            losers: [context.writer], winners: unseen, hasLivingChildren: hasLivingChildren)
        outcome.decisions = [Decision(rule: .delete, verdict: .lost, others: unseen)]
    }
    outcome.state = after
    return outcome
}

private enum Incarnation { case lower, present, higher }

private func incarnation(ofInsertInto state: RecordState, _ context: MergeContext) -> Incarnation {
    let clock = state.clock
    let seen = clock.deletes.filter { context.covers($0) }
    if !seen.isEmpty {
        // Who had seen a delete and all that brought the record back had it outside of their scope, or they could
        // not insert it (`import --key`): that is no re-creation. Their own deletes above their anchor they saw.
        let sawAlive = state.isAlive && clock.record.allSatisfy { context.covers($0) }
        if !sawAlive || seen.contains(where: { $0.position > context.clock.anchor }) { return .higher }
    }
    if clock.incarnation == 0 || context.isServer { return .present }
    return context.coversAny(clock.ended + clock.created) ? .present : .lower
}

/// An insert by somebody who had seen the record deleted replaces all of it (rule D2).
private func startIncarnation(_ change: Change, _ state: RecordState, _ context: MergeContext) -> ChangeOutcome {
    let clock = RowClock(
        incarnation: state.clock.incarnation + 1, created: [context.writer], ended: state.clock.deletes)
    var outcome = inserted(change, clock, context)
    guard outcome.state != nil else {
        outcome.state = state
        return outcome
    }
    outcome.isRevived = !state.isAlive
    let unseen = state.clock.record.filter { !context.covers($0) }
    if state.isAlive, !unseen.isEmpty {
        let fields = context.table.fields.indices.map { FieldValue(field: $0, value: state.row[$0]) }
        outcome.incarnation = IncarnationConflict(
            winner: context.writer, losers: unseen, values: fields.filter { !$0.value.isNull })
    }
    outcome.decisions = [Decision(rule: .incarnation, verdict: .applied, others: state.clock.record)]
    return outcome
}

/// A write to an earlier life of the record: it stands nowhere but in the ledger (rule D2).
private func loseToHigher(_ change: Change, _ state: RecordState, _ context: MergeContext) -> ChangeOutcome {
    var outcome = ChangeOutcome(state: state)
    guard let winner = state.clock.created.first else { return outcome }
    var values: [FieldValue] = []
    for write in change.cells {
        guard let cell = context.table.cell(of: write.cell), write.write.fits(cell) else { continue }
        values += zip(cell.fields, write.write.shown).map { FieldValue(field: $0, value: $1) }
    }
    outcome.incarnation = IncarnationConflict(winner: winner, losers: [context.writer], values: values)
    outcome.decisions = [Decision(rule: .incarnation, verdict: .lost, others: state.clock.created)]
    return outcome
}

private func mergeWrites(_ change: Change, _ state: RecordState, _ context: MergeContext) -> ChangeOutcome {
    var merging = CellMerge(state, context, isInsert: change.kind == .insert)
    for write in change.cells where change.kind != .insert || write.isWritten(in: context.table) {
        merging.merge(write)
    }
    if change.kind == .insert { merging.mergeDefaults(except: change.cells) }
    var outcome = merging.outcome
    let isWhollyRefused = !change.cells.isEmpty && outcome.refusals.count == change.cells.count
    if isWhollyRefused || (change.kind == .insert && !outcome.refusals.isEmpty) {
        var refused = ChangeOutcome(state: state)
        refused.refusals = outcome.refusals
        refused.decisions = outcome.decisions.filter { $0.verdict == .refused }
        refused.refuseWhole(change.kind)
        return refused
    }
    var after = merging.finished
    if context.successors.isEmpty { after.clock.note(context) }
    let staysDeleted = context.successors.contains { $0.kind == .delete }
    if !state.isAlive, !staysDeleted {
        after.isAlive = true
        outcome.isRevived = true
        // Who wrote on top of a delete has no quarrel with it; each other one is somebody's who has to hear (P2).
        let losers = state.clock.deletes.filter { !context.covers($0) }
        if !losers.isEmpty {
            outcome.deletion = DeleteConflict(losers: losers, winners: [context.writer], hasLivingChildren: false)
        }
    }
    outcome.state = after
    return outcome
}

// MARK: - Parts

extension CellChange {
    /// Whether an insert says something with it: a value, or a null over a default. A null that the record has anyway
    /// is nobody's write, whichever of two inserts comes first (P5).
    fileprivate func isWritten(in table: Table) -> Bool {
        guard let cell = table.cell(of: cell) else { return true }
        let isNull =
            switch write {
            case .assign(let values): values.allSatisfy(\.isNull)
            case .text(_, let new): new == nil
            case .add, .elements: false
            }
        return !isNull || Row.fresh(table).values(of: cell).contains { !$0.isNull }
    }
}

extension RowClock {
    /// Who inserted a record wrote the nulls over its defaults too, and nothing else would imply that: another insert,
    /// which leaves the default, must meet a writer there (P5).
    fileprivate mutating func listNulls(of insert: Change, by writer: Writer, _ table: Table, _ row: Row) {
        for write in insert.cells where write.isWritten(in: table) {
            guard let cell = table.cell(of: write.cell), cell.policy != .counter, cell.policy != .set,
                row.values(of: cell).allSatisfy(\.isNull)
            else { continue }
            set(CellClock(tag: cell.tag, siblings: [Sibling(writer: writer)]), of: cell, in: row)
        }
    }

    /// A write drops the writers that it covers and adds itself (rules M1, D1).
    mutating func note(_ context: MergeContext) {
        record = (record.filter { !context.covers($0) } + [context.writer]).normalised
    }
}

extension [Writer] {
    func with(delete writer: Writer) -> [Writer] {
        Array((self + [writer]).normalised.suffix(RowClock.deletesMax))
    }
}

extension ChangeOutcome {
    /// Nothing of the change entered: for an insert the record is the smallest part that stands alone, for an update
    /// each cell (rule M6).
    mutating func refuseWhole(_ kind: Change.Kind) {
        isRefused = true
        if kind == .insert, let first = refusals.first {
            refusals = [CellRefusal(code: first.code, detail: first.detail)]
            decisions = [Decision(rule: .insert, verdict: .refused)]
        }
    }
}

extension CellWrite {
    /// The write as values of its cell's fields, for people.
    var shown: [Value] {
        switch self {
        case .assign(let values): values
        case .add(let delta): [.integer(delta)]
        case .elements(let added, _): [.text(ValueSet(added).json)]
        case .text(_, let new): [new.map { .text($0) } ?? .null]
        }
    }
}
