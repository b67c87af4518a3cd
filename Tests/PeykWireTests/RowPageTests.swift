import PeykModel
import PeykWire
import SeededRandom
import Testing

@Suite("Row pages (B1)")
struct RowPageTests {
    @Test("rows come out as they went in (W-25)", arguments: [0, 1, 2, 3, 255, 2_000])
    func roundTrip(count: Int) throws {
        let rows = RowPageSamples.customers(count, seed: 7)
        let builder = RowPageSamples.build(rows, columns: 7)
        #expect(builder.rowCount == count)
        let bytes = builder.finish()
        let reader = try RowPageReader(bytes)
        #expect(reader.rowCount == count)
        #expect(reader.ids == rows.map(\.id))
        #expect(try RowPageSamples.read(bytes) == rows)
    }

    @Test("the text of an id is its 36 characters, and columns beyond the page are null")
    func idText() throws {
        let bytes = RowPageSamples.mixed().finish()
        var texts: [String] = []
        try RowPageReader(bytes).forEachRow { row in
            texts.append(String(decoding: row.idText, as: UTF8.self))
            #expect(row[5].value == .null)
            #expect(row[-1].value == .null)
        }
        #expect(texts == RowPageSamples.mixedRows.map(\.id.description))
    }

    @Test("a page without columns holds ids alone")
    func noColumns() throws {
        let rows = (1...3).map { SampleRow(id: Samples.record($0), row: Row([])) }
        #expect(try RowPageSamples.read(RowPageSamples.build(rows, columns: 0).finish()) == rows)
    }

    @Test("the estimate is near the size")
    func estimate() {
        let builder = RowPageSamples.build(RowPageSamples.customers(1_000, seed: 3), columns: 7)
        let size = builder.finish().count
        #expect(builder.estimatedBytes > size / 2)
        #expect(builder.estimatedBytes < size * 2)
    }

    @Test("an error of the reader's caller passes through, and stops the reading")
    func stops() throws {
        struct Stop: Error {}
        let reader = try RowPageReader(RowPageSamples.mixed().finish())
        var seen = 0
        #expect(throws: Stop.self) {
            try reader.forEachRow { _ in
                seen += 1
                if seen == 2 { throw Stop() }
            }
        }
        #expect(seen == 2)
    }

    @Test("text that is not UTF-8, or is split inside a character, is refused")
    func utf8() throws {
        func page(_ texts: [[UInt8]]) -> [UInt8] {
            var builder = RowPageBuilder(columnCount: 1)
            for (index, text) in texts.enumerated() {
                builder.appendID(Samples.record(UInt64(index)))
                text.withUnsafeBufferPointer { builder.append(text: $0) }
            }
            return builder.finish()
        }
        #expect(throws: DecodeError.self) { try RowPageReader(page([[0xFF]])) }
        #expect(throws: DecodeError.self) { try RowPageReader(page([[0x61, 0xD8]])) }
        #expect(throws: DecodeError.self) { try RowPageReader(page([[0xD8], [0xB3]])) }
        #expect(throws: DecodeError.self) { try RowPageReader(page([[0xED, 0xA0, 0x80]])) }
        #expect(
            try RowPageSamples.read(page([[0xD8, 0xB3], [], [0x61]])).map(\.row) == [
                Row([.text("س")]), Row([.text("")]), Row([.text("a")]),
            ])
    }

    @Test("an upper-case id is kept as text, as it was written")
    func upperCase() throws {
        let text = Samples.record(0xABC).description.uppercased()
        let rows = [SampleRow(id: Samples.record(1), row: Row([.text(text)]))]
        #expect(try RowPageSamples.read(RowPageSamples.build(rows, columns: 1).finish()) == rows)
    }

    @Test("ids that do not rise are refused")
    func order() throws {
        let rows = [5, 6].map { SampleRow(id: RecordID(bits: UUIDBits(high: $0, low: 0)), row: Row([])) }
        var bytes = RowPageSamples.build(rows, columns: 0).finish()
        let place = try #require(bytes.firstIndex(of: 6))
        bytes[place] = 4
        #expect(throws: DecodeError.self) { try RowPageReader(bytes) }
    }

    @Test("no cut, changed or random bytes trap (P29)", arguments: UInt64(1)...8)
    func fuzz(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let good = RowPageSamples.build(RowPageSamples.customers(20, seed: seed), columns: 7).finish()
        for _ in 0..<4_000 {
            var bytes = good
            switch random.draw(3) {
            case 0: bytes = (0..<random.draw(64)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            case 1: bytes.removeLast(random.draw(bytes.count))
            default:
                for _ in 0...random.draw(4) {
                    bytes[random.draw(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
                }
            }
            guard let reader = try? RowPageReader(bytes) else { continue }
            var rows = 0
            reader.forEachRow { row in
                rows += 1
                for cell in row.cells {
                    if case .text(let text) = cell { #expect(String(validating: text, as: UTF8.self) != nil) }
                }
            }
            #expect(rows == reader.rowCount, "seed \(seed)")
        }
    }
}
