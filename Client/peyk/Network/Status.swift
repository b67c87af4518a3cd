import ArgumentParser
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica
import PeykSession

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
        let identity = identity(status, show)
        let lacking = show.say(
            "\(number(status.lacking)) that the restored server does not have yet  (peyk parked list --all)",
            "\(number(status.lacking)) رکورد هنوز در سرور بازیابی‌شده نیست  (peyk parked list --all)")
        let role = status.role?.rawValue ?? ""
        place.console.print([
            ("workspace", show.say("Workspace", "فضای کار"), status.workspace, .string(status.workspace)),
            ("user", show.say("User", "کاربر"), status.userName, .string(status.userName)),
            ("role", show.say("Role", "نقش"), role, .string(role)),
            ("device", show.say("Device", "دستگاه"), device, .string(device)),
            ("site", show.say("Site", "نسخه"), status.site.short, .string(status.site.description)),
            ("identity", show.say("Identity", "شناسه"), identity.text, identity.json),
            ("server", show.say("Server", "سرور"), status.server, .string(status.server)),
            (
                "last_backup", show.say("Server's backup", "پشتیبان سرور"), backup(status, place),
                status.lastBackup > 0 ? .string(Instant.iso(status.lastBackup)) : .null
            ),
            (
                "lacking", show.say("Missing records", "رکوردهای ناموجود"), status.lacking > 0 ? lacking : number(0),
                .integer(status.lacking)
            ),
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
                "clock_offset_ms", show.say("Clock offset", "اختلاف ساعت"), show.clockOffset(status.clockOffset),
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

    /// In plain words why this replica is not the one that joined (rule I3).
    private func identity(_ status: ReplicaStatus, _ show: Presentation) -> (text: String, json: JSON) {
        guard let new = status.newIdentity else { return (show.say("as joined", "همان نسخهٔ نخست"), .null) }
        let why =
            switch new.reason {
            case .copied:
                show.say(
                    "this is a copy of another replica; it got an identity of its own",
                    "این رونوشتی از نسخهٔ دیگری است و شناسهٔ خود را گرفت")
            case .restored:
                show.say(
                    "this was restored from an older image; it got a new identity",
                    "این از تصویری قدیمی بازیابی شده است و شناسهٔ تازه گرفت")
            case .newEpoch:
                show.say(
                    "the server was restored from a backup; every replica got a new identity",
                    "سرور از پشتیبان بازیابی شد و هر نسخه شناسهٔ تازه گرفت")
            }
        let json: JSON = [
            "reason": .string("\(new.reason)"), "former_site": .string(new.former.description),
            "at": .string(Instant.iso(new.at)),
        ]
        return (why + "  (" + show.instant(new.at) + ")", json)
    }

    private func backup(_ status: ReplicaStatus, _ place: Workplace) -> String {
        let show = place.show
        let last = status.lastBackup > 0 ? show.instant(status.lastBackup) : show.say("never", "هرگز")
        guard status.lacksBackup(now: place.replica.environment.now()) else { return last }
        return last
            + place.console.warning(
                show.say(
                    "  The server has had no backup for 30 days; please tell your administrator.",
                    "  سرور سی روز است پشتیبان ندارد؛ به مدیر سیستم بگویید."))
    }
}
