import ArgumentParser
import PeykConsole
import PeykModel
import PeykServer

struct SchemaGroup: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schema", abstract: "The workspace's tables and fields.",
        subcommands: [Show.self, Check.self, Apply.self])

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the tables and fields; as JSON, what “apply” takes.",
            discussion: "Example:  peykd schema show --format json > schema.json")
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions

        func run() throws {
            let document = try place.client().send(.showSchema)
            let schema = try Schema(json: document)
            var rows: [[String]] = []
            for table in schema.ownTables {
                for field in table.fields {
                    rows.append([
                        table.name, field.name, field.type.name, field.policy.rawValue, field.group ?? "",
                        field.isRequired ? "yes" : "",
                        field.isDropped || table.isDropped
                            ? "dropped" : field.isRetired || table.isRetired ? "retired" : "",
                    ])
                }
            }
            let header = ["table", "field", "type", "policy", "group", "required", "state"]
            output.console.print(
                TextTable(["Table", "Field", "Type", "Policy", "Group", "Required", "State"], rows: rows),
                csv: [header] + rows, json: document)
        }
    }

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say what applying a file would do; changes nothing.",
            discussion: """
                Example:  peykd schema check custom-fields.json
                """)
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "A schema, or {\"add\": …}, as JSON; - for standard input.") var file: String

        func run() throws {
            let document = try SchemaFile.read(file) { $0 }
            let change = try place.client().send(.checkSchema(document))
            SchemaGroup.show(
                change, output.console, done: "Would add", retired: "Would retire", dropped: "Would drop",
                changed: "Would change")
        }
    }

    struct Apply: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Add tables and fields; every replica gets them with its next sync.",
            discussion: """
                The file is a whole schema (what “schema show --format json” prints, with more at the ends), or only \
                what is new:
                {"add": {"fields": {"customer": [{"name": "size", "type": "integer"}]}}, "retire": ["customer.fax"]}
                Type, policy, group and name of a field never change: a new field does. What is retired takes no new \
                writes, and keeps what it has. {"drop": ["customer.fax"]} empties it for good, when every device has \
                synced since it was retired.

                Example:  peykd schema apply custom-fields.json
                """)
        @OptionGroup var place: DataOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "A schema, or {\"add\": …}, as JSON; - for standard input.") var file: String

        func run() throws {
            let document = try SchemaFile.read(file) { $0 }
            let change = try place.client().send(.applySchema(document))
            SchemaGroup.show(
                change, output.console, done: "Added", retired: "Retired", dropped: "Dropped", changed: "Changed")
        }
    }

    static func show(
        _ change: JSON, _ console: Console, done: String, retired: String, dropped: String, changed: String
    ) {
        func names(_ key: String) -> [String] { (change[key]?.arrayValue ?? []).compactMap(\.stringValue) }
        let rows =
            names("added").map { [done, $0] } + names("retired").map { [retired, $0] }
            + names("dropped").map { [dropped, $0] } + names("changed").map { [changed, $0] }
        if rows.isEmpty {
            Terminal.message("The schema is as the file says; there is nothing to change.")
            if console.format == .table { return }
        }
        console.print(
            TextTable(["Change", "What"], rows: rows), csv: [["change", "what"]] + rows, json: change)
    }
}
