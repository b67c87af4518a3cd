import ArgumentParser
import Foundation
import PeykCRM
import PeykConsole
import PeykModel
import PeykSQLite
import PeykServer
import PeykStoreSQLite

struct Backup: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write a backup, also while the server runs.",
        discussion: """
            One file with all that a restore needs: the store, the keys, the certificate and the journal of your own \
            acts. Keep it as safe as the keys, and on another machine. Devices keep what they have sent until the \
            oldest of the last --keep backups holds it; restoring one that is older needs --accept-loss.

            Example:  peykd backup /mnt/backup/acme-$(date +%F).peykd
            """)
    @OptionGroup var place: DataOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The file to write; an older one of that name is replaced.") var file: String
    @Option(help: "How many backups you keep and may restore.") var keep = BackupRule.keepDefault

    func validate() throws {
        guard (1...BackupRule.keepMax).contains(keep) else {
            throw ValidationError("--keep is between 1 and \(BackupRule.keepMax).")
        }
    }

    func run() throws {
        let path = URL(fileURLWithPath: (file as NSString).expandingTildeInPath).standardizedFileURL.path
        let done = try place.client().backup(to: path, keep: keep)
        let console = output.console
        let position = done["position"]?.integerValue ?? 0
        let bytes = done["bytes"]?.integerValue ?? 0
        console.print([
            ("path", "Backup", path, .string(path)),
            ("position", "Log position", console.show.number(position), .integer(position)),
            ("bytes", "Size", console.show.digits(in: "\(max(1, bytes >> 20)) MB"), .integer(bytes)),
            (
                "backup_horizon", "Backed up to", console.show.number(done["backup_horizon"]?.integerValue ?? 0),
                done["backup_horizon"] ?? .null
            ),
        ])
    }
}

extension BackupWriter {
    /// Writes, remembers, and says so.
    func run(to path: String, keep: Int) throws -> JSON {
        let item = try write(to: path)
        try workspace.note(item, keep: keep)
        return try workspace.store.read { reader in
            [
                "path": .string(item.path), "position": .integer(item.position), "bytes": .integer(item.bytes),
                "time": .integer(item.time), "backup_horizon": .integer(try reader.clockDocument().backupHorizon),
            ]
        }
    }
}

struct Restore: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Put a backup in place; devices then bring back what it lacks.",
        discussion: """
            The server must be stopped. The present store is kept beside the new one. A new epoch begins: devices \
            notice it with their next sync, offer again what the backup lacks, and lose nothing that they still have. \
            “peykd status” says who has not come back; “peykd refill close” ends the waiting.

            --in-place is for a server whose data directory was put back by other means (a disk image, a snapshot): \
            devices are refused until it has run.

            Example:  peykd restore /mnt/backup/acme-2026-03-01.peykd
            """)
    @OptionGroup var place: DataOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "What “peykd backup” wrote.") var file: String?
    @Flag(help: "Restore a backup that is older than those that devices count on.") var acceptLoss = false
    @Flag(help: "Begin a new epoch on the data as it is.") var inPlace = false

    func validate() throws {
        guard (file == nil) == inPlace else { throw ValidationError("Give a backup’s file, or --in-place.") }
    }

    func run() throws {
        let installation = try place.installation()
        guard let file else { return try restoreInPlace(installation) }
        let path = URL(fileURLWithPath: (file as NSString).expandingTildeInPath).standardizedFileURL.path
        let result = try Restorer(installation: installation, backup: path, acceptsLoss: acceptLoss).run()
        let awaited = Int64(result.refill?.awaited.count ?? 0)
        let console = output.console
        console.print([
            (
                "position", "Restored to position", console.show.number(result.manifest.position),
                .integer(result.manifest.position)
            ),
            (
                "written_at", "Backup of", console.show.instant(result.manifest.time),
                .string(Instant.iso(result.manifest.time))
            ),
            ("epoch", "New epoch", String(result.epoch.description.prefix(8)), .string(result.epoch.description)),
            (
                "acts", "Acts of the journal repeated", console.show.number(Int64(result.acts)),
                .integer(Int64(result.acts))
            ),
            ("awaited", "Devices to come back", console.show.number(awaited), .integer(awaited)),
            ("former", "Former store kept as", result.former ?? "–", result.former.map { .string($0) } ?? .null),
        ])
        Terminal.message("Next: peykd serve. Devices bring back what the backup lacks; see peykd status.")
        if acceptLoss, let former = result.former {
            Terminal.message(
                "Devices may have dropped what was written after position \(result.manifest.position). Should it be "
                    + "missing: stop peykd, put \(former) in place of \(installation.store), serve, and say peykd epoch "
                    + "supersede \(result.epoch).")
        }
    }

    private func restoreInPlace(_ installation: Installation) throws {
        try installation.requireWorkspace()
        let lock = try FileLock(path: installation.lock)
        guard lock.lock(seconds: 2) else {
            throw Failure(
                .temporary,
                "A peykd is serving \(installation.directory). Stop it first (SIGTERM), then restore. Nothing was changed."
            )
        }
        defer { lock.unlock() }
        let workspace = try installation.openWorkspace { Terminal.message($0) }
        guard let fork = try workspace.restoreInPlace() else {
            throw Failure(
                .data,
                "No device has told of a rollback, so there is nothing to mend in place. Nothing was changed.")
        }
        output.console.print([
            ("fork", "New epoch after position", output.console.show.number(fork), .integer(fork))
        ])
        Terminal.message("Next: peykd serve. Devices bring back what is missing; see peykd status.")
    }
}

