public import PeykModel

/// Builds the payload of a ``Page``: rows of one table by columns, each cell copied once.
///
/// For each row: ``appendID(_:)``, then one append per column in column order, then ``appendWriters(_:)`` where
/// the row has uncovered writers. Ids must rise from row to row. The caller's mistakes trap; no peer's data comes
/// here unchecked.
public struct RowPageBuilder {
    public let columnCount: Int
    public private(set) var rowCount = 0
    /// The size that the page has so far, before compression; never far below what ``finish()`` gives.
    public private(set) var estimatedBytes = 16

    private var columns: [RowPageColumn]
    private var next: Int
    private var last: UUIDBits?
    private var sharedPrefixes: [UInt8] = []
    private var suffixes: [UInt8] = []
    private var writers = ByteWriter()
    private var rowsWithWriters = 0
    private var lastRowWithWriters = -1

    /// - Parameter columnCount: values of each row, without its id.
    public init(columnCount: Int) {
        precondition(columnCount <= RowPageFormat.columnsMax)
        self.columnCount = columnCount
        columns = Array(repeating: RowPageColumn(), count: columnCount)
        next = columnCount
    }

    public mutating func appendID(_ id: RecordID) {
        precondition(next == columnCount, "the row before is not complete")
        precondition(last.map { $0 < id.bits } ?? true, "ids rise")
        let shared = last.map { Self.sharedBytes($0, id.bits) } ?? 0
        sharedPrefixes.append(UInt8(shared))
        for index in shared..<16 {
            let word = index < 8 ? id.bits.high : id.bits.low
            suffixes.append(UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * (index & 7))))
        }
        last = id.bits
        next = 0
        rowCount += 1
        estimatedBytes += 17 - shared + columnCount
    }

    public mutating func appendNull() { columns[advance()].append(tag: RowPageFormat.null) }

    public mutating func append(int64 value: Int64) {
        columns[advance()].append(value)
        estimatedBytes += 4
    }

    public mutating func append(double value: Double) {
        columns[advance()].append(value)
        estimatedBytes += 8
    }

    /// - Parameter text: valid UTF-8.
    public mutating func append(text: UnsafeBufferPointer<UInt8>) {
        let column = advance()
        if let bits = IDText.parse(text) {
            columns[column].append(bits)
            estimatedBytes += 16
        } else {
            columns[column].append(text: text)
            estimatedBytes += text.count + 2
        }
    }

    public mutating func append(blob: UnsafeRawBufferPointer) {
        columns[advance()].append(blob: blob)
        estimatedBytes += blob.count + 2
    }

    public mutating func append(_ value: Value) {
        switch value {
        case .null: appendNull()
        case .integer(let number): append(int64: number)
        case .real(let number): append(double: number)
        case .text(var text): text.withUTF8 { append(text: $0) }
        case .blob(let bytes): bytes.withUnsafeBytes { append(blob: $0) }
        }
    }

    /// A whole row; values beyond its end are null.
    public mutating func append(_ id: RecordID, _ row: Row, writers: [CommitID] = []) {
        appendID(id)
        for column in 0..<columnCount { append(row[column]) }
        if !writers.isEmpty { appendWriters(writers) }
    }

    /// The uncovered writers of the row just written (rule B3).
    public mutating func appendWriters(_ ids: [CommitID]) {
        precondition(next == columnCount && rowCount > 0 && lastRowWithWriters < rowCount - 1)
        guard !ids.isEmpty else { return }
        writers.count(rowCount - 1 - (lastRowWithWriters + 1))
        writers.count(ids.count)
        for id in ids { writers.bits(id.bits) }
        lastRowWithWriters = rowCount - 1
        rowsWithWriters += 1
        estimatedBytes += 3 + ids.count * 16
    }

    /// The page's bytes.
    /// - Complexity: O(bytes).
    public func finish() -> [UInt8] {
        precondition(next == columnCount, "the last row is not complete")
        var writer = ByteWriter(capacity: estimatedBytes + columnCount * 10)
        writer.byte(RowPageFormat.version)
        writer.count(rowCount)
        writer.count(columnCount)
        writer.bytes.append(contentsOf: sharedPrefixes)
        writer.blob(suffixes)
        writer.count(rowsWithWriters)
        writer.bytes.append(contentsOf: writers.bytes)
        for column in columns { column.write(to: &writer) }
        return writer.bytes
    }

    private mutating func advance() -> Int {
        precondition(next < columnCount, "more values than columns")
        defer { next += 1 }
        return next
    }

    private static func sharedBytes(_ left: UUIDBits, _ right: UUIDBits) -> Int {
        let high = left.high ^ right.high
        if high != 0 { return high.leadingZeroBitCount / 8 }
        return 8 + (left.low ^ right.low).leadingZeroBitCount / 8
    }
}

/// One column of a page that is being built.
struct RowPageColumn {
    private var tags: [UInt8] = []
    private var runs = 0
    private var integers: [Int64] = []
    private var reals = ByteWriter()
    private var records = ByteWriter()
    private var textLengths = ByteWriter()
    private var texts: [UInt8] = []
    private var blobLengths = ByteWriter()
    private var blobs: [UInt8] = []

    mutating func append(tag: UInt8) {
        if tags.last != tag { runs += 1 }
        tags.append(tag)
    }

    mutating func append(_ value: Int64) {
        append(tag: RowPageFormat.integer)
        integers.append(value)
    }

    mutating func append(_ value: Double) {
        append(tag: RowPageFormat.real)
        reals.fixed(value.bitPattern)
    }

    mutating func append(_ bits: UUIDBits) {
        append(tag: RowPageFormat.recordText)
        records.bits(bits)
    }

    mutating func append(text: UnsafeBufferPointer<UInt8>) {
        append(tag: RowPageFormat.text)
        textLengths.count(text.count)
        texts.append(contentsOf: text)
    }

    mutating func append(blob: UnsafeRawBufferPointer) {
        append(tag: RowPageFormat.blob)
        blobLengths.count(blob.count)
        blobs.append(contentsOf: blob)
    }

    func write(to writer: inout ByteWriter) {
        let inRuns = runs * 3 < tags.count
        let (numbers, asDifferences) = integerBytes()
        var flags: UInt8 = inRuns ? RowPageFormat.tagsInRuns : 0
        if asDifferences { flags |= RowPageFormat.integersAsDifferences }
        writer.byte(flags)
        writer.blob(inRuns ? tagRuns() : tags)
        writer.blob(numbers)
        for section in [reals.bytes, records.bytes, textLengths.bytes, texts, blobLengths.bytes, blobs] {
            writer.blob(section)
        }
    }

    private func tagRuns() -> [UInt8] {
        var writer = ByteWriter()
        var start = 0
        while start < tags.count {
            var end = start + 1
            while end < tags.count, tags[end] == tags[start] { end += 1 }
            writer.byte(tags[start])
            writer.count(end - start)
            start = end
        }
        return writer.bytes
    }

    /// The integers plain or as differences, whichever is shorter.
    private func integerBytes() -> (bytes: [UInt8], asDifferences: Bool) {
        guard !integers.isEmpty else { return ([], false) }
        var plain = ByteWriter(capacity: integers.count * 4)
        var differences = ByteWriter(capacity: integers.count * 4)
        var last: Int64 = 0
        for value in integers {
            plain.signed(value)
            differences.signed(value &- last)
            last = value
        }
        let shorter = differences.bytes.count < plain.bytes.count
        return (shorter ? differences.bytes : plain.bytes, shorter)
    }
}
