import ArgumentParser
import PeykCRM
import PeykConsole
import PeykModel
import PeykServer

struct Conflicts: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The conflict ledger: what lost, to what, by which rule.",
        discussion: """
            Example:  peykd conflicts
                      peykd conflicts show 7f03a1c2
            """,
        subcommands: [List.self, Show.self, Settle.self], defaultSubcommand: List.self)

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the open conflicts, newest first.")
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        @Flag(help: "Noted and settled ones too.") var all = false
        @Option(help: "Only of this table.") var table: String?
        @Option(help: ArgumentHelp("At most so many.", valueName: "n")) var limit: Int64 = 100

        func run() throws {
            let entries = try place.client().send(.listConflicts(all: all, table: table, limit: limit)).arrayValue ?? []
            let console = output.console
            let show = console.show
            func claim(_ claim: JSON?, _ entry: JSON) -> String {
                guard let claim, claim != .null else { return "–" }
                let value = claim["value"].map { Conflicts.value($0, entry, show) } ?? ""
                return [value, claim["user_name"]?.stringValue.map { "(\($0))" } ?? ""].filter { !$0.isEmpty }
                    .joined(separator: " ")
            }
            func text(_ entry: JSON, _ key: String) -> String { Console.plain(entry[key] ?? .null) }
            let rows = entries.map { entry in
                [
                    String(text(entry, "id").prefix(8)), show.instant(entry["opened_at"]?.integerValue ?? 0),
                    text(entry, "table"), text(entry, "name"), text(entry, "cell"), text(entry, "rule"),
                    claim(entry["winner"], entry),
                    (entry["losers"]?.arrayValue ?? []).map { claim($0, entry) }.joined(separator: "; "),
                    text(entry, "state"),
                ]
            }
            let keys = ["id", "opened_at", "table", "record", "name", "cell", "kind", "rule", "state", "position"]
            console.print(
                TextTable(
                    [
                        show.say("Id", "شناسه"), show.say("When", "زمان"), show.say("Table", "جدول"),
                        show.say("Name", "نام"), show.say("Field", "فیلد"), show.say("Rule", "قاعده"),
                        show.say("Stands", "مانده"), show.say("Lost", "باخته"), show.say("State", "وضعیت"),
                    ], rows: rows),
                csv: [keys]
                    + entries.map { entry in
                        keys.map { key in
                            key == "opened_at"
                                ? Instant.iso(entry[key]?.integerValue ?? 0) : text(entry, key)
                        }
                    },
                json: Columns.withISOTimes(.array(entries)))
            if entries.isEmpty { Terminal.message(all ? "There are no conflicts." : "There are no open conflicts.") }
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one conflict whole.")
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The conflict's id, or its first digits.") var id: String

        func run() throws {
            let entry = try place.client().send(.showConflict(id))
            Conflicts.show(entry, output.console)
        }
    }

    struct Settle: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Close a conflict: somebody has looked at it, and what stands may stand.")
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The conflict's id, or its first digits.") var id: String

        func run() throws {
            let entry = try place.client().send(.settleConflict(id))
            Conflicts.show(entry, output.console)
        }
    }

    /// A claim's value: amounts with their currency, of several fields each with its name.
    private static func value(_ value: JSON, _ entry: JSON, _ show: Presentation) -> String {
        guard let members = value.objectValue else { return Console.plain(value) }
        let currencies = (entry["amounts"]?.objectValue ?? [:]).compactMapValues(\.stringValue)
        let shown = members.filter { !currencies.values.contains($0.key) }.sorted { $0.key < $1.key }
        let texts = shown.map { name, value in
            guard let currency = currencies[name], case .integer(let amount) = value else {
                return (name, Console.plain(value))
            }
            return (name, show.money(amount, currency: members[currency]?.stringValue ?? ""))
        }
        let isOneCell = entry["cell"]?.stringValue != nil
        return texts.count == 1 && isOneCell ? texts[0].1 : texts.map { "\($0.0): \($0.1)" }.joined(separator: ", ")
    }

    static func show(_ entry: JSON, _ console: Console) {
        guard console.format == .table else {
            let document = Columns.withISOTimes(entry)
            let members = (document.objectValue ?? [:]).sorted { $0.key < $1.key }
            console.print(members.map { ($0.key, $0.key, Console.plain($0.value), $0.value) })
            return
        }
        func text(_ key: String) -> String { Console.plain(entry[key] ?? .null) }
        func claim(_ claim: JSON) -> String {
            let who = claim["user_name"]?.stringValue ?? "the server"
            let device = claim["device"]?.stringValue.map { " on \($0)" } ?? ""
            let clock =
                claim["clock"]?["anchor"].map { ", had seen everything up to position \(Console.plain($0))" } ?? ""
            return "\(claim["value"].map { value($0, entry, console.show) } ?? "–")  by \(who)\(device)\(clock)"
        }
        var rows: [(String, String)] = [
            ("Id", text("id")), ("Record", "\(text("table"))/\(text("record"))"), ("Name", text("name")),
            ("Field", text("cell")), ("Kind", text("kind")), ("Rule", text("rule")), ("State", text("state")),
            ("Opened", console.show.instant(entry["opened_at"]?.integerValue ?? 0)),
            ("Stands", claim(entry["winner"] ?? .null)),
        ]
        rows += (entry["losers"]?.arrayValue ?? []).map { ("Lost", claim($0)) }
        if let base = entry["base"], base != .null { rows.append(("Before", value(base, entry, console.show))) }
        console.print(rows.map { (key: $0.0, label: $0.0, shown: $0.1, value: .string($0.1)) })
    }
}
