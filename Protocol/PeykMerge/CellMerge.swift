import PeykModel

/// Merges a change's cells into a record, one after the other.
struct CellMerge {
    let context: MergeContext
    let isInsert: Bool
    var row: Row
    var clock: RowClock
    var outcome: ChangeOutcome
    private let isAlive: Bool

    init(_ state: RecordState, _ context: MergeContext, isInsert: Bool) {
        self.context = context
        self.isInsert = isInsert
        row = state.row
        clock = state.clock
        isAlive = state.isAlive
        outcome = ChangeOutcome(state: state)
        if isInsert {
            // What is implied by the first creator must be listed before there are two of them.
            clock.listAll(context.table, row)
            clock.created = (clock.created + [context.writer]).normalised
        }
    }

    /// The record after all cells.
    var finished: RecordState {
        var clock = clock
        if isInsert { clock.compact(context.table, row) }
        return RecordState(row: row, clock: clock, isAlive: isAlive)
    }

    mutating func merge(_ change: CellChange) {
        guard let cell = context.table.cell(of: change.cell), change.write.fits(cell) else {
            refuse(change.cell, .invalid, "")
            return
        }
        if cell.policy == .server, !context.isServer {
            refuse(cell.tag, .serverField, cell.name)
            return
        }
        switch change.write {
        case .assign(let values): assign(values, cell)
        case .add(let delta): add(delta, cell)
        case .elements(let added, let removed): elements(added: added, removed: removed, cell)
        case .text(let base, let new): text(base: base, new: new, cell)
        }
    }

    /// An insert writes every cell that is not null after it, also those that it leaves to their defaults.
    mutating func mergeDefaults(except listed: [CellChange]) {
        let fresh = Row.fresh(context.table)
        for cell in context.table.cells where !listed.contains(where: { $0.cell == cell.tag }) {
            let values = fresh.values(of: cell)
            guard values.contains(where: { !$0.isNull }) else { continue }
            switch cell.policy {
            case .counter, .set: break
            case .text: text(base: nil, new: values[0].textValue, cell)
            default: assign(values, cell)
            }
        }
    }

    mutating func refuse(_ tag: Int, _ code: NoticeCode, _ detail: String, others: [Writer] = []) {
        outcome.refusals.append(CellRefusal(cell: tag, code: code, detail: detail))
        let rule = code == .builtUpon ? .undo : context.table.cell(of: tag).map { Decision.Rule($0.policy) } ?? .causal
        decide(tag, rule, .refused, others)
    }

    mutating func decide(_ tag: Int, _ rule: Decision.Rule, _ verdict: Decision.Verdict, _ others: [Writer]) {
        outcome.decisions.append(Decision(cell: tag, rule: rule, verdict: verdict, others: others.normalised))
    }

    /// Remembered changes that had seen this one and wrote the cell (rule I7.4).
    func successors(of cell: Cell) -> [Change] {
        context.successors.filter { $0.kind == .insert || $0.cells.contains { $0.cell == cell.tag } }
    }

    /// Everybody who stands behind the cell, with what they wrote.
    func claims(_ cell: Cell) -> [Claim] {
        let present = row.values(of: cell)
        return clock.siblings(of: cell, in: row).map { Claim(writer: $0.writer, values: $0.values ?? present) }
    }

    /// Rule M8: whether the undo meets somebody it neither names nor has seen.
    func isBuiltUpon(_ present: Claim?) -> Bool {
        guard context.undoes != nil, !context.isForced, let present else { return false }
        return !context.covers(present.writer)
    }

    /// Writes the winner into the row and all claims into the clock, and reports what lost.
    mutating func settle(
        _ before: [Claim], _ after: [Claim], winner: Claim, rule: Decision.Rule, _ cell: Cell, base: [Value]?
    ) {
        let former = row.values(of: cell)
        row.set(winner.values, of: cell)
        let siblings = after.map { Sibling(writer: $0.writer, values: $0.values == winner.values ? nil : $0.values) }
        clock.set(CellClock(tag: cell.tag, siblings: siblings), of: cell, in: row)
        let losers = after.filter { $0.values != winner.values }.sorted { $1.writer.isLater(than: $0.writer) }
        let lostBefore = before.filter { $0.values != former }.map(\.writer.commit)
        guard !losers.isEmpty else {
            if !lostBefore.isEmpty { outcome.resolved.append(cell.tag) }
            return
        }
        let newlyLost = losers.map(\.writer.commit).filter { !lostBefore.contains($0) }
        guard !newlyLost.isEmpty || winner.values != former else { return }
        let isOpen = cell.policy == .review || rule == .wonOrLost
        outcome.conflicts.append(
            CellConflict(
                cell: cell.tag, rule: rule, winner: winner, losers: losers, newlyLost: newlyLost, base: base,
                isOpen: isOpen))
    }

    // MARK: Commuting policies

    private mutating func add(_ delta: Int64, _ cell: Cell) {
        if successors(of: cell).contains(where: { $0.kind == .insert }) {
            decide(cell.tag, .counter, .late, [])
            return
        }
        guard let sum = row.sum(of: cell, adding: delta) else {
            refuse(cell.tag, .overflow, cell.name)
            return
        }
        row[cell.tag] = .integer(sum)
        decide(cell.tag, .counter, .merged, [])
    }

    private mutating func elements(added: [String], removed: [String], _ cell: Cell) {
        let later = successors(of: cell)
        if later.contains(where: { $0.kind == .insert }) {
            decide(cell.tag, .set, .late, [])
            return
        }
        var added = added
        for case .elements(_, let gone)? in later.map({ $0.cells.first { $0.cell == cell.tag }?.write }) {
            added = ValueSet(added).removing(gone).elements
        }
        let taken = later.isEmpty ? removed : []
        var elements: [ElementClock] = []
        var kept: [Writer] = []
        for var element in clock.elements(of: cell, in: row) {
            let isRemoved = taken.contains { $0.utf8.elementsEqual(element.element.utf8) }
            let isAdded = added.contains { $0.utf8.elementsEqual(element.element.utf8) }
            if isRemoved || isAdded { element.adders.removeAll { context.covers($0) } }
            if isRemoved { kept += element.adders }
            if isAdded { element.adders = (element.adders + [context.writer]).normalised }
            if !element.adders.isEmpty { elements.append(element) }
        }
        for element in added where !elements.contains(where: { $0.element.utf8.elementsEqual(element.utf8) }) {
            elements.append(ElementClock(element: element, adders: [context.writer]))
        }
        elements.sort { $0.element.utf8.lexicographicallyPrecedes($1.element.utf8) }
        row[cell.tag] = .text(ValueSet(elements.map(\.element)).json)
        clock.set(CellClock(tag: cell.tag, elements: elements), of: cell, in: row)
        // What an unseen add kept is a merge that people may ask about.
        decide(cell.tag, .set, kept.isEmpty ? .applied : .merged, kept)
    }
}
