import PeykModel
import PeykSQLite

/// One pass over a capture table, straight from SQLite's memory into the buffer, for records that were written once
/// and whose values need no care (``SealEncoder``). Everything else is set aside as complex.
struct SealScan {
    let layout: TableLayout
    let sheet: SealSheet
    let encoder: SealEncoder
    let statement: Statement
    /// Everything is to be sealed the slow way: faults, or more fields than one mask has bits.
    let isCareful: Bool

    private static let opColumn: Int32 = 0
    private static let recordColumn: Int32 = 1
    private static let maskColumn: Int32 = 2
    private static let idColumn: Int32 = 3
    private static let beforeColumn: Int32 = 4

    /// The capture rows with the present rows beside them; the rowid is only a hint.
    static func sql(_ layout: TableLayout) -> String {
        let befores = (0..<layout.fieldCount).map { ", c.b\($0)" }.joined()
        let values = layout.columns.map { ", t.\($0)" }.joined()
        return "SELECT c.op, c.record, c.m0, t.id\(befores)\(values) FROM \(TableLayout.quoted(layout.captureName)) c "
            + "LEFT JOIN \(TableLayout.quoted(layout.name)) t ON t.rowid = c.rid ORDER BY c.n"
    }

    func run() throws {
        let count = layout.fieldCount + 1
        let old = SealEncoder.Values.allocate(capacity: count)
        let new = SealEncoder.Values.allocate(capacity: count)
        old.initialize(repeating: nil, count: count)
        new.initialize(repeating: nil, count: count)
        defer {
            statement.reset()
            old.deallocate()
            new.deallocate()
        }
        while try statement.step() {
            // The CHECK on `id` and the trigger see to the form; a row that has another was made by force.
            guard let record = SealEncoder.record(statement.handle(unsafe: Self.recordColumn)) else { continue }
            if sheet.isRepeated(record) { continue }
            let (sealedFrom, beforeFrom) = (sheet.sealed.count, sheet.before.count)
            let op = CaptureKind(rawValue: statement.int64(Self.opColumn))
            switch isCareful ? .slow : write(record, op, old, new) {
            case .done, .nothing:
                // Remembered also where nothing changed: another row of the same record may follow.
                sheet.close(record, isDelete: op == .delete, sealedFrom: sealedFrom, beforeFrom: beforeFrom)
            case .slow:
                sheet.rewind(sealedTo: sealedFrom, beforeTo: beforeFrom)
                sheet.makeComplex(record)
            }
        }
    }

    private func write(
        _ record: UUIDBits, _ op: CaptureKind?, _ old: SealEncoder.Values, _ new: SealEncoder.Values
    ) -> SealEncoder.Outcome {
        guard let op, op != .met else { return .slow }
        if op != .insert { read(Self.beforeColumn, into: old) }
        if op == .delete { return encoder.delete(record, old: old, &sheet.sealed, &sheet.before) }
        // The rowid may have led to another record.
        guard SealEncoder.record(statement.handle(unsafe: Self.idColumn)) == record else { return .slow }
        read(Self.beforeColumn + Int32(layout.fieldCount), into: new)
        if op == .insert {
            if !layout.unique.isEmpty { sheet.uniqueWrites.append(record) }
            return encoder.insert(record, new: new, &sheet.sealed, &sheet.before)
        }
        let mask = UInt64(bitPattern: statement.int64(Self.maskColumn))
        if layout.uniqueMask & mask != 0 { sheet.uniqueWrites.append(record) }
        return encoder.update(record, changed: mask, old: old, new: new, &sheet.sealed, &sheet.before)
    }

    private func read(_ first: Int32, into values: SealEncoder.Values) {
        for field in 0..<layout.fieldCount { values[field + 1] = statement.handle(unsafe: first + Int32(field)) }
    }
}
