import ArgumentParser
import PeykCRM
import PeykConsole
import PeykMerge
import PeykModel
import PeykServer
import PeykStoreSQLite

struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Print a report over the whole workspace; “report list” names them.",
        discussion: """
            The same figures as “peyk report” on a replica that sees everything.

            Example:  peykd report pipeline --territory North --format json
            """)
    @OptionGroup var place: DataOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The report's name, or list.") var name: String
    @Option(help: "Only this territory, by name, code or id.") var territory: String?
    @Option(help: "Only this owner, by name or id.") var owner: String?
    @Option(help: "Only this product, by name, code or id.") var product: String?
    @Option(help: "Only this pipeline, by name or id.") var pipeline: String?

    func run() throws {
        let console = output.console
        if name == "list" { return list(console) }
        guard let report = ReportDefinition.named(name) else {
            throw Failure(.noInput, "There is no report “\(name)”. See “peykd report list”.")
        }
        console.print(
            try place.client().read { reader in
                try ServerReport.run(report, try filter(reader), reader)
            })
    }

    private func list(_ console: Console) {
        let all = ReportDefinition.all
        console.print(
            TextTable(
                [console.show.say("Report", "گزارش"), console.show.say("What it shows", "محتوا")],
                rows: all.map { [$0.name, console.show.label($0.summary, else: "")] }),
            csv: [["report", "summary"]] + all.map { [$0.name, $0.summary["en"] ?? ""] },
            json: .array(
                all.map { ["report": .string($0.name), "summary": .string($0.summary["en"] ?? "")] }))
    }

    private func filter(_ reader: any StoreReader) throws -> ReportFilter {
        func id(_ text: String?, _ table: String) throws -> RecordID? {
            guard let text else { return nil }
            if let id = RecordID(text) { return id }
            guard let index = reader.schema.tableIndex(table) else {
                throw Failure(.noInput, "This workspace has no table \(table).")
            }
            let definition = reader.schema.tables[index]
            for field in ["name", "code", "name_fa"].compactMap({ definition.fieldIndex($0) }) {
                if let found = try reader.records(of: index, matching: [field], [.text(text)]).first { return found }
            }
            throw Failure(.noInput, "There is no \(table) “\(text)”.")
        }
        return ReportFilter(
            territory: try id(territory, "territory"), owner: try id(owner, "user"),
            product: try id(product, "product"), pipeline: try id(pipeline, "pipeline"))
    }
}

/// A report over one snapshot of the store.
enum ServerReport {
    private struct Source: ReportSource {
        let reader: any SQLReader
        func rows(_ sql: String, _ values: [Value]) throws -> [[Value]] { try reader.rows(sql, values) }
    }

    static func run(_ report: ReportDefinition, _ filter: ReportFilter, _ reader: any SQLReader) throws -> Report {
        let names = Dictionary(try reader.documents(UserDocument.self).map { ($0.id, $0.name) }) { first, _ in first }
        let devices = try reader.documents(SiteDocument.self).filter { !$0.isRevoked && $0.replacedBy == nil }
        let now = LocalTime.now()
        let context = ReportContext(
            now: now, position: try reader.head(), asOf: now,
            devices: devices.map { site in
                ReportDevice(
                    user: names[site.user] ?? site.user.description, device: site.deviceName,
                    lastContact: site.lastContact == 0 ? nil : site.lastContact, pending: site.pending)
            })
        return try report.run(Source(reader: reader), filter, context)
    }
}
