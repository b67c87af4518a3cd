public import PeykModel

/// The plain effect of a change on a row (rule M4): assign, add the delta, add and remove elements, insert, delete.
///
/// An insert starts from the fields' defaults; on a row that exists it writes its cells over it. An update of a row
/// that does not exist has no effect. A counter that would overflow stays. Cells that the table does not have, or
/// writes of the wrong kind, are passed over: ``validate(_:in:byServer:)`` reports them.
///
/// - Returns: the row after the change; nil where the record does not exist then.
public func plainEffect(of change: Change, on row: Row?, in table: Table) -> Row? {
    effect(of: change, on: row, in: table, mergesTexts: false)
}

/// What the replica shows for a pending change (rule K6): the plain effect, but texts merge with what they meet,
/// as the server will do it.
public func forecast(_ change: Change, on row: Row?, in table: Table) -> Row? {
    effect(of: change, on: row, in: table, mergesTexts: true)
}

/// The fields whose values differ, with the values of `to`: what turns one row into the other.
public func difference(from: Row, to: Row, in table: Table) -> [FieldValue] {
    to.differs(from: from, count: table.fields.count).map { FieldValue(field: $0, value: to[$0]) }
}

private func effect(of change: Change, on row: Row?, in table: Table, mergesTexts: Bool) -> Row? {
    switch change.kind {
    case .delete: return nil
    case .update where row == nil: return nil
    case .insert, .update: break
    }
    var after = row ?? .fresh(table)
    for write in change.cells {
        guard let cell = table.cell(of: write.cell) else { continue }
        if row == nil, case .add(let start) = write.write, cell.policy == .counter {
            after[cell.tag] = .integer(start)
        } else {
            after.apply(write.write, to: cell, mergesTexts: mergesTexts && row != nil)
        }
    }
    return after
}

extension Row {
    /// The row that an insert starts from: defaults, and 0 for counters (rule K8).
    static func fresh(_ table: Table) -> Row {
        var row = Row.empty(table)
        for cell in table.cells where cell.policy == .counter && row[cell.tag].isNull { row[cell.tag] = .integer(0) }
        return row
    }

    func values(of cell: Cell) -> [Value] { cell.fields.map { self[$0] } }

    mutating func set(_ values: [Value], of cell: Cell) {
        for (field, value) in zip(cell.fields, values) { self[field] = value }
    }

    /// The sum of a counter and a delta; nil where it overflows.
    func sum(of cell: Cell, adding delta: Int64) -> Int64? {
        let (sum, overflow) = (self[cell.tag].integerValue ?? 0).addingReportingOverflow(delta)
        return overflow ? nil : sum
    }

    fileprivate mutating func apply(_ write: CellWrite, to cell: Cell, mergesTexts: Bool) {
        guard write.fits(cell) else { return }
        switch write {
        case .assign(let values): set(values, of: cell)
        case .add(let delta):
            if let sum = sum(of: cell, adding: delta) { self[cell.tag] = .integer(sum) }
        case .elements(let added, let removed):
            let before = self[cell.tag].textValue.flatMap { ValueSet(json: $0) } ?? ValueSet([String]())
            self[cell.tag] = .text(before.removing(removed).adding(added).json)
        case .text(let base, let new):
            var result = new
            if mergesTexts, case .merged(let text) = TextMerge.merge(base: base, self[cell.tag].textValue, new) {
                result = text
            }
            self[cell.tag] = result.map { .text($0) } ?? .null
        }
    }
}

extension CellWrite {
    /// Whether the kind of write is the one for the cell's policy, with as many values as it has fields.
    func fits(_ cell: Cell) -> Bool {
        switch (self, cell.policy) {
        case (.add, .counter), (.elements, .set), (.text, .text): true
        case (.assign, .counter), (.assign, .set), (.assign, .text): false
        case (.assign(let values), _): values.count == cell.fields.count
        default: false
        }
    }
}

extension ValueSet {
    func removing(_ removed: [String]) -> ValueSet {
        ValueSet(elements.filter { element in !removed.contains { $0.utf8.elementsEqual(element.utf8) } })
    }

    func adding(_ added: [String]) -> ValueSet { added.isEmpty ? self : ValueSet(elements + added) }
}
