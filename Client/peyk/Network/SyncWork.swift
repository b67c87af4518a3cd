import Foundation
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica
import PeykSession
import PeykSync

/// What the commands that talk to the server have in common.
enum SyncWork {
    static func options(timeout: Double?) -> SyncOptions {
        var options = SyncOptions(program: "peyk/" + PeykVersion.text)
        if let timeout {
            options.totalSeconds = timeout
            options.connectSeconds = min(options.connectSeconds, timeout)
            options.lockSeconds = timeout
        }
        return options
    }

    /// Shows the progress of one run.
    static func progress(
        _ show: Presentation, first: Bool = false
    ) -> (bar: ProgressBar, report: @Sendable (SyncProgress) -> Void) {
        let bar = ProgressBar(
            first ? show.say("First sync", "همگام‌سازی نخست") : show.say("Syncing", "همگام‌سازی"))
        return (
            bar,
            { progress in
                switch progress.phase {
                case .loading: bar.update(progress.rows, of: progress.rowsTotal)
                case .syncing where progress.head > progress.position: bar.update(progress.position, of: progress.head)
                case .syncing: bar.update(progress.pushed, of: nil)
                default: bar.update(0, of: nil)
                }
            }
        )
    }

    static func report(_ summary: SyncSummary, _ console: Console) {
        switch console.format {
        case .json: console.printJSON(summary.json)
        case .csv:
            let members = (summary.json.objectValue ?? [:]).sorted { $0.key < $1.key }
            Terminal.write(
                CSVText.line(members.map(\.key)) + CSVText.line(members.map { Console.plain($0.value) }))
        case .table: console.say(text(summary, console))
        }
    }

    private static func text(_ summary: SyncSummary, _ console: Console) -> String {
        let show = console.show
        var parts = [
            show.say("\(summary.pushed) sent", "\(summary.pushed) ارسال"),
            show.say("\(summary.pulled) received", "\(summary.pulled) دریافت"),
        ]
        func add(_ count: Int64, _ english: String, _ persian: String) {
            if count > 0 { parts.append(console.warning(show.say("\(count) \(english)", "\(count) \(persian)"))) }
        }
        add(summary.conflicts, "in conflict (peyk conflicts)", "تعارض (peyk conflicts)")
        add(summary.handedOff, "handed off to a new owner", "واگذارشده به مسئول تازه")
        add(summary.parked, "refused (peyk parked)", "ردشده (peyk parked)")
        add(Int64(summary.evicted.count), "left your scope", "خارج‌شده از محدوده شما")
        let seconds = String(format: "%.1f", summary.seconds)
        let cost =
            "  (\(summary.bytesOut + summary.bytesIn) B, \(seconds) s, "
            + show.say("position", "جایگاه") + " \(summary.anchor))"
        return show.digits(in: parts.joined(separator: show.say(", ", "، "))) + console.quiet(show.digits(in: cost))
    }

    /// Says which records left the scope, by the names that they had before.
    static func explain(_ summary: SyncSummary, _ before: [String: String], _ place: Workplace) {
        let show = place.show
        let roots = summary.evicted.filter { key in
            if case .root? = place.schema.table(at: key.table)?.kind { true } else { false }
        }
        for key in roots.prefix(20) {
            guard let table = place.schema.table(at: key.table) else { continue }
            let id = key.record.description
            let name = before[id].map { "“\($0)”" } ?? String(id.prefix(8))
            Terminal.message(
                show.say(
                    "\(table.name) \(name) left your scope: it was moved, or your territories were changed.",
                    "\(table.name) \(name) از محدوده شما خارج شد: جابه‌جا شد یا منطقه‌های شما تغییر کرد."))
        }
        if roots.count > 20 {
            Terminal.message(show.say("… and \(roots.count - 20) more", "… و \(roots.count - 20) مورد دیگر"))
        }
        let others = summary.evicted.count - roots.count
        if others > 0 {
            Terminal.message(
                show.count(Int64(others), "record", "رکورد")
                    + show.say(" of contacts, activities and the like left with them.", " وابسته نیز همراه آن رفت."))
        }
        if summary.handedOff > 0 {
            Terminal.message(
                show.say(
                    "What you had changed there was merged and handed off to the new owner: peyk parked list --all",
                    "ویرایش‌های شما ادغام و به مسئول تازه واگذار شد: peyk parked list --all"))
        }
        if let reason = summary.newSite {
            let why =
                switch reason {
                case .copied: place.show.say("this is a copy of another replica", "این رونوشتی از نسخه دیگری است")
                case .restored: place.show.say("it was restored from an older image", "از تصویری قدیمی بازیابی شده است")
                case .newEpoch:
                    place.show.say("the server was restored from a backup", "سرور از پشتیبان بازیابی شده است")
                }
            Terminal.message(
                place.show.say(
                    "The server gave this replica a new identity, since \(why). What you had not sent is kept, and sent.",
                    "سرور شناسه تازه‌ای به این نسخه داد، چون \(why). آنچه نفرستاده بودید مانده است و فرستاده می‌شود."))
        }
        guard let status = try? place.replica.status() else { return }
        if summary.newSite == .newEpoch, status.lacking > 0 {
            Terminal.message(
                show.say(
                    "Missing on the restored server: \(show.count(status.lacking, "record", "رکورد")). What others wrote comes "
                        + "back when they sync; meanwhile: peyk parked list --all",
                    "آنچه سرورِ بازیابی‌شده ندارد: \(show.count(status.lacking, "record", "رکورد")). نوشتهٔ دیگران با "
                        + "همگام‌سازیِ آنان برمی‌گردد؛ تا آن هنگام: peyk parked list --all"))
        }
        if status.held > 0 {
            Terminal.message(
                show.say(
                    "A large deletion waits here and was not sent: look with “peyk pending”, send it with “peyk pending "
                        + "confirm”, or take it back with “peyk undo”.",
                    "حذف بزرگی اینجا مانده و فرستاده نشده است: با «peyk pending» ببینید، با «peyk pending confirm» "
                        + "بفرستید یا با «peyk undo» برگردانید."))
        }
    }

    /// Names of the records that may leave: they are gone when that is told.
    static func namesOfRoots(_ place: Workplace) throws -> [String: String] {
        var names: [String: String] = [:]
        for table in place.schema.ownTables {
            guard case .root = table.kind, let field = RecordNames.namingField(of: table) else { continue }
            for row in try place.rows("SELECT id, \(field.name) FROM \"\(table.name)\" LIMIT 50000", []) {
                if let id = row.first?.textValue, let name = row[1].textValue { names[id] = name }
            }
        }
        return names
    }
}
