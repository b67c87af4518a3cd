import PeykCRM
import PeykConsole
import PeykModel
import PeykTransport

/// Texts that people and files bring.
enum TextBody {
    static func runSchema(_ bytes: [UInt8]) {
        guard let json = try? JSON(parsing: bytes) else { return }
        must((try? JSON(parsing: json.text)) == json, "JSON survives its text")
        guard let schema = try? Schema(json: json) else { return }
        must((try? Schema(json: schema.json)) == schema, "a schema survives its JSON")
        guard (try? schema.validate()) != nil else { return }
        try? schema.checkSuccessor(FieldSales.schema)
        try? FieldSales.schema.checkSuccessor(schema)
        must((try? schema.checkSuccessor(schema)) == nil, "a schema is no successor of itself")
    }

    static func runInvite(_ bytes: [UInt8]) {
        guard let invite = try? InviteURL(parsing: String(decoding: bytes, as: UTF8.self)) else { return }
        must((try? InviteURL(parsing: invite.description)) == invite, "an invite survives its text")
        must((1...65_535).contains(invite.port), "a port is one")
    }

    /// The first byte chooses the table and the delimiter.
    static func runCSV(_ bytes: [UInt8]) {
        var reader = InputReader(bytes)
        let choice = Int(reader.byte())
        let file = Array(reader.rest)
        let delimiter: UInt8 = choice & 1 == 0 ? 0x2C : 0x09
        var lines = 0
        for record in CSVReader(file, delimiter: delimiter) {
            lines += 1
            if case .success(let record) = record { must(record.line >= 1, "a record knows its line") }
        }
        must(lines <= file.count + 1, "a reader comes to its end")
        let target = ImportWorkspace()
        let tables = target.schema.tables.filter { !$0.isLedger }
        let table = tables[choice / 2 % tables.count]
        guard let header = try? ImportPlan.header(of: file, delimiter: delimiter),
            let mapping = try? ImportMapping.byName(of: table, header: header, key: header.first, dateFormat: .iso),
            let plan = try? ImportPlan(mapping, into: target), let outcome = try? plan.run(file, delimiter: delimiter)
        else { return }
        must(target.written == outcome.inserted + outcome.updated, "an import says what it wrote")
    }
}

/// The default pipeline in memory, to import into.
final class ImportWorkspace: ImportTarget {
    let schema = FieldSales.schema
    let workspace = "fuzz"
    private(set) var written = 0
    private var rows: [String: [RecordID: Row]] = [:]
    private var made: UInt64 = 0

    init() {
        for seed in FieldSales.seedRows { rows[seed.table, default: [:]][seed.record] = seed.row }
    }

    func values(of table: Table, field: Int) -> [(record: RecordID, value: Value)] {
        (rows[table.name] ?? [:]).sorted { $0.key < $1.key }.map { ($0.key, $0.value[field]) }.filter { !$0.1.isNull }
    }

    func row(of table: Table, record: RecordID) -> Row? { rows[table.name]?[record] }

    func newRecordID() -> RecordID {
        made += 1
        return RecordID(milliseconds: 1, randomHigh: 0, randomLow: made << 2)
    }

    func write(_ batch: [ImportWrite]) throws {
        written += batch.count
        for write in batch {
            guard let table = schema.table(named: write.table) else { continue }
            var row = rows[write.table]?[write.record] ?? Row.empty(table)
            for (name, value) in write.values {
                guard let index = table.fieldIndex(name) else { continue }
                if case .success(let canonical) = table.fields[index].type.admit(value) {
                    must(canonical == value, "an import writes canonical values (P24)")
                }
                row[index] = value
            }
            rows[write.table, default: [:]][write.record] = row
        }
    }
}
