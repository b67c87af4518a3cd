import PeykMerge
import PeykModel
import PeykSQLite

/// The careful way of sealing: from a record's former and present rows. For records that were written more than
/// once, values that need care, and everything that the fast way set aside.
final class SealRecords {
    private let run: SealRun
    private let layout: TableLayout
    private let sheet: SealSheet
    private let connection: Connection
    private var formers: [UUIDBits: CaptureFormer] = [:]

    init(run: SealRun, layout: TableLayout) {
        self.run = run
        self.layout = layout
        sheet = run.sheet(layout.index)
        connection = run.connection
    }

    func sealAll() throws {
        formers = run.isLive ? sheet.formers : try CaptureFormer.read(sheet.complexSet, layout, connection)
        // By index: a removal may set further records of this very table aside.
        var index = 0
        while index < sheet.complex.count {
            let record = RecordID(bits: sheet.complex[index])
            if formers[record.bits] == nil, !run.isLive {
                formers.merge(try CaptureFormer.read([record.bits], layout, connection)) { known, _ in known }
            }
            try seal(record)
            index += 1
        }
    }

    private func seal(_ record: RecordID) throws {
        guard let former = formers[record.bits] else { return }
        var present = try PresentRow(record, layout, connection)
        let before = former.row(present: present?.row)
        if run.facts.hasFaults, try isAtFault(record) {
            try refuseAtFault(record, before, present?.row)
            return
        }
        if let read = present {
            guard let admitted = try admit(record, before, read) else { return }
            present = admitted
        }
        guard
            var change = Change.make(
                table: layout.index, record: record, before: before, after: present?.row, in: run.layout.schema)
        else { return }
        let refusals = validate(change, in: run.layout.schema)
        if let first = refusals.first {
            if run.isLibrary { throw error(first, record) }
            guard let rest = try turnDown(change, refusals, before, present?.row) else { return }
            change = rest
        }
        try writeBack(change, before, present?.row)
        sheet.append(change, before: image(change, before))
        if change.kind != .delete, !layout.unique.isEmpty { sheet.uniqueWrites.append(record.bits) }
    }

    private func image(_ change: Change, _ before: Row?) -> BeforeImage {
        guard let before else { return .absent }
        if change.kind == .delete { return .row(before) }
        let fields = change.cells.flatMap { layout.table.cell(tag: $0.cell)?.fields ?? [] }.sorted()
        return .fields(fields.map { FieldValue(field: $0, value: before[$0]) })
    }

    // MARK: Values (rule K3)

    /// The present row with canonical values, or nil where an insert had to be turned down whole.
    private func admit(_ record: RecordID, _ before: Row?, _ present: PresentRow) throws -> PresentRow? {
        var admitted = present
        var problems: [(field: Int, problem: ValueError)] = []
        for (index, field) in layout.table.fields.enumerated() {
            if present.raw[index] != nil {
                problems.append((index, .invalidUTF8))
                continue
            }
            if let before, before[index] == present.row[index] { continue }
            switch field.type.admit(present.row[index]) {
            case .success(let value): admitted.row[index] = value
            case .failure(let problem): problems.append((index, problem))
            }
        }
        guard let first = problems.first else { return admitted }
        if run.isLibrary {
            throw ReplicaError.invalidValue(
                table: layout.name, field: layout.table.fields[first.field].name, problem: first.problem)
        }
        let detail = problems.map { "\(layout.table.fields[$0.field].name) \($0.problem)" }.joined(separator: ", ")
        guard let before else {
            try turnDownInsert(record, present, .invalid, detail)
            return nil
        }
        var cells: [CellChange] = []
        for index in Set(problems.map { layout.table.cellOfField[$0.field] }).sorted() {
            let cell = layout.table.cells[index]
            cells.append(CellChange(cell: cell.tag, write: .assign(cell.fields.map { present.payload($0) })))
            for field in cell.fields { admitted.row[field] = before[field] }
        }
        let refused = Change(table: layout.index, record: record, kind: .update, cells: cells)
        try run.park(refused, .invalid, detail, base: before)
        admitted.row = try restore(record, admitted.row, from: present.row)
        return admitted
    }

    /// Sets the stored row to `row`, unseen by the triggers.
    @discardableResult
    private func restore(_ record: RecordID, _ row: Row, from present: Row) throws -> Row {
        let changed = row.differs(from: present, count: layout.fieldCount)
        // A value that cannot be read as text may compare equal; it is written all the same.
        try run.update(layout, record, changed.map { FieldValue(field: $0, value: row[$0]) })
        return row
    }

    /// What plain effect and canonical form say is what the row must hold.
    private func writeBack(_ change: Change, _ before: Row?, _ present: Row?) throws {
        guard change.kind != .delete, let present,
            let effect = plainEffect(of: change, on: before, in: layout.table)
        else { return }
        let stored = try PresentRow(change.record, layout, connection)?.row ?? present
        let changed = effect.differs(from: stored, count: layout.fieldCount)
        guard !changed.isEmpty else { return }
        try run.update(layout, change.record, changed.map { FieldValue(field: $0, value: effect[$0]) })
    }

