import ArgumentParser
import Foundation
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica
import PeykSync
import PeykTransport

struct Doctor: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check clock, disk, files, schema and server, and say what to do.",
        discussion: """
            --bundle writes what IT needs to help into a file, a line of JSON each: versions, counts, states, and
            what waits or was refused, by name. Values of records are replaced by words that say nothing.

            Example:  peyk doctor;  peyk doctor --bundle peyk-doctor.json
            """)

    @Option(help: ArgumentHelp("Write a report for IT, values left out.", valueName: "file")) var bundle: String?
    @Flag(help: "Do not try to reach the server.") var offline = false
    @OptionGroup var home: HomeOptions

    func run() async throws {
        let console = home.console
        var checks = Checkup(show: console.show)
        checks.files(home.path)
        var status: ReplicaStatus?
        var opened: Workplace?
        do {
            let place = try home.open()
            opened = place
            let found = try place.replica.status()
            status = found
            checks.replica(place, found)
            if !offline { await checks.server(place) }
        } catch {
            let failure = Failures.translate(error)
            checks.add("replica", .bad, failure?.message ?? "\(error)")
        }
        console.print(
            TextTable(
                [console.show.say("Check", "بررسی"), "", console.show.say("Found", "یافته")],
                rows: checks.all.map { [$0.name, $0.mark(console), $0.found] }),
            csv: [["check", "state", "found"]] + checks.all.map { [$0.name, $0.state.rawValue, $0.found] },
            json: checks.json)
        if let bundle { try write(bundle, checks, status, opened) }
        if checks.all.contains(where: { $0.state == .bad }) { throw Failure(.configuration, "") }
    }

    private func write(_ path: String, _ checks: Checkup, _ status: ReplicaStatus?, _ place: Workplace?) throws {
        var lines = [SupportBundle.header(checks: checks.json, status)]
        if let place { lines += try SupportBundle.lines(place) }
        do {
            try Data(lines.map { $0.text + "\n" }.joined().utf8).write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw Failure(system: error) ?? Failure(.cannotCreate, "\(path) could not be written.")
        }
        Terminal.message("Written to \(path); it has no values of your records.")
    }
}

/// What `doctor` looks at.
struct Checkup {
    enum State: String { case good, look, bad }

    struct Check {
        let name: String
        let state: State
        let found: String

        func mark(_ console: Console) -> String {
            switch state {
            case .good: console.format == .table ? "ok" : "good"
            case .look: "look"
            case .bad: "BAD"
            }
        }
    }

    let show: Presentation
    private(set) var all: [Check] = []

    init(show: Presentation) { self.show = show }

    mutating func add(_ name: String, _ state: State, _ found: String) {
        all.append(Check(name: name, state: state, found: found))
    }

    var json: JSON {
        .array(
            all.map { ["check": .string($0.name), "state": .string($0.state.rawValue), "found": .string($0.found)] })
    }

    mutating func files(_ home: String) {
        let manager = FileManager.default
        func mode(_ path: String) -> Int? {
            (try? manager.attributesOfItem(atPath: path))?[.posixPermissions].flatMap { ($0 as? NSNumber)?.intValue }
        }
        guard manager.fileExists(atPath: Replica.databasePath(home)) else {
            return add("files", .bad, "There is no replica in \(home). Join a workspace first.")
        }
        let key = Replica.deviceKeyPath(home)
        switch mode(key) {
        case nil:
            add(
                "device key", .bad,
                "It is missing: this device cannot sync. Put it back from a copy of the folder; copy the folder before "
                    + "anything else, unsent changes are only there.")
        case let mode? where mode & 0o077 != 0:
            add("device key", .bad, "Others on this machine may read it. Run: chmod 600 \(key)")
        default: add("device key", .good, "present, readable by you alone")
        }
        if let free = (try? manager.attributesOfFileSystem(forPath: home))?[.systemFreeSize].flatMap({
            ($0 as? NSNumber)?.int64Value
        }) {
            let megabytes = free >> 20
            add("disk", megabytes < 200 ? .bad : megabytes < 1000 ? .look : .good, "\(show.number(megabytes)) MB free")
        }
        let sizes = ["", "-wal"].compactMap { suffix in
            (try? manager.attributesOfItem(atPath: Replica.databasePath(home) + suffix))?[.size]
                .flatMap { ($0 as? NSNumber)?.int64Value }
        }
        add("size", sizes.last ?? 0 > 1 << 28 ? .look : .good, "\(show.number(sizes.reduce(0, +) >> 10)) KB")
    }

    mutating func replica(_ place: Workplace, _ status: ReplicaStatus) {
        let integrity = (try? place.rows("PRAGMA quick_check(1)", []))?.first?.first?.textValue
        add(
            "database", integrity == "ok" ? .good : .bad,
            integrity == "ok" ? "SQLite \(Replica.sqliteVersion), intact" : integrity ?? "cannot be checked")
        let orphans = (try? place.rows("SELECT COUNT(*) FROM pragma_foreign_key_check", []))?.first?.first?.integerValue
        add("references", orphans == 0 ? .good : .bad, orphans == 0 ? "all hold" : "\(orphans ?? -1) do not hold")
        if status.isLoading { add("first sync", .look, "It has not ended; run “peyk sync”.") }
        let missing = (try? place.replica.missingParts()) ?? []
        add(
            "schema", missing.isEmpty ? .good : .bad,
            missing.isEmpty
                ? "version \(status.schemaVersion), \(place.schema.ownTables.count) tables"
                : "another program dropped \(missing.prefix(3).joined(separator: ", "))"
                    + (missing.count > 3 ? " and \(missing.count - 3) more" : "")
                    + "; what was written since may not be noticed. Sync what “peyk pending” lists, keep a copy of the folder, "
                    + "and join anew in another folder (--home)")
        clock(status.clockOffset, "at the last sync")
        add("unsent", status.held > 0 ? .look : .good, "\(status.pending) commits, \(status.held) held")
        add(
            "refused", status.parked > 0 ? .look : .good,
            "\(status.parked)" + (status.parked > 0 ? ": peyk parked" : ""))
        add(
            "conflicts", status.conflictsOpen > 0 ? .look : .good,
            "\(status.conflictsOpen) open" + (status.conflictsOpen > 0 ? ": peyk conflicts" : ""))
        let days = status.lastSync.map { (LocalTime.now() - $0) / 86_400_000 }
        add(
            "last sync", days.map { $0 > 7 } ?? true ? .look : .good,
            status.lastSync.map { show.instant($0) } ?? "never")
    }

    /// What is measured later takes the place of what was known before.
    private mutating func clock(_ offset: Int64, _ when: String) {
        let isWrong = offset.magnitude > 3_600_000
        let check = Check(
            name: "clock", state: isWrong ? .look : .good,
            found: "against the server’s: \(show.clockOffset(offset)), \(when)"
                + (isWrong ? "; set this machine’s clock" : ""))
        if let index = all.firstIndex(where: { $0.name == check.name }) {
            all[index] = check
        } else {
            all.append(check)
        }
    }

    mutating func server(_ place: Workplace) async {
        do {
            let client = try SyncClient(replica: place.replica, options: SyncWork.options(timeout: 15))
            let plan = try await client.plan()
            clock(plan.clockOffset, "now")
            add("server", .good, "reached, key as pinned; \(plan.commitsUp) commits would go up")
        } catch let error as SyncFailure {
            add("server", error.isPassing ? .look : .bad, error.description)
        } catch {
            add("server", .bad, "\(error)")
        }
    }
}
