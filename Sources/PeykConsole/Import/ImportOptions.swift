public import ArgumentParser
import Foundation
import PeykCRM
import PeykModel

/// What `import` of both programs takes.
public struct ImportOptions: ParsableArguments {
    @Argument(help: ArgumentHelp("The CSV file, UTF-8; - for standard input.", valueName: "file"))
    public var file: String
    @Option(help: ArgumentHelp("The table, where there is no mapping file.", valueName: "table"))
    public var into: String?
    @Option(help: ArgumentHelp("A mapping file (JSON).", valueName: "file"))
    public var map: String?
    @Option(help: ArgumentHelp("The field whose value tells records apart.", valueName: "field"))
    public var key: String?
    @Option(help: ArgumentHelp("How dates are written: yyyy-MM-dd, dd/MM/yyyy, jalali …", valueName: "format"))
    public var dateFormat: String?
    @Option(help: ArgumentHelp("Between values: a comma unless given; tab for tabs.", valueName: "character"))
    public var delimiter: String?
    @Flag(help: "Find out what would happen, and write nothing.")
    public var dryRun = false

    public init() {}

    public func validate() throws {
        guard map != nil || into != nil else { throw ValidationError("Give --into TABLE or --map FILE.") }
        guard map == nil || key == nil else { throw ValidationError("--key stands in the mapping file.") }
        if let dateFormat, DatePattern(dateFormat) == nil {
            throw ValidationError("--date-format is like yyyy-MM-dd, dd/MM/yyyy or jalali.")
        }
        guard delimiterByte != nil else { throw ValidationError("--delimiter is one character, or tab.") }
    }

    private var delimiterByte: UInt8? {
        guard let delimiter else { return 0x2C }
        if delimiter == "tab" { return 0x09 }
        return delimiter.utf8.count == 1 ? delimiter.utf8.first : nil
    }

    /// One outcome for each table that the mapping names.
    public func run(
        into target: any ImportTarget, progress: (Int, Int) -> Void = { _, _ in }
    ) throws -> [ImportOutcome] {
        let bytes = try Self.contents(of: file)
        let delimiter = delimiterByte ?? 0x2C
        return try mappings(bytes, delimiter, target).map { mapping in
            try ImportPlan(mapping, into: target).run(bytes, delimiter: delimiter, progress: progress)
        }
    }

    private func mappings(_ bytes: [UInt8], _ delimiter: UInt8, _ target: any ImportTarget) throws -> [ImportMapping] {
        let pattern = dateFormat.flatMap { DatePattern($0) }
        if let map {
            let text = String(decoding: try Self.contents(of: map), as: UTF8.self)
            var mappings = try ImportMapping.read(text)
            if let into { mappings.removeAll { $0.table != into } }
            guard !mappings.isEmpty else { throw Failure(.usage, "The mapping has no table “\(into ?? "")”.") }
            if let pattern { for index in mappings.indices { mappings[index].dateFormat = pattern } }
            return mappings
        }
        guard let table = target.schema.table(named: into ?? ""), !table.isLedger else {
            throw Failure(.usage, "There is no table “\(into ?? "")”. Nothing was imported.")
        }
        return [
            try .byName(
                of: table, header: try ImportPlan.header(of: bytes, delimiter: delimiter), key: key,
                dateFormat: pattern ?? .iso)
        ]
    }

    private static func contents(of path: String) throws -> [UInt8] {
        if path == "-" { return Array(FileHandle.standardInput.readDataToEndOfFile()) }
        do { return Array(try Data(contentsOf: URL(filePath: path))) } catch {
            throw Failure(system: error).map { failure in
                failure.message.contains(path) ? failure : Failure(failure.exit, "\(failure.message) (\(path))")
            } ?? error
        }
    }

    /// Prints what became of the file.
    ///
    /// - Throws: an empty ``Failure`` with 65 where rows were refused.
    public func report(_ outcomes: [ImportOutcome], _ console: Console) throws {
        let refused = outcomes.reduce(0) { $0 + $1.refused.count }
        console.print(
            TextTable(
                ["Table", "Added", "Changed", "Same", "Repeated", "Refused"],
                alignments: [.left, .right, .right, .right, .right, .right],
                rows: outcomes.map { outcome in
                    [outcome.table]
                        + [
                            outcome.inserted, outcome.updated, outcome.unchanged, outcome.repeated,
                            outcome.refused.count,
                        ]
                        .map { console.show.number(Int64($0)) }
                }),
            csv: [["table", "line", "reason"]]
                + outcomes.flatMap { outcome in outcome.refused.map { [outcome.table, String($0.line), $0.reason] } },
            json: .object(["imports": .array(outcomes.map(\.json)), "dry_run": .bool(dryRun)]))
        for outcome in outcomes where console.format != .json {
            for refusal in outcome.refused.prefix(100) {
                Terminal.message("\(file):\(refusal.line): \(refusal.reason)")
            }
            if outcome.refused.count > 100 {
                Terminal.message("… and \(outcome.refused.count - 100) more; --format json lists all")
            }
        }
        if dryRun { Terminal.message("Nothing was written (--dry-run).") }
        if refused > 0 { throw Failure(.data, "") }
    }
}
