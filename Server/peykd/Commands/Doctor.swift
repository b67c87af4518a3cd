import ArgumentParser
import Foundation
import PeykCRM
import PeykConsole
import PeykModel
import PeykNet
import PeykServer
import PeykStoreSQLite

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check the directory, the keys, the store and the clock.",
        discussion: """
            Exits 78 when something is wrong.

            --bundle with --record writes what was decided about one record into a file for those who help, a line of \
            JSON each: who wrote it when, having seen what, and which rule decided. Values are replaced by words that \
            say nothing, but equal ones stay equal, so that “peykd replay” can make every decision again from the \
            file alone.

            Example:  peykd doctor
                      peykd doctor --bundle deal.jsonl --record opportunity/0198c2f1
            """)
    @OptionGroup var place: DataOptions
    @Option(help: ArgumentHelp("Write a bundle about --record.", valueName: "file")) var bundle: String?
    @Option(help: ArgumentHelp("The record of the bundle.", valueName: "table/id")) var record: String?
    @Flag(help: "Put the values into the bundle.") var values = false
    @OptionGroup var output: OutputOptions

    private struct Finding {
        let what: String
        let isGood: Bool
        let text: String
    }

    func validate() throws {
        guard (bundle == nil) == (record == nil) else { throw ValidationError("--bundle and --record go together.") }
    }

    func run() throws {
        let client = try place.client()
        if let bundle, let record { return try write(bundle, record, client) }
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
                let ahead = LocalTime.now() - last
                switch ClockStanding(now: LocalTime.now(), last: last) {
                case .behind:
                    throw Failure(
                        .configuration,
                        "this machine's clock is \(-ahead / 60_000) minutes behind the last commit; set it"
                    )
                case .farAhead:
                    throw Failure(
                        .configuration,
                        "this machine's clock is \(ahead / 86_400_000) days ahead of the last commit; if it is right, "
                            + "serve with --accept-clock")
                case .fine, .ahead: break
                }
                return Instant.iso(LocalTime.now())
            })
        findings.append(check("disk") { try disk(installation) })
        findings.append(check("history") { try history(client) })
        findings.append(check("backup") { try backup(client) })
        findings.append(
            check("server") { try client.send(.status)["network"] == nil ? "not running" : "running, and answers" })
        show(findings)
        if findings.contains(where: { !$0.isGood }) { throw ExitCode(Sysexit.configuration.rawValue) }
    }

    private func write(_ file: String, _ record: String, _ client: AdminClient) throws {
        guard let place = AdminRequest.RecordPlace(record) else {
            throw Failure(.usage, "“\(record)” names no record; it looks like customer/0198c2f1.")
        }
        let lines = try client.send(.bundle(place, withValues: values)).arrayValue ?? []
        let merges = lines.count { $0["line"] == "merge" }
        try Data(lines.map { $0.text + "\n" }.joined().utf8).write(to: URL(fileURLWithPath: file), options: .atomic)
        Terminal.message(
            "Written to \(file): \(merges) decisions, \(values ? "with" : "without") values. Try it: peykd replay \(file)"
        )
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

    /// Rule I5: whether a device has told that this store was put back.
    private func history(_ client: AdminClient) throws -> String {
        let (proof, refill) = try client.read { (try $0.rollback(), try RefillStatus($0)) }
        guard let proof else {
            guard let refill, refill.isOpen else { return "as devices know it" }
            return "restored; \(refill.awaited.count) devices have not come back, \(refill.waiting) commits wait"
        }
        throw Failure(
            .configuration,
            "rolled back: device \(proof.site.short) was sent position \(proof.lost), which this log does not have; stop "
                + "the server and run peykd restore --in-place")
    }

    /// Rule I10.
    private func backup(_ client: AdminClient) throws -> String {
        let (last, created) = try client.read {
            (try $0.backups().items.last?.time, try $0.workspaceDocument().createdAt)
        }
        guard LocalTime.now() - (last ?? created) <= BackupRule.warnAfter else {
            throw Failure(.configuration, "none for more than 30 days; run peykd backup FILE")
        }
        return last.map { "last of \(Instant.iso($0))" } ?? "none yet"
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
