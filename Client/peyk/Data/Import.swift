import ArgumentParser
import Foundation
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica

struct Import: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Bring the rows of a CSV file into a table.",
        discussion: """
            Without --map the columns are named like the table's fields. With --key a second import of the same file
            changes nothing. Rows that cannot be taken are listed with line and reason; the others go in (exit 65).

            Examples:  peyk import customers.csv --into customer --key external_id --dry-run
                       peyk import sales_pipeline.csv --map seeds/import/maven/sales_pipeline.json
            """)

    @OptionGroup var options: ImportOptions
    @OptionGroup var home: HomeOptions

    func run() async throws {
        let place = try home.open()
        let real = ReplicaTarget(place.replica, workspace: try place.replica.status().workspace)
        let target: any ImportTarget = options.dryRun ? RehearsalTarget(real) : real
        let bar = ProgressBar(place.show.say("Importing", "درون‌ریزی"))
        defer { bar.finish() }
        let outcomes = try options.run(into: target) { done, total in bar.update(Int64(done), of: Int64(total)) }
        bar.finish()
        try options.report(outcomes, place.console)
    }
}
