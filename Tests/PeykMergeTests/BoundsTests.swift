import PeykMerge
import PeykModel
import Testing

@Suite("What even a causal write may not do (M2, M6, M8, K8)")
struct BoundsTests {
    static let insert = Step(
        1, at: 10, .insert, Sample.text(Sample.name, "Arya"), Sample.text(Sample.source, "fair"),
        Sample.text(Sample.stage, "won"), Sample.add(1))

    @Test("a second once is turned down; the other cells of the change enter (M6)")
    func once() {
        let again = Step(
            2, at: 20, seen: [Self.insert], .update, Sample.text(Sample.source, "web"), Sample.text(Sample.note, "n"))
        let merged = Merged(Self.insert, again)
        #expect(merged.last.refusals == [CellRefusal(cell: Sample.source, code: .onceWritten, detail: "source")])
        #expect(!merged.last.isRefused)
        #expect(merged[Sample.source] == .text("fair"))
        #expect(merged[Sample.note] == .text("n"))
    }

    @Test("a second once of the same value is no second once")
    func onceEqual() {
        let again = Step(2, at: 20, seen: [Self.insert], .update, Sample.text(Sample.source, "fair"))
        #expect(Merged(Self.insert, again).last.refusals.isEmpty)
    }

    @Test("an update of which no cell enters leaves no trace of its writer")
    func wholly() {
        let again = Step(2, at: 20, seen: [Self.insert], .update, Sample.text(Sample.source, "web"))
        let merged = Merged(Self.insert, again)
        #expect(merged.last.isRefused)
        #expect(merged.state == Merged(Self.insert).state)
    }

    @Test("a closed stage is left by reopen, by settling, by undo and by the server only")
    func closed() {
        let leave = Step(2, at: 20, seen: [Self.insert], .update, Sample.text(Sample.stage, "offer"))
        let merged = Merged(Self.insert, leave)
        #expect(merged.last.refusals == [CellRefusal(cell: Sample.stage, code: .closedStage, detail: "stage")])
        let ways: [(inout MergeContext) -> Void] = [
            { $0.allowsReopen = true }, { $0.settles = true }, { $0.isServer = true },
            { $0.undoes = Self.insert.commit },
        ]
        for way in ways {
            var merged = Merged(Self.insert)
            #expect(merged.take(leave, way).refusals.isEmpty)
            #expect(merged[Sample.stage] == .text("offer"))
        }
    }

    @Test("ranks come from a stage table where the caller says so")
    func stageTable() {
        let kinds: [String: StageRank] = [
            "s1": StageRank(order: 1), "s2": StageRank(order: 2), "done": StageRank(order: 0, kind: .won),
        ]
        let table = Table("deal", .reference, fields: [Field("stage", .reference(table: "stage"), .rank)])
        func step(_ site: Int, _ stage: String, _ kind: Change.Kind, seen: [Step] = []) -> Step {
            Step(site, at: Int64(100 - site), seen: seen, kind, Sample.text(0, stage))
        }
        let base = step(1, "s1", .insert)
        var merged = Merged()
        func take(_ step: Step) {
            merged.take(step) { context in
                context.table = table
                context.rankOf = { _, value in value.textValue.flatMap { kinds[$0] } }
            }
        }
        take(base)
        take(step(2, "done", .update, seen: [base]))
        take(step(3, "s2", .update, seen: [base]))
        #expect(merged[0] == .text("done"))
        take(step(4, "unknown", .update, seen: [base]))
        #expect(merged[0] == .text("done"))
        #expect(merged.last.lostCells == [0])
    }

