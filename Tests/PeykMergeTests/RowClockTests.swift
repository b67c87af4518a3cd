import PeykMerge
import PeykModel
import SeededRandom
import Testing

@Suite("Row clocks as bytes")
struct RowClockTests {
    static func writer(_ number: UInt64, epoch: Epoch = Sample.epoch) -> Writer {
        Writer(
            position: 123_456, epoch: epoch, dot: Dot(site: SiteID(rawValue: .max - number), seq: 1_234),
            stamp: HLC(milliseconds: 1_790_000_000_000, counter: UInt16(number)),
            commit: CommitID(bits: UUIDBits(high: .max, low: number)))
    }

    @Test("a row that was inserted and never changed takes 41 bytes where the epoch is known, 57 where not")
    func size() {
        let clock = RowClock(created: [Self.writer(1)])
        #expect(clock.encoded(epochs: [Sample.epoch]).count == 41)
        #expect(clock.encoded().count == 57)
    }

    @Test("an epoch is found again after the lineage has grown")
    func lineage() throws {
        let foreign = Epoch(bits: UUIDBits(high: 9, low: 9))
        let clock = RowClock(
            created: [Self.writer(1)], record: [Self.writer(2, epoch: foreign), Self.writer(3, epoch: foreign)])
        let bytes = clock.encoded(epochs: [Sample.epoch])
        #expect(try RowClock(decoding: bytes, epochs: [Sample.epoch, foreign]) == clock)
        #expect(throws: DecodeError.self) { try RowClock(decoding: bytes, epochs: []) }
    }

    @Test("everything that a clock can hold survives")
    func everything() throws {
        let w = (0..<6).map { Self.writer(UInt64($0)) }
        let clock = RowClock(
            incarnation: 3, created: [w[0], w[1]], record: [w[2]], deletes: [w[3]], ended: [w[4], w[5]],
            cells: [
                CellClock(
                    tag: 2,
                    siblings: [
                        Sibling(writer: w[1], values: [.integer(.min), .text("EUR")]),
                        Sibling(writer: w[2], values: []),
                        Sibling(writer: w[4]),
                    ]),
                CellClock(tag: 5, elements: [ElementClock(element: "é", adders: [w[0], w[5]])]),
            ])
        #expect(try RowClock(decoding: clock.encoded()) == clock)
        #expect(clock.writers == w.filter { $0.commit != w[3].commit })
    }

    @Test("any bytes give a clock or an error (P29)", arguments: UInt64(0)..<20)
    func fuzz(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let valid = RowClock(
            created: [Self.writer(1)], record: [Self.writer(2)], deletes: [Self.writer(3)],
            cells: [CellClock(tag: 1, siblings: [Sibling(writer: Self.writer(2), values: [.text("x")])])]
        ).encoded()
        for _ in 0..<2_000 {
            var bytes = valid
            for _ in 0...random.draw(4) { bytes[random.draw(bytes.count)] = UInt8(truncatingIfNeeded: random.next()) }
            if random.chance(30) { bytes.removeLast(random.draw(bytes.count)) }
            guard let clock = try? RowClock(decoding: bytes) else { continue }
            #expect((try? RowClock(decoding: clock.encoded())) == clock)
        }
    }
}
