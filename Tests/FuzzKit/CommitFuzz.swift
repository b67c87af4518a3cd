import PeykCRM
import PeykMerge
import PeykModel

/// A commit's sealed bytes, on their way into the rows, without the server around them.
enum CommitFuzz {
    static func run(_ bytes: [UInt8]) {
        guard let body = try? CommitBody(decoding: bytes) else { return }
        must((try? CommitBody(decoding: body.encoded())) == body, "a commit survives its encoding")
        var states: [RecordKey: RecordState] = [:]
        // Twice, by two authors who had not seen each other, and once by one who had seen both.
        for round in 0..<3 {
            for change in body.changes {
                merge(change, round: round, into: &states)
            }
        }
    }

    private static func merge(_ change: Change, round: Int, into states: inout [RecordKey: RecordState]) {
        let schema = FieldSales.schema
        let refusals = validate(change, in: schema)
        guard let table = schema.table(at: change.table) else {
            must(!refusals.isEmpty, "a change of no table is refused")
            return
        }
        let key = RecordKey(table: change.table, record: change.record)
        let before = states[key]
        _ = forecast(change, on: before?.row, in: table)
        let context = context(table, round: round)
        // Also what is invalid: nothing may trap.
        let outcome = PeykMerge.merge(change, into: before, context, hasLivingChildren: round == 1)
        must(
            outcome == PeykMerge.merge(change, into: before, context, hasLivingChildren: round == 1),
            "merging is a function (P6)")
        guard refusals.isEmpty, let after = outcome.state else { return }
        must(after.clock.writers.count <= 200, "clocks are bounded (P28)")
        let stored = after.clock.encoded(epochs: [epoch])
        must((try? RowClock(decoding: stored, epochs: [epoch])) == after.clock, "a clock survives its encoding")
        if after.isAlive, change.kind == .insert, !outcome.isRefused {
            for (index, field) in table.fields.enumerated() where !after.row[index].isNull {
                if case .success(let canonical) = field.type.admit(after.row[index]) {
                    must(canonical == after.row[index], "what stands in a row is canonical (P24)")
                }
            }
        }
        states[key] = after
    }

    private static let epoch = Epoch(bits: UUIDBits(high: 5, low: 5))

    private static func context(_ table: Table, round: Int) -> MergeContext {
        let position = Position(10 + round)
        return MergeContext(
            table: table,
            writer: Writer(
                position: position, epoch: epoch, dot: Dot(site: SiteID(rawValue: UInt64(round + 1)), seq: 1),
                stamp: HLC(milliseconds: 1_000 - Int64(round)),
                commit: CommitID(bits: UUIDBits(high: 1, low: UInt64(round)))),
            clock: VectorClock(lineage: Lineage([Era(epoch: epoch, after: 0)]), anchor: round == 2 ? 12 : 5))
    }

    static func runClock(_ bytes: [UInt8]) {
        let epochs = [epoch]
        guard let clock = try? RowClock(decoding: bytes, epochs: epochs) else { return }
        must(
            (try? RowClock(decoding: clock.encoded(epochs: epochs), epochs: epochs)) == clock,
            "a clock survives its encoding")
        let table = FieldSales.schema.tables[0]
        let state = RecordState(row: Row.empty(table), clock: clock)
        let change = Change(
            table: 0, record: SmallOffice.id(9), kind: .update,
            cells: table.cells.prefix(2).map { cell in
                CellChange(cell: cell.tag, write: .assign(cell.fields.map { _ in .text("x") }))
            })
        for round in 0..<3 {
            _ = PeykMerge.merge(change, into: state, context(table, round: round), hasLivingChildren: false)
            _ = PeykMerge.merge(
                Change(table: 0, record: SmallOffice.id(9), kind: .delete), into: state, context(table, round: round),
                hasLivingChildren: false)
        }
    }
}