    @Test("only the server writes a server field; an insert that does is refused whole")
    func server() {
        let write = Step(2, at: 20, seen: [Self.insert], .update, Sample.number(Sample.score, 5))
        #expect(Merged(Self.insert, write).last.refusals.map(\.code) == [.serverField])
        var merged = Merged(Self.insert)
        merged.take(write) { $0.isServer = true }
        #expect(merged[Sample.score] == .integer(5))
        let insert = Step(
            3, at: 1, .insert, Sample.text(Sample.name, "x"), Sample.number(Sample.score, 5))
        let refused = Merged(insert)
        #expect(refused.state == nil)
        #expect(refused.last.isRefused)
        #expect(refused.last.refusals == [CellRefusal(code: .serverField, detail: "score")])
    }

    @Test("a counter that would overflow is parked and the sum stays (K8)", arguments: [Int64.max, .min])
    func overflow(delta: Int64) {
        let start = Step(2, at: 20, seen: [Self.insert], .update, Sample.add(delta == .max ? 1 : -3))
        let merged = Merged(Self.insert, start, Step(3, at: 30, seen: [], .update, Sample.add(delta)))
        #expect(merged.last.refusals == [CellRefusal(cell: Sample.visits, code: .overflow, detail: "visits")])
        #expect(merged[Sample.visits] == .integer(delta == .max ? 2 : -2))
    }

    @Test("writes that do not fit their cell are refused and never trap")
    func unfit() {
        let writes: [CellChange] = [
            CellChange(cell: 999, write: .add(1)), CellChange(cell: -1, write: .add(1)),
            CellChange(cell: 3, write: .assign([.null])), CellChange(cell: Sample.name, write: .add(1)),
            CellChange(cell: Sample.name, write: .assign([])), CellChange(cell: Sample.price, write: .assign([.null])),
            CellChange(cell: Sample.visits, write: .assign([.integer(1)])),
            CellChange(cell: Sample.tags, write: .text(base: nil, new: nil)),
        ]
        for write in writes {
            var update = Step(2, at: 20, seen: [Self.insert], .update)
            update.change.cells = [write]
            #expect(Merged(Self.insert, update).last.refusals == [CellRefusal(cell: write.cell, code: .invalid)])
            update.change.kind = .insert
            #expect(Merged(update).last.refusals == [CellRefusal(code: .invalid)])
            #expect(!validate(update.change, in: Sample.schema).isEmpty)
        }
    }

    @Test("an undo is refused, per cell, where somebody it has not seen wrote since (M8)")
    func undo() {
        let wrong = Step(
            2, at: 20, seen: [Self.insert], .update, Sample.text(Sample.owner, "w"), Sample.text(Sample.note, "w"))
        let since = Step(3, at: 30, seen: [wrong], .update, Sample.text(Sample.owner, "s"))
        let undo = Step(
            4, at: 40, seen: [], .update, Sample.text(Sample.owner, nil), Sample.text(Sample.note, nil))
        var merged = Merged(Self.insert, wrong, since)
        merged.take(undo) { $0.undoes = wrong.commit }
        #expect(merged.last.refusals == [CellRefusal(cell: Sample.owner, code: .builtUpon, detail: "owner")])
        #expect(merged[Sample.owner] == .text("s"))
        #expect(merged[Sample.note] == .null)
        #expect(merged.last.decisions.first { $0.cell == Sample.owner }?.rule == .undo)
        var forced = Merged(Self.insert, wrong, since)
        forced.take(undo) {
            $0.undoes = wrong.commit
            $0.isForced = true
        }
        #expect(forced.last.refusals.isEmpty)
    }

    @Test("an undo that has seen what came since may replace it (M8)")
    func undoSeen() {
        let wrong = Step(2, at: 20, seen: [Self.insert], .update, Sample.memo(nil, "w"))
        let since = Step(3, at: 30, seen: [wrong], .update, Sample.memo("w", "s"))
        let undo = Step(4, at: 5, seen: [since], .update, Sample.memo("s", nil))
        var merged = Merged(Self.insert, wrong, since)
        #expect(merged.take(undo) { $0.undoes = wrong.commit }.refusals.isEmpty)
        #expect(merged[Sample.memo] == .null)
    }
}
