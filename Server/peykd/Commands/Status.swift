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
        func text(_ key: String) -> String { Console.plain(status[key] ?? .null) }
        let show = console.show
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
            (show.say("Store", "حجم"), show.digits(in: "\(bytes / 1_048_576) MB")),
            (show.say("Epoch", "دوره"), String(text("epoch").prefix(8))),
            (show.say("Versions", "نسخه‌ها"), "peykd \(PeykdVersion.text), SQLite \(Database.libraryVersion)"),
        ]
        console.print(lines.map { (key: $0.0, label: $0.0, shown: $0.1, value: .string($0.1)) })
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

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check the directory, the keys, the store and the clock.",
        discussion: "Exits 78 when something is wrong. Example:  peykd doctor")
    @OptionGroup var place: DataOptions
    @OptionGroup var output: OutputOptions

    private struct Finding {
        let what: String
        let isGood: Bool
        let text: String
    }

    func run() throws {
        let client = try place.client()
        let installation = client.installation
        var findings = [permissions(installation)]
        findings.append(
            check("keys") {
                _ = try installation.readKeys(); return "readable, private"
            })
        findings.append(
            check("certificate") { "fingerprint \(try TLSIdentity(directory: installation.directory).fingerprint)" })
        findings.append(
            check("store") {
                try client.read { reader in
                    let result = try reader.rows("PRAGMA quick_check(5)", []).compactMap { $0.first?.textValue }
                    guard result == ["ok"] else { throw Failure(.inputOutput, result.joined(separator: "; ")) }
                    return "whole, \(Installation.bytes(of: installation) / 1_048_576) MB"
                }
            })
        findings.append(
            check("references") {
                let broken = try client.read { try $0.rows("PRAGMA foreign_key_check", []).count }
                guard broken == 0 else { throw Failure(.inputOutput, "\(broken) rows refer to rows that are missing") }
                return "none is missing"
            })
        findings.append(
            check("clock") {
                let last = try client.read { try $0.clockDocument().last.milliseconds }
                let behind = last - LocalTime.now()
                guard behind < 3_600_000 else {
                    throw Failure(
                        .configuration, "this machine's clock is \(behind / 60_000) minutes behind the last commit")
                }
                return Instant.iso(LocalTime.now())
            })
        findings.append(check("disk") { try disk(installation) })
        findings.append(
            check("server") { try client.send(.status)["network"] == nil ? "not running" : "running, and answers" })
        show(findings)
        if findings.contains(where: { !$0.isGood }) { throw ExitCode(Sysexit.configuration.rawValue) }
    }

    private func check(_ what: String, _ body: () throws -> String) -> Finding {
        do {
            return Finding(what: what, isGood: true, text: try body())
        } catch {
            return Finding(what: what, isGood: false, text: Failures.translate(error)?.message ?? "\(error)")
        }
    }

    private func permissions(_ installation: Installation) -> Finding {
        check("directory") {
            let facts = try FileManager.default.attributesOfItem(atPath: installation.directory)
            let mode = (facts[.posixPermissions] as? NSNumber)?.intValue ?? 0
            guard mode & 0o077 == 0 else {
                throw Failure(.configuration, "others may read it; run: chmod 700 \(installation.directory)")
            }
            return installation.directory
        }
    }

    private func disk(_ installation: Installation) throws -> String {
        let facts = try FileManager.default.attributesOfFileSystem(forPath: installation.directory)
        let free = (facts[.systemFreeSize] as? NSNumber)?.int64Value ?? 0
        guard free > 256 << 20 else { throw Failure(.inputOutput, "only \(free >> 20) MB are free") }
        return "\(free >> 20) MB free"
    }

    private func show(_ findings: [Finding]) {
        let console = output.console
        console.print(
            TextTable(
                ["Check", "State", "What was found"],
                rows: findings.map { [$0.what, $0.isGood ? "good" : "WRONG", $0.text] }),
            csv: [["check", "good", "found"]] + findings.map { [$0.what, $0.isGood ? "1" : "0", $0.text] },
            json: .array(
                findings.map { ["check": .string($0.what), "good": .bool($0.isGood), "found": .string($0.text)] }))
    }
}
