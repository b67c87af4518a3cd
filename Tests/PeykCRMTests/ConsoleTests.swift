import PeykCRM
import PeykModel
import Testing

@testable import PeykConsole

@Suite("Output for people and machines")
struct ConsoleTests {
    @Test("columns stand under each other, whatever the script")
    func table() {
        let table = TextTable(
            ["Name", "Count"], alignments: [.left, .right],
            rows: [["می‌خواهم", "1"], ["abc", "1,000"], ["日本\nx", "20"]])
        let lines = table.text().split(separator: "\n").map(String.init)
        #expect(lines == ["Name     Count", "می‌خواهم      1", "abc      1,000", "日本 x      20"])
        #expect(Set(lines.map(DisplayWidth.of)) == [14])
    }

    @Test("a narrow terminal cuts the widest text, never a number")
    func narrow() {
        let table = TextTable(
            ["Name", "Amount"], alignments: [.left, .right],
            rows: [[String(repeating: "x", count: 60), "123,456,789"]])
        let line = table.text(width: 40).split(separator: "\n").last.map(String.init) ?? ""
        #expect(DisplayWidth.of(line) == 40)
        #expect(line.hasSuffix("…  123,456,789"))
    }

    @Test("CSV quotes what needs it, and reads back as it was")
    func csv() throws {
        let fields = ["plain", "a,b", "say \"so\"", "two\nlines", " space", "", "فارسی"]
        #expect(CSVText.line(["\u{FEFF}a"]) == "\"\u{FEFF}a\"\r\n", "it would be taken for a byte order mark")
        let text = CSVText.line(fields)
        #expect(text.hasPrefix("plain,\"a,b\",\"say \"\"so\"\"\",\"two\nlines\",\" space\",,فارسی"))
        var reader = CSVReader(Array(text.utf8))
        #expect(try reader.next()?.get() == CSVReader.Record(line: 1, fields: fields))
        #expect(reader.next() == nil)
    }

    static let damaged: [(String, [String])] = [
        ("a\n\"open", ["1: a", "2! a quote is never closed"]),
        ("\"a\"b\nc", ["1! there is text after a closing quote", "2: c"]),
        ("\u{FEFF}a;b\r\n\r\n  \nc", ["1: a;b", "4: c"]),
        ("a\"b\nc", ["1! a quote stands inside an unquoted value", "2: c"]),
        ("", []),
    ]

    @Test("a damaged line is told by its number, and the next is read", arguments: damaged)
    func damagedLines(_ text: String, _ expected: [String]) {
        let found = CSVReader(Array(text.utf8)).map { result in
            switch result {
            case .success(let record): "\(record.line): \(record.fields.joined(separator: "|"))"
            case .failure(let problem): "\(problem.line)! \(problem.reason)"
            }
        }
        #expect(found == expected)
    }

    @Test("invalid UTF-8 refuses its line only")
    func invalidText() {
        let bytes: [UInt8] = [0x61, 0x0A, 0xFF, 0x0A, 0x62]
        let lines = CSVReader(bytes).map { (try? $0.get())?.fields }
        #expect(lines == [["a"], nil, ["b"]])
    }

    static let dates: [(String, String, String?)] = [
        ("yyyy-MM-dd", "2020-02-29", "2020-02-29"), ("dd/MM/yyyy", "1/2/2020", "2020-02-01"),
        ("MM/dd/yyyy", "12/31/2020", "2020-12-31"), ("jalali", "1403/12/30", "2025-03-20"),
        ("dd.MM.yyyy", "۳۱.۰۱.۲۰۲۰", "2020-01-31"), ("yyyy-MM-dd", "2021-02-29", nil), ("yyyy-MM-dd", "20210228", nil),
        ("dd/MM/yyyy", "1/2/20", nil), ("jalali", "1404/12/30", nil),
    ]

    @Test("dates are read by their pattern, and impossible ones refused", arguments: dates)
    func datePattern(_ pattern: String, _ text: String, _ date: String?) throws {
        #expect(try #require(DatePattern(pattern)).read(text)?.description == date)
    }

    @Test(
        "patterns without a year, month or day are none", arguments: ["yyyy-MM", "dd-MM-yy", "EEE", "", "MMM d yyyy"])
    func wrongPattern(_ pattern: String) { #expect(DatePattern(pattern) == nil) }

    @Test("a bar shows parts of a column")
    func bars() {
        #expect(ReportView.bar(1, 4) == "████")
        #expect(ReportView.bar(0.5, 4) == "██")
        #expect(ReportView.bar(0.53125, 4) == "██▏")
        #expect(ReportView.bar(0, 4) == "▏", "what is there is never invisible")
        #expect(ProgressBar.line("Sync", 5, 10, width: 40).hasSuffix("5/10  50%"))
    }

    @Test("the pipeline report has its header, table, bars and notes in both languages")
    func report() throws {
        let source = try PlainWorkspace(try PipelineReportTests.demo().rows)
        let report = try #require(ReportDefinition.named("pipeline"))
            .run(source, ReportFilter(), PipelineReportTests.context)
        let english = ReportView(report: report, show: Presentation()).text(width: 100)
        #expect(english.hasPrefix("Open pipeline by stage\n  As of position 42, 2026-11-22 12:00\n"))
        #expect(english.contains("Negotiation") && english.contains("█") && english.contains("Totals"))
        let persian = ReportView(report: report, show: PresentationTests.persian).text(width: 100)
        #expect(persian.contains("مذاکره") && persian.contains("۱۴۰۵/۰۹/۰۱") && !persian.contains("Negotiation"))
        #expect(JSON(parsingOrNull: report.json.text) == report.json)
    }
}

extension JSON {
    fileprivate init?(parsingOrNull text: String) {
        guard let json = try? JSON(parsing: text) else { return nil }
        self = json
    }
}
