import ArgumentParser
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica
import PeykSQLite

struct SQLCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sql",
        abstract: "Run SQL on the replica.",
        discussion: """
            Reads only, unless --write is given; what is written then is one commit, captured like any other change.

            Examples:  peyk sql "SELECT name, city FROM customer WHERE city = 'Tehran'"
                       peyk sql --write "UPDATE contact SET title = 'CEO' WHERE id = '…'"
            """)

    @Argument(help: "One statement.") var statement: String
    @Flag(help: "Allow it to change rows.") var write = false
    @OptionGroup var home: HomeOptions

    func run() async throws {
        let place = try home.open()
        do {
            if write {
                let result = try place.replica.write { try $0.execute(statement) }
                place.tell(result)
                if place.console.format == .json {
                    place.console.printJSON([
                        "changes": .integer(Int64(result.changes)),
                        "commit": result.commit.map { .string($0.description) } ?? .null,
                    ])
                } else {
                    place.console.say(
                        place.show.count(Int64(result.changes), "record", "رکورد")
                            + place.show.say(" changed", " تغییر کرد"))
                }
                return
            }
            let (columns, rows) = try place.replica.read { try $0.query(statement) }
            place.console.print(
                TextTable(
                    columns,
                    alignments: columns.indices.map { index in
                        rows.contains { Self.isNumber($0[index]) } ? .right : .left
                    },
                    rows: rows.map { $0.map { Console.plain(JSON($0)) } }),
                csv: [columns] + rows.map { $0.map { Console.plain(JSON($0)) } },
                json: .array(
                    rows.map { row in
                        .object(Dictionary(zip(columns, row.map { JSON($0) })) { first, _ in first })
                    }))
        } catch ReplicaError.readOnly {
            throw Failure(
                .usage, "This statement changes something; nothing was done. Allow it with --write.",
                "این دستور چیزی را تغییر می‌دهد؛ کاری انجام نشد. با --write اجازه دهید.")
        } catch ReplicaError.sqlite(let error) where !error.isBusy && !error.isDiskFull {
            throw Failure(
                .usage, "SQLite does not take this statement: \(error.message). Nothing was changed.",
                "SQLite این دستور را نمی‌پذیرد: \(error.message). چیزی تغییر نکرد.")
        }
    }

    private static func isNumber(_ value: Value) -> Bool {
        switch value {
        case .integer, .real: true
        default: false
        }
    }
}
