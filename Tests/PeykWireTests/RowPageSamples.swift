import PeykModel
import PeykWire
import SeededRandom

/// Rows as they were put in and as they came out.
struct SampleRow: Equatable {
    var id: RecordID
    var row: Row
    var writers: [CommitID] = []
}

enum RowPageSamples {
    static let mixedRows = [
        SampleRow(
            id: Samples.record(1),
            row: Row([.text(Samples.text), .integer(5), .null, .text(Samples.record(1).description), .real(0.5)])),
        SampleRow(
            id: Samples.record(2),
            row: Row([.text(""), .integer(-6), .blob([]), .text(Samples.record(1).description + "x"), .null]),
            writers: [Samples.commit(1), Samples.commit(2)]),
        SampleRow(
            id: Samples.record(0x300),
            row: Row([.integer(.min), .integer(.max), .blob([9]), .null, .real(-.infinity)]),
            writers: [Samples.commit(3)]),
    ]

    static func mixed() -> RowPageBuilder { build(mixedRows, columns: 5) }

    static func build(_ rows: [SampleRow], columns: Int) -> RowPageBuilder {
        var builder = RowPageBuilder(columnCount: columns)
        for row in rows { builder.append(row.id, row.row, writers: row.writers) }
        return builder
    }

    static func read(_ bytes: [UInt8]) throws -> [SampleRow] {
        var rows: [SampleRow] = []
        try RowPageReader(bytes).forEachRow { row in
            rows.append(SampleRow(id: row.id, row: row.row, writers: Array(row.writers)))
        }
        return rows
    }

    /// A page of `count` rows like those of a CRM's customers.
    static func customers(_ count: Int, seed: UInt64) -> [SampleRow] {
        var random = SplitMix64(seed: seed)
        return (0..<count).map { index in
            let id = RecordID(
                milliseconds: 1_790_000_000_000 + UInt64(index), randomHigh: random.next(), randomLow: random.next())
            let values: [Value] = [
                .text("Customer \(random.draw(100_000))"), .text("+98 21 \(random.draw(90_000_000))"),
                random.draw(2) == 0 ? .null : .text(Samples.text),
                .text(Samples.record(random.next() % 20).description),
                .integer(1_790_000_000_000 + Int64(index)), .integer(Int64(random.draw(5))),
                .real(Double(random.draw(1_000)) / 8),
            ]
            return SampleRow(id: id, row: Row(values), writers: random.draw(10) == 0 ? [Samples.commit(1)] : [])
        }
    }
}
