import PeykModel

/// Checks a whole row page: what passes can be walked by ``RowPageCursor`` without further checks.
struct RowPageParser {
    struct Parsed {
        var ids: [RecordID] = []
        var columns: [RowPageLayout] = []
        var writerRows: [(row: Int, range: Range<Int>)] = []
        var writers: [CommitID] = []
    }

    private var at = 0
    private let end: Int

    init(_ bytes: [UInt8]) { end = bytes.count }

    mutating func parse(_ page: UnsafeBufferPointer<UInt8>) throws(DecodeError) -> Parsed {
        guard end > 0, page[0] == RowPageFormat.version else { throw .malformed("a page of an unknown format") }
        at = 1
        let rowCount = try count(page, limit: RowPageFormat.rowsMax)
        let columnCount = try count(page, limit: RowPageFormat.columnsMax)
        var parsed = Parsed()
        parsed.ids = try ids(page, count: rowCount)
        try writers(page, into: &parsed)
        parsed.columns.reserveCapacity(columnCount)
        for _ in 0..<columnCount { parsed.columns.append(try column(page, rowCount: rowCount)) }
        guard at == end else { throw .trailing(bytes: end - at) }
        return parsed
    }

    private mutating func ids(_ page: UnsafeBufferPointer<UInt8>, count: Int) throws(DecodeError) -> [RecordID] {
        let prefixes = try take(count)
        let suffixes = try section(page)
        var from = suffixes.lowerBound
        var ids: [RecordID] = []
        ids.reserveCapacity(count)
        var last = UUIDBits(high: 0, low: 0)
        for row in prefixes {
            let shared = Int(page[row])
            guard shared < 16, row > prefixes.lowerBound || shared == 0 else { throw .malformed("a page's id") }
            guard suffixes.upperBound - from >= 16 - shared else { throw .truncated }
            var words = (Self.leading(last.high, min(8, shared)), Self.leading(last.low, max(0, shared - 8)))
            for index in shared..<16 {
                let byte = UInt64(page[from])
                from += 1
                let shift = UInt64(56 - 8 * (index & 7))
                if index < 8 { words.0 |= byte << shift } else { words.1 |= byte << shift }
            }
            let bits = UUIDBits(high: words.0, low: words.1)
            guard ids.isEmpty || last < bits else { throw .malformed("a page whose ids do not rise") }
            ids.append(RecordID(bits: bits))
            last = bits
        }
        guard from == suffixes.upperBound else { throw .trailing(bytes: suffixes.upperBound - from) }
        return ids
    }

    /// The first `bytes` bytes of `word`, the rest 0.
    private static func leading(_ word: UInt64, _ bytes: Int) -> UInt64 {
        bytes == 0 ? 0 : word & (~0 << UInt64(64 - 8 * bytes))
    }

    private mutating func writers(
        _ page: UnsafeBufferPointer<UInt8>, into parsed: inout Parsed
    ) throws(DecodeError) {
        var next = 0
        for _ in 0..<(try count(page, limit: parsed.ids.count)) {
            let row = next + (try count(page, limit: RowPageFormat.rowsMax))
            guard row < parsed.ids.count else { throw .malformed("writers of no row") }
            let many = try count(page, limit: (end - at) / 16)
            let start = parsed.writers.count
            for _ in 0..<many {
                let place = try take(16)
                let high = Self.word(page, place.lowerBound)
                let low = Self.word(page, place.lowerBound + 8)
                parsed.writers.append(CommitID(bits: UUIDBits(high: high, low: low)))
            }
            parsed.writerRows.append((row, start..<parsed.writers.count))
            next = row + 1
        }
    }

    private static func word(_ page: UnsafeBufferPointer<UInt8>, _ offset: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in offset..<offset + 8 { value = value << 8 | UInt64(page[index]) }
        return value
    }

    private mutating func column(
        _ page: UnsafeBufferPointer<UInt8>, rowCount: Int
    ) throws(DecodeError) -> RowPageLayout {
        var layout = RowPageLayout()
        layout.flags = page[try take(1).lowerBound]
        guard layout.flags <= 3 else { throw .malformed("unknown flags of a column") }
        var sections: [Range<Int>] = []
        sections.reserveCapacity(RowPageSection.allCases.count)
        for _ in RowPageSection.allCases { sections.append(try section(page)) }
        func range(_ name: RowPageSection) -> Range<Int> { sections[name.rawValue] }

        let counts = try tags(page, range(.tags), inRuns: layout.flags & RowPageFormat.tagsInRuns != 0, rowCount)
        try integers(page, range(.integers), count: counts[RowPageFormat.integer])
        guard range(.reals).count == 8 * counts[RowPageFormat.real] else { throw .malformed("a page's reals") }
        guard range(.records).count == 16 * counts[RowPageFormat.recordText] else {
            throw .malformed("a page's references")
        }
        try lengths(
            page, range(.textLengths), count: counts[RowPageFormat.text], of: range(.texts), areTexts: true)
        try validateUTF8(page, range(.texts))
        try lengths(
            page, range(.blobLengths), count: counts[RowPageFormat.blob], of: range(.blobs), areTexts: false)
        layout.tags = range(.tags).lowerBound
        layout.integers = range(.integers).lowerBound
        layout.reals = range(.reals).lowerBound
        layout.records = range(.records).lowerBound
        layout.textLengths = range(.textLengths).lowerBound
        layout.texts = range(.texts).lowerBound
        layout.blobLengths = range(.blobLengths).lowerBound
        layout.blobs = range(.blobs).lowerBound
        return layout
    }

