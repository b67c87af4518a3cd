import ArgumentParser
import Foundation
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica
import PeykSync
import PeykTransport

struct Join: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Enrol this device with an invite from IT, and fetch your data.",
        discussion: """
            An invite works once, for a short time. For scripts, hand it over in a file or on standard input, where
            other users of the machine cannot see it.

            Examples:  peyk join 'peyk://crm.example.com:7300/acme#CODE.FINGERPRINT'
                       peyk join --invite-file invite.txt --device-name 'Sara, tablet'
                       echo "$INVITE" | peyk join -
            """)

    @Argument(help: "The invite; - reads it from standard input.") var invite: String?
    @Option(help: ArgumentHelp("A file with the invite.", valueName: "file")) var inviteFile: String?
    @Option(help: "What IT sees this device as; else the machine’s name.") var deviceName: String?
    @Flag(help: "Without encryption: only to a server on this machine.") var insecure = false
    @OptionGroup var home: HomeOptions

    func validate() throws {
        guard (invite == nil) != (inviteFile == nil) else {
            throw ValidationError("Give the invite, - for standard input, or --invite-file FILE.")
        }
    }

    func run() async throws {
        let console = home.console
        let invite: InviteURL
        do { invite = try InviteURL(parsing: try text()) } catch let error as InviteError {
            throw Failure(.usage, "\(error)")
        }
        var options = SyncWork.options(timeout: nil)
        options.allowsPlaintext = insecure
        let name = deviceName ?? ProcessInfo.processInfo.hostName
        let (bar, report) = SyncWork.progress(console.show, first: true)
        defer { bar.finish() }
        let (client, summary) = try await SyncClient.join(
            home: home.path, invite: invite, deviceName: name, options: options, report: report)
        bar.finish()
        let facts = try client.replica.facts()
        console.say(
            console.show.say(
                "Joined \(invite.workspace) as \(facts?.userName ?? "") (\(facts?.role.rawValue ?? "")).",
                "به \(invite.workspace) پیوستید: \(facts?.userName ?? "")."))
        SyncWork.report(summary, console)
    }

    private func text() throws -> String {
        let raw: String
        if let inviteFile {
            do { raw = try String(contentsOf: URL(filePath: inviteFile), encoding: .utf8) } catch {
                throw Failure(
                    .noInput, "The file \(inviteFile) cannot be read. Nothing was changed.",
                    "پروندهٔ \(inviteFile) خوانده نشد. چیزی تغییر نکرد.")
            }
        } else if invite == "-" {
            raw = String(decoding: FileHandle.standardInput.readDataToEndOfFile(), as: UTF8.self)
        } else {
            raw = invite ?? ""
        }
        // The line that IT sent may have words around the invite.
        let words = raw.split(whereSeparator: \.isWhitespace)
        return String(words.first { $0.hasPrefix("peyk://") } ?? words.first ?? "")
    }
}