    // MARK: Refusals

    private func isAtFault(_ record: RecordID) throws -> Bool {
        try connection.value(
            "SELECT 1 FROM peyk_fault WHERE tbl = ?1 AND record = ?2",
            [.integer(Int64(layout.index)), .blob(record.bytes)]) != nil
    }

    private func refuseAtFault(_ record: RecordID, _ before: Row?, _ present: Row?) throws {
        if run.isLibrary { throw ReplicaError.recordAtFault(table: layout.name, record: record) }
        guard
            let change = Change.make(
                table: layout.index, record: record, before: before, after: present, in: run.layout.schema)
        else { return }
        try run.park(change, .failed, "the record is being fetched from the server", base: before)
        try putBack(record, before, present)
    }

    /// The record as it was.
    private func putBack(_ record: RecordID, _ before: Row?, _ present: Row?) throws {
        switch (before, present) {
        case (nil, nil): break
        case (nil, .some): try run.remove(layout, record)
        case (.some(let before), nil): try run.insert(layout, record, before)
        case (.some(let before), .some(let present)): try restore(record, before, from: present)
        }
    }

    private func turnDownInsert(
        _ record: RecordID, _ present: PresentRow, _ code: NoticeCode, _ detail: String
    ) throws {
        let cells = layout.table.cells.compactMap { cell -> CellChange? in
            let values = cell.fields.map { present.payload($0) }
            return values.allSatisfy(\.isNull) ? nil : CellChange(cell: cell.tag, write: .assign(values))
        }
        let change = Change(table: layout.index, record: record, kind: .insert, cells: cells)
        try run.park(change, code, detail, base: nil)
        try run.remove(layout, record)
    }

    /// Restores the smallest part that stands alone (rule M6) and returns the rest of the change.
    private func turnDown(
        _ change: Change, _ refusals: [CellRefusal], _ before: Row?, _ present: Row?
    ) throws -> Change? {
        let detail = refusals.map { "\($0.code.explanation): \($0.detail)" }.joined(separator: "; ")
        let code = refusals.first?.code ?? .invalid
        guard change.kind == .update, !refusals.contains(where: { $0.cell < 0 }), let before, let present else {
            try run.park(change, code, detail, base: before)
            try putBack(change.record, before, present)
            return nil
        }
        let tags = Set(refusals.map(\.cell))
        var refused = change
        refused.cells = change.cells.filter { tags.contains($0.cell) }
        try run.park(refused, code, detail, base: before)
        var row = present
        for tag in tags { for field in layout.table.cell(tag: tag)?.fields ?? [] { row[field] = before[field] } }
        try restore(change.record, row, from: present)
        var rest = change
        rest.cells.removeAll { tags.contains($0.cell) }
        return rest.cells.isEmpty ? nil : rest
    }

    private func error(_ refusal: CellRefusal, _ record: RecordID) -> ReplicaError {
        let cell = layout.table.cell(tag: refusal.cell)
        let field = cell?.name ?? refusal.detail
        switch refusal.code {
        case .appendOnly: return .appendOnly(table: layout.name, record: record)
        case .serverField: return .serverOnly(table: layout.name, field: field)
        case .retired: return .retiredField(table: layout.name, field: field)
        case .required: return .invalidValue(table: layout.name, field: refusal.detail, problem: .required)
        case .overflow: return .invalidValue(table: layout.name, field: field, problem: .overflow)
        default: return .refusedBySQLite(table: layout.name, problem: refusal.detail)
        }
    }
}

/// A record's row as it is stored now, with the bytes of texts that are not UTF-8.
struct PresentRow {
    var row: Row
    private(set) var raw: [Int: [UInt8]] = [:]

    init?(_ record: RecordID, _ layout: TableLayout, _ connection: Connection) throws {
        let columns = layout.columns.isEmpty ? "1" : layout.columns.joined(separator: ", ")
        let statement = try connection.statement(
            "SELECT \(columns) FROM \(TableLayout.quoted(layout.name)) WHERE id = ?1")
        try statement.bind(1, id: record)
        defer { statement.reset() }
        guard try statement.step() else { return nil }
        row = Row([])
        row.values.reserveCapacity(layout.fieldCount)
        for field in 0..<layout.fieldCount {
            let column = Int32(field)
            if statement.type(column) == .text, !statement.withBytes(column, UTF8Check.isWellFormed) {
                raw[field] = statement.blob(column)
            }
            row.values.append(statement.value(column))
        }
    }

    /// The value for an issue: the very bytes where they are not text.
    func payload(_ field: Int) -> Value { raw[field].map { .blob($0) } ?? row[field] }
}
