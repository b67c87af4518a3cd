import PeykModel

/// A program's manual page (man(7)), made from what its own `--experimental-dump-help` says, so that it cannot tell
/// anything that the program does not.
public struct ManualPage: Sendable {
    public let text: String

    /// Files, variables and exit codes that the commands have in common.
    public struct Extras: Sendable {
        public var version: String
        public var date: String
        public var environment: [(name: String, meaning: String)]
        public var seeAlso: String

        public init(version: String, date: String, environment: [(name: String, meaning: String)], seeAlso: String) {
            self.version = version
            self.date = date
            self.environment = environment
            self.seeAlso = seeAlso
        }
    }

    /// - Parameter help: the document that ArgumentParser dumps.
    /// - Throws: `JSONError` where it is none.
    public init(help: String, _ extras: Extras) throws {
        let root = try JSON(parsing: Array(help.utf8))["command"] ?? .null
        let name = root["commandName"]?.stringValue ?? ""
        var lines = [
            ".TH \(name.uppercased()) 1 \"\(extras.date)\" \"\(name) \(extras.version)\" \"User Commands\"",
            ".SH NAME", "\(name) \\- \(Self.escaped(Self.abstract(root)))", ".SH SYNOPSIS",
            ".B \(name)", ".I command", "[\\fIoptions\\fR]", ".SH DESCRIPTION",
        ]
        lines += Self.paragraphs(root["discussion"]?.stringValue ?? "")
        lines.append(".SH COMMANDS")
        for command in Self.subcommands(root) { lines += Self.section(command, path: name) }
        lines.append(".SH ENVIRONMENT")
        for (name, meaning) in extras.environment { lines += [".TP", ".B \(name)", Self.escaped(meaning)] }
        lines += [".SH EXIT STATUS"]
        for (code, meaning) in Self.exitCodes { lines += [".TP", ".B \(code)", Self.escaped(meaning)] }
        lines += [".SH SEE ALSO", ".BR \(extras.seeAlso) (1)"]
        text = lines.joined(separator: "\n") + "\n"
    }

    private static let exitCodes = [
        ("0", "Done."), ("64", "The command was not understood."),
        ("65", "Bad input data: the good rows were taken, the bad ones are listed; or a check found something wrong."),
        ("66", "There is no such file or record."), ("69", "The server is out of reach."),
        ("70", "A fault of the program itself."),
        ("73, 74", "A file could not be made, read or written; the disk is full."),
        ("75", "Busy: try again."), ("76", "The other side broke the protocol."),
        ("77", "Not permitted, or access was taken away."), ("78", "The configuration is wrong."),
    ]

    private static func abstract(_ command: JSON) -> String { command["abstract"]?.stringValue ?? "" }

    private static func subcommands(_ command: JSON) -> [JSON] {
        (command["subcommands"]?.arrayValue ?? []).filter {
            $0["shouldDisplay"]?.boolValue != false && $0["commandName"] != "help"
        }
    }

    private static func section(_ command: JSON, path: String) -> [String] {
        let name = "\(path) \(command["commandName"]?.stringValue ?? "")"
        let arguments = (command["arguments"]?.arrayValue ?? []).filter { $0["shouldDisplay"]?.boolValue != false }
        var lines = [".SS \(escaped(usage(name, arguments)))", escaped(abstract(command))]
        lines += paragraphs(command["discussion"]?.stringValue ?? "")
        for argument in arguments where !isCommon(argument) {
            lines += [".TP", "\\fB\(escaped(label(argument)))\\fR", escaped(meaning(argument))]
        }
        for nested in subcommands(command) { lines += section(nested, path: name) }
        return lines
    }

    /// Every command has these; they are told once.
    private static func isCommon(_ argument: JSON) -> Bool {
        let name = argument["preferredName"]?["name"]?.stringValue
        return ["help", "version", "h"].contains(name ?? "")
    }

    private static func usage(_ name: String, _ arguments: [JSON]) -> String {
        let positional = arguments.filter { $0["kind"] == "positional" }.map { argument in
            let value =
                "<\(argument["valueName"]?.stringValue ?? "value")>"
                + (argument["isRepeating"]?.boolValue == true ? " ..." : "")
            return argument["isOptional"]?.boolValue == true ? "[\(value)]" : value
        }
        return ([name] + positional).joined(separator: " ")
    }

    private static func label(_ argument: JSON) -> String {
        let value = "<\(argument["valueName"]?.stringValue ?? "value")>"
        let names = (argument["names"]?.arrayValue ?? []).compactMap { name -> String? in
            guard let word = name["name"]?.stringValue else { return nil }
            return (name["kind"] == "long" ? "--" : "-") + word
        }
        switch argument["kind"]?.stringValue {
        case "positional": return value
        case "option": return names.joined(separator: ", ") + " " + value
        default: return names.joined(separator: ", ")
        }
    }

    private static func meaning(_ argument: JSON) -> String {
        var text = abstract(argument)
        if let value = argument["defaultValue"]?.stringValue, !text.contains("default") {
            text += " (default: \(value))"
        }
        return text
    }

    /// Lines that are indented stay as they are; the others fill.
    private static func paragraphs(_ text: String) -> [String] {
        guard !text.isEmpty else { return [] }
        var lines = [".PP"]
        var isExample = false
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            let example = line.hasPrefix("  ") || line.hasPrefix("Example") || line.hasPrefix("Start with")
            if line.allSatisfy({ $0 == " " }) {
                lines.append(".PP")
                continue
            }
            if example != isExample {
                lines.append(example ? ".nf" : ".fi")
                isExample = example
            }
            lines.append(escaped(String(line)))
        }
        if isExample { lines.append(".fi") }
        return lines
    }

    /// Backslashes and hyphens as they are written; no line begins with a request of its own.
    private static func escaped(_ text: String) -> String {
        let safe = text.replacing("\\", with: "\\e").replacing("-", with: "\\-").replacing("\n", with: " ")
        return safe.hasPrefix(".") || safe.hasPrefix("'") ? "\\&" + safe : safe
    }
}
