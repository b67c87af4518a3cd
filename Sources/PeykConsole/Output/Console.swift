public import PeykCRM
public import PeykModel
import Rainbow

/// Prints results in the chosen format: results to standard output, messages to standard error.
public struct Console: Sendable {
    public let format: OutputFormat
    public let show: Presentation

    public init(format: OutputFormat, presentation: Presentation) {
        self.format = format
        show = presentation
    }

    /// A list of results. `json` is the whole document; the table's cells are already in the person's language.
    public func print(
        _ table: @autoclosure () -> TextTable, csv: @autoclosure () -> [[String]], json: @autoclosure () -> JSON
    ) {
        switch format {
        case .table: Terminal.write(table().text(width: Terminal.width(), headline: headline))
        case .csv: Terminal.write(csv().map(CSVText.line).joined())
        case .json: printJSON(json())
        }
    }

    public func printJSON(_ document: JSON) { Terminal.write(document.pretty + "\n") }

    /// One object: `name: value` lines for people, else a document or a header and a row.
    public func print(_ members: [(key: String, label: String, shown: String, value: JSON)]) {
        switch format {
        case .table:
            let width = members.map { DisplayWidth.of($0.label) }.max() ?? 0
            for member in members {
                Terminal.write(
                    headline(DisplayWidth.padded(member.label, to: width)) + "  " + member.shown + "\n")
            }
        case .csv:
            Terminal.write(CSVText.line(members.map(\.key)) + CSVText.line(members.map { Self.plain($0.value) }))
        case .json: printJSON(.object(Dictionary(members.map { ($0.key, $0.value) }) { first, _ in first }))
        }
    }

    public static func plain(_ value: JSON) -> String {
        switch value {
        case .null: ""
        case .string(let text): text
        default: value.text
        }
    }

    /// A line for people on standard output; nothing in the machine formats.
    public func say(_ text: String) {
        if format == .table { Terminal.write(text + "\n") }
    }

    public func headline(_ text: String) -> String { Terminal.hasColour(.output) ? text.bold : text }
    public func quiet(_ text: String) -> String { Terminal.hasColour(.output) ? text.dim : text }
    public func good(_ text: String) -> String { Terminal.hasColour(.output) ? text.green : text }
    public func warning(_ text: String) -> String { Terminal.hasColour(.output) ? text.yellow : text }
}
