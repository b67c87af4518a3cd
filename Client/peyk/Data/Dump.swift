import ArgumentParser
import PeykConsole
import PeykModel
import PeykReplica

struct Dump: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print every record in a canonical form: equal states give equal bytes.",
        discussion: """
            One JSON object a line, sorted by table and id, keys sorted; nulls are left out. The conflict ledger is one
            of the tables. Unsent changes are shown as they are here.

            Example:  peyk dump --table opportunity | sha256sum
            """)

    @Option(help: "Only this table.") var table: String?
    @OptionGroup var home: HomeOptions

    func run() async throws {
        let place = try home.open()
        let schema = place.schema
        let only = try table.map { try place.table($0).name }
        try place.replica.read { read in
            for index in schema.dumpOrder where only == nil || schema.tables[index].name == only {
                let table = schema.tables[index]
                let columns = table.fields.map { "\"\($0.name)\"" }.joined(separator: ", ")
                var out: [UInt8] = []
                for row in try read.rows("SELECT id, \(columns) FROM \"\(table.name)\" ORDER BY id") {
                    guard let id = row.first?.recordID else { continue }
                    out += Row(Array(row.dropFirst())).dumpLine(table: table, record: id)
                    if out.count > 1 << 16 {
                        Terminal.write(String(decoding: out, as: UTF8.self))
                        out.removeAll(keepingCapacity: true)
                    }
                }
                Terminal.write(String(decoding: out, as: UTF8.self))
            }
        }
    }
}
