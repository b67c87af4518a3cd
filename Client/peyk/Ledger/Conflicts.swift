import ArgumentParser
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica

struct Conflicts: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What lost a conflict: look, accept, or bring it back.",
        discussion: """
            “open” entries wait for a person; “noted” ones were settled by their rule and can still be restored.

            Example:  peyk conflicts;  peyk conflicts show 8f2c;  peyk conflicts restore 8f2c
            """,
        subcommands: [List.self, Show.self, Accept.self, Restore.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List them; open ones first.", discussion: "Example:  peyk conflicts list --open")
        @Flag(help: "Only those that wait for a person.") var open = false
        @Flag(help: "Settled ones too.") var all = false
        @Option(help: ArgumentHelp("Only those of one record.", valueName: "table/id")) var record: String?
        @OptionGroup var home: HomeOptions

        func run() async throws {
            let place = try home.open()
            let only = try record.map { try place.record($0) }
            try place.replica.read { read in
                let view = LedgerView(place: place, names: place.names(in: read))
                var conditions = [open ? "state = 'open'" : all ? "1 = 1" : "state <> 'settled'"]
                var values: [Value] = []
                if let only {
                    conditions.append("table_name = $1 AND record_id = $2")
                    values = [.text(only.table.name), Value(only.record)]
                }
                let entries = try read.rows(
                    """
                    SELECT \(LedgerRow.columns) FROM peyk_ledger WHERE \(conditions.joined(separator: " AND "))
                    ORDER BY state = 'open' DESC, position DESC, id
                    """, values
                ).compactMap(LedgerRow.init)
                list(entries, view, place)
            }
        }

        private func list(_ entries: [LedgerRow], _ view: LedgerView, _ place: Workplace) {
            guard !entries.isEmpty || place.console.format != .table else {
                place.console.say(place.show.say("No conflicts.", "تعارضی نیست."))
                return
            }
            let short = view.names.short(entries.map(\.id), in: Schema.ledger)
            let show = place.show
            let headers = [
                show.say("ID", "شناسه"), show.say("State", "وضعیت"), show.say("Record", "رکورد"),
                show.say("Field", "فیلد"), show.say("Won", "برنده"), show.say("Lost", "بازنده"),
                show.say("When", "زمان"),
            ]
            place.console.print(
                TextTable(
                    headers,
                    rows: zip(short, entries).map { id, entry in
                        [
                            id, view.state(entry), view.title(entry), view.cellLabel(entry),
                            entry.winner.map { "\(view.won($0, entry)) (\(view.who($0)))" } ?? "–",
                            entry.losers.map { "\(view.lost($0, entry)) (\(view.who($0)))" }
                                .joined(separator: "; "),
                            place.show.instant(entry.openedAt),
                        ]
                    }),
                csv: [["id", "state", "kind", "table", "record", "cell", "rule", "winner", "losers", "opened_at"]]
                    + entries.map {
                        [
                            $0.id, $0.state, $0.kind, $0.table, $0.record, $0.cell ?? "", $0.rule,
                            $0.winner?.value.text ?? "", JSON.array($0.losers.map(\.value)).text,
                            Instant.iso($0.openedAt),
                        ]
                    },
                json: .array(entries.map(\.json)))
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show one: who wrote what, having seen what.", discussion: "Example:  peyk conflicts show 8f2c")
        @Argument(help: "The entry's id (shortened while unique).") var id: String
        @OptionGroup var home: HomeOptions

        func run() async throws {
            let place = try home.open()
            try place.replica.read { read in
                let entry = try LedgerWork.entry(id, place, read)
                let view = LedgerView(place: place, names: place.names(in: read))
                guard place.console.format == .table else { return place.console.printJSON(entry.json) }
                let show = place.show
                place.console.say(place.console.headline(view.title(entry)) + "  " + view.cellLabel(entry))
                place.console.say(
                    "  \(view.kind(entry)) · \(show.say("rule", "قاعده")) \(entry.rule) · \(view.state(entry)) · "
                        + "\(show.say("position", "جایگاه")) \(show.number(entry.position))")
                let isHandedOff = entry.kind == LedgerKind.handedOff.rawValue
                if entry.base != .null {
                    let before = isHandedOff ? view.handedOff(entry.base, entry) : view.value(entry.base, entry)
                    place.console.say("  " + show.say("before: ", "پیش از آن: ") + before)
                }
                if let winner = entry.winner {
                    let label =
                        isHandedOff
                        ? show.say("written by who had it: ", "نوشتهٔ مسئول پیشین: ") : show.say("won: ", "برنده: ")
                    claim(winner, label, view.won(winner, entry), view, place)
                }
                for loser in entry.losers {
                    claim(loser, show.say("lost: ", "بازنده: "), view.lost(loser, entry), view, place)
                }
                if entry.state != "settled", entry.kind == "field" || entry.kind == "delete" || entry.base != .null {
                    let restore =
                        isHandedOff
                        ? show.say("Put back what was there:", "بازگرداندن مقدار پیشین:")
                        : show.say("Bring the loser back:", "بازگرداندن بازنده:")
                    place.console.say(
                        "\n" + restore
                            + "  peyk conflicts restore \(entry.id.prefix(13))\n"
                            + show.say("Leave it as it is:   ", "پذیرفتن:")
                            + "  peyk conflicts accept \(entry.id.prefix(13))")
                }
            }
        }

        private func claim(
            _ claim: LedgerRow.Claim, _ label: String, _ value: String, _ view: LedgerView, _ place: Workplace
        ) {
            place.console.say("  " + label + place.console.headline(value))
            let site = SiteID(claim.site)?.short ?? claim.site
            place.console.say(
                place.console.quiet(
                    "      \(view.who(claim)), \(place.show.instant(claim.time)), \(site):\(claim.seq), "
                        + ClockText.text(claim.clock, place.show)))
        }
    }

    struct Accept: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Leave it as it is, and close the entry.", discussion: "Example:  peyk conflicts accept 8f2c")
        @Argument(help: "Ids of entries (shortened while unique).") var ids: [String]
        @OptionGroup var home: HomeOptions

        func run() async throws {
            let place = try home.open()
            let entries = try place.replica.read { read in try ids.map { try LedgerWork.entry($0, place, read) } }
            for entry in entries {
                guard entry.state != "settled" else {
                    throw Failure(
                        .usage, "The conflict \(entry.id.prefix(13)) is settled already. Nothing was changed.",
                        "ناسازگاری \(entry.id.prefix(13)) پیش‌تر حل شده است. چیزی تغییر نکرد.")
                }
            }
            for id in entries.compactMap({ RecordID($0.id) }) { try place.replica.acceptConflict(id) }
            place.console.say(
                place.show.say(
                    "Accepted; the next sync tells the others.", "پذیرفته شد؛ با همگام‌سازی بعدی به دیگران می‌رسد."))
            if place.console.format == .json { place.console.printJSON(["accepted": .integer(Int64(ids.count))]) }
        }
    }

    struct Restore: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write what lost back, as a new edit, and close the entry.",
            discussion: "Example:  peyk conflicts restore 8f2c")
        @Argument(help: "The entry's id (shortened while unique).") var id: String
        @Option(help: "Which loser, where there are several: 1 is the first.") var loser: Int = 1
        @OptionGroup var home: HomeOptions

        func validate() throws {
            if loser < 1 { throw ValidationError("--loser counts from 1.") }
        }

        func run() async throws {
            let place = try home.open()
            let (entry, shown) = try place.replica.read { read in
                let entry = try LedgerWork.entry(id, place, read)
                let view = LedgerView(place: place, names: place.names(in: read))
                if entry.kind == LedgerKind.handedOff.rawValue { return (entry, view.handedOff(entry.base, entry)) }
                guard entry.losers.indices.contains(loser - 1) else {
                    throw Failure(
                        .usage, "The entry has \(entry.losers.count) losers. Nothing was changed.",
                        "این ناسازگاری \(entry.losers.count) بازنده دارد. چیزی تغییر نکرد.")
                }
                return (entry, view.lost(entry.losers[loser - 1], entry))
            }
            guard let record = RecordID(entry.id) else { return }
            let result = try place.replica.restoreConflict(record, loser: loser - 1)
            place.tell(result)
            if place.console.format == .json {
                place.console.printJSON(["commit": result.commit.map { .string($0.description) } ?? .null])
            } else {
                place.console.say(place.show.say("Restored: ", "بازگردانده شد: ") + shown)
            }
        }
    }
}

