import ArgumentParser
import PeykConsole

struct Manual: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the manual page, for man(1).", discussion: "Example:  peyk manual | man -l -",
        shouldDisplay: false)

    func run() throws {
        let extras = ManualPage.Extras(
            version: PeykVersion.text, date: "2026",
            environment: [
                ("PEYK_HOME", "The replica's folder, where --home does not say it."),
                ("NO_COLOR", "Where it is set, nothing is coloured."),
            ], seeAlso: "peykd")
        Terminal.write(try ManualPage(help: Peyk._dumpHelp(), extras).text)
    }
}
