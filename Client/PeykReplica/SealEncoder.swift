import GRDBSQLite
import PeykModel
import PeykSQLite

/// The fast way from a row that was written to sealed bytes: straight from SQLite's memory into the buffers, for
/// values that need no care. Everything else it turns down, to be sealed from former and present rows.
///
/// Rows are arrays of SQLite's values, the id first, then the fields in order.
final class SealEncoder {
    enum Outcome {
        case done
        /// Nothing changed.
        case nothing
        /// Storage classes or texts that may not be there, or cells that need a closer look.
        case slow
    }

    private struct FieldPlan {
        var check: FieldCoding.Check
        var isReal: Bool
        var isClosed: Bool
        var hasDefault: Bool
    }

    private struct CellPlan {
        var tag: Int
        /// Its field numbers are `members[start..<start + count]`.
        var start: Int
        var count: Int
        var mask: UInt64
        var write: FieldCoding.Write
    }

    private let table: Int
    private let fieldCount: Int
    private let isAppendOnly: Bool
    private let wholeMask: UInt64
    private let fields: UnsafeMutableBufferPointer<FieldPlan>
    private let cells: UnsafeMutableBufferPointer<CellPlan>
    private let members: UnsafeMutableBufferPointer<Int>

    init(_ layout: TableLayout) {
        table = layout.index
        fieldCount = layout.fieldCount
        isAppendOnly = layout.table.isAppendOnly
        wholeMask = layout.wholeMask
        fields = Self.kept(
            layout.codings.map { coding in
                FieldPlan(
                    check: coding.check, isReal: coding.check == .real, isClosed: coding.isClosed,
                    hasDefault: coding.hasDefault)
            })
        var start = 0
        cells = Self.kept(
            zip(layout.table.cells, layout.cellMasks).map { cell, mask in
                defer { start += cell.fields.count }
                let write = cell.fields.count > 1 ? FieldCoding.Write.assign : layout.codings[cell.tag].write
                return CellPlan(tag: cell.tag, start: start, count: cell.fields.count, mask: mask, write: write)
            })
        members = Self.kept(layout.table.cells.flatMap(\.fields))
    }

    deinit {
        fields.deallocate()
        cells.deallocate()
        members.deallocate()
    }

    private static func kept<Element>(_ list: [Element]) -> UnsafeMutableBufferPointer<Element> {
        let buffer = UnsafeMutableBufferPointer<Element>.allocate(capacity: list.count)
        _ = buffer.initialize(from: list)
        return buffer
    }

    typealias Values = UnsafeMutablePointer<OpaquePointer?>

    // MARK: Changes

    func delete(_ record: UUIDBits, old: Values, _ sealed: inout SealBuffer, _ before: inout SealBuffer) -> Outcome {
        head(.delete, record, &sealed)
        sealed.byte(0)
        before.byte(2)
        before.varint(UInt64(fieldCount))
        for field in 0..<fieldCount {
            guard put(old[field + 1], .none, isReal: fields[field].isReal, &before) else { return .slow }
        }
        return .done
    }

    func insert(_ record: UUIDBits, new: Values, _ sealed: inout SealBuffer, _ before: inout SealBuffer) -> Outcome {
        head(.insert, record, &sealed)
        var count = 0
        for cell in cells where lists(cell, new) { count += 1 }
        sealed.varint(UInt64(count))
        for cell in cells where lists(cell, new) {
            guard write(cell, nil, new, &sealed) else { return .slow }
        }
        before.byte(0)
        return .done
    }

    /// - Parameter changed: bit i is field i; only of the first ``TableLayout/maskBits``.
    func update(
        _ record: UUIDBits, changed: UInt64, old: Values, new: Values, _ sealed: inout SealBuffer,
        _ before: inout SealBuffer
    ) -> Outcome {
        if isAppendOnly { return .slow }
        let mask = changed & wholeMask
        if mask == 0 { return .nothing }
        head(.update, record, &sealed)
        var count = 0
        for cell in cells where cell.mask & mask != 0 { count += 1 }
        sealed.varint(UInt64(count))
        for cell in cells where cell.mask & mask != 0 {
            guard write(cell, old, new, &sealed) else { return .slow }
        }
        before.byte(1)
        before.varint(UInt64(mask.nonzeroBitCount))
        var rest = mask
        while rest != 0 {
            let field = rest.trailingZeroBitCount
            rest &= rest - 1
            before.varint(UInt64(field))
            guard put(old[field + 1], .none, isReal: fields[field].isReal, &before) else { return .slow }
        }
        return .done
    }

    private func head(_ kind: Change.Kind, _ record: UUIDBits, _ sealed: inout SealBuffer) {
        sealed.byte(kind.rawValue)
        sealed.varint(UInt64(table))
        sealed.bits(record)
    }

    // MARK: Cells

    /// An insert lists what is not null, and null over a default.
    @inline(__always)
    private func lists(_ cell: CellPlan, _ new: Values) -> Bool {
        for index in cell.start..<cell.start + cell.count {
            let field = members[index]
            if fields[field].hasDefault || sqlite3_value_type(new[field + 1]) != SQLITE_NULL { return true }
        }
        return false
    }