/// Finds ledger entries.
enum LedgerWork {
    static func entry(_ text: String, _ place: Workplace, _ source: any ReportSource) throws -> LedgerRow {
        let prefix = text.lowercased()
        let rows = try source.rows(
            "SELECT \(LedgerRow.columns) FROM peyk_ledger WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 2",
            [.text(prefix), .text(prefix + "g")])
        guard let entry = rows.first.flatMap(LedgerRow.init), !prefix.isEmpty else {
            throw Failure(.noInput, "There is no conflict “\(text)” here.", "ناسازگاری «\(text)» اینجا نیست.")
        }
        guard rows.count == 1 else {
            throw Failure(
                .usage, "“\(text)” fits several conflicts. Say more of the id.",
                "«\(text)» به چند ناسازگاری می‌خورد. شناسهٔ کامل‌تری بدهید.")
        }
        return entry
    }
}

/// A vector clock's JSON form in one line: what its author had seen.
enum ClockText {
    static func text(_ clock: JSON, _ show: Presentation) -> String {
        let anchor = clock["anchor"]?.integerValue ?? 0
        let dots = (clock["dots"]?.objectValue ?? [:]).sorted { $0.key < $1.key }
            .filter { $0.value.integerValue ?? 0 > 0 }
            .map { site, seq in "\(SiteID(site)?.short ?? String(site.prefix(6))):\(seq.integerValue ?? 0)" }
        return show.say("had seen position ", "دیده تا جایگاه ") + String(anchor)
            + (dots.isEmpty ? "" : show.say(" and ", " و ") + dots.joined(separator: ", "))
    }
}
