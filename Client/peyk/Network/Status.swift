import ArgumentParser
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what this replica has not sent or settled yet, and where it stands.",
        discussion: "Reads only: safe beside a running sync.\n\nExample:  peyk status --format json")

    @OptionGroup var home: HomeOptions

    func run() async throws {
        let place = try home.open()
        let status = try place.replica.status()
        let device = try place.replica.facts()?.deviceName ?? ""
        let show = place.show
        func number(_ value: Int64) -> String { show.number(value) }
        let role = status.role?.rawValue ?? ""
        place.console.print([
            ("workspace", show.say("Workspace", "فضای کار"), status.workspace, .string(status.workspace)),
            ("user", show.say("User", "کاربر"), status.userName, .string(status.userName)),
            ("role", show.say("Role", "نقش"), role, .string(role)),
            ("device", show.say("Device", "دستگاه"), device, .string(device)),
            ("site", show.say("Site", "نسخه"), status.site.short, .string(status.site.description)),
            ("server", show.say("Server", "سرور"), status.server, .string(status.server)),
            ("pending", show.say("Not sent", "ارسال‌نشده"), number(status.pending), .integer(status.pending)),
            (
                "held", show.say("Held", "نگه‌داشته"),
                number(status.held) + (status.held > 0 ? "  (peyk pending confirm)" : ""), .integer(status.held)
            ),
            (
                "parked", show.say("Refused", "ردشده"),
                number(status.parked) + (status.parked > 0 ? "  (peyk parked)" : ""), .integer(status.parked)
            ),
            (
                "conflicts_open", show.say("Open conflicts", "تعارض باز"),
                number(status.conflictsOpen) + (status.conflictsOpen > 0 ? "  (peyk conflicts)" : ""),
                .integer(status.conflictsOpen)
            ),
            (
                "last_sync", show.say("Last sync", "آخرین همگام‌سازی"),
                status.lastSync.map { show.instant($0) } ?? show.say("never", "هرگز"),
                status.lastSync.map { .string(Instant.iso($0)) } ?? .null
            ),
            ("anchor", show.say("Position", "جایگاه"), number(status.anchor), .integer(status.anchor)),
            (
                "epoch", show.say("Epoch", "دوره"), String((status.epoch?.description ?? "–").prefix(8)),
                status.epoch.map { .string($0.description) } ?? .null
            ),
            (
                "clock_offset_ms", show.say("Clock offset", "اختلاف ساعت"), number(status.clockOffset) + " ms",
                .integer(status.clockOffset)
            ),
            (
                "scope", show.say("Scope", "محدوده"), place.words(for: status.scope),
                .array(status.scope.buckets.map { .string($0.text) })
            ),
            (
                "schema_version", show.say("Schema", "طرح‌واره"), number(status.schemaVersion),
                .integer(status.schemaVersion)
            ),
            ("version", show.say("Program", "برنامه"), PeykVersion.text, .string(PeykVersion.text)),
        ])
    }
}
