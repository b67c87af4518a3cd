import ArgumentParser
import Foundation
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica
import PeykSync
import Synchronization

struct Sync: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Send what was changed here, and receive what others changed.",
        discussion: "Safe to stop at any moment.\n\nExample:  peyk sync;  peyk sync --plan;  peyk sync --watch")

    @Flag(help: "Show what would go up, come down, clash or leave, and change nothing.") var plan = false
    @Flag(help: "Stay connected until stopped with ctrl-c.") var watch = false
    @Option(help: ArgumentHelp("Give up after so many seconds.", valueName: "seconds")) var timeout: Double?
    @OptionGroup var home: HomeOptions

    func validate() throws {
        if plan, watch { throw ValidationError("Choose one of --plan and --watch.") }
        if let timeout, !(timeout > 0 && timeout < 1_000_000) {
            throw ValidationError("--timeout is a number of seconds above 0.")
        }
    }

    func run() async throws {
        let place = try home.open()
        let client = try SyncClient(replica: place.replica, options: SyncWork.options(timeout: timeout))
        if plan { return try await showPlan(client, place) }
        if watch { return try await stay(client, place.console) }
        let before = try SyncWork.namesOfRoots(place)
        let (bar, report) = SyncWork.progress(place.show)
        defer { bar.finish() }
        let summary = try await client.sync(report: report)
        bar.finish()
        SyncWork.report(summary, place.console)
        SyncWork.explain(summary, before, place)
    }

    private func showPlan(_ client: SyncClient, _ place: Workplace) async throws {
        let plan = try await client.plan()
        let show = place.show
        func list(_ counts: SyncPlan.Counts) -> String {
            let parts = counts.sorted { $0.key < $1.key }.map { "\($0.key) \(show.number($0.value))" }
            return parts.isEmpty ? show.say("nothing", "هیچ") : parts.joined(separator: ", ")
        }
        let names = place.names()
        func records(_ keys: [RecordKey]) -> String {
            let parts = keys.prefix(10).compactMap { key in
                place.schema.table(at: key.table).map {
                    "\($0.name) “\(names.name(of: key.record.description, in: $0))”"
                }
            }
            let more = keys.count > 10 ? ", … \(keys.count)" : ""
            return parts.isEmpty ? show.say("nothing", "هیچ") : parts.joined(separator: ", ") + more
        }
        guard place.console.format == .table else { return place.console.printJSON(plan.json) }
        place.console.print([
            ("up", show.say("Would go up", "ارسال"), list(plan.up), .null),
            (
                "down", show.say("Would come down", "دریافت"),
                plan.needsPages ? show.say("whole tables", "جدول‌های کامل") : list(plan.down), .null
            ),
            ("clashes", show.say("Would clash", "تعارض"), records(plan.clashes), .null),
            ("leaving", show.say("Would leave", "خروج از محدوده"), records(plan.leaving), .null),
        ])
        if plan.isPartial { Terminal.message(show.say("There is more than was looked at.", "بیش از این هم هست.")) }
    }

    private func stay(_ client: SyncClient, _ console: Console) async throws {
        let view = WatchView(console)
        let task = Task {
            try await client.watch { event in view.show(event) }
        }
        signal(SIGINT, SIG_IGN)
        signal(SIGTERM, SIG_IGN)
        let sources = [SIGINT, SIGTERM].map { number in
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { task.cancel() }
            source.resume()
            return source
        }
        defer { for source in sources { source.cancel() } }
        do { try await task.value } catch is CancellationError {}
    }
}

/// Tells what happens while `sync --watch` stays connected: a line each, or a document a line in JSON. Nothing is
/// said twice.
final class WatchView: Sendable {
    private struct Last: Equatable {
        var position: Position = 0
        var pushed: Int64 = 0
    }

    private let console: Console
    private let last = Mutex(Last())

    init(_ console: Console) { self.console = console }

    func show(_ event: WatchEvent) {
        let say = console.show
        switch event {
        case .connected: line(["event": "connected"], say.say("Connected.", "متصل شد."))
        case .waiting(let seconds, let failure):
            line(
                ["event": "waiting", "seconds": .double(seconds), "why": .string(failure.description)],
                failure.description
                    + say.say(" Trying again in \(Int(seconds)) s.", " تلاش دوباره پس از \(Int(seconds)) ثانیه."))
        case .postponed(let seconds):
            line(
                ["event": "postponed", "seconds": .double(seconds)],
                say.say(
                    "The server has no room for changes; yours are safe here and are sent again in \(Int(seconds)) s.",
                    "سرور جای خالی ندارد؛ ویرایش‌ها اینجا امن‌اند و پس از \(Int(seconds)) ثانیه دوباره فرستاده می‌شوند."))
        case .progress(let progress):
            let now = Last(position: progress.position, pushed: progress.pushed)
            let isNews = last.withLock { last in
                defer { last = now }
                return last != now
            }
            guard isNews, progress.phase == .done || progress.position >= progress.head else { return }
            line(
                [
                    "event": "synced", "position": .integer(progress.position), "pushed": .integer(progress.pushed),
                    "bytes_in": .integer(progress.bytesIn), "bytes_out": .integer(progress.bytesOut),
                ],
                say.say("Position ", "جایگاه ") + say.number(progress.position) + say.say(", sent ", "، ارسال ")
                    + say.number(progress.pushed))
        }
    }

    private func line(_ json: JSON, _ text: String) {
        Terminal.write((console.format == .json ? json.text : text) + "\n")
    }
}
