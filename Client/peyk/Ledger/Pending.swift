import ArgumentParser
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica

struct Pending: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What was changed here and is not on the server yet.",
        discussion: "Example:  peyk pending;  peyk pending confirm",
        subcommands: [List.self, Confirm.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the commits that wait to be sent.", discussion: "Example:  peyk pending list --format json")
        @Option(help: "At most so many.") var limit: Int = 1000
        @OptionGroup var home: HomeOptions

        func run() async throws {
            let place = try home.open()
            let commits = try place.replica.pendingCommits(limit: limit)
            guard !commits.isEmpty || place.console.format != .table else {
                place.console.say(place.show.say("Nothing waits to be sent.", "چیزی در انتظار ارسال نیست."))
                return
            }
            let names = place.names()
            place.console.print(
                TextTable(
                    [
                        place.show.say("Commit", "ثبت"), place.show.say("When", "زمان"),
                        place.show.say("State", "وضعیت"), place.show.say("Edits", "ویرایش‌ها"),
                        place.show.say("What", "چه"),
                    ], alignments: [.left, .left, .left, .right],
                    rows: commits.map { commit in
                        let first = commit.changes.first.map { title($0, names, place) } ?? operations(commit)
                        let more = commit.changes.count > 1 ? " +\(commit.changes.count - 1)" : ""
                        return [
                            String(commit.id.description.prefix(8)), place.show.instant(commit.stamp.milliseconds),
                            commit.state.rawValue, place.show.number(Int64(commit.changes.count)), first + more,
                        ]
                    }),
                csv: [["commit", "when", "state", "edits"]]
                    + commits.map {
                        [
                            $0.id.description, Instant.iso($0.stamp.milliseconds), $0.state.rawValue,
                            String($0.changes.count),
                        ]
                    },
                json: .array(commits.map { json($0, place.schema) }))
        }

        private func operations(_ commit: PendingCommit) -> String {
            commit.operations.map(\.kind.rawValue).joined(separator: ", ")
        }

        private func title(_ change: PendingCommit.RecordChange, _ names: RecordNames, _ place: Workplace) -> String {
            guard let table = place.schema.table(named: change.table) else { return change.table }
            let verb =
                switch change.kind {
                case .insert: place.show.say("add", "افزودن")
                case .update: place.show.say("change", "تغییر")
                case .delete: place.show.say("delete", "حذف")
                }
            let fields = change.kind == .update ? ": " + change.fields.map(\.field).joined(separator: ", ") : ""
            return "\(verb) \(change.table) “\(names.name(of: change.record.description, in: table))”\(fields)"
        }

        private func json(_ commit: PendingCommit, _ schema: Schema) -> JSON {
            [
                "commit": .string(commit.id.description), "seq": commit.seq > 0 ? .integer(commit.seq) : .null,
                "when": .string(Instant.iso(commit.stamp.milliseconds)), "state": .string(commit.state.rawValue),
                "operations": .array(commit.operations.map { .string($0.kind.rawValue) }),
                "changes": .array(
                    commit.changes.map { change in
                        [
                            "table": .string(change.table), "record": .string(change.record.description),
                            "kind": change.kind == .insert ? "insert" : change.kind == .update ? "update" : "delete",
                            "fields": .array(
                                change.fields.map {
                                    [
                                        "field": .string($0.field), "before": $0.before.map { JSON($0) } ?? .null,
                                        "after": JSON($0.after),
                                    ]
                                }),
                        ]
                    }),
            ]
        }
    }

    struct Confirm: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Release commits that wait because they delete a lot.",
            discussion: "Example:  peyk pending confirm")
        @OptionGroup var home: HomeOptions

        func run() async throws {
            let place = try home.open()
            let count = try place.replica.confirmPending()
            if place.console.format == .json {
                place.console.printJSON(["confirmed": .integer(Int64(count))])
            } else {
                place.console.say(
                    count == 0
                        ? place.show.say("Nothing was waiting for this.", "چیزی در انتظار تأیید نبود.")
                        : place.show.count(Int64(count), "commit", "ثبت")
                            + place.show.say(" can go with the next sync.", " با همگام‌سازی بعدی می‌رود."))
            }
        }
    }
}
