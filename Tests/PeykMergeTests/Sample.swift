import PeykMerge
import PeykModel

/// A table with a cell of each policy, and commits whose causal past is given outright.
enum Sample {
    static let deal = Table(
        "deal", .reference,
        fields: [
            Field("name", .text, required: true),
            Field("owner", .text, .review),
            Field("amount", .money(currency: "currency"), .review, group: "price"),
            Field("currency", .text, .review, group: "price"),
            Field("visits", .integer, .counter),
            Field("tags", .set, .set),
            Field("best", .integer, .max),
            Field("first", .integer, .min),
            Field("source", .text, .once),
            Field("stage", .enumeration(["lead", "offer", "won", "lost"]), .rank, default: .text("lead")),
            Field("memo", .text, .text),
            Field("score", .integer, .server),
            Field("note", .text),
        ])
    static let schema = Schema(version: 1, tables: [deal])
    static let index = 1

    static let name = 0
    static let owner = 1
    static let price = 2
    static let visits = 4
    static let tags = 5
    static let best = 6
    static let first = 7
    static let source = 8
    static let stage = 9
    static let memo = 10
    static let score = 11
    static let note = 12

    static let epoch = Epoch(bits: UUIDBits(high: 7, low: 7))
    static let lineage = Lineage([Era(epoch: epoch, after: 0)])
    static let record = RecordID(bits: UUIDBits(high: 1, low: 1))

    static func text(_ cell: Int, _ value: String?) -> CellChange {
        CellChange(cell: cell, write: .assign([value.map { .text($0) } ?? .null]))
    }
    static func number(_ cell: Int, _ value: Int64) -> CellChange {
        CellChange(cell: cell, write: .assign([.integer(value)]))
    }
    static func add(_ delta: Int64) -> CellChange { CellChange(cell: visits, write: .add(delta)) }
    static func set(_ added: [String], _ removed: [String] = []) -> CellChange {
        CellChange(cell: tags, write: .elements(added: added, removed: removed))
    }
    static func memo(_ base: String?, _ new: String?) -> CellChange {
        CellChange(cell: memo, write: .text(base: base, new: new))
    }
    static func price(_ amount: Int64, _ currency: String) -> CellChange {
        CellChange(cell: price, write: .assign([.integer(amount), .text(currency)]))
    }
    static func row(_ values: [Int: Value] = [:]) -> Row {
        var row = Row.empty(deal)
        row[visits] = .integer(0)
        for (field, value) in values { row[field] = value }
        return row
    }
}

/// A commit of one change, by its own site unless said, that has seen exactly the commits it names.
struct Step: Hashable, Sendable {
    var site: Int
    var seq: Int64 = 1
    var stamp: Int64
    var seen: [Dot] = []
    var change: Change

    init(
        _ site: Int, seq: Int64 = 1, at stamp: Int64, seen: [Step] = [], _ kind: Change.Kind = .update,
        _ cells: CellChange...
    ) {
        self.init(site, seq: seq, at: stamp, seen: seen, kind, cells: cells)
    }

    init(_ site: Int, seq: Int64 = 1, at stamp: Int64, seen: [Step] = [], _ kind: Change.Kind, cells: [CellChange]) {
        self.site = site
        self.seq = seq
        self.stamp = stamp
        self.seen = seen.flatMap { $0.seen + [$0.dot] }
        let sorted = cells.sorted { $0.cell < $1.cell }
        change = Change(table: Sample.index, record: Sample.record, kind: kind, cells: sorted)
    }

    var dot: Dot { Dot(site: SiteID(rawValue: UInt64(site)), seq: seq) }
    var commit: CommitID { CommitID(bits: UUIDBits(high: UInt64(site), low: UInt64(seq))) }

    func writer(_ position: Position) -> Writer {
        Writer(
            position: position, epoch: Sample.epoch, dot: dot, stamp: HLC(milliseconds: stamp), commit: commit)
    }

    func context(_ position: Position = 1_000) -> MergeContext {
        let own = Dot(site: dot.site, seq: seq - 1)
        let clock = VectorClock(lineage: Sample.lineage, anchor: 0, dots: seen + (seq > 1 ? [own] : []))
        return MergeContext(table: Sample.deal, writer: writer(position), clock: clock)
    }
}

/// The server's part that matters here: one record, changes one after the other.
struct Merged {
    var state: RecordState?
    var outcomes: [ChangeOutcome] = []
    var position: Position = 0
    /// The open entries of cells, as a ledger would hold them.
    var entries: [Int: CellConflict] = [:]

    init(_ steps: Step...) { for step in steps { take(step) } }
    init(steps: [Step]) { for step in steps { take(step) } }

    @discardableResult
    mutating func take(
        _ step: Step, hasLivingChildren: Bool = false, _ adjust: (inout MergeContext) -> Void = { _ in }
    ) -> ChangeOutcome {
        position += 1
        var context = step.context(position)
        adjust(&context)
        let outcome = merge(step.change, into: state, context, hasLivingChildren: hasLivingChildren)
        state = outcome.state
        for cell in outcome.resolved { entries[cell] = nil }
        for conflict in outcome.conflicts { entries[conflict.cell] = conflict }
        outcomes.append(outcome)
        return outcome
    }

    subscript(field: Int) -> Value { state?.row[field] ?? .null }
    var last: ChangeOutcome { outcomes[outcomes.count - 1] }
}

extension RecordState {
    /// The same state as if all positions were 0, for comparing orders of arrival.
    var withoutPositions: RecordState {
        func strip(_ writers: [Writer]) -> [Writer] {
            writers.map {
                var writer = $0
                writer.position = 0
                return writer
            }
        }
        var copy = self
        copy.clock.created = strip(clock.created)
        copy.clock.record = strip(clock.record)
        copy.clock.deletes = strip(clock.deletes)
        copy.clock.ended = strip(clock.ended)
        for index in copy.clock.cells.indices {
            for place in copy.clock.cells[index].siblings.indices {
                copy.clock.cells[index].siblings[place].writer.position = 0
            }
            for place in copy.clock.cells[index].elements.indices {
                copy.clock.cells[index].elements[place].adders = strip(clock.cells[index].elements[place].adders)
            }
        }
        return copy
    }
}
