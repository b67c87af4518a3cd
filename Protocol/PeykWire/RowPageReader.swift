public import PeykModel

/// One cell of a row page. Pointers stand only until the row that it came with is done.
public enum RowPageCell {
    case null
    case integer(Int64)
    case real(Double)
    /// Valid UTF-8.
    case text(UnsafeBufferPointer<UInt8>)
    case blob(UnsafeRawBufferPointer)

    /// A copy that stands for itself.
    public var value: Value {
        switch self {
        case .null: .null
        case .integer(let number): .integer(number)
        case .real(let number): .real(number)
        case .text(let text): .text(String(decoding: text, as: UTF8.self))
        case .blob(let bytes): .blob(Array(bytes))
        }
    }
}

/// One row of a row page; stands only inside the closure that it is given to.
public struct RowPageRow {
    public let id: RecordID
    /// The 36 characters of ``id``.
    public let idText: UnsafeBufferPointer<UInt8>
    /// The uncovered writers of the row (rule B3); nearly always empty.
    public let writers: ArraySlice<CommitID>
    /// A cell per column of the page.
    public let cells: UnsafeBufferPointer<RowPageCell>

    /// The cell of a column; null where the page has fewer columns, as for fields that were added later.
    @inlinable
    public subscript(column: Int) -> RowPageCell {
        column >= 0 && column < cells.count ? cells[column] : .null
    }

    /// A copy as a row.
    public var row: Row { Row(cells.map(\.value)) }
}

/// Reads the payload of a ``Page``. Everything is checked once, at the start; after that no row can fail, and
/// reading one allocates nothing.
public struct RowPageReader: Sendable {
    public let rowCount: Int
    public let columnCount: Int
    /// The ids of the rows, ascending.
    public let ids: [RecordID]
    private let bytes: [UInt8]
    private let columns: [RowPageLayout]
    /// Rows that have writers, ascending, with the range of theirs in `writers`.
    private let writerRows: [(row: Int, range: Range<Int>)]
    private let writers: [CommitID]

    /// - Throws: ``DecodeError`` for any bytes that are not a whole, well-formed page.
    /// - Complexity: O(bytes); a few allocations per page and column, none per cell.
    public init(_ bytes: [UInt8]) throws(DecodeError) {
        var parser = RowPageParser(bytes)
        let parsed = try bytes.withUnsafeBufferPointer { buffer throws(DecodeError) in try parser.parse(buffer) }
        self.bytes = bytes
        rowCount = parsed.ids.count
        columnCount = parsed.columns.count
        ids = parsed.ids
        columns = parsed.columns
        writerRows = parsed.writerRows
        writers = parsed.writers
    }

    /// Calls `body` with each row in order. What the row points to is gone after each call.
    public func forEachRow<Failure: Error>(_ body: (RowPageRow) throws(Failure) -> Void) throws(Failure) {
        guard rowCount > 0 else { return }
        let cells = UnsafeMutableBufferPointer<RowPageCell>.allocate(capacity: columnCount)
        let texts = UnsafeMutablePointer<UInt8>.allocate(capacity: (columnCount + 1) * IDText.length)
        defer {
            cells.deallocate()
            texts.deallocate()
        }
        cells.initialize(repeating: .null)
        try bytes.withUnsafeBufferPointer { page throws(Failure) in
            guard let base = page.baseAddress else { return }
            var cursors = columns.map { RowPageCursor($0) }
            var nextWriters = 0
            let idText = texts + columnCount * IDText.length
            for row in 0..<rowCount {
                for column in 0..<columnCount {
                    cells[column] = cursors[column].next(base, scratch: texts + column * IDText.length)
                }
                var rowWriters: ArraySlice<CommitID> = []
                if nextWriters < writerRows.count, writerRows[nextWriters].row == row {
                    rowWriters = writers[writerRows[nextWriters].range]
                    nextWriters += 1
                }
                IDText.write(ids[row].bits, to: idText)
                try body(
                    RowPageRow(
                        id: ids[row], idText: UnsafeBufferPointer(start: idText, count: IDText.length),
                        writers: rowWriters, cells: UnsafeBufferPointer(cells)))
            }
        }
    }
}

/// Where a column's sections begin; checked, so that a cursor reads it without further checks.
struct RowPageLayout: Sendable {
    var flags: UInt8 = 0
    /// Offsets in the page, by ``RowPageSection``.
    var tags = 0
    var integers = 0
    var reals = 0
    var records = 0
    var textLengths = 0
    var texts = 0
    var blobLengths = 0
    var blobs = 0
}

/// Walks one column of a checked page.
struct RowPageCursor {
    private var at: RowPageLayout
    private var tag: UInt8 = 0
    private var runLeft: UInt64 = 0
    private var lastInteger: Int64 = 0

    init(_ layout: RowPageLayout) { at = layout }

    @inline(__always)
    mutating func next(_ page: UnsafePointer<UInt8>, scratch: UnsafeMutablePointer<UInt8>) -> RowPageCell {
        switch nextTag(page) {
        case RowPageFormat.integer:
            let raw = varint(page, &at.integers)
            let value = Int64(bitPattern: raw >> 1) ^ -Int64(bitPattern: raw & 1)
            lastInteger = at.flags & RowPageFormat.integersAsDifferences != 0 ? lastInteger &+ value : value
            return .integer(lastInteger)
        case RowPageFormat.real:
            defer { at.reals += 8 }
            return .real(Double(bitPattern: word(page + at.reals)))
        case RowPageFormat.text:
            let length = Int(truncatingIfNeeded: varint(page, &at.textLengths))
            defer { at.texts += length }
            return .text(UnsafeBufferPointer(start: page + at.texts, count: length))
        case RowPageFormat.recordText:
            defer { at.records += 16 }
            let bits = UUIDBits(high: word(page + at.records), low: word(page + at.records + 8))
            IDText.write(bits, to: scratch)
            return .text(UnsafeBufferPointer(start: scratch, count: IDText.length))
        case RowPageFormat.blob:
            let length = Int(truncatingIfNeeded: varint(page, &at.blobLengths))
            defer { at.blobs += length }
            return .blob(UnsafeRawBufferPointer(start: page + at.blobs, count: length))
        default: return .null
        }
    }

    @inline(__always)
    private mutating func nextTag(_ page: UnsafePointer<UInt8>) -> UInt8 {
        if at.flags & RowPageFormat.tagsInRuns == 0 {
            defer { at.tags += 1 }
            return page[at.tags]
        }
        if runLeft == 0 {
            tag = page[at.tags]
            at.tags += 1
            runLeft = varint(page, &at.tags)
        }
        runLeft &-= 1
        return tag
    }

    @inline(__always)
    private func varint(_ page: UnsafePointer<UInt8>, _ offset: inout Int) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let part = page[offset]
            offset += 1
            value |= UInt64(part & 0x7F) << shift
            if part & 0x80 == 0 { return value }
            shift += 7
        }
    }

    @inline(__always)
    private func word(_ at: UnsafePointer<UInt8>) -> UInt64 {
        UInt64(bigEndian: UnsafeRawPointer(at).loadUnaligned(as: UInt64.self))
    }
}
