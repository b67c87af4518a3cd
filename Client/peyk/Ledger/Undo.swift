import ArgumentParser
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica

struct Undo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Undo a commit by a new one with the former values.",
        discussion: """
            Without a commit, the last one made here. Refused where somebody has built on it, unless --force.

            Example:  peyk undo;  peyk undo 3f2a91c0-… --force
            """)

    @Argument(help: "The commit, as “pending” and “history” name it.") var commit: String?
    @Flag(help: "Overwrite what was built on it.") var force = false
    @OptionGroup var home: HomeOptions

    func run() async throws {
        let place = try home.open()
        let id = try commit.map { try Self.find($0, place) }
        let result = try place.replica.undo(id, force: force)
        place.tell(result)
        if place.console.format == .json {
            place.console.printJSON([
                "commit": result.commit.map { .string($0.description) } ?? .null,
                "changes": .integer(Int64(result.changes)),
            ])
        } else {
            place.console.say(
                place.show.say("Undone: ", "بازگردانده شد: ")
                    + place.show.count(Int64(result.changes), "record", "رکورد"))
        }
    }

    /// A commit by its id or the beginning of one.
    static func find(_ text: String, _ place: Workplace) throws -> CommitID {
        if let id = CommitID(text.lowercased()) { return id }
        let prefix = text.lowercased().filter { $0 != "-" }
        guard prefix.count >= 4, prefix.allSatisfy(\.isHexDigit) else {
            throw Failure(
                .usage, "“\(text)” is not the id of a commit, nor the beginning of one.",
                "«\(text)» شناسهٔ ثبت یا آغاز آن نیست.")
        }
        let found = try place.rows(
            """
            SELECT id FROM peyk_commit WHERE lower(hex(id)) LIKE CAST($1 AS TEXT) || '%'
            UNION SELECT commit_id FROM peyk_log WHERE lower(hex(commit_id)) LIKE CAST($1 AS TEXT) || '%' LIMIT 2
            """, [.text(prefix)]
        ).compactMap { row -> CommitID? in
            guard case .blob(let bytes)? = row.first else { return nil }
            return CommitID(bytes: bytes)
        }
        guard let first = found.first else {
            throw Failure(.noInput, "There is no commit “\(text)” in this replica.", "ثبت «\(text)» در این نسخه نیست.")
        }
        guard found.count == 1 else {
            throw Failure(
                .usage, "“\(text)” fits several commits. Say more of the id.",
                "«\(text)» به چند ثبت می‌خورد. شناسهٔ کامل‌تری بدهید.")
        }
        return first
    }
}