struct RefillGroup: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "refill", abstract: "What devices bring back after a restore.",
        subcommands: [Show.self, Close.self])

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Who has not come back, and what waits.", discussion: "Example:  peykd refill show")
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            let refill = try place.client().send(.status)["refill"] ?? .null
            guard refill != .null else { return output.console.say("The workspace was never restored.") }
            let isOpen = refill["open"]?.boolValue == true
            output.console.say(
                isOpen
                    ? "Open: \(Console.plain(refill["waiting"] ?? .null)) commits wait. A device is back when it has synced, "
                        + "and once more with nothing left to send."
                    : "Closed.")
            if !isOpen, output.console.format == .table { return }
            Columns([
                ("user", "User", "کاربر", .text), ("device", "Device", "دستگاه", .text),
                ("site", "Site", "پایگاه", .id), ("last_contact", "Last contact", "آخرین تماس", .time),
                ("begun", "Has begun", "آغاز کرده", .text),
            ]).print(refill["awaited"]?.arrayValue ?? [], on: output.console)
        }
    }

    struct Close: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "End the waiting: merge what waits as it is.",
            discussion: """
                For when a device will never return. What needs a record that only that device has is refused, and its \
                author is told. Example:  peykd refill close
                """)
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            let client = try place.client()
            let missing = try client.send(.status)["refill"]?["awaited"]?.arrayValue?.count ?? 0
            let done = try client.send(.closeRefill)
            let waited = done["waited"]?.integerValue ?? 0
            output.console.print([
                ("waited", "Commits that had waited", output.console.show.number(waited), .integer(waited))
            ])
            if missing > 0 {
                Terminal.message(
                    "\(missing) devices had not come back. What they still bring is taken, but merged as if it were new: "
                        + "where others have edited the same since, look at “peykd conflicts”.")
            }
        }
    }
}

struct EpochGroup: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "epoch", abstract: "Histories of the workspace.", subcommands: [Supersede.self])

    struct Supersede: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Declare another history dead: its devices are taken back.",
            discussion: """
                For when two servers were made from one backup, and devices that followed the other are refused as a \
                fork. Example:  peykd epoch supersede 8c1f6a52-9a55-4d0e-b7a1-0d8a4f6f2f11
                """)
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The epoch, as the refused device names it.") var epoch: String

        func run() throws {
            let done = try place.client().send(.supersede(epoch))
            output.console.print([
                ("superseded", "Superseded", Console.plain(done["superseded"] ?? .null), done["superseded"] ?? .null)
            ])
        }
    }
}
