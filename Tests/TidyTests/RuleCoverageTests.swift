import Testing

/// Which tests name which rule of the specification, by their titles.
enum RuleCoverage {
    /// Rules that no test of this version can break, each with its reason. The specification must say so as well.
    static let untestable = [
        "D5": "merging two records into one is still to come",
        "T3": "there is no store in PostgreSQL yet",
    ]

    /// The rules, with the parts of those that have parts: I7 is I7.1 to I7.5.
    static func rules(in specification: String) -> [String] {
        var found = Specification.rules(in: specification)
        var rule = ""
        for line in specification.split(separator: "\n") {
            if let name = Specification.rules(in: String(line)).first { rule = name }
            if line.hasPrefix("#") { rule = "" }
            for match in line.matches(of: /\((\d)\) [a-z]/) where !rule.isEmpty {
                found.append("\(rule).\(match.output.1)")
            }
        }
        return found
    }

    /// Rules that a title names one by one; a part names its whole, and a range names nothing.
    static func names(in title: String) -> Set<String> {
        var found: Set<String> = []
        for match in title.matches(of: /(?:^|[\s(,])([A-Z]-?\d+)(\.\d)?(?=$|[\s),:;])/) {
            let (_, rule, part) = match.output
            found.insert(String(rule))
            if let part { found.insert(String(rule) + String(part)) }
        }
        for match in title.matches(of: /([A-Z]-?\d+) to ([A-Z]-?\d+)/) {
            found.remove(String(match.output.1))
            found.remove(String(match.output.2))
        }
        return found
    }

    /// The titles of a file's tests.
    static func titles(in file: SwiftFile) -> [String] {
        file.code.indices.compactMap { index in
            guard let at = file.code[index].firstRange(of: "@Test(") else { return nil }
            // The title stands on the same line, or alone on the next.
            let rest = file.lines[index][at.upperBound...]
            let text = rest.isEmpty && index + 1 < file.lines.count ? file.lines[index + 1][...] : rest
            return text.firstMatch(of: /^\s*"((?:[^"\\]|\\.)*)"/).map { String($0.output.1) }
        }
    }

    static let titles = Repository.swiftFiles.filter { $0.folder == "Tests" }
        .flatMap { titles(in: $0) }
    static let named = titles.reduce(into: Set<String>()) { $0.formUnion(names(in: $1)) }
}

@Suite("Rules and the tests that name them")
struct RuleCoverageTests {
    let text = Repository.text(of: Specification.path) ?? ""

    @Test("each rule and property of the specification is in the title of a test")
    func complete() {
        let rules = RuleCoverage.rules(in: text)
        #expect(rules.count > 120 && RuleCoverage.titles.count > 700, "the lists are read")
        let lacking = rules.filter { !RuleCoverage.named.contains($0) && RuleCoverage.untestable[$0] == nil }
        #expect(lacking.isEmpty, "no test names \(lacking.joined(separator: ", "))")
    }

    @Test("what no test can break yet is said in the specification, and is named by no test", arguments: ["D5", "T3"])
    func untestable(_ rule: String) throws {
        #expect(RuleCoverage.untestable.keys.sorted() == ["D5", "T3"])
        let unfinished = try #require(text.firstRange(of: "## 7. What is finished")).lowerBound
        #expect(Specification.names(in: "rule " + rule) == [rule] && text[unfinished...].contains(rule))
        #expect(!RuleCoverage.named.contains(rule), "it has a test now")
    }

    @Test("are found in titles as people write them")
    func finds() {
        #expect(RuleCoverage.names(in: "I7.2, W-13: names (A4)") == ["I7", "I7.2", "W-13", "A4"])
        #expect(RuleCoverage.names(in: "all of P1 to P28 (P30)") == ["P30"])
        #expect(RuleCoverage.names(in: "F82, RFC 9562, UTF-8, a B2B list") == ["F82"])
        let file = SwiftFile(
            path: "Tests/X/Y.swift",
            text: """
                @Test("one (P1)") func a() {}
                @Test(
                    "two \\"quoted\\"", arguments: [1])
                func b() { print("@Test(\\"three\\")") }
                """)
        #expect(RuleCoverage.titles(in: file) == ["one (P1)", #"two \"quoted\""#])
        let text = "- **I7** Parts: (1) a clock; (2) names\n- **I8** b"
        #expect(RuleCoverage.rules(in: text) == ["I7", "I8", "I7.1", "I7.2"])
    }

    /// The words in backticks of a rule, between two phrases.
    private func codes(of rule: String, from first: String, to last: String) throws -> Set<String> {
        let rule = text[try #require(text.firstRange(of: "- **\(rule)** ")).upperBound...]
        let start = try #require(rule.firstRange(of: first)).upperBound
        let end = try #require(rule[start...].firstRange(of: last)).lowerBound
        return Set(rule[start..<end].matches(of: /`([a-z]+(?:-[a-z]+)*)`/).map { String($0.output.1) })
    }

    @Test(
        "name the codes that the source has, and no others (W-11, W-12)",
        arguments: [
            ["W-11", "Codes:", "No refusal", "Protocol/PeykSession/Refusal.swift"],
            ["W-12", "Parked:", "A code that is not known", "Protocol/PeykModel/Outcome.swift"],
        ])
    func codes(_ place: [String]) throws {
        let source = try #require(Repository.text(of: place[3]))
        let present = Set(source.matches(of: /= Self\(rawValue: "([^"]+)"\)/).map { String($0.output.1) })
        #expect(present.count > 10)
        #expect(try codes(of: place[0], from: place[1], to: place[2]) == present)
    }
}
