public import PeykModel

/// Takes writes in memory over a real target, so that a rehearsal (`--dry-run`) finds what the real run would find,
/// also where one table of a file refers to another of the same file.
public final class RehearsalTarget: ImportTarget {
    private let base: any ImportTarget
    private var rows: [String: [RecordID: Row]] = [:]

    public init(_ base: any ImportTarget) { self.base = base }

    public var schema: Schema { base.schema }
    public var workspace: String { base.workspace }

    public func values(of table: Table, field: Int) throws -> [(record: RecordID, value: Value)] {
        let mine = rows[table.name] ?? [:]
        let old = try base.values(of: table, field: field).filter { mine[$0.record] == nil }
        return old
            + mine.sorted { $0.key < $1.key }.map { (record: $0.key, value: $0.value[field]) }.filter {
                !$0.value.isNull
            }
    }

    public func row(of table: Table, record: RecordID) throws -> Row? {
        try rows[table.name]?[record] ?? base.row(of: table, record: record)
    }

    public func newRecordID() -> RecordID { base.newRecordID() }

    public func write(_ batch: [ImportWrite]) throws {
        for write in batch {
            guard let table = schema.table(named: write.table) else { continue }
            var row = try self.row(of: table, record: write.record) ?? Row.empty(table)
            for (name, value) in write.values {
                if let index = table.fieldIndex(name) { row[index] = value }
            }
            rows[write.table, default: [:]][write.record] = row
        }
    }
}
