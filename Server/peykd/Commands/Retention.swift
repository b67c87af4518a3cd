import ArgumentParser
import PeykCRM
import PeykConsole
import PeykModel
import PeykServer

struct RetentionGroup: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retention", abstract: "What is kept, for how long, and what holds it back.",
        discussion: """
            Deleted records and old outcomes go when every live device has passed them; a device is live until its \
            lease has run out, which counts only the time that the server served. The server collects by itself, \
            every hour.
            """,
        subcommands: [Show.self, Change.self, Run.self], defaultSubcommand: Show.self)

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what is kept and which devices hold it back.",
            discussion: "Example:  peykd retention show --format json")
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions

        func run() throws { RetentionGroup.show(try place.client().send(.showRetention), output.console) }
    }

    struct Change: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "set", abstract: "Change for how long things are kept at least.",
            discussion: "Example:  peykd retention set --lease 60d --tombstones 14d")
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        @Option(
            help: ArgumentHelp(
                "A device without contact for this long, while the server served, must resync (default: 90d).",
                valueName: "time"))
        var lease: Duration?
        @Option(
            help: ArgumentHelp("Outcomes, for “why” and the history (default and least: 400d).", valueName: "time"))
        var log: Duration?
        @Option(
            help: ArgumentHelp("Deleted records, for an undo of the deletion (default: 30d).", valueName: "time"))
        var tombstones: Duration?

        func validate() throws {
            guard lease != nil || log != nil || tombstones != nil else {
                throw ValidationError("Nothing to change: give --lease, --log or --tombstones.")
            }
        }

        func run() throws {
            let request = AdminRequest.setRetention(
                lease: lease?.seconds, log: log?.seconds, tombstones: tombstones?.seconds)
            RetentionGroup.show(try place.client().send(request), output.console)
        }
    }

    struct Run: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Collect now what may go.",
            discussion: "Example:  peykd retention run")
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            let done = try place.client().send(.runRetention)
            let console = output.console
            if console.format == .table {
                func text(_ key: String) -> String { Console.plain(done[key] ?? .null) }
                Terminal.message(
                    "Collected \(text("tombstones")) deleted records, \(text("outcomes")) outcomes, "
                        + "\(text("documents")) leftovers, \(text("ledger_entries")) ledger entries; "
                        + "\(done["expired"]?.arrayValue?.count ?? 0) leases ran out."
                        + (done["done"]?.boolValue == true
                            ? "" : " There is more; run it again, or leave it to the server."))
                return RetentionGroup.show(done["retention"] ?? .null, console)
            }
            RetentionGroup.show(done, console)
        }
    }

    static let columns = Columns([
        ("user", "User", "کاربر", .text), ("device", "Device", "دستگاه", .text), ("site", "Site", "شناسه", .text),
        ("passed", "Passed", "تا", .number), ("lag", "Behind", "عقب", .number),
        ("last_contact", "Last contact", "آخرین تماس", .time),
    ])

    static func show(_ retention: JSON, _ console: Console) {
        let document = Columns.withISOTimes(retention)
        guard console.format == .table else {
            if console.format == .json { return console.printJSON(document) }
            return console.print(
                (document.objectValue ?? [:]).sorted { $0.key < $1.key }.map { ($0.key, $0.key, "", $0.value) })
        }
        let show = console.show
        func number(_ key: String) -> Int64 { retention[key]?.integerValue ?? 0 }
        func days(_ key: String) -> String { show.digits(in: "\(number(key) / 86_400) d") }
        var lines: [(String, String)] = [
            (show.say("Lease of a device", "مهلت دستگاه"), days("lease_seconds")),
            (show.say("Served so far", "زمان سرویس"), days("served_seconds")),
            (show.say("Outcomes kept for", "نگهداری رویدادها"), days("log_seconds")),
            (show.say("Deleted records kept for", "نگهداری حذف‌شده‌ها"), days("tombstone_seconds")),
            (show.say("Log begins after", "آغاز گزارش پس از"), show.number(number("log_horizon"))),
            (show.say("Outcomes in the log", "رویدادها"), show.number(number("log_entries"))),
            (show.say("Deleted records held", "حذف‌شده‌ها"), show.number(number("tombstones"))),
            (show.say("Passed by every live device", "گذشته از همه"), show.number(number("passed_by_all"))),
            (show.say("Expired devices", "دستگاه‌های منقضی"), show.number(number("expired_devices"))),
        ]
        if retention["may_collect"]?.boolValue == false {
            lines.append((show.say("Collection", "پاک‌سازی"), show.say("stands still: a refill is open", "متوقف")))
        }
        console.print(lines.map { (key: $0.0, label: $0.0, shown: $0.1, value: .string($0.1)) })
        let holding = retention["held_back_by"]?.arrayValue ?? []
        if !holding.isEmpty { columns.print(holding, on: console) }
    }
}