    /// How many cells each tag has.
    private struct TagCounts {
        private var counts = [Int](repeating: 0, count: Int(RowPageFormat.tagsMax) + 1)

        subscript(tag: UInt8) -> Int { counts[Int(tag)] }

        mutating func add(_ tag: UInt8, _ many: Int) throws(DecodeError) {
            guard tag <= RowPageFormat.tagsMax else { throw .malformed("an unknown kind of value in a page") }
            counts[Int(tag)] += many
        }
    }

    private func tags(
        _ page: UnsafeBufferPointer<UInt8>, _ section: Range<Int>, inRuns: Bool, _ rowCount: Int
    ) throws(DecodeError) -> TagCounts {
        var counts = TagCounts()
        guard inRuns else {
            guard section.count == rowCount else { throw .malformed("a page's column of \(section.count) rows") }
            for index in section { try counts.add(page[index], 1) }
            return counts
        }
        var offset = section.lowerBound
        var rows = 0
        while offset < section.upperBound {
            let tag = page[offset]
            offset += 1
            let run = try Self.varint(page, &offset, end: section.upperBound)
            guard run > 0, run <= UInt64(rowCount - rows) else { throw .malformed("a page's column is too long") }
            rows += Int(run)
            try counts.add(tag, Int(run))
        }
        guard rows == rowCount else { throw .malformed("a page's column is too short") }
        return counts
    }

    private func integers(
        _ page: UnsafeBufferPointer<UInt8>, _ section: Range<Int>, count: Int
    ) throws(DecodeError) {
        var offset = section.lowerBound
        for _ in 0..<count { _ = try Self.varint(page, &offset, end: section.upperBound) }
        guard offset == section.upperBound else { throw .trailing(bytes: section.upperBound - offset) }
    }

    /// Lengths add up to the bytes of `data`, and no text begins inside a character.
    private func lengths(
        _ page: UnsafeBufferPointer<UInt8>, _ section: Range<Int>, count: Int, of data: Range<Int>, areTexts: Bool
    ) throws(DecodeError) {
        var offset = section.lowerBound
        var place = data.lowerBound
        for _ in 0..<count {
            let length = try Self.varint(page, &offset, end: section.upperBound)
            guard length <= UInt64(data.upperBound - place) else { throw .truncated }
            if areTexts, place < data.upperBound, page[place] & 0xC0 == 0x80 {
                throw .malformed("text that is not UTF-8")
            }
            place += Int(length)
        }
        guard offset == section.upperBound, place == data.upperBound else { throw .malformed("a page's lengths") }
    }

    private func validateUTF8(_ page: UnsafeBufferPointer<UInt8>, _ section: Range<Int>) throws(DecodeError) {
        let texts = UnsafeBufferPointer(rebasing: page[section])
        do { _ = try UTF8Span(validating: texts.span) } catch { throw .malformed("text that is not UTF-8") }
    }

    // MARK: - Steps through the page

    private mutating func section(_ page: UnsafeBufferPointer<UInt8>) throws(DecodeError) -> Range<Int> {
        try take(try count(page, limit: end))
    }

    private mutating func take(_ length: Int) throws(DecodeError) -> Range<Int> {
        guard length <= end - at else { throw .truncated }
        defer { at += length }
        return at..<at + length
    }

    private mutating func count(_ page: UnsafeBufferPointer<UInt8>, limit: Int) throws(DecodeError) -> Int {
        let value = try Self.varint(page, &at, end: end)
        guard value <= UInt64(limit) else { throw .malformed("a page's count of \(value)") }
        return Int(value)
    }

    private static func varint(
        _ page: UnsafeBufferPointer<UInt8>, _ offset: inout Int, end: Int
    ) throws(DecodeError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < end {
            let part = page[offset]
            offset += 1
            if shift == 63, part > 1 { throw .malformed("an integer of more than 64 bits") }
            value |= UInt64(part & 0x7F) << shift
            if part & 0x80 == 0 { return value }
            shift += 7
            guard shift < 64 else { throw .malformed("an integer of more than 64 bits") }
        }
        throw .truncated
    }
}
