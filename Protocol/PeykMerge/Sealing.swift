public import PeykModel

extension CellWrite {
    /// The write that turns one row's cell into another's, as its policy wants it: a counter's delta, what was added to
    /// and taken from a set, a text with its base, the values otherwise.
    ///
    /// A set is never null again once it was written: ``plainEffect(of:on:in:)`` of the result gives `[]` there.
    ///
    /// - Parameters:
    ///   - before: the record before the local transaction; nil for an insert, which compares with the defaults.
    ///   - after: the record after it, its values canonical.
    /// - Returns: nil where there is nothing to write.
    public static func make(cell: Cell, in table: Table, before: Row?, after: Row) -> CellWrite? {
        let new = after.values(of: cell)
        let old = (before ?? .fresh(table)).values(of: cell)
        // An insert lists what is not null; a default that was overwritten by null must be listed as well.
        // Defaults of what may not be written are nobody's write.
        let isWritable = cell.policy != .server && !cell.fields.allSatisfy { table.fields[$0].isRetired }
        guard new != old || (before == nil && isWritable && new.contains { !$0.isNull }) else { return nil }
        switch cell.policy {
        case .counter:
            // A delta beyond 64 bits wraps here, overflows where it is added, and so is parked (rule K8).
            let start = before == nil ? 0 : old[0].integerValue ?? 0
            return .add((new[0].integerValue ?? 0) &- start)
        case .set:
            let empty = ValueSet([String]())
            let from = old[0].textValue.flatMap { ValueSet(json: $0) } ?? empty
            let to = new[0].textValue.flatMap { ValueSet(json: $0) } ?? empty
            let added = to.removing(from.elements).elements
            return .elements(added: before == nil ? to.elements : added, removed: from.removing(to.elements).elements)
        case .text: return .text(base: before == nil ? nil : old[0].textValue, new: new[0].textValue)
        default: return .assign(new)
        }
    }
}

extension Change {
    /// The change that turns one row into another; nil where they are equal.
    ///
    /// - Parameters:
    ///   - table: index in the schema's tables.
    ///   - before: nil for an insert; both rows for an update.
    ///   - after: nil for a delete.
    public static func make(
        table: Int, record: RecordID, before: Row?, after: Row?, in schema: Schema
    ) -> Change? {
        guard let layout = schema.table(at: table) else { return nil }
        guard let after else {
            return before == nil ? nil : Change(table: table, record: record, kind: .delete)
        }
        let cells = layout.cells.compactMap { cell in
            CellWrite.make(cell: cell, in: layout, before: before, after: after).map {
                CellChange(cell: cell.tag, write: $0)
            }
        }
        if before != nil, cells.isEmpty { return nil }
        return Change(table: table, record: record, kind: before == nil ? .insert : .update, cells: cells)
    }
}
