public import ArgumentParser
public import PeykCRM

/// How results are printed.
public enum OutputFormat: String, ExpressibleByArgument, CaseIterable, Sendable {
    /// For people.
    case table
    /// One stable document: ISO dates, ASCII digits, keys in snake_case.
    case json
    case csv
}

extension Presentation.Language: ExpressibleByArgument {}
extension Presentation.Calendar: ExpressibleByArgument {}
extension Presentation.DigitStyle: ExpressibleByArgument {}

/// The options that all commands of both programs have.
public struct OutputOptions: ParsableArguments {
    @Option(help: "How to print the result: table, json or csv.")
    public var format: OutputFormat = .table

    @Option(help: ArgumentHelp("The language of tables and reports: en or fa.", valueName: "en|fa"))
    public var lang: Presentation.Language = .en

    @Option(help: ArgumentHelp("The calendar of dates in tables.", valueName: "gregorian|jalali"))
    public var calendar: Presentation.Calendar = .gregorian

    @Option(help: ArgumentHelp("The digits of numbers in tables.", valueName: "latin|persian"))
    public var digits: Presentation.DigitStyle = .latin

    public init() {}

    /// How values are shown in tables; machine formats never use it.
    public var presentation: Presentation {
        Presentation(language: lang, calendar: calendar, digits: digits, utcOffset: LocalTime.offset)
    }

    public var console: Console { Console(format: format, presentation: presentation) }
}
