import Testing

/// The table of Tests/README.md that says which test provokes which failure of another system.
enum FailureTable {
    static let path = "Tests/README.md"

    struct Row: Sendable, CustomStringConvertible {
        var number: Int
        var test: String
        /// The folder of the test's target.
        var target: String
        var description: String { "F\(number)" }
    }

    /// Rows such as `| F004 | name of the test | FailureTests |`.
    static func rows(in text: String) -> [Row] {
        text.split(separator: "\n").compactMap { line in
            guard let match = line.firstMatch(of: /^\| F(\d{3}) \| (.+) \| (\w+|–) \|$/),
                let number = Int(match.output.1)
            else { return nil }
            return Row(number: number, test: String(match.output.2), target: String(match.output.3))
        }
    }

    static let present = rows(in: Repository.text(of: path) ?? "")
}

@Suite("The table of failures")
struct FailureTableTests {
    @Test("names an existing test for each failure", arguments: FailureTable.present)
    func testExists(_ row: FailureTable.Row) {
        guard row.target != "–" else {
            #expect(row.test.hasPrefix("not yet: "), "\(row) has neither a test nor a reason")
            return
        }
        let isThere = Repository.swiftFiles.contains { file in
            file.folder == "Tests" && file.module == row.target
                && file.lines.contains { $0.contains("\"\(row.test)\"") }
        }
        #expect(isThere, "\(row): there is no test “\(row.test)” in Tests/\(row.target)")
    }

    @Test("has each number once")
    func numbers() {
        #expect(FailureTable.present.map(\.number) == Array(stride(from: 2, through: 128, by: 2)))
    }

    @Test("names every test that has a failure's number")
    func namesAll() {
        let known = Set(FailureTable.present.map(\.test))
        for file in Repository.swiftFiles where file.folder == "Tests" && file.module != "TidyTests" {
            for line in file.lines where line.contains("\"F") {
                guard let name = line.firstMatch(of: /"(F\d{3}: [^"]+)"/)?.output.1, !known.contains(String(name))
                else {
                    continue
                }
                Issue.record("\(file.path): “\(name)” is not in \(FailureTable.path)")
            }
        }
    }
}