    /// - Parameter old: nil for an insert.
    @inline(__always)
    private func write(_ cell: CellPlan, _ old: Values?, _ new: Values, _ sealed: inout SealBuffer) -> Bool {
        let field = cell.tag
        guard !fields[field].isClosed else { return false }
        sealed.varint(UInt64(cell.tag))
        if cell.count > 1 {
            sealed.byte(1)
            sealed.varint(UInt64(cell.count))
            for index in cell.start..<cell.start + cell.count {
                let field = members[index]
                guard !fields[field].isClosed, assign(field, new, &sealed) else { return false }
            }
            return true
        }
        switch cell.write {
        case .assign:
            sealed.byte(0)
            return assign(field, new, &sealed)
        case .counter:
            let before = old.map { sqlite3_value_int64($0[field + 1]) } ?? 0
            let (delta, overflow) = sqlite3_value_int64(new[field + 1]).subtractingReportingOverflow(before)
            sealed.byte(2)
            sealed.signed(delta)
            return !overflow
        case .text:
            sealed.byte(4)
            if let old {
                guard put(old[field + 1], .none, isReal: false, &sealed) else { return false }
            } else {
                sealed.byte(0)
            }
            return put(new[field + 1], .text, isReal: false, &sealed)
        case .elements:
            return elements(old?[field + 1], new[field + 1], &sealed)
        }
    }

    @inline(__always)
    private func assign(_ field: Int, _ new: Values, _ sealed: inout SealBuffer) -> Bool {
        put(new[field + 1], fields[field].check, isReal: fields[field].isReal, &sealed)
    }

    private func elements(_ old: OpaquePointer?, _ new: OpaquePointer?, _ sealed: inout SealBuffer) -> Bool {
        let text = Self.text(new)
        guard let text, let new = ValueSet(json: text), new.json.utf8.elementsEqual(text.utf8),
            text.utf8.count <= FieldType.valueBytesMax / 2
        else { return false }
        let old = Self.text(old).flatMap { ValueSet(json: $0) } ?? ValueSet([String]())
        let added = new.elements.filter { element in !old.elements.contains { $0.utf8.elementsEqual(element.utf8) } }
        let removed = old.elements.filter { element in !new.elements.contains { $0.utf8.elementsEqual(element.utf8) } }
        var writer = ByteWriter()
        CellWrite.elements(added: added, removed: removed).encode(to: &writer)
        sealed.raw(writer)
        return true
    }

    // MARK: Values

    /// Nil for anything but text.
    private static func text(_ value: OpaquePointer?) -> String? {
        guard let value, sqlite3_value_type(value) == SQLITE_TEXT else { return nil }
        return String(decoding: bytes(value), as: UTF8.self)
    }

    /// Bytes of a text or blob. The pointer first, then the count: the other order may convert between the two.
    /// As a blob, since SQLite copies a text that no NUL ends.
    @inline(__always)
    static func bytes(_ value: OpaquePointer) -> UnsafeRawBufferPointer {
        let base = sqlite3_value_blob(value)
        return UnsafeRawBufferPointer(start: base, count: base == nil ? 0 : Int(sqlite3_value_bytes(value)))
    }

    /// Copies one value; false where it needs care.
    @inline(__always)
    private func put(
        _ value: OpaquePointer?, _ check: FieldCoding.Check, isReal: Bool, _ out: inout SealBuffer
    ) -> Bool {
        guard let value else { return false }
        switch sqlite3_value_type(value) {
        case SQLITE_NULL:
            out.byte(0)
            return true
        case SQLITE_INTEGER:
            let number = sqlite3_value_int64(value)
            // SQLite stores 5.0 as 5 where the column says REAL.
            if isReal {
                out.byte(2)
                out.fixed(Double(number).bitPattern)
                return true
            }
            out.byte(1)
            out.signed(number)
            return check == .none || check == .integer || check == .bool
        case SQLITE_FLOAT:
            let number = sqlite3_value_double(value)
            out.byte(2)
            out.fixed((number == 0 ? 0 : number).bitPattern)
            return check == .none || check == .real
        case SQLITE_TEXT:
            guard check == .none || check == .text || check == .id && Self.record(value) != nil else { return false }
            out.byte(3)
            let bytes = Self.bytes(value)
            return out.text(bytes.baseAddress, bytes.count)
        default:
            let bytes = Self.bytes(value)
            guard check == .none || check == .blob && bytes.count <= FieldType.valueBytesMax else { return false }
            out.byte(4)
            out.varint(UInt64(bytes.count))
            out.raw(bytes)
            return true
        }
    }

    /// The canonical form as in `UUIDBits(canonical:)`; spelt out for raw bytes, since it runs for each row.
    static func record(_ value: OpaquePointer?) -> UUIDBits? {
        guard let value, sqlite3_value_type(value) == SQLITE_TEXT else { return nil }
        let bytes = bytes(value)
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
}
