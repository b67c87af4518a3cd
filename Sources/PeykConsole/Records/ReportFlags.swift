public import ArgumentParser
public import PeykCRM
import PeykModel

/// What reports of both programs are narrowed to.
public struct ReportFlags: ParsableArguments {
    @Option(help: "Only this territory, by name or id.") public var territory: String?
    @Option(help: "Only this owner's, by name or id.") public var owner: String?
    @Option(help: "Only this product, by name or id.") public var product: String?
    @Option(help: "Only this pipeline, by name or id.") public var pipeline: String?

    public init() {}

    public func filter(_ names: RecordNames) throws -> ReportFilter {
        func find(_ text: String?, _ name: String) throws -> RecordID? {
            guard let text, let table = names.schema.table(named: name) else { return nil }
            return try names.find(text, in: table)
        }
        return ReportFilter(
            territory: try find(territory, "territory"), owner: try find(owner, "user"),
            product: try find(product, "product"), pipeline: try find(pipeline, "pipeline"))
    }

    /// `report list`.
    public static func list(_ console: Console) {
        console.print(
            TextTable(
                [console.show.say("Report", "گزارش"), console.show.say("Shows", "شرح")],
                rows: ReportDefinition.all.map { [$0.name, console.show.label($0.summary, else: "")] }),
            csv: [["name", "summary"]] + ReportDefinition.all.map { [$0.name, $0.summary["en"] ?? ""] },
            json: .array(
                ReportDefinition.all.map { ["name": .string($0.name), "summary": .string($0.summary["en"] ?? "")] }))
    }
}
