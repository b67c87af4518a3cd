import Testing

/// The specification and whatever names its rules.
enum Specification {
    static let path = "Protocol/Specification/protocol.md"

    /// `**C3**` or `**W-20**` at the start of a line or list item says a rule.
    static func rules(in text: String) -> [String] {
        text.split(separator: "\n").compactMap { line in
            line.firstMatch(of: /^\s*(?:[-|]\s*)?\*\*([A-Z]-?\d+)\*\*/).map { String($0.output.1) }
        }
    }

    /// Rules that prose names: `rule C3`, `rules A2, T1 and M4`, `(K1)`, `W-20 to W-24`; a part such as I7.2 names I7.
    static func names(in prose: String) -> [String] {
        // Regular expressions are slow in debug builds, and most lines name nothing.
        guard prose.utf8.contains(where: { (0x30...0x39).contains($0) }) else { return [] }
        var found: [String] = []
        for match in prose.matches(
            of: /\b[Rr]ules? ((?:[A-Z]-?\d+(?:\.\d+)?)(?:(?:, | and |, and | or | to )[A-Z]-?\d+(?:\.\d+)?)*)/)
        {
            found += single(match.output.1)
        }
        for match in prose.matches(
            of: /\(((?:[CMDKASBITP]\d{1,2}(?:\.\d+)?)(?:(?:, | and | to )[CMDKASBITP]\d{1,2}(?:\.\d+)?)*)\)/)
        {
            found += single(match.output.1)
        }
        for match in prose.matches(of: /\b[FW]-\d+\b/) { found.append(String(match.output)) }
        return found
    }

    private static func single(_ list: Substring) -> [String] {
        list.matches(of: /([A-Z]-?\d+)(?:\.\d+)?/).map { String($0.output.1) }
    }
}

@Suite("Specification")
struct SpecificationTests {
    let text = Repository.text(of: Specification.path) ?? ""

    @Test("numbers each rule once")
    func numbersAreUnique() {
        let rules = Specification.rules(in: text)
        #expect(rules.count > 80, "the specification must state its rules")
        #expect(
            Set(rules).count == rules.count, "said twice: \(rules.filter { rule in rules.count { $0 == rule } > 1 })")
    }

    @Test("leaves no gap in the rules of a letter", arguments: ["C", "M", "D", "K", "A", "S", "B", "I", "T", "P"])
    func numbersHaveNoGaps(letter: String) {
        let numbers = Specification.rules(in: text).compactMap { $0.hasPrefix(letter) ? Int($0.dropFirst()) : nil }
        #expect(numbers.sorted() == Array(1...max(1, numbers.count)))
    }

    @Test("states each rule that a source file or test names", arguments: Repository.swiftFiles)
    func namedRulesExist(_ file: SwiftFile) {
        // The samples in this folder's own tests name rules that are not.
        guard file.module != "TidyTests" else { return }
        let known = Set(Specification.rules(in: text))
        let unknown = file.prose.enumerated().flatMap { index, prose in
            Specification.names(in: prose).filter { !known.contains($0) }.map {
                Finding(
                    path: file.path, line: index + 1, what: "names rule \($0), which the specification does not state")
            }
        }
        #expect(unknown.isEmpty, "\(unknown.map(\.description).joined(separator: "\n"))")
    }

    @Test("is found by the ways in which people name rules")
    func finds() {
        #expect(Specification.names(in: "as rule C3 says, rules A2, T1 and M4") == ["C3", "A2", "T1", "M4"])
        #expect(Specification.names(in: "never lost (K1), or torn (M6 and I7.2)") == ["K1", "M6", "I7"])
        #expect(Specification.names(in: "see protocol.md W-20 to W-24") == ["W-20", "W-24"])
        #expect(Specification.names(in: "column A5, Rule of thumb, U2") == [])
        #expect(Specification.rules(in: "- **C1** A\n**F-2** B\nas **C3** says") == ["C1", "F-2"])
    }
}

@Suite("Documents")
struct DocumentTests {
    static let records = Repository.paths(under: ["Protocol/Specification/decisions"], endingIn: ["md"])

    @Test("that record a decision have all their parts", arguments: records)
    func decision(_ path: String) throws {
        let text = try #require(Repository.text(of: path))
        let name = path.split(separator: "/").last.map(String.init) ?? ""
        let number = try #require(name.firstMatch(of: /^(\d{4})-[a-z0-9-]+\.md$/)?.output.1, "named NNNN-title.md")
        #expect(text.hasPrefix("# \(number): "), "begins with its number and title")
        #expect(text.contains(/Date: \d{4}-\d\d-\d\d/), "has a date")
        for part in ["## Context", "## Options", "## Choice", "## Consequences"] {
            #expect(text.contains("\n\(part)\n"), "lacks “\(part)”")
        }
    }

    @Test("that record decisions are numbered without gaps")
    func decisionNumbers() {
        let numbers = Self.records.compactMap { $0.firstMatch(of: /\/(\d{4})-/).flatMap { Int($0.output.1) } }
        #expect(numbers == Array(1...max(1, numbers.count)))
    }

    @Test(
        "at the root are there",
        arguments: [
            "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE", "Makefile",
            ".ci/run", ".swift-format",
        ])
    func isThere(_ path: String) { #expect(Repository.text(of: path)?.isEmpty == false) }

    @Test("tell a newcomer the two commands")
    func readme() throws {
        let readme = try #require(Repository.text(of: "README.md"))
        #expect(readme.contains("make demo"))
        #expect(readme.contains("make test"))
        let targets = try #require(Repository.text(of: "Makefile"))
        for target in ["demo", "test", "bench", "lint", "format", "generate", "deps"] {
            #expect(targets.contains("\n\(target): "), "Makefile has no target \(target)")
        }
    }

    @Test("name in the map of the architecture every module there is")
    func map() throws {
        let map = try #require(Repository.text(of: "ARCHITECTURE.md"))
        for folder in ["Protocol", "Client", "Server", "Sources"] {
            let modules = Set(Repository.subfolders(of: folder)).subtracting(ImportTable.others[folder, default: []])
            for module in modules.sorted() {
                #expect(map.contains("`\(module)`"), "ARCHITECTURE.md does not name `\(module)`")
            }
        }
        #expect(map.contains("**Invariant:**"))
    }
}
