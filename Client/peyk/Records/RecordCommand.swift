import ArgumentParser

/// `peyk record TABLE add|list|show|set|delete …`: any table of the schema.
struct RecordCommand: AsyncParsableCommand {
    enum Verb: String, ExpressibleByArgument, CaseIterable { case add, list, show, set, delete }

    static let configuration = CommandConfiguration(
        commandName: "record", abstract: "The same commands for any table of the schema, custom fields included.",
        discussion: """
            Options follow the verb.

            Examples:  peyk record stage list --format json
                       peyk record product set 0198c2f1 price='1,200 USD'
            """)

    @Argument(help: "A table of the workspace, for example product.") var table: String
    @Argument(help: "add, list, show, set or delete.") var verb: Verb
    @Argument(parsing: .captureForPassthrough, help: ArgumentHelp("What the verb needs.", valueName: "…"))
    var rest: [String] = []

    func run() async throws {
        switch verb {
        case .add:
            let command = try Add.parse(rest)
            try RecordWork(command.home.open(), table).add(command.assignments)
        case .list:
            let command = try List.parse(rest)
            try RecordWork(command.home.open(), table).list(command.list.options(command.home))
        case .show:
            let command = try Show.parse(rest)
            try RecordWork(command.home.open(), table).show(command.id)
        case .set:
            let command = try SetFields.parse(rest)
            try RecordWork(command.home.open(), table).set(command.id) { _, _, _ in command.assignments }
        case .delete:
            let command = try Delete.parse(rest)
            try RecordWork(command.home.open(), table).delete(command.ids, isSure: command.yes)
        }
    }

    struct Add: ParsableArguments {
        @Argument(help: ArgumentHelp(valueName: "field=value")) var assignments: [String] = []
        @OptionGroup var home: HomeOptions
    }

    struct List: ParsableArguments {
        @OptionGroup var list: ListFlags
        @OptionGroup var home: HomeOptions
    }

    struct Show: ParsableArguments {
        @Argument var id: String
        @OptionGroup var home: HomeOptions
    }

    struct SetFields: ParsableArguments {
        @Argument var id: String
        @Argument(help: ArgumentHelp(valueName: "field=value")) var assignments: [String]
        @OptionGroup var home: HomeOptions
    }

    struct Delete: ParsableArguments {
        @Argument var ids: [String]
        @Flag(name: .shortAndLong) var yes = false
        @OptionGroup var home: HomeOptions
    }
}
