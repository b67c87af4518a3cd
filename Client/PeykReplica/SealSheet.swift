import PeykModel

/// The changes of one table while a commit is being sealed: their bytes, and what they replaced.
final class SealSheet {
    /// One change's place in the two buffers.
    struct Entry {
        var record: UUIDBits
        var isDelete: Bool
        /// Superseded: the record was written more than once and is sealed anew.
        var isDropped = false
        var sealed: Range<Int>
        var before: Range<Int>
    }

    let table: Int
    private let fieldCount: Int
    var sealed = SealBuffer()
    var before = SealBuffer()
    private(set) var entries: [Entry] = []
    /// Records to be sealed from their former and present rows, in the order in which they were met.
    private(set) var complex: [UUIDBits] = []
    private(set) var complexSet: Set<UUIDBits> = []
    /// What complex records were before; only while writes are captured as they happen (``LiveCapture``), else
    /// the capture table knows.
    private(set) var formers: [UUIDBits: CaptureFormer] = [:]
    var keepsFormers = false
    /// Records whose declared-unique fields were written (rule D4).
    var uniqueWrites: [UUIDBits] = []
    private var places = EntryPlaces()

    init(_ layout: TableLayout) {
        table = layout.index
        fieldCount = layout.fieldCount
    }

    deinit {
        sealed.free()
        before.free()
    }

    var isEmpty: Bool { entries.isEmpty && complex.isEmpty }

    func clear() {
        keepsFormers = false
        guard !isEmpty else { return }
        sealed.clear()
        before.clear()
        entries.removeAll(keepingCapacity: true)
        uniqueWrites.removeAll(keepingCapacity: true)
        places.clear()
        guard !complex.isEmpty else { return }
        complex = []
        complexSet = []
        formers = [:]
    }

    /// Whether the record was met before; then it becomes a complex one.
    @inline(__always)
    func isRepeated(_ record: UUIDBits) -> Bool {
        if let index = places.find(record, in: entries) {
            drop(index)
            return true
        }
        return !complex.isEmpty && complexSet.contains(record)
    }

    private func drop(_ index: Int) {
        guard !entries[index].isDropped else { return }
        entries[index].isDropped = true
        let entry = entries[index]
        makeComplex(entry.record)
        guard keepsFormers else { return }
        let image = [UInt8](before.bytes(entry.before))
        formers[entry.record] = CaptureFormer(fieldCount: fieldCount, image: image)
    }

    /// The record changed after it was scanned: it is sealed anew from its rows.
    func reconsider(_ record: UUIDBits) {
        if let index = entries.firstIndex(where: { $0.record == record && !$0.isDropped }) {
            drop(index)
        } else {
            makeComplex(record)
        }
    }

    /// All records are sealed anew from their rows.
    func reconsiderAll() {
        for index in entries.indices { drop(index) }
    }

    func makeComplex(_ record: UUIDBits) {
        if complexSet.insert(record).inserted { complex.append(record) }
    }

    /// The next word on what a complex record was before.
    func note(_ record: UUIDBits, _ op: CaptureKind, changed: (Int) -> Bool, value: (Int) -> Value) {
        makeComplex(record)
        formers[record, default: CaptureFormer(fieldCount: fieldCount)].add(op, changed: changed, value: value)
    }

    @inline(__always)
    func close(_ record: UUIDBits, isDelete: Bool, sealedFrom: Int, beforeFrom: Int) {
        entries.append(
            Entry(
                record: record, isDelete: isDelete, sealed: sealedFrom..<sealed.count,
                before: beforeFrom..<before.count))
        places.added(to: entries)
    }

    /// Takes back what was written for a record that turned out to need the slow way.
    func rewind(sealedTo: Int, beforeTo: Int) {
        sealed.rewind(to: sealedTo)
        before.rewind(to: beforeTo)
    }

    func append(_ change: Change, before image: BeforeImage) {
        let (start, from) = (sealed.count, before.count)
        var bytes = ByteWriter()
        change.encode(to: &bytes)
        sealed.raw(bytes)
        var images = ByteWriter()
        image.encode(to: &images)
        before.raw(images)
        entries.append(
            Entry(
                record: change.record.bits, isDelete: change.kind == .delete, sealed: start..<sealed.count,
                before: from..<before.count))
    }
}

/// Where each record's entry is: a hash table of entry numbers, since it is asked once for each row.
private struct EntryPlaces {
    /// Entry number + 1, or 0; a power of two in size. Empty as long as there is one entry at most.
    private var slots: [Int32] = []
    private var used = 0

    /// More than these are given back after a transaction.
    private static let keptMax = 1 << 14
    private static let first = 64

    mutating func clear() {
        guard used > 0 else { return }
        used = 0
        if slots.count > Self.keptMax {
            slots = []
        } else {
            slots.withUnsafeMutableBufferPointer { $0.update(repeating: 0) }
        }
    }

    /// Ids are local and mostly random; the multiplication spreads those that are not.
    @inline(__always)
    private static func hash(_ record: UUIDBits) -> Int {
        let mixed = (record.low ^ (record.high &* 0x9E37_79B9_7F4A_7C15)) &* 0xD6E8_FEB8_6659_FD93
        return Int(truncatingIfNeeded: mixed >> 32)
    }

    @inline(__always)
    func find(_ record: UUIDBits, in entries: [SealSheet.Entry]) -> Int? {
        // The common small transaction needs no table.
        guard used > 0 else { return entries.first?.record == record ? 0 : nil }
        let mask = slots.count - 1
        var at = Self.hash(record) & mask
        while slots[at] != 0 {
            let index = Int(slots[at]) - 1
            if entries[index].record == record { return index }
            at = (at + 1) & mask
        }
        return nil
    }

    /// The last of `entries` is new.
    @inline(__always)
    mutating func added(to entries: [SealSheet.Entry]) {
        guard entries.count > 1 else { return }
        if used == 0 || used * 2 >= slots.count { return rebuild(entries) }
        insert(entries.count - 1, entries)
    }

    private mutating func insert(_ index: Int, _ entries: [SealSheet.Entry]) {
        let mask = slots.count - 1
        var at = Self.hash(entries[index].record) & mask
        while slots[at] != 0 { at = (at + 1) & mask }
        slots[at] = Int32(truncatingIfNeeded: index + 1)
        used += 1
    }

    private mutating func rebuild(_ entries: [SealSheet.Entry]) {
        var size = max(Self.first, slots.count)
        while size < entries.count * 4 { size *= 2 }
        if size == slots.count, used == 0 {
            // Cleared already.
        } else {
            slots = [Int32](repeating: 0, count: size)
        }
        used = 0
        for index in entries.indices { insert(index, entries) }
    }
}
