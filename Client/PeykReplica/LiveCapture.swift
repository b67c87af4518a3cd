import Foundation
import GRDBSQLite
import PeykModel
import PeykSQLite

/// Capture of this program's own writes, as they happen: SQLite tells of each row before it changes (decision 0013).
///
/// The capture triggers do the same for every other program, through tables; here the bytes of the commit are
/// written at once, and nothing has to be stored and read back. What is kept of a row is right whatever becomes of
/// the statement: where one failed, or a savepoint was taken back, all records are sealed from their former and
/// present rows.
///
/// Used only inside the write transactions of one database.
final class LiveCapture {
    private(set) var sheets: [SealSheet] = []
    /// `peyk_operation` was written.
    private(set) var hasOperations = false
    /// What may not be written: the ledger, which is the server's, or an id of another form (rule K3). The write
    /// cannot be saved.
    private(set) var refusal: ReplicaError?
    /// Statements were taken back, so not all that was told did happen.
    var isDoubtful = false

    private(set) lazy var watch = RowWatch { [unowned self] change in saw(change) }

    private var layout: Layout?
    private var encoders: [SealEncoder] = []
    /// Names of the tables, then the operations' table.
    private var names: [UnsafeMutablePointer<CChar>?] = []
    private var last = 0
    private var isCareful = false
    private var old: SealEncoder.Values
    private var new: SealEncoder.Values

    init() {
        old = .allocate(capacity: 1)
        new = .allocate(capacity: 1)
    }

    deinit {
        for name in names { free(name) }
        old.deallocate()
        new.deallocate()
    }

    /// From now on changes are captured, until ``end()``.
    ///
    /// - Parameter isCareful: all records are sealed from their former and present rows.
    func begin(_ layout: Layout, isCareful: Bool) {
        prepare(layout)
        self.isCareful = isCareful
        hasOperations = false
        refusal = nil
        isDoubtful = false
        for sheet in sheets {
            sheet.clear()
            sheet.keepsFormers = true
        }
        watch.isOn = true
    }

    /// What was captured stays until the next beginning.
    func end() { watch.isOn = false }

    /// The sheets and encoders of a layout, made anew when it is another.
    func prepare(_ layout: Layout) {
        guard self.layout !== layout else { return }
        self.layout = layout
        sheets = layout.tables.map { SealSheet($0) }
        encoders = layout.tables.map { SealEncoder($0) }
        for name in names { free(name) }
        names = (layout.tables.map(\.name) + ["peyk_operation"]).map { strdup($0) }
        last = 0
        old.deallocate()
        new.deallocate()
        let count = 1 + (layout.tables.map(\.fieldCount).max() ?? 0)
        old = .allocate(capacity: count)
        new = .allocate(capacity: count)
        old.initialize(repeating: nil, count: count)
        new.initialize(repeating: nil, count: count)
    }

    func encoder(_ table: Int) -> SealEncoder { encoders[table] }

    /// The tables with captured writes, in the order of the schema.
    var touched: [Int] { sheets.indices.filter { !sheets[$0].isEmpty } }

    // MARK: Rows

    private func index(of table: UnsafePointer<CChar>) -> Int? {
        if let name = names[last], strcmp(name, table) == 0 { return last }
        for (index, name) in names.enumerated() {
            guard let name, strcmp(name, table) == 0 else { continue }
            last = index
            return index
        }
        return nil
    }

    private func saw(_ change: RowChange) {
        guard let index = index(of: change.table), let layout else { return }
        guard index < sheets.count else {
            hasOperations = true
            return
        }
        guard index != Schema.ledgerIndex else {
            refusal = .ledgerIsReadOnly
            return
        }
        let (table, sheet) = (layout.tables[index], sheets[index])
        let count = table.fieldCount + 1
        guard change.kind == .insert || change.readOld(into: old, count: count),
            change.kind == .delete || change.readNew(into: new, count: count)
        else {
            // Out of memory, or somebody took columns away.
            refusal = .damaged("the table \(table.name) cannot be read as its schema says")
            return
        }
        switch change.kind {
        case .insert:
            guard let record = SealEncoder.record(new[0]) else { return refuse(table) }
            if !table.unique.isEmpty { sheet.uniqueWrites.append(record) }
            take(record, .insert, 0, table, sheet)
        case .delete:
            guard let record = SealEncoder.record(old[0]) else { return }
            take(record, .delete, 0, table, sheet)
        case .update:
            update(table, sheet)
        }
    }

    private func refuse(_ table: TableLayout) { refusal = .malformedID(table.name) }

    private func update(_ table: TableLayout, _ sheet: SealSheet) {
        let (former, record) = (SealEncoder.record(old[0]), SealEncoder.record(new[0]))
        if former == record, let record {
            // More fields than the mask has bits are compared one by one, the slow way.
            let count = min(table.fieldCount, TableLayout.maskBits)
            let mask = RowChange.changed(old + 1, new + 1, count: count)
            if table.uniqueMask & mask != 0 || table.maskCount > 1 && !table.unique.isEmpty {
                sheet.uniqueWrites.append(record)
            }
            take(record, .update, mask, table, sheet)
            return
        }
        guard record != nil else { return refuse(table) }
        // Another id is another record.
        if let former {
            _ = sheet.isRepeated(former)
            note(former, .delete, table, sheet)
        }
        if let record {
            if !table.unique.isEmpty { sheet.uniqueWrites.append(record) }
            _ = sheet.isRepeated(record)
            note(record, .insert, table, sheet)
        }
    }

    private func take(
        _ record: UUIDBits, _ kind: CaptureKind, _ mask: UInt64, _ table: TableLayout, _ sheet: SealSheet
    ) {
        if sheet.isRepeated(record) || isCareful || table.maskCount > 1 { return note(record, kind, table, sheet) }
        let (sealedFrom, beforeFrom) = (sheet.sealed.count, sheet.before.count)
        let encoder = encoders[table.index]
        let outcome =
            switch kind {
            case .insert: encoder.insert(record, new: new, &sheet.sealed, &sheet.before)
            case .update: encoder.update(record, changed: mask, old: old, new: new, &sheet.sealed, &sheet.before)
            case .delete, .met: encoder.delete(record, old: old, &sheet.sealed, &sheet.before)
            }
        guard outcome == .slow else {
            return sheet.close(record, isDelete: kind == .delete, sealedFrom: sealedFrom, beforeFrom: beforeFrom)
        }
        sheet.rewind(sealedTo: sealedFrom, beforeTo: beforeFrom)
        note(record, kind, table, sheet)
    }

    /// For records that are sealed from their rows: what the row was.
    private func note(_ record: UUIDBits, _ kind: CaptureKind, _ table: TableLayout, _ sheet: SealSheet) {
        sheet.note(record, kind, changed: { _ in true }) { field in
            Self.value(old[field + 1], isReal: table.codings[field].check == .real)
        }
    }

    private static func value(_ value: OpaquePointer?, isReal: Bool) -> Value {
        guard let value else { return .null }
        switch sqlite3_value_type(value) {
        case SQLITE_NULL: return .null
        case SQLITE_INTEGER:
            let number = sqlite3_value_int64(value)
            return isReal ? .real(Double(number)) : .integer(number)
        case SQLITE_FLOAT: return .real(sqlite3_value_double(value))
        case SQLITE_TEXT: return .text(String(decoding: SealEncoder.bytes(value), as: UTF8.self))
        default: return .blob([UInt8](SealEncoder.bytes(value)))
        }
    }
}
