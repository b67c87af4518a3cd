import ArgumentParser
import PeykConsole
import PeykModel

/// A table that has commands of its own.
protocol RecordKind {
    associatedtype Flags: FieldFlags
    static var table: String { get }
    static var command: String { get }
    static var aliases: [String] { get }
    static var abstract: String { get }
    /// A line for the help of `add`.
    static var example: String { get }
}

extension RecordKind {
    static var command: String { table }
    static var aliases: [String] { [] }
}

/// The fields that a table's `add` has options for; all others are given as `field=value`.
protocol FieldFlags: ParsableArguments {
    var assignments: [String] { get }
}

extension FieldFlags {
    /// `field=value` for an option that was given.
    func assign(_ field: String, _ value: String?) -> [String] { value.map { ["\(field)=\($0)"] } ?? [] }
    func add(_ field: String, _ values: [String]) -> [String] { values.map { "\(field)+=\($0)" } }
}

struct RecordGroup<Kind: RecordKind>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: Kind.command, abstract: Kind.abstract,
            subcommands: RecordCommands<Kind>.all, aliases: Kind.aliases)
    }
}

enum RecordCommands<Kind: RecordKind> {
    static var all: [any ParsableCommand.Type] { [Add.self, List.self, Show.self, SetFields.self, Delete.self] }

    struct Add: AsyncParsableCommand {
        static var configuration: CommandConfiguration {
            CommandConfiguration(
                commandName: "add", abstract: "Add one and print its id.",
                discussion: "Any other field is given as field=value.\n\nExample:  \(Kind.example)")
        }
        @OptionGroup var flags: Kind.Flags
        @Argument(help: ArgumentHelp("Further fields.", valueName: "field=value")) var assignments: [String] = []
        @OptionGroup var home: HomeOptions

        func run() async throws {
            let place = try home.open()
            let given = flags.assignments + assignments
            try RecordWork(place, Kind.table).add(given) { write, id, values in
                if Kind.table == "activity" { try ActivityTrace(schema: place.schema).follow(values, write) }
            }
        }
    }

    struct List: AsyncParsableCommand {
        static var configuration: CommandConfiguration {
            CommandConfiguration(
                commandName: "list", abstract: "List them.",
                discussion:
                    "Example:  peyk \(Kind.command) list --where \"created_at > 0\" --sort -created_at --limit 10")
        }
        @OptionGroup var list: ListFlags
        @OptionGroup var home: HomeOptions

        func run() async throws { try RecordWork(home.open(), Kind.table).list(list.options(home)) }
    }

    struct Show: AsyncParsableCommand {
        static var configuration: CommandConfiguration {
            CommandConfiguration(
                commandName: "show", abstract: "Show one, with what belongs to it.",
                discussion: "Example:  peyk \(Kind.command) show 0198c2f1")
        }
        @Argument(help: "Its id (shortened while unique) or its name.") var id: String
        @OptionGroup var home: HomeOptions

        func run() async throws { try RecordWork(home.open(), Kind.table).show(id) }
    }

    struct SetFields: AsyncParsableCommand {
        static var configuration: CommandConfiguration {
            CommandConfiguration(
                commandName: "set", abstract: "Change fields of one.",
                discussion: """
                    field=value sets, field= empties; field+=value and field-=value add to and take from lists and
                    counters.

                    Example:  peyk \(Kind.command) set 0198c2f1 tags+=vip description='Met at the fair'
                    """)
        }
        @Argument(help: "Its id (shortened while unique) or its name.") var id: String
        @Argument(help: ArgumentHelp("What to change.", valueName: "field=value")) var assignments: [String]
        @OptionGroup var home: HomeOptions

        func run() async throws { try RecordWork(home.open(), Kind.table).set(id) { _, _, _ in assignments } }
    }

    struct Delete: AsyncParsableCommand {
        static var configuration: CommandConfiguration {
            CommandConfiguration(
                commandName: "delete", abstract: "Delete one or more, with what belongs to them.",
                discussion: "Example:  peyk \(Kind.command) delete 0198c2f1 --yes")
        }
        @Argument(help: "Ids (shortened while unique) or names.") var ids: [String]
        @Flag(name: .shortAndLong, help: "Do not ask.") var yes = false
        @OptionGroup var home: HomeOptions

        func run() async throws { try RecordWork(home.open(), Kind.table).delete(ids, isSure: yes) }
    }
}

struct ListFlags: ParsableArguments {
    @Option(name: .customLong("where"), help: ArgumentHelp("An SQL condition on the fields.", valueName: "sql"))
    var condition: String?
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("The field to sort by; -field for descending.", valueName: "field"))
    var sort: String?
    @Option(help: "At most so many; 0 for all. In tables 50 unless given.")
    var limit: Int?
    @Option(help: ArgumentHelp("The columns of the table, with commas between.", valueName: "fields"))
    var columns: String?
    @Flag(help: "Archived ones too.")
    var all = false

    func validate() throws {
        if let limit, limit < 0 { throw ValidationError("--limit is 0 or more.") }
    }

    func options(_ home: HomeOptions) -> RecordWork.ListOptions {
        let limit = limit ?? (home.output.format == .table ? 50 : 0)
        return RecordWork.ListOptions(
            condition: condition, sort: sort, limit: limit == 0 ? nil : limit,
            columns: (columns ?? "").split(separator: ",").map { String($0) }, isAll: all)
    }
}
