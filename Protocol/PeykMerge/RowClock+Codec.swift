public import PeykModel

/// Layout: flags (1), [incarnation], writers, created, [record], [deletes, ended], [cells].
///
/// Each writer is written once and named by its number after that. With the epochs of the server's lineage
/// given, a row that was inserted and never changed takes about 42 bytes; without them 16 more.
extension RowClock {
    private enum Flag {
        static let version: UInt8 = 0x01
        static let versionMask: UInt8 = 0x0F
        static let record: UInt8 = 0x10
        static let incarnation: UInt8 = 0x20
        static let deletes: UInt8 = 0x40
        static let cells: UInt8 = 0x80
    }

    /// - Parameter epochs: epochs that are named by their place in this list; the same list, or one that begins
    ///   with it, is needed to decode. The epochs of a ``Lineage`` serve, since it only grows.
    /// - Complexity: O(writers²) for the few writers that a row has.
    public func encoded(epochs: [Epoch] = []) -> [UInt8] {
        var table = WriterTable()
        for list in [created, record, deletes, ended] { list.forEach { table.add($0) } }
        for cell in cells {
            cell.siblings.forEach { table.add($0.writer) }
            cell.elements.forEach { $0.adders.forEach { table.add($0) } }
        }
        var flags = Flag.version
        if record != created { flags |= Flag.record }
        if incarnation != 0 { flags |= Flag.incarnation }
        if !deletes.isEmpty || !ended.isEmpty { flags |= Flag.deletes }
        if !cells.isEmpty { flags |= Flag.cells }
        var writer = ByteWriter(capacity: 48)
        writer.byte(flags)
        if incarnation != 0 { writer.varint(UInt64(bitPattern: incarnation)) }
        table.encode(to: &writer, epochs: epochs)
        table.encode(created, to: &writer)
        if record != created { table.encode(record, to: &writer) }
        if flags & Flag.deletes != 0 {
            table.encode(deletes, to: &writer)
            table.encode(ended, to: &writer)
        }
        if !cells.isEmpty {
            writer.count(cells.count)
            for cell in cells { Self.encode(cell, table, to: &writer) }
        }
        return writer.bytes
    }

    private static func encode(_ cell: CellClock, _ table: WriterTable, to writer: inout ByteWriter) {
        writer.count(cell.tag)
        writer.count(cell.siblings.count)
        for sibling in cell.siblings {
            writer.count(table.index(of: sibling.writer))
            guard let values = sibling.values else {
                writer.byte(0)
                continue
            }
            // One more than the count, so that 0 says that the row has the values.
            writer.count(values.count + 1)
            for value in values { writer.value(value) }
        }
        writer.count(cell.elements.count)
        for element in cell.elements {
            writer.text(element.element)
            table.encode(element.adders, to: &writer)
        }
    }

    public init(decoding bytes: [UInt8], epochs: [Epoch] = []) throws(DecodeError) {
        var reader = ByteReader(bytes)
        let flags = try reader.byte()
        guard flags & Flag.versionMask == Flag.version else { throw .malformed("unknown format of a row clock") }
        incarnation = flags & Flag.incarnation != 0 ? try reader.natural() : 0
        let table = try WriterTable(from: &reader, epochs: epochs)
        created = try table.list(from: &reader)
        record = flags & Flag.record != 0 ? try table.list(from: &reader) : created
        let hasDeletes = flags & Flag.deletes != 0
        deletes = hasDeletes ? try table.list(from: &reader) : []
        ended = hasDeletes ? try table.list(from: &reader) : []
        cells = []
        if flags & Flag.cells != 0 {
            for _ in 0..<(try reader.count()) { cells.append(try Self.cell(table, from: &reader)) }
        }
        try reader.finish()
    }

    private static func cell(_ table: WriterTable, from reader: inout ByteReader) throws(DecodeError) -> CellClock {
        var clock = CellClock(tag: try reader.index())
        for _ in 0..<(try reader.count()) {
            let author = try table.writer(from: &reader)
            let count = try reader.count()
            var values: [Value]?
            if count > 0 {
                var list: [Value] = []
                for _ in 1..<count { list.append(try reader.value()) }
                values = list
            }
            clock.siblings.append(Sibling(writer: author, values: values))
        }
        for _ in 0..<(try reader.count()) {
            let element = try reader.text()
            clock.elements.append(ElementClock(element: element, adders: try table.list(from: &reader)))
        }
        return clock
    }
}

/// The writers of one clock, each once.
private struct WriterTable {
    var writers: [Writer] = []

    init() {}

    mutating func add(_ writer: Writer) {
        if !writers.contains(writer) { writers.append(writer) }
    }

    func index(of writer: Writer) -> Int { writers.firstIndex(of: writer) ?? 0 }

    func encode(_ list: [Writer], to writer: inout ByteWriter) {
        writer.count(list.count)
        for entry in list { writer.count(index(of: entry)) }
    }

    func encode(to writer: inout ByteWriter, epochs: [Epoch]) {
        var inlined: [Epoch] = []
        writer.count(writers.count)
        for entry in writers {
            // 0: a new epoch follows; odd: one of `epochs`, which may have grown when this is read; even: inlined.
            if let place = epochs.firstIndex(of: entry.epoch) {
                writer.count(place * 2 + 1)
            } else if let place = inlined.firstIndex(of: entry.epoch) {
                writer.count(place * 2 + 2)
            } else {
                writer.byte(0)
                writer.bits(entry.epoch.bits)
                inlined.append(entry.epoch)
            }
            writer.varint(UInt64(bitPattern: entry.position))
            writer.fixed(entry.dot.site.rawValue)
            writer.varint(UInt64(bitPattern: entry.dot.seq))
            for shift in stride(from: 56, to: 8, by: -8) {
                writer.byte(UInt8(truncatingIfNeeded: entry.stamp.rawValue >> UInt64(shift)))
            }
            writer.varint(UInt64(entry.stamp.counter))
            writer.bits(entry.commit.bits)
        }
    }

    init(from reader: inout ByteReader, epochs: [Epoch]) throws(DecodeError) {
        var inlined: [Epoch] = []
        for _ in 0..<(try reader.count()) {
            let place = try reader.index()
            let epoch: Epoch
            if place == 0 {
                epoch = Epoch(bits: try reader.bits())
                inlined.append(epoch)
            } else {
                let list = place % 2 == 1 ? epochs : inlined
                guard list.indices.contains((place - 1) / 2) else { throw .malformed("unknown epoch") }
                epoch = list[(place - 1) / 2]
            }
            let position = try reader.natural()
            let site = SiteID(rawValue: try reader.fixed())
            let seq = try reader.natural()
            var milliseconds: UInt64 = 0
            for _ in 0..<6 { milliseconds = milliseconds << 8 | UInt64(try reader.byte()) }
            guard let counter = UInt16(exactly: try reader.varint()) else { throw .malformed("a stamp's counter") }
            let stamp = HLC(rawValue: milliseconds << 16 | UInt64(counter))
            let commit = CommitID(bits: try reader.bits())
            writers.append(
                Writer(
                    position: position, epoch: epoch, dot: Dot(site: site, seq: seq), stamp: stamp, commit: commit))
        }
    }

    func writer(from reader: inout ByteReader) throws(DecodeError) -> Writer {
        let place = try reader.index()
        guard writers.indices.contains(place) else { throw .malformed("unknown writer") }
        return writers[place]
    }

    func list(from reader: inout ByteReader) throws(DecodeError) -> [Writer] {
        var list: [Writer] = []
        for _ in 0..<(try reader.count()) { list.append(try writer(from: &reader)) }
        return list
    }
}
