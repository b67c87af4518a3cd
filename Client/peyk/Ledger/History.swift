import ArgumentParser
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica

struct Why: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Why a field has its value: every value it had, what each beat, and who had seen what.",
        discussion: """
            Answered from this replica; where it knows nothing of it, or with --ask, from the server.

            Example:  peyk why opportunity/0198c2f1.amount
            """)

    @Argument(help: ArgumentHelp("The record, and a field of it.", valueName: "table/id[.field]")) var what: String
    @Flag(help: "Ask the server for what this replica does not know.") var ask = false
    @OptionGroup var home: HomeOptions

    func run() async throws {
        let place = try home.open()
        let reading = try await HistoryReading.read(what, place, asksServer: ask)
        HistoryView(reading: reading).print(withClocks: true)
    }
}

struct History: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What happened to a record, oldest first.",
        discussion: "Example:  peyk history customer/0198c2f1")

    @Argument(help: ArgumentHelp("The record.", valueName: "table/id")) var what: String
    @Flag(help: "Ask the server for what this replica does not know.") var ask = false
    @OptionGroup var home: HomeOptions

    func run() async throws {
        let place = try home.open()
        let reading = try await HistoryReading.read(what, place, asksServer: ask)
        HistoryView(reading: reading).print(withClocks: false)
    }
}

/// A history for people: a commit a paragraph.
struct HistoryView {
    let reading: HistoryReading

    private var place: Workplace { reading.place }
    private var show: Presentation { place.show }

    func print(withClocks: Bool) {
        switch place.console.format {
        case .json: place.console.printJSON(reading.json)
        case .csv: printLines()
        case .table:
            let names = place.names()
            let view = place.view(reading.table, names)
            place.console.say(
                place.console.headline(
                    "\(reading.table.name) “\(names.name(of: reading.record.description, in: reading.table))”"
                        + (reading.cell.map { " · " + view.label($0.tag) } ?? "")))
            var former: [HistoryReading.Act] = []
            for act in reading.acts {
                paragraph(act, after: former, view, names, withClocks: withClocks)
                former.append(act)
            }
            if reading.acts.isEmpty {
                place.console.say(show.say("  Nothing is known of it here.", "  چیزی از آن دانسته نیست."))
            }
            if !reading.isComplete {
                Terminal.message(
                    show.say(
                        "This replica does not know how it began; --ask asks the server.",
                        "این نسخه از آغاز آن خبر ندارد؛ با --ask از سرور بپرسید."))
            }
        }
    }

    private func who(_ user: RecordID?, _ names: RecordNames) -> String {
        guard let user, let users = place.schema.table(named: "user") else { return show.say("the server", "سرور") }
        return names.name(of: user.description, in: users)
    }

    private func paragraph(
        _ act: HistoryReading.Act, after former: [HistoryReading.Act], _ view: RecordView, _ names: RecordNames,
        withClocks: Bool
    ) {
        let step = act.step
        let place = self.place
        let position =
            step.position.map { show.say("position ", "جایگاه ") + show.number($0) }
            ?? show.say("not sent yet", "ارسال‌نشده")
        place.console.say(
            "\n  " + place.console.headline(show.instant(step.stamp.milliseconds) + "  " + who(step.user, names))
                + "  " + verb(step.kind)
                + place.console.quiet("  \(position), \(step.dot), commit \(step.commit.description.prefix(8))"))
        for line in values(act, view) { place.console.say("    " + line) }
        let ledger = LedgerView(place: place, names: names)
        for row in act.won { place.console.say("    " + won(row, ledger)) }
        for row in act.lost { place.console.say("    " + lost(row, step.commit.description, ledger)) }
        guard withClocks else { return }
        place.console.say(place.console.quiet("    " + seen(step, after: former, names)))
    }

    private func verb(_ kind: HistoryStep.Kind) -> String {
        switch kind {
        case .created: show.say("added it", "افزود")
        case .changed: show.say("changed it", "تغییر داد")
        case .deleted: show.say("deleted it", "حذف کرد")
        case .left: show.say("it left this replica", "از این نسخه خارج شد")
        case .touched: show.say("wrote it", "نوشت")
        }
    }

