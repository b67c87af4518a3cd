import PeykModel
import PeykSQLite

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
    var sealed = ByteWriter()
    var before = ByteWriter()
    var entries: [Entry] = []
    /// Records to be sealed from their former and present rows, in the order in which they were met.
    var complex: [UUIDBits] = []
    var complexSet: Set<UUIDBits> = []
    /// Records whose declared-unique fields were written (rule D4).
    var uniqueWrites: [UUIDBits] = []
    private var entryOf: [UUIDBits: Int] = [:]

    init(table: Int) { self.table = table }

    func clear() {
        sealed.bytes.removeAll(keepingCapacity: true)
        before.bytes.removeAll(keepingCapacity: true)
        entries.removeAll(keepingCapacity: true)
        complex = []
        complexSet = []
        uniqueWrites.removeAll(keepingCapacity: true)
        entryOf.removeAll(keepingCapacity: true)
    }

    /// Whether the record was met before; then it becomes a complex one.
    func isRepeated(_ record: UUIDBits) -> Bool {
        // The common small transaction needs no table.
        guard entries.count > 1 || !complex.isEmpty || !entryOf.isEmpty else {
            guard let first = entries.first, first.record == record else { return false }
            drop(0)
            return true
        }
        if entryOf.isEmpty {
            for (index, entry) in entries.enumerated() { entryOf[entry.record] = index }
        }
        if let index = entryOf[record] {
            drop(index)
            return true
        }
        return complexSet.contains(record)
    }

    private func drop(_ index: Int) {
        guard !entries[index].isDropped else { return }
        entries[index].isDropped = true
        makeComplex(entries[index].record)
    }

    /// The record changed after it was scanned: it is sealed anew from its rows.
    func reconsider(_ record: UUIDBits) {
        if let index = entries.firstIndex(where: { $0.record == record && !$0.isDropped }) {
            drop(index)
        } else {
            makeComplex(record)
        }
    }

    func makeComplex(_ record: UUIDBits) {
        if complexSet.insert(record).inserted { complex.append(record) }
    }

    func close(_ record: UUIDBits, isDelete: Bool, sealedFrom: Int, beforeFrom: Int) {
        if !entryOf.isEmpty || entries.count == 1 {
            if entryOf.isEmpty, let first = entries.first { entryOf[first.record] = 0 }
            entryOf[record] = entries.count
        }
        entries.append(
            Entry(
                record: record, isDelete: isDelete, sealed: sealedFrom..<sealed.bytes.count,
                before: beforeFrom..<before.bytes.count))
    }

    /// Takes back what was written for a record that turned out to need the slow way.
    func rewind(sealedTo: Int, beforeTo: Int) {
        sealed.bytes.removeLast(sealed.bytes.count - sealedTo)
        before.bytes.removeLast(before.bytes.count - beforeTo)
    }

    func append(_ change: Change, before image: BeforeImage) {
        let (start, from) = (sealed.bytes.count, before.bytes.count)
        change.encode(to: &sealed)
        image.encode(to: &before)
        entries.append(
            Entry(
                record: change.record.bits, isDelete: change.kind == .delete, sealed: start..<sealed.bytes.count,
                before: from..<before.bytes.count))
    }
}
