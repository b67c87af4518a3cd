import PeykModel
import PeykSession
import PeykWire
import PropertyKit
import Testing

extension Choices {
    fileprivate mutating func row() -> Row { Row(list(upTo: 6, usual: 4) { $0.value() }) }

    fileprivate mutating func answer() -> Answer {
        Answer(
            verdict: pick([.merged, .refused, .known, .waiting]),
            notices: list(upTo: 3, usual: 1) { choices in
                Answer.Notice(
                    change: choices.below(5) - 1, cell: choices.below(5) - 1,
                    code: choices.pick([.scope, .lost, NoticeCode(rawValue: "later")]), detail: choices.text())
            },
            restamped: optional { $0.stamp() })
    }

    fileprivate mutating func effect() -> Effect {
        let kind: Effect.Kind =
            switch below(5) {
            case 0: .touched
            case 1: .delete
            case 2: .evict(pick([.moved]))
            case 3: .delta(list(upTo: 4, usual: 2) { FieldValue(field: $0.below(9), value: $0.value()) })
            default: .full(row(), writers: list(upTo: 3, usual: 1) { $0.commitID() })
            }
        return Effect(key: RecordKey(table: below(4), record: recordID()), kind: kind)
    }

    fileprivate mutating func entry(_ lineage: Lineage, _ position: Position) -> Batch.Entry {
        Batch.Entry(
            position: position, dot: dot(), commit: commitID(), stamp: stamp(), user: optional { $0.recordID() },
            clock: vectorClock(lineage), effects: list(upTo: 4, usual: 2) { $0.effect() },
            yours: chance(30) ? Batch.Yours(answer: answer(), digest: draw(upTo: .max)) : nil)
    }

    fileprivate mutating func batch() -> Batch {
        let lineage = lineage()
        var position = Position(below(5))
        let from = position
        let entries = list(upTo: 5, usual: 2) { choices -> Batch.Entry in
            position += Position(1 + choices.below(3))
            return choices.entry(choices.chance(20) ? choices.lineage() : lineage, position)
        }
        return Batch(
            from: from, to: position, entries: entries, stamp: stamp(), backupHorizon: Position(below(9)),
            anchorToken: bytes(upTo: 20), head: position + Position(below(3)), isWhole: chance(30))
    }

    fileprivate mutating func push() -> Push {
        let lineages = [lineage(), lineage()]
        return Push(
            commits: list(upTo: 4, usual: 2) { choices in
                SealedCommit(
                    id: choices.commitID(),
                    envelope: Envelope(
                        dot: choices.dot(), stamp: choices.stamp(), clock: choices.vectorClock(choices.pick(lineages)),
                        receipt: choices.bytes(upTo: 16),
                        formerAnswer: choices.chance(20) ? choices.answer() : nil),
                    sealed: choices.commitBody().encoded())
            })
    }
}

@Suite("Properties of the wire")
struct WireProperties {
    @Test("a batch comes back as it was, whatever is in it (P24, W-6, W-7)")
    func batches() {
        Property(cases: 250) { $0.batch() }.holds { batch in
            try same(try WireCodec.decodeServer(WireCodec.encode(.batch(batch))), .batch(batch))
        }
    }

    @Test("a push comes back as it was, sealed bytes to the bit (C1, W-5)")
    func pushes() {
        Property(cases: 200) { $0.push() }.holds { push in
            try same(try WireCodec.decodeClient(WireCodec.encode(.push(push))), .push(push))
        }
    }

    @Test("damaged frames give a message that encodes again, or a typed error (P29)")
    func damage() {
        Property(cases: 500) { choices in
            choices.damaged(
                choices.chance(50)
                    ? WireCodec.encode(.batch(choices.batch())) : WireCodec.encode(.push(choices.push())))
        }.holds { bytes in
            if let message = try? WireCodec.decodeClient(bytes) {
                try same(try WireCodec.decodeClient(WireCodec.encode(message)), message)
            }
            guard let message = try? WireCodec.decodeServer(bytes) else { return }
            try same(try WireCodec.decodeServer(WireCodec.encode(message)), message)
        }
    }

    @Test("rows come out of a page as they went in, whatever their columns hold (P24, W-25)")
    func pages() {
        Property(cases: 250) { choices in
            let columns = choices.below(6)
            // Columns of one kind and of near values, as tables have them, and columns of anything.
            let types = (0..<columns).map { _ in
                choices.pick([FieldType.text, .integer, .double, .reference(table: "t"), .date, .blob, .set, nil])
            }
            var number: UInt64 = 0
            let rows = choices.list(upTo: 40, usual: 12) { choices -> SampleRow in
                number += 1 + UInt64(choices.below(choices.chance(20) ? 1 << 30 : 2))
                let values = types.map { type in
                    type.map { choices.value(of: $0) } ?? choices.value()
                }
                return SampleRow(
                    id: RecordID(bits: UUIDBits(high: 7, low: number)), row: Row(values),
                    writers: choices.list(upTo: 3, usual: choices.chance(20) ? 2 : 0) { $0.commitID() })
            }
            return (columns, rows)
        }.holds { columns, rows in
            let bytes = RowPageSamples.build(rows, columns: columns).finish()
            try same(try RowPageSamples.read(bytes), rows)
        }
    }

    @Test("damaged pages give rows or an error, and rows in the order of their ids (P29, B1)")
    func damagedPages() {
        Property(cases: 400) { choices in
            let rows = RowPageSamples.customers(1 + choices.below(12), seed: UInt64(choices.below(5)))
            return choices.damaged(RowPageSamples.build(rows, columns: 7).finish())
        }.holds { bytes in
            guard let rows = try? RowPageSamples.read(bytes) else { return }
            try same(rows.map(\.id), rows.map(\.id).sorted())
        }
    }
}
