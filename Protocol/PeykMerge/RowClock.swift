public import PeykModel

/// Who wrote what stands in one row (rules M1, D1, D2). Kept by the server only, one blob a row.
///
/// Only what is out of the ordinary is listed: a cell that is not in `cells` was written by the first of
/// `created` where its value is not null, and by nobody where it is null. Counters are never listed, since
/// their deltas simply add up. All lists are sorted, so equal histories give equal clocks.
public struct RowClock: Hashable, Sendable {
    /// The number of deletes before this life of the record (rule D2).
    public var incarnation: Int64
    /// Who inserted it in this incarnation; more than one where inserts were concurrent.
    public var created: [Writer]
    /// The writers of the record, its deletes left out, that no later writer has covered (rule D1).
    public var record: [Writer]
    /// Deletes of this incarnation: those that took effect, if the record is dead, and those that lost.
    public var deletes: [Writer]
    /// Deletes of the incarnation before: who saw one of them and inserts belongs to this incarnation. A late delete
    /// of a still earlier life counts as one of them; only a third life of a record can tell.
    public var ended: [Writer]
    /// Ascending by tag.
    public var cells: [CellClock]

    /// More deletes of one incarnation than this are not told apart: the earliest are forgotten.
    public static let deletesMax = 32

    public init(
        incarnation: Int64 = 0, created: [Writer], record: [Writer]? = nil, deletes: [Writer] = [],
        ended: [Writer] = [], cells: [CellClock] = []
    ) {
        self.incarnation = incarnation
        self.created = created
        self.record = record ?? created
        self.deletes = deletes
        self.ended = ended
        self.cells = cells
    }

    /// The clock that is listed for the cell, if any.
    public func listed(_ tag: Int) -> CellClock? { cells.first { $0.tag == tag } }

    /// The commits whose values or presence this row stands for, without repeats, earliest first (rule B3).
    public var writers: [Writer] {
        var all = record + created
        for cell in cells {
            all += cell.siblings.map(\.writer)
            for element in cell.elements { all += element.adders }
        }
        return all.normalised
    }
}

/// The writers of one cell that no later write has covered (rule M1).
public struct CellClock: Hashable, Sendable {
    /// ``Cell/tag``.
    public var tag: Int
    /// Earliest first. Empty for sets.
    public var siblings: [Sibling]
    /// For sets, ascending by bytes: the elements that were not added by the row's first creator alone.
    public var elements: [ElementClock]

    public init(tag: Int, siblings: [Sibling] = [], elements: [ElementClock] = []) {
        self.tag = tag
        self.siblings = siblings
        self.elements = elements
    }
}

/// One write that nothing has covered yet.
public struct Sibling: Hashable, Sendable {
    public var writer: Writer
    /// What it wrote, in the order of the cell's fields, where that lost; nil where the row has its values.
    public var values: [Value]?

    public init(writer: Writer, values: [Value]? = nil) {
        self.writer = writer
        self.values = values
    }
}

/// Who added an element of a set, as far as nobody has covered it.
public struct ElementClock: Hashable, Sendable {
    public var element: String
    /// Earliest first; never empty.
    public var adders: [Writer]

    public init(element: String, adders: [Writer]) {
        self.element = element
        self.adders = adders
    }

    public static func == (left: Self, right: Self) -> Bool {
        left.element.utf8.elementsEqual(right.element.utf8) && left.adders == right.adders
    }
}

/// A record as the server keeps it; a tombstone keeps its last row.
public struct RecordState: Hashable, Sendable {
    public var row: Row
    public var clock: RowClock
    public var isAlive: Bool

    public init(row: Row, clock: RowClock, isAlive: Bool = true) {
        self.row = row
        self.clock = clock
        self.isAlive = isAlive
    }
}

extension [Writer] {
    /// Earliest first, one entry a commit.
    var normalised: [Writer] {
        var out: [Writer] = []
        for writer in sorted(by: { $1.isLater(than: $0) }) where !out.contains(where: { $0.commit == writer.commit }) {
            out.append(writer)
        }
        return out
    }
}

// MARK: - What is listed and what is implied

extension RowClock {
    /// All writers of a cell that is not a set or a counter, listed or implied.
    func siblings(of cell: Cell, in row: Row) -> [Sibling] {
        if let listed = listed(cell.tag) { return listed.siblings }
        guard let creator = created.first, cell.fields.contains(where: { !row[$0].isNull }) else { return [] }
        return [Sibling(writer: creator)]
    }

    /// The adders of all elements of a set cell, listed or implied.
    func elements(of cell: Cell, in row: Row) -> [ElementClock] {
        let listed = listed(cell.tag)?.elements ?? []
        let set = row[cell.tag].textValue.flatMap { ValueSet(json: $0) }
        return (set?.elements ?? []).compactMap { element in
            if let known = listed.first(where: { $0.element.utf8.elementsEqual(element.utf8) }) { return known }
            return created.first.map { ElementClock(element: element, adders: [$0]) }
        }
    }

    /// Lists the clock, or leaves it out where it is what would be implied.
    mutating func set(_ clock: CellClock, of cell: Cell, in row: Row) {
        cells.removeAll { $0.tag == cell.tag }
        var clock = clock
        clock.siblings.sort { $1.writer.isLater(than: $0.writer) }
        if cell.policy == .set {
            let implied = Array(created.prefix(1))
            clock.elements.removeAll { $0.adders == implied }
            if clock.elements.isEmpty { return }
        } else if clock.siblings == siblings(of: cell, in: row) {
            return
        }
        cells.insert(clock, at: cells.firstIndex { $0.tag > cell.tag } ?? cells.count)
    }

    /// Lists every cell, so that `created` may change; ``compact(_:_:)`` undoes it.
    mutating func listAll(_ table: Table, _ row: Row) {
        cells = table.cells.filter { $0.policy != .counter }.map { cell in
            cell.policy == .set
                ? CellClock(tag: cell.tag, elements: elements(of: cell, in: row))
                : CellClock(tag: cell.tag, siblings: siblings(of: cell, in: row))
        }
    }

    mutating func compact(_ table: Table, _ row: Row) {
        for clock in cells {
            guard let cell = table.cell(of: clock.tag) else { continue }
            set(clock, of: cell, in: row)
        }
    }
}

extension Table {
    /// The cell with this tag, in constant time; nil for any other number.
    func cell(of tag: Int) -> Cell? {
        guard cellOfField.indices.contains(tag) else { return nil }
        let cell = cells[cellOfField[tag]]
        return cell.tag == tag ? cell : nil
    }
}
