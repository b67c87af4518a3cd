import ArgumentParser
import Foundation
import PeykCRM
import PeykConsole
import PeykModel
import PeykNet
import PeykSQLite
import PeykServer
import PeykStoreSQLite

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "How the workspace and its server are.",
        discussion: "Example:  peykd status --format json")
    @OptionGroup var place: DataOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let client = try place.client()
        let status = try client.send(.status)
        let console = output.console
        let bytes = Installation.bytes(of: client.installation)
        let network = status["network"] ?? .null
        let isServing = network != .null
        guard console.format == .table else {
            var members = Columns.withISOTimes(status).objectValue ?? [:]
            members["serving"] = .bool(isServing)
            members["network"] = network
            members["store_bytes"] = .integer(bytes)
            members["version"] = .string(PeykdVersion.text)
            members["sqlite_version"] = .string(Database.libraryVersion)
            if console.format == .json { return console.printJSON(.object(members)) }
            return console.print(members.sorted { $0.key < $1.key }.map { ($0.key, $0.key, "", $0.value) })
        }
        let show = console.show
        func text(_ key: String) -> String {
            status[key]?.integerValue.map { show.number($0) } ?? Console.plain(status[key] ?? .null)
        }
        let retention = status["retention"] ?? .null
        let sessions = network["sessions"]?.arrayValue ?? []
        let lines: [(String, String)] = [
            (show.say("Workspace", "فضای کاری"), text("workspace")),
            (
                show.say("Server", "سرور"),
                isServing
                    ? show.say("running, \(sessions.count) devices connected", "روشن، \(sessions.count) دستگاه متصل")
                    : show.say("not running", "خاموش")
            ),
            (show.say("Log head", "سر گزارش"), show.number(status["head"]?.integerValue ?? 0)),
            (show.say("Last commit", "آخرین ثبت"), show.instant(status["last_stamp"]?.integerValue ?? 0)),
            (show.say("Schema version", "نسخه طرح‌واره"), text("schema_version")),
            (show.say("Users, devices", "کاربران، دستگاه‌ها"), "\(text("users")), \(text("devices"))"),
            (show.say("Declared unsynced edits", "ویرایش‌های همگام‌نشده"), text("pending_declared")),
            (show.say("Open conflicts", "تعارض‌های باز"), text("conflicts_open")),
            (
                show.say("Outcomes, deleted records", "رویدادها، حذف‌شده‌ها"),
                "\(show.number(retention["log_entries"]?.integerValue ?? 0)), "
                    + show.number(retention["tombstones"]?.integerValue ?? 0)
            ),
            (show.say("In quarantine", "در قرنطینه"), text("quarantined")),
            (show.say("Last backup", "آخرین پشتیبان"), backup(status, console)),
            (show.say("Waiting commits", "ثبت‌های در انتظار"), text("waiting")),
            (show.say("Refill", "بازپرسازی"), refill(status, console)),
            (show.say("Store", "حجم"), store(bytes, status, client.installation, console)),
            (show.say("Epoch", "دوره"), String(text("epoch").prefix(8))),
            (show.say("Versions", "نسخه‌ها"), "peykd \(PeykdVersion.text), SQLite \(Database.libraryVersion)"),
        ]
        console.print(lines.map { (key: $0.0, label: $0.0, shown: $0.1, value: .string($0.1)) })
    }
}

extension StatusCommand {
    /// Rule I10.
    private func backup(_ status: JSON, _ console: Console) -> String {
        let time = status["last_backup"]?.integerValue
        let shown = time.map { console.show.instant($0) } ?? console.show.say("never", "هرگز")
        guard status["backup_due"]?.boolValue == true else { return shown }
        return console.warning(shown + console.show.say(": run peykd backup", "؛ پشتیبان بگیرید: peykd backup"))
    }

    /// The store's size, and whether the disk has room for more.
    private func store(_ bytes: Int64, _ status: JSON, _ installation: Installation, _ console: Console) -> String {
        let show = console.show
        let size = show.digits(in: "\(bytes / 1_048_576) MB")
        guard let free = LoadOptions.freeBytes(installation.directory) else { return size }
        let room = show.number(free / 1_048_576)
        guard status["network"]?["disk_full"]?.boolValue == true || free < 1 << 20 else {
            return size + show.say(", \(room) MB free", "، \(room) MB آزاد")
        }
        return console.warning(
            size + show.say(", DISK FULL: pushes wait, make room", "، دیسک پر است: جا باز کنید"))
    }

    /// Rules I5 and I8.
    private func refill(_ status: JSON, _ console: Console) -> String {
        if status["rolled_back"] ?? .null != .null {
            return console.warning(
                console.show.say("ROLLED BACK: run peykd restore --in-place", "عقب‌گرد: peykd restore --in-place"))
        }
        guard let refill = status["refill"], refill["open"]?.boolValue == true else {
            return console.show.say("none open", "باز نیست")
        }
        let awaited = refill["awaited"]?.arrayValue ?? []
        let begun = Int64(awaited.count { $0["begun"]?.boolValue == true })
        let show = console.show
        let missing = show.number(Int64(awaited.count) - begun)
        var text = show.say("open, \(missing) devices to come back", "باز، \(missing) دستگاه نیامده")
        if begun > 0 {
            let count = show.number(begun)
            text += show.say(", \(count) to sync once more", "، \(count) دستگاه یک همگام‌سازی دیگر")
        }
        return console.warning(text)
    }
}

extension Installation {
    static func bytes(of installation: Installation) -> Int64 {
        ["", "-wal"].reduce(0) { sum, suffix in
            let facts = try? FileManager.default.attributesOfItem(atPath: installation.store + suffix)
            return sum + ((facts?[.size] as? NSNumber)?.int64Value ?? 0)
        }
    }
}
