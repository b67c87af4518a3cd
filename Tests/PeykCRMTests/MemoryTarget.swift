import PeykCRM
import PeykConsole
import PeykModel

/// A workspace in memory: the default pipeline, and what is imported.
final class MemoryTarget: ImportTarget {
    let schema = FieldSales.schema
    let workspace = "test"
    var rows: [String: [RecordID: Row]] = [:]
    var writes = 0
    private var made: UInt64 = 0

    init() {
        for seed in FieldSales.seedRows { rows[seed.table, default: [:]][seed.record] = seed.row }
    }

    func values(of table: Table, field: Int) -> [(record: RecordID, value: Value)] {
        (rows[table.name] ?? [:]).sorted { $0.key < $1.key }.map { ($0.key, $0.value[field]) }
            .filter { !$0.1.isNull }
    }

    func row(of table: Table, record: RecordID) -> Row? { rows[table.name]?[record] }

    func newRecordID() -> RecordID {
        made += 1
        return RecordID(milliseconds: 1, randomHigh: 0, randomLow: made << 2)
    }

    func write(_ batch: [ImportWrite]) throws {
        writes += batch.count
        for write in batch {
            guard let table = schema.table(named: write.table) else { continue }
            var row = rows[write.table]?[write.record] ?? Row.empty(table)
            for (name, value) in write.values {
                if let index = table.fieldIndex(name) { row[index] = value }
            }
            rows[write.table, default: [:]][write.record] = row
        }
    }

    /// The records of a table by the text in one of their fields, as field name → value.
    func find(_ name: String, _ field: String, _ text: String) -> [String: Value]? {
        guard let table = schema.table(named: name), let index = table.fieldIndex(field),
            let row = rows[name]?.values.first(where: { $0[index] == .text(text) })
        else { return nil }
        return Dictionary(table.fields.enumerated().map { ($0.element.name, row[$0.offset]) }) { first, _ in first }
    }

    func id(_ name: String, _ field: String, _ text: String) -> RecordID? {
        guard let index = schema.table(named: name)?.fieldIndex(field) else { return nil }
        return rows[name]?.first { $0.value[index] == .text(text) }?.key
    }
}

extension ImportPlan {
    /// Runs each import of a mapping over one file.
    static func run(_ mapping: String, _ file: String, into target: any ImportTarget) throws -> [ImportOutcome] {
        try ImportMapping.read(mapping).map { try ImportPlan($0, into: target).run(Array(file.utf8)) }
    }
}
