import ArgumentParser
import Foundation
import PeykConsole

/// IT's program: makes a workspace, serves it, and administers it.
@main
struct Peykd: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "peykd",
        abstract: "Serve a workspace to the devices of a sales team, and administer it.",
        discussion: """
            Everything of a workspace is in one directory (--data, or PEYKD_DATA). Commands talk to the running \
            server, or open the directory themselves while it is down.

            Start with:   peykd init --workspace acme
                          peykd user add Anna --role rep --territory North
                          peykd serve --listen 0.0.0.0:7420 --public crm.example.com:7420
            Then:         peykd invite Anna
            """,
        version: PeykdVersion.text,
        groupedSubcommands: [
            .init(
                name: "Server",
                subcommands: [Init.self, Serve.self, StatusCommand.self, VerifyCommand.self, Doctor.self]),
            .init(
                name: "Backup and restore",
                subcommands: [Backup.self, Restore.self, RefillGroup.self, EpochGroup.self]),
            .init(
                name: "People and devices",
                subcommands: [
                    UserGroup.self, TerritoryGroup.self, Invite.self, DeviceGroup.self, QuarantineGroup.self,
                ]),
            .init(name: "What happened", subcommands: [Conflicts.self, Why.self, History.self, Replay.self]),
            .init(
                name: "Data",
                subcommands: [
                    SchemaGroup.self, ReportCommand.self, ImportCommand.self, ExportCommand.self, DumpCommand.self,
                    RetentionGroup.self,
                    Manual.self,
                ]),
        ])

    static func main() async {
        // Whatever is made here is IT's alone: keys, the store, its logs, the control socket.
        umask(0o077)
        signal(SIGPIPE, SIG_IGN)
        await Program.run(
            Self.self, name: "peykd", arguments: GlobalFirst(place: "--data").arranged(CommandLine.arguments)
        ) {
            Failures.translate($0)
        }
    }
}

enum PeykdVersion {
    static let text = "0.1.0"
}
