import Foundation
import PeykMerge
import PeykModel
import SeededRandom
import Testing

@Suite("Arrival order at the server does not matter (P5, P6)")
struct ArrivalOrderTests {
    /// Seeds in blocks of 50; `PEYK_SEEDS=100000` runs more of them.
    static let blocks = max(1, (ProcessInfo.processInfo.environment["PEYK_SEEDS"].flatMap(Int.init) ?? 1_000) / 50)

    static func merged(_ order: [Step]) -> Merged {
        var merged = Merged()
        for step in order { merged.take(step) { $0.allowsReopen = true } }
        return merged
    }

    static func comparable(_ order: [Step]) -> RecordState? {
        var state = merged(order).state?.withoutPositions
        // Late deletes of lives before the last are not told apart (``RowClock/ended``).
        if let incarnation = state?.clock.incarnation, incarnation > 1 { state?.clock.ended = [] }
        return state
    }

    @Test("values, clocks and lives come out the same in every causal order (P6)", arguments: 0..<blocks)
    func converges(block: Int) {
        for seed in UInt64(block * 50)..<UInt64(block * 50 + 50) {
            let history = History(seed: seed, count: 2 + Int(seed % 6), deletes: seed % 2 == 0 ? 0 : 25)
            var random = SplitMix64(seed: ~seed)
            let reference = Self.comparable(history.steps)
            for _ in 0..<6 {
                let order = history.order(&random)
                let state = Self.comparable(order)
                guard state != reference else { continue }
                Issue.record(
                    """
                    seed \(seed): order \(order.map { "\($0.site):\($0.seq)" }) differs
                    \(history)
                    \(String(describing: reference))
                    \(String(describing: state))
                    """)
                return
            }
        }
    }

    @Test(
        "each write stands, was seen by a later writer of its cell, or is among the losers (P2, P10)",
        arguments: 0..<blocks
    )
    func accounts(block: Int) throws {
        for seed in UInt64(block * 50)..<UInt64(block * 50 + 50) {
            let history = History(seed: seed, count: 2 + Int(seed % 7), deletes: 0)
            var random = SplitMix64(seed: ~seed)
            let merged = Self.merged(history.order(&random))
            guard let state = merged.state else { continue }
            for step in history.steps {
                for write in step.change.cells {
                    guard case .assign(let values) = write.write else { continue }
                    let cell = try #require(Sample.deal.cell(tag: write.cell))
                    let over = history.steps.contains { other in
                        other.seen.contains(step.dot) && other.change.cells.contains { $0.cell == write.cell }
                    }
                    let listed = state.clock.listed(write.cell)?.siblings.contains { $0.writer.commit == step.commit }
                    if over {
                        #expect(listed != true, "seed \(seed): a covered writer is still listed")
                        continue
                    }
                    if cell.fields.map({ state.row[$0] }) == values { continue }
                    let losers = merged.entries[write.cell]?.losers ?? []
                    #expect(
                        losers.contains(
                            Claim(
                                writer: step.writer(
                                    losers.first { $0.writer.commit == step.commit }?.writer.position ?? 0),
                                values: values)),
                        "seed \(seed): a write of cell \(write.cell) is lost in silence")
                }
            }
        }
    }

    @Test("the clock's bytes give the clock back, whatever happened", arguments: 0..<10)
    func codec(block: Int) throws {
        for seed in UInt64(block * 50)..<UInt64(block * 50 + 50) {
            let history = History(seed: seed, count: 2 + Int(seed % 7), deletes: 20)
            guard let clock = Self.merged(history.steps).state?.clock else { continue }
            #expect(try RowClock(decoding: clock.encoded()) == clock)
            let known = [Sample.epoch]
            #expect(try RowClock(decoding: clock.encoded(epochs: known), epochs: known) == clock)
        }
    }

    @Test("texts may depend on the order, which shows that the check can fail")
    func canFail() {
        // Rule P5 allows it for texts: a conflict falls back to the later stamp for the whole text.
        let insert = Step(1, at: 1, .insert, Sample.text(Sample.name, "n"), Sample.memo(nil, "1\n2\n3"))
        let a = Step(2, at: 2, seen: [insert], .update, Sample.memo("1\n2\n3", "A\n2\n3"))
        let b = Step(3, at: 3, seen: [insert], .update, Sample.memo("1\n2\n3", "B\n2\n3"))
        let c = Step(4, at: 4, seen: [insert], .update, Sample.memo("1\n2\n3", "1\n2\nC"))
        let orders = [[a, b, c], [a, c, b]].map { Merged(steps: [insert] + $0).state?.withoutPositions }
        #expect(orders[0] != orders[1])
    }
}
