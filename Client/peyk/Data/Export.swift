import ArgumentParser
import Foundation
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica

struct Export: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write a table or a report as CSV.",
        discussion:
            "Example:  peyk export opportunity opportunities.csv;  peyk export pipeline - --excel > pipeline.csv")

    @Argument(help: "A table or the name of a report.") var what: String
    @Argument(help: "The file to write; - for standard output.") var file: String
    @Flag(help: "Begin with a byte order mark, so that Excel reads it as UTF-8.") var excel = false
    @Flag(help: "Replace the file if it is there.") var force = false
    @OptionGroup var home: HomeOptions

    func run() async throws {
        let place = try home.open()
        let lines: [[String]]
        if let definition = ReportDefinition.named(what) {
            let report = try place.report(definition, ReportFilter())
            lines = [report.main.columns.map(\.key)] + report.main.plain
        } else {
            lines = try rows(place)
        }
        let text = (excel ? "\u{FEFF}" : "") + lines.map(CSVText.line).joined()
        guard file != "-" else { return Terminal.write(text) }
        guard force || !FileManager.default.fileExists(atPath: file) else {
            throw Failure(
                .cannotCreate, "\(file) is there already; --force replaces it. Nothing was written.",
                "\(file) هست؛ با --force جایگزین می‌شود. چیزی نوشته نشد.")
        }
        do { try Data(text.utf8).write(to: URL(filePath: file), options: .atomic) } catch {
            throw Failure(
                .cannotCreate, "\(file) could not be written: \(error.localizedDescription)",
                "\(file) نوشته نشد: \(error.localizedDescription)")
        }
        Terminal.message(
            place.show.count(Int64(lines.count - 1), "row", "سطر") + place.show.say(" written to ", " در ") + file)
    }

    private func rows(_ place: Workplace) throws -> [[String]] {
        let table = try place.table(what)
        return try place.replica.read { read in
            let view = place.view(table, place.names(in: read))
            let columns = table.fields.map { "\"\($0.name)\"" }.joined(separator: ", ")
            let rows = try read.rows("SELECT id, \(columns) FROM \"\(table.name)\" ORDER BY id", [])
            return [["id"] + table.fields.map(\.name)]
                + rows.map { row in
                    let cells = Row(Array(row.dropFirst()))
                    return [row.first?.textValue ?? ""] + table.fields.indices.map { view.plain($0, of: cells) }
                }
        }
    }
}
