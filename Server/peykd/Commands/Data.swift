import ArgumentParser
import Foundation
import PeykCRM
import PeykConsole
import PeykMerge
import PeykModel
import PeykServer
import PeykStoreSQLite

struct DumpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dump",
        abstract: "Print all records as canonical NDJSON: equal states give equal bytes.",
        discussion: """
            One line a record, tables by name, records by id. With --as, what this user's synced replica holds: \
            compare it with “peyk dump” there.

            Example:  peykd dump --as Anna > anna.ndjson
            """)
    @OptionGroup var place: DataOptions
    @Option(name: .customLong("as"), help: "Only what this user may read.") var user: String?
    @Option(help: "Only this table.") var table: String?

    func run() throws {
        try place.client().read { reader in
            var buffer: [UInt8] = []
            func flush() {
                FileHandle.standardOutput.write(Data(buffer))
                buffer.removeAll(keepingCapacity: true)
            }
            try AdminDump(reader).write(table: table, as: user) { line in
                buffer += line
                if buffer.count > 1 << 20 { flush() }
            }
            flush()
        }
    }
}

struct ImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Bring a CSV file into a table, as the server.",
        discussion: """
            Columns named like fields need no mapping file. With a key a second import of the same file changes \
            nothing. Bad rows are listed by line number and reason, the others imported; then the exit code is 65.

            Example:  peykd import products.csv --into product --key code
                      peykd import pipeline.csv --map pipeline.json --dry-run
            """)
    @OptionGroup var place: DataOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The CSV file; - for standard input.") var file: String
    @Option(help: "The table; left out where the mapping file names it.") var into: String?
    @Option(help: ArgumentHelp("How columns become fields, as JSON.", valueName: "file")) var map: String?
    @Option(help: ArgumentHelp("The field that tells records apart.", valueName: "field")) var key: String?
    @Option(help: ArgumentHelp("How dates are written, such as dd/MM/yyyy or jalali.", valueName: "format"))
    var dateFormat: String?
    @Flag(help: "Say what would happen; change nothing.") var dryRun = false

    func validate() throws {
        guard map != nil || into != nil else { throw ValidationError("Give --into TABLE or --map FILE.") }
    }

    func run() throws {
        let bytes = try InputFile.read(file)
        let target = try ServerTarget(try place.client())
        let destination: any ImportTarget = dryRun ? RehearsalTarget(target) : target
        var outcomes: [ImportOutcome] = []
        for mapping in try mappings(bytes, target.schema) {
            let bar = ProgressBar(mapping.table)
            let outcome = try ImportPlan(mapping, into: destination).run(bytes) { done, total in
                bar.update(Int64(done), of: Int64(total))
            }
            bar.finish()
            outcomes.append(outcome)
        }
        show(outcomes)
        if outcomes.contains(where: { !$0.refused.isEmpty }) { throw ExitCode(Sysexit.data.rawValue) }
    }

    private func mappings(_ bytes: [UInt8], _ schema: Schema) throws -> [ImportMapping] {
        if let map {
            let all = try ImportMapping.read(String(decoding: try InputFile.read(map), as: UTF8.self))
            guard let into else { return all }
            let chosen = all.filter { $0.table == into }
            guard !chosen.isEmpty else { throw Failure(.usage, "\(map) has no mapping into \(into).") }
            return chosen
        }
        let pattern: DatePattern
        if let dateFormat {
            guard let read = DatePattern(dateFormat) else {
                throw Failure(.usage, "“\(dateFormat)” is no date format; give one like dd/MM/yyyy, or jalali.")
            }
            pattern = read
        } else {
            pattern = .iso
        }
        guard let into, let table = schema.table(named: into) else {
            throw Failure(.noInput, "This workspace has no table \(into ?? "").")
        }
        return [
            try ImportMapping.byName(of: table, header: ImportPlan.header(of: bytes), key: key, dateFormat: pattern)
        ]
    }

    private func show(_ outcomes: [ImportOutcome]) {
        let header = ["table", "inserted", "updated", "unchanged", "repeated", "refused"]
        let rows = outcomes.map { outcome in
            [outcome.table]
                + [outcome.inserted, outcome.updated, outcome.unchanged, outcome.repeated, outcome.refused.count]
                .map(String.init)
        }
        output.console.print(
            TextTable(
                ["Table", "Inserted", "Updated", "Unchanged", "Repeated", "Refused"],
                alignments: [.left, .right, .right, .right, .right, .right], rows: rows),
            csv: [header] + rows, json: outcomes.count == 1 ? outcomes[0].json : .array(outcomes.map(\.json)))
        for outcome in outcomes {
            for refusal in outcome.refused { Terminal.message("line \(refusal.line): \(refusal.reason)") }
        }
        if dryRun { Terminal.message("A rehearsal: nothing was changed.") }
    }
}

struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write a table or a report as CSV.",
        discussion: """
            Example:  peykd export customer customers.csv
                      peykd export pipeline - | less
            """)
    @OptionGroup var place: DataOptions
    @Argument(help: "A table, or a report.") var what: String
    @Argument(help: "The file; - for standard output.") var file: String

    func run() throws {
        let client = try place.client()
        var text = ""
        if let table = try client.read({ $0.schema.tableIndex(what) }) {
            text = try client.read { try Self.rows(of: table, $0) }
        } else if let report = ReportDefinition.named(what) {
            let made = try client.read { try ServerReport.run(report, ReportFilter(), $0) }
            text = CSVText.line(made.main.columns.map(\.key)) + made.main.plain.map(CSVText.line).joined()
        } else {
            throw Failure(.noInput, "There is no table and no report “\(what)”.")
        }
        if file == "-" {
            Terminal.write(text)
        } else {
            try Data(text.utf8).write(to: URL(fileURLWithPath: file), options: .atomic)
        }
    }

    /// Amounts as decimals of their currency, sets with semicolons, as `import` reads them.
    private static func rows(of index: Int, _ reader: any StoreReader) throws -> String {
        let table = reader.schema.tables[index]
        var lines = [CSVText.line(["id"] + table.fields.map(\.name))]
        try reader.records(of: index, after: nil) { id, record in
            let row = record.state.row
            let cells = table.fields.enumerated().map { place, field -> String in
                switch (field.type, row[place]) {
                case (_, .null): return ""
                case (.money(let currency), .integer(let amount)):
                    return Currency.plain(amount, currency: row.text(table, currency) ?? "")
                case (.instant, .integer(let time)): return Instant.iso(time)
                case (.set, .text(let json)):
                    return ValueSet(json: json)?.elements.joined(separator: ";") ?? json
                case (_, let value): return Console.plain(JSON(value))
                }
            }
            lines.append(CSVText.line([id.description] + cells))
            return true
        }
        return lines.joined()
    }
}

/// The server's store as an import's target: read directly, written through the running server.
final class ServerTarget: ImportTarget {
    private let client: AdminClient
    let schema: Schema
    let workspace: String
    private var random = SystemRandomNumberGenerator()

    init(_ client: AdminClient) throws {
        self.client = client
        workspace = try client.send(.status)["workspace"]?.stringValue ?? ""
        schema = try client.read { $0.schema }
    }

    func values(of table: Table, field: Int) throws -> [(record: RecordID, value: Value)] {
        guard let index = schema.tableIndex(table.name) else { return [] }
        return try client.read { reader in
            var found: [(record: RecordID, value: Value)] = []
            try reader.records(of: index, after: nil) { id, record in
                let value = record.state.row[field]
                if !value.isNull { found.append((id, value)) }
                return true
            }
            return found
        }
    }

    func row(of table: Table, record: RecordID) throws -> Row? {
        guard let index = schema.tableIndex(table.name) else { return nil }
        let stored = try client.read { try $0.record(RecordKey(table: index, record: record)) }
        return stored.flatMap { $0.state.isAlive ? $0.state.row : nil }
    }

    func newRecordID() -> RecordID {
        RecordID(
            milliseconds: UInt64(clamping: LocalTime.now()), randomHigh: random.next(), randomLow: random.next())
    }

    func write(_ batch: [ImportWrite]) throws {
        let changes = try batch.compactMap { write -> Change? in
            guard let index = schema.tableIndex(write.table) else { return nil }
            let table = schema.tables[index]
            let before = write.isInsert ? nil : try row(of: table, record: write.record)
            var after = before ?? Row.empty(table)
            for (name, value) in write.values {
                if let field = table.fieldIndex(name) { after[field] = value }
            }
            return Change.make(table: index, record: write.record, before: before, after: after, in: schema)
        }
        guard !changes.isEmpty else { return }
        // The server gives the commit its own id.
        let body = CommitBody(
            id: CommitID(bits: newRecordID().bits), schemaVersion: schema.version, changes: changes)
        _ = try client.send(.commit(body.encoded()))
    }
}
