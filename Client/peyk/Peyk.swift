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
                subcommands: [
                    ReportCommand.self, Import.self, Export.self, SQLCommand.self, Dump.self, Doctor.self, Manual.self,
                ]),
        ])

    static func main() async {
        // A file beyond the limit of its size is an error to us, as a full disk is, and no end.
        signal(SIGXFSZ, SIG_IGN)
        await Program.run(
            Self.self, name: "peyk", arguments: GlobalFirst(place: "--home").arranged(CommandLine.arguments)
        ) {
            Failures.translate($0)
        }
    }
}

enum PeykVersion {
    static let text = "0.1.0"
}
