public import PeykModel

extension FieldSales {
    /// One record that a new workspace starts with.
    public struct SeedRow: Hashable, Sendable {
        public let table: String
        public let record: RecordID
        /// Full width for its table.
        public let row: Row
    }

    /// The default pipeline and its stages, under ids that are the same in each workspace.
    /// `peykd init` writes them as acts of the server, in this order.
    public static let seedRows: [SeedRow] =
        [
            seed(
                pipeline, 1, ["name": .text("Sales"), "name_fa": .text("فروش"), "position": .integer(1)])
        ]
        + stages.enumerated().map { index, stage in
            seed(
                FieldSales.stage, 11 + UInt64(index),
                [
                    "name": .text(stage.english), "name_fa": .text(stage.persian), "pipeline_id": Value(identifier(1)),
                    "position": .integer(Int64(index + 1) * 10), "kind": .text(stage.kind),
                    "probability": .integer(stage.probability),
                    "rotten_days": stage.rottenDays.map { .integer($0) } ?? .null,
                    "forecast_category": .text(stage.category),
                ])
        }

    private struct Stage {
        let english: String, persian: String, kind: String
        let probability: Int64
        let rottenDays: Int64?
        let category: String
    }

    private static let stages = [
        Stage(
            english: "Prospecting", persian: "شناسایی", kind: "open", probability: 10, rottenDays: 30,
            category: "pipeline"),
        Stage(
            english: "Qualification", persian: "ارزیابی", kind: "open", probability: 20, rottenDays: 30,
            category: "pipeline"),
        Stage(
            english: "Proposal", persian: "پیشنهاد", kind: "open", probability: 50, rottenDays: 21,
            category: "best_case"),
        Stage(
            english: "Negotiation", persian: "مذاکره", kind: "open", probability: 80, rottenDays: 14,
            category: "commit"),
        Stage(english: "Won", persian: "برنده", kind: "won", probability: 100, rottenDays: nil, category: "closed"),
        Stage(
            english: "Lost", persian: "ازدست‌رفته", kind: "lost", probability: 0, rottenDays: nil,
            category: "omitted"),
    ]

    /// UUIDv8 with a readable number; the rest says “peyk”.
    private static func identifier(_ number: UInt64) -> RecordID {
        RecordID(bits: UUIDBits(high: 0x7065_796B_0000_8000, low: 0x8000_0000_0000_0000 | number))
    }

    private static func seed(_ table: Table, _ number: UInt64, _ values: [String: Value]) -> SeedRow {
        var row = Row.empty(table)
        for (name, value) in values {
            if let index = table.fieldIndex(name) { row[index] = value }
        }
        return SeedRow(table: table.name, record: identifier(number), row: row)
    }
}
