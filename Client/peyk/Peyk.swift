import ArgumentParser
import Foundation
import PeykConsole

/// The rep's program.
@main
struct Peyk: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "peyk",
        abstract: "Work on your customers and opportunities offline, and sync when there is a network.",
        discussion: """
            Everything you read and write is a plain SQLite database on this device (--home, PEYK_HOME, or ~/.peyk).
            Changes wait there until the next sync.

            Start with:   peyk join 'peyk://crm.example.com:7300/acme#CODE.FINGERPRINT'
            Then daily:   peyk sync;  peyk opp list;  peyk opp move 0198c2f1 Proposal
            """,
        version: PeykVersion.text,
        groupedSubcommands: [
            .init(
                name: "Records",
                subcommands: [
                    RecordGroup<CustomerKind>.self, RecordGroup<ContactKind>.self, OpportunityGroup.self,
                    RecordGroup<ActivityKind>.self, RecordGroup<TaskKind>.self, RecordCommand.self,
                ]),
            .init(name: "Server", subcommands: [Join.self, Sync.self, Status.self, Verify.self, Leave.self]),
            .init(
                name: "What happened",
                subcommands: [Conflicts.self, Why.self, History.self, Undo.self, Pending.self, Parked.self]),
            .init(
                name: "Data",
                subcommands: [ReportCommand.self, Import.self, Export.self, SQLCommand.self, Dump.self, Doctor.self]),
        ])

    static func main() async {
        await Program.run(Self.self, name: "peyk", arguments: GlobalFirst.arranged(CommandLine.arguments)) {
            Failures.translate($0)
        }
    }
}

enum PeykVersion {
    static let text = "0.1.0"
}

/// Lets the options that all commands have stand before the command too: `peyk --home X status`.
enum GlobalFirst {
    private static let withValue: Set<String> = ["--home", "--format", "--lang", "--calendar", "--digits"]

    static func arranged(_ arguments: [String]) -> [String] {
        var rest = Array(arguments.dropFirst())
        var moved: [String] = []
        while let first = rest.first {
            if withValue.contains(first), rest.count >= 2 {
                moved += rest.prefix(2)
                rest.removeFirst(2)
            } else if let name = first.split(separator: "=").first, first.contains("="),
                withValue.contains(String(name))
            {
                moved.append(first)
                rest.removeFirst()
            } else {
                break
            }
        }
        guard !moved.isEmpty else { return rest }
        // What follows “--” is no option any more.
        let end = rest.firstIndex(of: "--") ?? rest.endIndex
        rest.insert(contentsOf: moved, at: end)
        return rest
    }
}
