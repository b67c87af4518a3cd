import ArgumentParser
import Foundation
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica

struct Leave: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Forget the workspace: delete this replica and its device key.",
        discussion: """
            Refused while something here is not on the server, unless --force. Other files in the folder stay.

            Example:  peyk sync && peyk leave
            """)

    @Flag(help: "Also where unsent or refused changes would be lost.") var force = false
    @Flag(name: .shortAndLong, help: "Do not ask.") var yes = false
    @OptionGroup var home: HomeOptions

    func run() async throws {
        let place = try home.open()
        let facts = try place.replica.status()
        guard force || facts.pending + facts.parked == 0 else {
            throw Failure(
                .usage,
                "\(place.show.count(facts.pending, "commit", "ثبت")) not sent, \(facts.parked) parked. Nothing was deleted: "
                    + "run “peyk sync”, look at “peyk parked”, or use --force to lose them.",
                "\(facts.pending) ثبت فرستاده نشده و \(facts.parked) تغییر کنار گذاشته شده است. چیزی حذف نشد: «peyk sync» را اجرا کنید، "
                    + "«peyk parked» را ببینید، یا با --force از آن‌ها بگذرید.")
        }
        if !yes, Terminal.canAsk,
            !Terminal.confirm("Delete the replica of \(facts.workspace) in \(home.path)?")
        {
            throw Failure(.usage, "Nothing was deleted.", "چیزی حذف نشد.")
        }
        try place.replica.close()
        let keys = try FileManager.default.contentsOfDirectory(atPath: home.path).filter {
            $0.hasPrefix("device.key.")
        }
        for name in [
            "replica.sqlite", "replica.sqlite-wal", "replica.sqlite-shm", "replica.lock", "session.lock",
            "session.request", "device.key",
        ] + keys {
            let path = home.path + "/" + name
            if FileManager.default.fileExists(atPath: path) { try FileManager.default.removeItem(atPath: path) }
        }
        try? FileManager.default.removeItemIfEmpty(home.path)
        home.console.say("Left \(facts.workspace).")
        if home.console.format == .json { home.console.printJSON(["left": .string(facts.workspace)]) }
    }
}

extension FileManager {
    /// Removes a folder that has nothing in it.
    fileprivate func removeItemIfEmpty(_ path: String) throws {
        if try contentsOfDirectory(atPath: path).isEmpty { try removeItem(atPath: path) }
    }
}
