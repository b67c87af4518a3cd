import ArgumentParser
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica

struct Parked: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What the server refused, why, and what to do with it.",
        discussion:
            "Nothing of it is lost: it stands here until you retry, edit or discard it.\n\nExample:  peyk parked;  peyk parked retry 3",
        subcommands: [List.self, Show.self, Retry.self, Edit.self, Discard.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List what is refused or parked.", discussion: "Example:  peyk parked list --all")
        @Flag(help: "Also what was settled, and notices.") var all = false
        @OptionGroup var home: HomeOptions

        func run() async throws {
            let place = try home.open()
            let issues = try place.replica.issues(in: all ? nil : .open)
            guard !issues.isEmpty || place.console.format != .table else {
                place.console.say(place.show.say("Nothing is parked.", "چیزی کنار گذاشته نشده است."))
                return
            }
            let view = IssueView(place: place)
            place.console.print(
                TextTable(
                    [
                        place.show.say("No.", "شماره"), place.show.say("When", "زمان"), place.show.say("What", "چه"),
                        place.show.say("Why", "چرا"),
                    ], alignments: [.right],
                    rows: issues.map { issue in
                        [
                            String(issue.id), place.show.instant(issue.createdAt), view.title(issue),
                            view.why(issue),
                        ]
                    }),
                csv: [["id", "state", "code", "table", "record", "detail", "created_at"]]
                    + issues.map {
                        [
                            String($0.id), $0.state.rawValue, $0.code.rawValue, $0.table ?? "",
                            $0.record?.description ?? "", $0.detail, Instant.iso($0.createdAt),
                        ]
                    },
                json: .array(issues.map(view.json)))
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show one with all its values.", discussion: "Example:  peyk parked show 3")
        @Argument(help: "Its number.") var id: Int64
        @OptionGroup var home: HomeOptions

        func run() async throws {
            let place = try home.open()
            let issue = try place.replica.issue(id)
            let view = IssueView(place: place)
            guard place.console.format == .table else { return place.console.printJSON(view.json(issue)) }
            place.console.say(place.console.headline(view.title(issue)))
            place.console.say("  " + view.why(issue))
            if !issue.detail.isEmpty, issue.detail != view.why(issue) { place.console.say("  " + issue.detail) }
            place.console.say("  " + place.show.instant(issue.createdAt) + " · \(issue.state.rawValue)")
            if let change = issue.change {
                for line in ChangeText(place: place, names: place.names()).lines(change) {
                    place.console.say("  " + line)
                }
            } else if let row = issue.base, let table = issue.table.flatMap({ place.schema.table(named: $0) }) {
                let record = place.view(table, place.names())
                for field in table.fields.indices where !row[field].isNull && !record.isCurrency(field) {
                    place.console.say("  " + record.labelled([field], of: row))
                }
            }
            if issue.canBeWrittenAgain {
                place.console.say(
                    "\n" + place.show.say("Write it anew:  ", "نوشتن دوباره:  ") + "peyk parked retry \(issue.id)")
            }
            if issue.state == .open {
                place.console.say(
                    "\npeyk parked retry \(issue.id)   peyk parked edit \(issue.id) field=value   peyk parked discard \(issue.id)"
                )
            }
        }
    }

    struct Retry: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make the change again, on the record as it is now.", discussion: "Example:  peyk parked retry 3")
        @Argument(help: "Its number.") var id: Int64
        @OptionGroup var home: HomeOptions

        func run() async throws {
            let place = try home.open()
            IssueView(place: place).done(try place.replica.retryIssue(id), "retried", "دوباره ثبت شد")
        }
    }

    struct Edit: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make the change again with other values.",
            discussion: "Example:  peyk parked edit 3 amount='900 USD'")
        @Argument(help: "Its number.") var id: Int64
        @Argument(help: ArgumentHelp("The values to use instead.", valueName: "field=value")) var assignments: [String]
        @OptionGroup var home: HomeOptions

        func run() async throws {
            let place = try home.open()
            let issue = try place.replica.issue(id)
            guard let name = issue.table else {
                throw Failure(
                    .usage, "This one has no record to edit; discard it.",
                    "این یکی رکوردی برای ویرایش ندارد؛ آن را کنار بگذارید (discard).")
            }
            let table = try place.table(name)
            let values = try FieldReading(
                table: table, names: place.names(), now: LocalTime.now(), presentation: place.show
            ).values(assignments, over: issue.base)
            IssueView(place: place).done(
                try place.replica.retryIssue(id, changing: values), "saved again", "دوباره ثبت شد")
        }
    }

    struct Discard: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give it up. It stays readable with “parked list --all”.",
            discussion: "Example:  peyk parked discard 3")
        @Argument(help: "Its number.") var ids: [Int64]
        @OptionGroup var home: HomeOptions

        func run() async throws {
            let place = try home.open()
            for id in ids { try place.replica.discardIssue(id) }
            if place.console.format == .json {
                place.console.printJSON(["discarded": .array(ids.map { .integer($0) })])
            } else {
                place.console.say(place.show.say("Discarded.", "کنار گذاشته شد."))
            }
        }
    }
}

/// Shows parked changes.
struct IssueView {
    let place: Workplace

    func title(_ issue: Issue) -> String {
        let text = ChangeText(place: place, names: place.names())
        if let change = issue.change { return text.title(change) }
        guard let name = issue.table else { return issue.code.rawValue }
        guard let table = place.schema.table(named: name), let record = issue.record else { return name }
        return "\(name) “\(text.names.name(of: record.description, in: table))”"
    }

    /// Codes of later versions have no words of ours; then the detail speaks.
    func why(_ issue: Issue) -> String {
        issue.code.explanation == issue.code.rawValue && !issue.detail.isEmpty
            ? issue.detail : issue.code.explanation
    }

    func json(_ issue: Issue) -> JSON {
        [
            "id": .integer(issue.id), "state": .string(issue.state.rawValue), "code": .string(issue.code.rawValue),
            "why": .string(why(issue)), "detail": .string(issue.detail),
            "commit": issue.commit.map { .string($0.description) } ?? .null,
            "table": issue.table.map { .string($0) } ?? .null,
            "record": issue.record.map { .string($0.description) } ?? .null,
            "created_at": .string(Instant.iso(issue.createdAt)),
            "change": issue.change.map { ChangeText.json($0, place.schema) } ?? .null,
        ]
    }

    func done(_ result: WriteResult, _ english: String, _ persian: String) {
        place.tell(result)
        if place.console.format == .json {
            place.console.printJSON(["commit": result.commit.map { .string($0.description) } ?? .null])
        } else {
            place.console.say(
                place.show.say("It is \(english); the next sync sends it.", "\(persian)؛ با همگام‌سازی بعدی می‌رود."))
        }
    }
}
