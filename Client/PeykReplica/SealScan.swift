import PeykModel
import PeykSQLite

/// The fast way from a capture table to sealed bytes: one pass, straight from SQLite's memory into the buffer,
/// for records that were written once and whose values need no care. Everything else is set aside as complex.
struct SealScan {
    let layout: TableLayout
    let sheet: SealSheet
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

    private func valueColumn(_ field: Int) -> Int32 { Self.beforeColumn + Int32(layout.fieldCount + field) }

    func run() throws {
        defer { statement.reset() }
        while try statement.step() {
            // The CHECK on `id` and the trigger see to the form; a row that has another was made by force.
            guard let record = Self.parse(statement.bytes(unsafe: Self.recordColumn)) else { continue }
            if sheet.isRepeated(record) { continue }
            let (sealedFrom, beforeFrom) = (sheet.sealed.bytes.count, sheet.before.bytes.count)
            switch isCareful ? .slow : write(record) {
            case .done(let isDelete):
                sheet.close(record, isDelete: isDelete, sealedFrom: sealedFrom, beforeFrom: beforeFrom)
            case .nothing:
                // Remembered all the same: another row of the same record may follow.
                sheet.close(record, isDelete: false, sealedFrom: sealedFrom, beforeFrom: beforeFrom)
            case .slow:
                sheet.rewind(sealedTo: sealedFrom, beforeTo: beforeFrom)
                sheet.makeComplex(record)
            }
        }
    }

    private enum Outcome { case done(isDelete: Bool), nothing, slow }

    private func write(_ record: UUIDBits) -> Outcome {
        guard let op = CaptureKind(rawValue: statement.int64(Self.opColumn)) else { return .slow }
        switch op {
        case .met: return .slow
        case .delete:
            head(.delete, record)
            sheet.sealed.count(0)
            sheet.before.byte(2)
            sheet.before.count(layout.fieldCount)
            for field in 0..<layout.fieldCount {
                guard put(Self.beforeColumn + Int32(field), .none, to: &sheet.before) else { return .slow }
            }
            return .done(isDelete: true)
        case .insert:
            guard isPresent(record), insert(record) else { return .slow }
            return .done(isDelete: false)
        case .update:
            guard isPresent(record), !layout.table.isAppendOnly else { return .slow }
            let mask = UInt64(bitPattern: statement.int64(Self.maskColumn)) & layout.wholeMask
            if mask == 0 { return .nothing }
            return update(record, mask) ? .done(isDelete: false) : .slow
        }
    }

    /// Whether the rowid led to the record itself.
    private func isPresent(_ record: UUIDBits) -> Bool {
        let found = statement.bytes(unsafe: Self.idColumn)
        return Self.parse(found) == record
    }

    /// The canonical form as in `UUIDBits(canonical:)`; spelt out for raw bytes, since it runs twice a row.
    private static func parse(_ bytes: UnsafeRawBufferPointer) -> UUIDBits? {
        guard bytes.count == 36, bytes[8] == 0x2D, bytes[13] == 0x2D, bytes[18] == 0x2D, bytes[23] == 0x2D else {
            return nil
        }
        func number(_ range: Range<Int>, onto start: UInt64) -> UInt64? {
            var value = start
            for index in range {
                let byte = bytes[index]
                if byte &- 0x30 < 10 {
                    value = value << 4 | UInt64(byte &- 0x30)
                } else if byte &- 0x61 < 6 {
                    value = value << 4 | UInt64(byte &- 0x57)
                } else {
                    return nil
                }
            }
            return value
        }
        guard let first = number(0..<8, onto: 0), let second = number(9..<13, onto: first),
            let high = number(14..<18, onto: second), let third = number(19..<23, onto: 0),
            let low = number(24..<36, onto: third)
        else { return nil }
        return UUIDBits(high: high, low: low)
    }

    private func head(_ kind: Change.Kind, _ record: UUIDBits) {
        sheet.sealed.byte(kind.rawValue)
        sheet.sealed.count(layout.index)
        sheet.sealed.bits(record)
    }

    // MARK: Inserts

    private func insert(_ record: UUIDBits) -> Bool {
        head(.insert, record)
        var count = 0
        for cell in layout.table.cells where lists(cell) { count += 1 }
        sheet.sealed.count(count)
        for cell in layout.table.cells where lists(cell) {
            guard write(cell, isInsert: true, mask: 0) else { return false }
        }
        sheet.before.byte(0)
        if !layout.unique.isEmpty { sheet.uniqueWrites.append(record) }
        return true
    }

    /// An insert lists what is not null, and null over a default.
    private func lists(_ cell: Cell) -> Bool {
        for field in cell.fields where layout.codings[field].hasDefault || !statement.isNull(valueColumn(field)) {
            return true
        }
        return false
    }

    // MARK: Updates

