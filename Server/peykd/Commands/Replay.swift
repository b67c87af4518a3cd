import ArgumentParser
import Foundation
import PeykCRM
import PeykConsole
import PeykModel
import PeykServer
import PeykStoreSQLite

struct Replay: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make the decisions of a bundle again, and say where they come out differently.",
        discussion: """
            Needs nothing but the file. Exits 65 where a decision differs.

            Example:  peykd replay deal.jsonl
            """)
    @OptionGroup var output: OutputOptions
    @Argument(help: "The file that “peykd doctor --bundle” wrote.") var file: String

    func run() throws {
        guard let data = FileManager.default.contents(atPath: file) else {
            throw Failure(.noInput, "The file \(file) cannot be read.")
        }
        let lines = try data.split(separator: 0x0A).map { line in
            guard let json = try? JSON(parsing: Array(line)) else {
                throw Failure(.data, "\(file) is no bundle: a line of it is no JSON.")
            }
            return json
        }
        let merges: [RecordBundle.Replayed]
        do { merges = try RecordBundle.replay(lines) } catch StoreError.corrupt(let what) {
            throw Failure(.data, "\(file) cannot be replayed: \(what).")
        }
        let rows = merges.map { merge in
            [
                "\(merge.position)", String(merge.commit.description.prefix(8)), merge.isSame ? "same" : "DIFFERENT",
                merge.recorded.joined(separator: "; "),
                merge.isSame ? "" : merge.again.joined(separator: "; "),
            ]
        }
        output.console.print(
            TextTable(
                ["Position", "Commit", "Replay", "Decided", "Now"], alignments: [.right, .left, .left, .left, .left],
                rows: rows),
            csv: [["position", "commit", "replay", "decided", "now"]] + rows,
            json: .array(
                merges.map { merge in
                    [
                        "position": .integer(merge.position), "commit": .string(merge.commit.description),
                        "same": .bool(merge.isSame), "decided": .array(merge.recorded.map { .string($0) }),
                        "now": .array(merge.again.map { .string($0) }),
                    ]
                }))
        let different = merges.count { !$0.isSame }
        guard different == 0 else {
            throw Failure(.data, "\(different) of \(merges.count) decisions come out differently with this program.")
        }
        Terminal.message("All \(merges.count) decisions come out the same.")
    }
}

struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Hold the store against itself: SQLite's own check, the log's hashes, every row against the log.",
        discussion: "Changes nothing; exits 65 where something is wrong. Example:  peykd verify")
    @OptionGroup var place: DataOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let client = try place.client()
        let integrity = try client.read { reader in
            try reader.rows("PRAGMA integrity_check(20)", []).compactMap { $0.first?.textValue }
        }
        let found = try client.send(.verify)
        var problems = (found["problems"]?.arrayValue ?? []).compactMap(\.stringValue)
        if integrity != ["ok"] { problems += integrity }
        let head = found["head"]?.integerValue ?? 0
        let console = output.console
        console.print([
            ("good", "State", problems.isEmpty ? "whole" : "WRONG", .bool(problems.isEmpty)),
            ("head", "Log head", console.show.number(head), .integer(head)),
            ("since", "Checked from", console.show.number(found["since"]?.integerValue ?? 0), found["since"] ?? .null),
            ("rows", "Rows", console.show.number(found["rows"]?.integerValue ?? 0), found["rows"] ?? .null),
            ("problems", "Problems", "\(problems.count)", .array(problems.map { .string($0) })),
        ])
        guard problems.isEmpty else {
            for problem in problems { Terminal.message(problem) }
            throw Failure(.data, "The store is not whole. Keep a copy of it, and restore a backup.")
        }
    }
}
