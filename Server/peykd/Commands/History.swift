import ArgumentParser
import PeykCRM
import PeykConsole
import PeykModel
import PeykServer

/// `table/id[.field]`.
private func readPlace(_ text: String) throws -> AdminRequest.RecordPlace {
    guard let place = AdminRequest.RecordPlace(text) else {
        throw ValidationError("“\(text)” names no record; it looks like customer/0198c2f1 or customer/0198c2f1.name.")
    }
    return place
}

struct Why: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Why a field has its value: every value it had, what each beat, who had seen what.",
        discussion: "Example:  peykd why opportunity/0198c2f1.amount")
    @OptionGroup var options: DataOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: ArgumentHelp("The record, and a field of it.", valueName: "table/id[.field]"), transform: readPlace)
    var record: AdminRequest.RecordPlace

    func run() throws {
        let document = try options.client().send(.history(record))
        HistoryView(document, output.console).print(withClocks: true)
    }
}

struct History: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What happened to a record, oldest first.",
        discussion: "Example:  peykd history customer/0198c2f1")
    @OptionGroup var options: DataOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: ArgumentHelp("The record.", valueName: "table/id"), transform: readPlace)
    var record: AdminRequest.RecordPlace

    func run() throws {
        let document = try options.client().send(.history(record))
        HistoryView(document, output.console).print(withClocks: false)
    }
}

/// A record's history for people: an act a paragraph.
struct HistoryView {
    let document: JSON
    let console: Console

    init(_ document: JSON, _ console: Console) {
        self.document = document
        self.console = console
    }

    private var entries: [JSON] { document["entries"]?.arrayValue ?? [] }

    func print(withClocks: Bool) {
        switch console.format {
        case .json: console.printJSON(Columns.withISOTimes(document))
        case .csv: printLines()
        case .table:
            for entry in entries { printParagraph(entry, withClocks: withClocks) }
            let since = document["since"]?.integerValue ?? 0
            if since > 0 { Terminal.message("The log begins after position \(since); older acts are no longer in it.") }
            if entries.isEmpty { Terminal.message("Nothing is known of it.") }
        }
    }

    private func text(_ value: JSON?) -> String { value.map { Console.plain($0) } ?? "" }

    private func author(_ entry: JSON) -> String {
        guard let user = entry["user"]?.stringValue else { return console.show.say("the server", "سرور") }
        return entry["device"]?.stringValue.map { "\(user) (\($0))" } ?? user
    }

    private func printParagraph(_ entry: JSON, withClocks: Bool) {
        let show = console.show
        let time = show.instant(entry["written_at"]?.integerValue ?? 0)
        var out = console.headline("\(time)  \(author(entry))  \(text(entry["kind"]))")
        out +=
            console.quiet(
                "  position \(text(entry["position"]))  \(text(entry["site"]).prefix(6)):\(text(entry["seq"]))") + "\n"
        for change in entry["changes"]?.arrayValue ?? [] {
            let old = value(change, "old")
            out += "    \(text(change["field"])): " + (old.isEmpty ? "" : "\(old) → ")
            let new = value(change, "new")
            out += (new.isEmpty ? "–" : new) + "\n"
        }
        for conflict in entry["conflicts"]?.arrayValue ?? [] { out += paragraph(conflict) }
        if withClocks {
            out += console.quiet("    had seen: \(clock(entry["clock"])); stamp \(text(entry["stamp"]))") + "\n"
        }
        Terminal.write(out)
    }

    /// A changed value as people read it: names for references, times in their calendar.
    private func value(_ change: JSON, _ side: String) -> String {
        if let name = change[side + "_name"]?.stringValue { return name }
        let value = change[side] ?? .null
        switch (change["type"]?.stringValue, value) {
        case ("instant", .integer(let time)): return console.show.instant(time)
        case ("money", .integer(let amount)):
            return console.show.money(amount, currency: change[side + "_currency"]?.stringValue ?? "")
        case ("bool", .integer(let flag)):
            return flag == 0 ? console.show.say("no", "خیر") : console.show.say("yes", "بله")
        case ("date", .string(let text)): return CalendarDate(text).map { console.show.date($0) } ?? text
        default: return Console.plain(value)
        }
    }

    private func shown(_ value: JSON?) -> String {
        let text = text(value)
        return text.isEmpty ? "–" : text
    }

    private func paragraph(_ conflict: JSON) -> String {
        let rule = "\(text(conflict["cell"])), rule \(text(conflict["rule"])), \(text(conflict["state"]))"
        if conflict["won"]?.boolValue == true {
            return (conflict["beat"]?.arrayValue ?? []).map { loser in
                "    beat \(shown(loser["value"])) by \(claimant(loser)) (\(rule))\n"
            }.joined()
        }
        let winner = conflict["lost_to"] ?? .null
        return "    lost \(shown(conflict["value"])) to \(shown(winner["value"])) by \(claimant(winner)) (\(rule))\n"
    }

    private func claimant(_ claim: JSON) -> String {
        claim["user_name"]?.stringValue ?? claim["user"]?.stringValue ?? console.show.say("the server", "سرور")
    }

    private func clock(_ clock: JSON?) -> String {
        let dots = (clock?["dots"]?.objectValue ?? [:]).sorted { $0.key < $1.key }
            .map { "\($0.key.prefix(6)):\(Console.plain($0.value))" }
        return (["everything up to position \(text(clock?["anchor"]))"] + dots).joined(separator: ", ")
    }

    private func printLines() {
        Terminal.write(
            CSVText.line(["position", "written_at", "user", "device", "site", "seq", "kind", "field", "old", "new"]))
        for entry in entries {
            let changes = entry["changes"]?.arrayValue ?? []
            for change in changes.isEmpty ? [.null] : changes {
                Terminal.write(
                    CSVText.line([
                        text(entry["position"]), Instant.iso(entry["written_at"]?.integerValue ?? 0),
                        text(entry["user"]), text(entry["device"]), text(entry["site"]), text(entry["seq"]),
                        text(entry["kind"]), text(change["field"]), text(change["old"]), text(change["new"]),
                    ]))
            }
        }
    }
}
