import ArgumentParser
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica

struct ReportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Reports over this replica; the same as the server's.",
        discussion: """
            Each says as of when it is, who has not been heard from, and what is in dispute.

            Examples:  peyk report list
                       peyk report pipeline --territory Tehran --lang fa --calendar jalali --digits persian
            """)

    @Argument(help: "The report's name, or list.") var name: String
    @OptionGroup var filters: ReportFlags
    @OptionGroup var home: HomeOptions

    func run() async throws {
        let console = home.console
        guard name != "list" else { return ReportFlags.list(console) }
        guard let definition = ReportDefinition.named(name) else {
            throw Failure(
                .usage, "There is no report “\(name)”. See “peyk report list”.",
                "گزارشی به نام «\(name)» نیست. «peyk report list» را ببینید.")
        }
        let place = try home.open()
        let filter = try filters.filter(place.names())
        console.print(try place.report(definition, filter))
    }
}

extension Workplace {
    /// The report over one state of the replica.
    func report(_ definition: ReportDefinition, _ filter: ReportFilter) throws -> Report {
        let status = try replica.status()
        let devices = try devices()
        return try replica.read { read in
            try definition.run(
                read, filter,
                ReportContext(
                    // By the server's clock, as far as it is known: ages are the same on all laptops.
                    now: LocalTime.now() &+ status.clockOffset, position: status.anchor, asOf: status.lastSync,
                    ownPending: status.pending,
                    devices: devices))
        }
    }
}
