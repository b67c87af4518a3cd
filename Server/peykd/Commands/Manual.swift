import ArgumentParser
import PeykConsole

struct Manual: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the manual page, for man(1).", discussion: "Example:  peykd manual | man -l -",
        shouldDisplay: false)

    func run() throws {
        let extras = ManualPage.Extras(
            version: PeykdVersion.text, date: "2026",
            environment: [
                ("PEYKD_DATA", "The workspace's directory, where --data does not say it."),
                ("NO_COLOR", "Where it is set, nothing is coloured."),
            ], seeAlso: "peyk")
        Terminal.write(try ManualPage(help: Peykd._dumpHelp(), extras).text)
    }
}
