public import PeykModel

/// What of a change may not enter, whatever the state of its record is; empty for a change in order.
///
/// Total on hostile data. The server asks before it merges, the replica before it seals; both refuse the same.
///
/// - Parameters:
///   - schema: the one under which the commit was sealed (rule T2).
///   - byServer: an act of the server's own, which may write the ledger and `server` fields.
/// - Returns: at most one refusal a cell, ascending by tag; of an insert, any of them refuses the record (rule M6).
/// - Complexity: O(fields + bytes of the values).
public func validate(_ change: Change, in schema: Schema, byServer: Bool = false) -> [CellRefusal] {
    guard let table = schema.table(at: change.table) else {
        return [CellRefusal(code: .invalid, detail: "unknown table")]
    }
    if table.isLedger, !byServer { return [CellRefusal(code: .serverField, detail: table.name)] }
    // What is dropped is emptied by the server's own acts, wherever it is.
    let isEmptied =
        byServer && change.kind == .update && !change.cells.isEmpty
        && change.cells.allSatisfy { table.cell(of: $0.cell)?.fields.allSatisfy { table.fields[$0].isDropped } == true }
    if !isEmptied {
        if table.isRetired, change.kind != .delete { return [CellRefusal(code: .retired, detail: table.name)] }
        if change.kind == .update, table.isAppendOnly { return [CellRefusal(code: .appendOnly, detail: table.name)] }
    }
    if change.kind == .delete {
        return change.cells.isEmpty ? [] : [CellRefusal(code: .invalid, detail: "a delete with values")]
    }
    var refusals: [CellRefusal] = []
    var last = -1
    for write in change.cells {
        guard write.cell > last, let cell = table.cell(of: write.cell) else {
            return [CellRefusal(code: .invalid, detail: "unknown or repeated cell of \(table.name)")]
        }
        last = write.cell
        if let refusal = refusal(of: write.write, cell, table, byServer, isEmptied) { refusals.append(refusal) }
    }
    if change.kind == .insert, refusals.isEmpty { refusals = missing(change, table, byServer) }
    return refusals
}

private func refusal(
    of write: CellWrite, _ cell: Cell, _ table: Table, _ byServer: Bool, _ isEmptied: Bool
) -> CellRefusal? {
    func refuse(_ code: NoticeCode, _ detail: String) -> CellRefusal {
        CellRefusal(cell: cell.tag, code: code, detail: detail)
    }
    guard write.fits(cell) else { return refuse(.invalid, "\(cell.name): not a write for its policy") }
    if cell.policy == .server, !byServer { return refuse(.serverField, cell.name) }
    let fields = cell.fields.map { table.fields[$0] }
    if fields.allSatisfy(\.isRetired), !isEmptied { return refuse(.retired, cell.name) }
    switch write {
    case .add: return nil
    case .assign(let values):
        for (field, value) in zip(fields, values) {
            if value.isNull, field.isRequired, !field.isRetired { return refuse(.required, field.name) }
            if let problem = problem(value, field) { return refuse(.invalid, "\(field.name) \(problem)") }
        }
    case .elements(let added, let removed):
        let size = (added + removed).reduce(0) { $0 + $1.utf8.count }
        guard isSet(added), isSet(removed), ValueSet(added).removing(removed).elements.count == added.count
        else {
            return refuse(.invalid, "\(cell.name) \(ValueError.notASet)")
        }
        guard size <= FieldType.valueBytesMax / 2 else { return refuse(.invalid, "\(cell.name) \(ValueError.tooLong)") }
    case .text(let base, let new):
        if new == nil, fields[0].isRequired { return refuse(.required, cell.name) }
        for text in [base, new] {
            if let problem = problem(text.map { .text($0) } ?? .null, fields[0]) {
                return refuse(.invalid, "\(cell.name) \(problem)")
            }
        }
    }
    return nil
}

/// Why the value cannot stand in the field as it is: values are canonical before they are sealed (P24).
private func problem(_ value: Value, _ field: Field) -> ValueError? {
    switch field.type.admit(value) {
    case .success(let canonical): canonical == value ? nil : .wrongType(expected: field.type.name)
    case .failure(let error): error
    }
}

/// Sorted by bytes, without repeats, without NUL.
private func isSet(_ elements: [String]) -> Bool {
    !elements.contains { $0.utf8.contains(0) }
        && zip(elements, elements.dropFirst()).allSatisfy { $0.utf8.lexicographicallyPrecedes($1.utf8) }
}

/// Required fields that an insert leaves empty.
private func missing(_ change: Change, _ table: Table, _ byServer: Bool) -> [CellRefusal] {
    guard let row = plainEffect(of: change, on: nil, in: table) else { return [] }
    return table.cells.compactMap { cell in
        guard cell.policy != .server || byServer,
            let empty = cell.fields.first(where: {
                table.fields[$0].isRequired && !table.fields[$0].isRetired && row[$0].isNull
            })
        else { return nil }
        return CellRefusal(cell: cell.tag, code: .required, detail: table.fields[empty].name)
    }
}