    private func values(_ act: HistoryReading.Act, _ view: RecordView) -> [String] {
        let table = reading.table
        var old = Row(Array(repeating: .null, count: table.fields.count))
        var new = old
        for field in act.fields {
            old[field.field] = field.old
            new[field.field] = field.new
        }
        // An amount whose currency did not change is shown with the currency that it has.
        for cell in table.cells where cell.fields.count > 1 {
            guard act.fields.contains(where: { cell.fields.contains($0.field) }) else { continue }
            let row = present
            for field in cell.fields where !act.fields.contains(where: { $0.field == field }) {
                old[field] = row[field]
                new[field] = row[field]
            }
        }
        return act.fields.compactMap { field in
            if view.isCurrency(field.field),
                act.fields.contains(where: {
                    $0.field != field.field && table.cellOfField[$0.field] == table.cellOfField[field.field]
                })
            {
                return nil
            }
            let before = view.text(field.field, of: old)
            let after = view.text(field.field, of: new)
            let arrow = field.old.isNull ? "" : (before.isEmpty ? "–" : before) + " → "
            return "\(view.label(field.field)): \(arrow)\(after.isEmpty ? "–" : after)"
        }
    }

    private var present: Row {
        (try? place.replica.read { try $0.row(reading.table.name, reading.record) }) ?? Row([])
    }

    private func won(_ row: LedgerRow, _ view: LedgerView) -> String {
        let losers = row.losers.map { "\(view.lost($0, row)) (\(view.who($0)))" }.joined(separator: ", ")
        return place.console.warning(
            show.say("beat ", "غلبه بر ") + losers + show.say(", by the rule ", "، با قاعده ") + row.rule
                + ", \(view.state(row)), \(row.id.prefix(8))")
    }

    private func lost(_ row: LedgerRow, _ commit: String, _ view: LedgerView) -> String {
        let mine = row.losers.first { $0.commit == commit }.map { view.lost($0, row) } ?? ""
        let winner = row.winner.map { "\(view.won($0, row)) (\(view.who($0)))" } ?? "?"
        return place.console.warning(
            show.say("lost ", "باخت ") + mine + show.say(" to ", " به ") + winner
                + show.say(", by the rule ", "، با قاعده ") + row.rule + ", \(view.state(row)), \(row.id.prefix(8))")
    }

    /// What the author had seen, and whether the step before was among it.
    private func seen(_ step: HistoryStep, after former: [HistoryReading.Act], _ names: RecordNames) -> String {
        let dots = step.clock.dots.filter { $0.seq > 0 }.map(\.description).joined(separator: ", ")
        var text =
            show.say("had seen everything up to position ", "همه را تا جایگاه ") + show.number(step.clock.anchor)
            + (dots.isEmpty ? "" : show.say(" and ", " و ") + dots) + show.say("", " دیده بود")
        guard let last = former.last(where: { !$0.fields.isEmpty || $0.step.kind == .created })?.step else {
            return text
        }
        if let position = last.position, let epoch = step.clock.lineage.epoch(of: position) {
            let writer = Writer(
                position: position, epoch: epoch, dot: last.dot, stamp: last.stamp, commit: last.commit)
            text +=
                step.clock.covers(writer)
                ? show.say(": also what it replaced", "؛ از جمله آنچه را جایگزین کرد")
                : show.say(": not what stood there (concurrent)", "؛ ولی نه آنچه آنجا بود (هم‌زمان)")
        }
        return text + show.say("; stamp ", "؛ مهر ") + step.stamp.description
    }

    private func printLines() {
        Terminal.write(
            CSVText.line(["position", "written_at", "user", "site", "seq", "commit", "kind", "field", "old", "new"]))
        let names = place.names()
        for act in reading.acts {
            let step = act.step
            for field in act.fields {
                let type = reading.table.fields[field.field].type
                Terminal.write(
                    CSVText.line([
                        step.position.map { String($0) } ?? "", Instant.iso(step.stamp.milliseconds),
                        who(step.user, names), step.dot.site.description, String(step.dot.seq),
                        step.commit.description, step.kind.rawValue, reading.table.fields[field.field].name,
                        Console.plain(RecordView.machine(field.old, type)),
                        Console.plain(RecordView.machine(field.new, type)),
                    ]))
            }
        }
    }
}