    private func update(_ record: UUIDBits, _ mask: UInt64) -> Bool {
        head(.update, record)
        var count = 0
        for cell in layout.cellMasks where cell & mask != 0 { count += 1 }
        sheet.sealed.count(count)
        for (index, cell) in layout.cellMasks.enumerated() where cell & mask != 0 {
            guard write(layout.table.cells[index], isInsert: false, mask: mask) else { return false }
        }
        sheet.before.byte(1)
        sheet.before.count(mask.nonzeroBitCount)
        var rest = mask
        while rest != 0 {
            let field = rest.trailingZeroBitCount
            rest &= rest - 1
            sheet.before.count(field)
            guard put(Self.beforeColumn + Int32(field), .none, to: &sheet.before) else { return false }
        }
        if layout.uniqueMask & mask != 0 { sheet.uniqueWrites.append(record) }
        return true
    }

    // MARK: Cells

    private func write(_ cell: Cell, isInsert: Bool, mask: UInt64) -> Bool {
        let field = cell.tag
        let coding = layout.codings[field]
        guard !coding.isClosed else { return false }
        sheet.sealed.count(cell.tag)
        if cell.fields.count > 1 {
            sheet.sealed.byte(1)
            sheet.sealed.count(cell.fields.count)
            for field in cell.fields {
                guard !layout.codings[field].isClosed,
                    put(valueColumn(field), layout.codings[field].check, to: &sheet.sealed)
                else { return false }
            }
            return true
        }
        switch coding.write {
        case .assign:
            sheet.sealed.byte(0)
            return put(valueColumn(field), coding.check, to: &sheet.sealed)
        case .counter:
            let new = statement.int64(valueColumn(field))
            let old = isInsert ? 0 : statement.int64(Self.beforeColumn + Int32(field))
            let (delta, overflow) = new.subtractingReportingOverflow(old)
            sheet.sealed.byte(2)
            sheet.sealed.signed(delta)
            return !overflow
        case .text:
            sheet.sealed.byte(4)
            if isInsert {
                sheet.sealed.byte(0)
            } else if !put(Self.beforeColumn + Int32(field), .none, to: &sheet.sealed) {
                return false
            }
            return put(valueColumn(field), .text, to: &sheet.sealed)
        case .elements:
            return elements(field, isInsert: isInsert)
        }
    }

    private func elements(_ field: Int, isInsert: Bool) -> Bool {
        let text = statement.text(valueColumn(field))
        guard !statement.isNull(valueColumn(field)), let new = ValueSet(json: text),
            new.json.utf8.elementsEqual(text.utf8), text.utf8.count <= FieldType.valueBytesMax / 2
        else { return false }
        let before = isInsert ? nil : ValueSet(json: statement.text(Self.beforeColumn + Int32(field)))
        let old = before ?? ValueSet([String]())
        let added = new.elements.filter { element in !old.elements.contains { $0.utf8.elementsEqual(element.utf8) } }
        let removed = old.elements.filter { element in !new.elements.contains { $0.utf8.elementsEqual(element.utf8) } }
        CellWrite.elements(added: added, removed: removed).encode(to: &sheet.sealed)
        return true
    }

    /// Copies one column; false where it needs care: a storage class or text that may not be there.
    @inline(__always)
    private func put(_ column: Int32, _ check: FieldCoding.Check, to writer: inout ByteWriter) -> Bool {
        switch statement.type(column) {
        case .null:
            writer.byte(0)
            return true
        case .integer:
            writer.byte(1)
            writer.signed(statement.int64(column))
            return check == .none || check == .integer || check == .bool
        case .real:
            writer.byte(2)
            let number = statement.double(column)
            writer.fixed((number == 0 ? 0 : number).bitPattern)
            return check == .none || check == .real
        case .text:
            let bytes = statement.bytes(unsafe: column)
            guard check == .none || check == .text, UTF8Check.isStorable(bytes) else { return false }
            writer.byte(3)
            writer.count(bytes.count)
            writer.raw(bytes)
            return true
        case .blob:
            let bytes = statement.bytes(unsafe: column)
            guard check == .none || check == .blob && bytes.count <= FieldType.valueBytesMax else { return false }
            writer.byte(4)
            writer.count(bytes.count)
            writer.raw(bytes)
            return true
        }
    }
}

/// Whether bytes are text that can be stored everywhere: well-formed UTF-8, no NUL, within the limit.
enum UTF8Check {
    static func isStorable(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count <= FieldType.valueBytesMax && isWellFormed(bytes)
    }

    /// Well-formed by table 3-7 of the Unicode standard; NUL counts as ill-formed.
    static func isWellFormed(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        let count = bytes.count
        while index < count {
            let first = bytes[index]
            if first < 0x80 {
                if first == 0 { return false }
                index += 1
                continue
            }
            let length: Int
            var low: UInt8 = 0x80
            var high: UInt8 = 0xBF
            switch first {
            case 0xC2...0xDF: length = 2
            case 0xE0...0xEF:
                length = 3
                if first == 0xE0 { low = 0xA0 }
                if first == 0xED { high = 0x9F }
            case 0xF0...0xF4:
                length = 4
                if first == 0xF0 { low = 0x90 }
                if first == 0xF4 { high = 0x8F }
            default: return false
            }
            guard index + length <= count, (low...high).contains(bytes[index + 1]) else { return false }
            for offset in 2..<max(2, length) where bytes[index + offset] & 0xC0 != 0x80 { return false }
            index += length
        }
        return true
    }
}
