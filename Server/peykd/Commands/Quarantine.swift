import ArgumentParser
import PeykCRM
import PeykConsole
import PeykModel
import PeykServer

struct QuarantineGroup: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quarantine",
        abstract: "What revoked devices and disabled users sent: kept, not merged, for you to decide on.",
        subcommands: [List.self, Show.self, Release.self, Discard.self])

    static let columns = Columns([
        ("commit", "Commit", "ثبت", .id), ("site", "Site", "پایگاه", .id), ("seq", "Seq", "شماره", .number),
        ("user", "User", "کاربر", .text), ("device", "Device", "دستگاه", .text),
        ("written_at", "Written", "زمان نوشتن", .time), ("arrived_at", "Arrived", "زمان رسیدن", .time),
        ("changes", "Changes", "تغییرها", .number), ("records", "Records", "رکوردها", .list),
        ("state", "State", "وضعیت", .text),
    ])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the commits in quarantine.", discussion: "Example:  peykd quarantine list")
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        @Flag(help: "Those that were released or discarded, too.") var all = false

        func run() throws {
            let commits = try place.client().send(.listQuarantine(all: all)).arrayValue ?? []
            QuarantineGroup.columns.print(commits, on: output.console)
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what commits in quarantine would write.",
            discussion: "Example:  peykd quarantine show 3fa2b1")
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "A site or a commit, or its first digits.") var what: String

        func run() throws {
            let commits = try place.client().send(.showQuarantined(what)).arrayValue ?? []
            let console = output.console
            let rows = commits.flatMap { commit in
                (commit["changes"]?.arrayValue ?? []).flatMap { change -> [[String]] in
                    let head = [
                        String((commit["commit"]?.stringValue ?? "").prefix(8)),
                        console.show.instant(commit["written_at"]?.integerValue ?? 0),
                        change["kind"]?.stringValue ?? "", change["record"]?.stringValue ?? "",
                    ]
                    let values = (change["values"]?.objectValue ?? [:]).sorted { $0.key < $1.key }
                    return values.isEmpty
                        ? [head + ["", ""]] : values.map { head + [$0.key, Console.plain($0.value)] }
                }
            }
            let header = ["commit", "written", "kind", "record", "field", "value"]
            console.print(
                TextTable(["Commit", "Written", "Kind", "Record", "Field", "Value"], rows: rows),
                csv: [header] + rows, json: .array(commits.map { Columns.withISOTimes($0) }))
        }
    }

    struct Release: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Merge commits as their author's, with everything of that device before them.",
            discussion: """
                They are merged as if they had come in time: with the author's rights, stamps and vector clocks.

                Example:  peykd quarantine release 3fa2b1
                """)
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "A site (all of it) or a commit, or its first digits.") var what: String

        func run() throws {
            let commits = try place.client().send(.releaseQuarantined(what)).arrayValue ?? []
            Columns([
                ("commit", "Commit", "ثبت", .id), ("seq", "Seq", "شماره", .number), ("user", "User", "کاربر", .text),
                ("state", "State", "وضعیت", .text), ("position", "Position", "جایگاه", .number),
                ("verdict", "Verdict", "نتیجه", .text), ("notices", "Notices", "یادداشت", .list),
            ]).print(commits, on: output.console)
        }
    }

    struct Discard: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Decide that commits are not to be merged.",
            discussion: """
                They stay listed (--all). The device keeps its own copy until it is wiped.

                Example:  peykd quarantine discard 3fa2b1
                """)
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "A site (all of it) or a commit, or its first digits.") var what: String

        func run() throws {
            let commits = try place.client().send(.discardQuarantined(what)).arrayValue ?? []
            QuarantineGroup.columns.print(commits, on: output.console)
        }
    }
}
