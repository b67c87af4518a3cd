import Testing

@Suite("House rules")
struct HouseRuleTests {
    @Test("hold in every file", arguments: Repository.swiftFiles)
    func hold(_ file: SwiftFile) {
        let findings = HouseRules.findings(in: file)
        #expect(findings.isEmpty, "\(findings.map(\.description).joined(separator: "\n"))")
    }

    @Test("about words hold in what is not Swift too", arguments: Repository.otherTexts)
    func words(in path: String) {
        let text = Repository.text(of: path) ?? ""
        let findings = text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().compactMap {
            index, line in
            HouseRules.bannedWords(String(line)).map { Finding(path: path, line: index + 1, what: $0) }
        }
        #expect(findings.isEmpty, "\(findings.map(\.description).joined(separator: "\n"))")
    }

    struct Planted: Sendable, CustomTestStringConvertible {
        var name: String
        var path = "Client/PeykReplica/A.swift"
        var text: String
        var testDescription: String { name }
    }

    static let violations = [
        Planted(name: "a forced try", text: "let a = try" + "! read()"),
        Planted(name: "a forced cast", text: "let a = b as" + "! String"),
        Planted(name: "a long file", text: String(repeating: "let a = 1\n", count: 401)),
        Planted(name: "a long line", text: "let a = " + String(repeating: "a", count: 120)),
        Planted(name: "a very long text", text: "let a = \"" + String(repeating: "a", count: 160) + "\""),
        Planted(
            name: "a long function",
            text: "struct A {\n    func a(b: Int = 1) throws -> Int {\n" + String(repeating: "        b()\n", count: 69)
                + "    }\n}"),
        Planted(
            name: "a long initialiser",
            text: "    public init(\n        a: Int\n    ) {\n" + String(repeating: "        b()\n", count: 70)
                + "    }"),
        Planted(name: "an unexplained @unchecked Sendable", text: "final class A: @unchecked Sendable {\n}"),
        Planted(name: "a promise", text: "// TO" + "DO: later"),
        Planted(name: "a machine's path", text: "let a = \"/ho" + "me/anna\""),
        Planted(name: "a clock under Protocol", path: "Protocol/PeykMerge/A.swift", text: "let now = Date()"),
        Planted(
            name: "a draw under Protocol", path: "Protocol/PeykMerge/A.swift", text: "let a = Int.random(in: 0..<2)"),
        Planted(name: "a task under Protocol", path: "Protocol/PeykMerge/A.swift", text: "Task { }"),
        Planted(name: "an actor under Protocol", path: "Protocol/PeykMerge/A.swift", text: "public actor Store {}"),
        Planted(name: "an await under Protocol", path: "Protocol/PeykMerge/A.swift", text: "let a = \"\\(await b)\""),
    ]

    @Test("find what breaks them", arguments: violations)
    func finds(_ planted: Planted) {
        let findings = HouseRules.findings(in: SwiftFile(path: planted.path, text: planted.text))
        #expect(findings.count == 1, "\(findings)")
    }

    static let innocents = [
        Planted(name: "words in strings and comments", text: "// try" + "! it\nlet a = \"b as" + "! c\""),
        Planted(
            name: "@unchecked Sendable with its lock",
            text: "// Guarded by `mutex`.\nfinal class A: @unchecked Sendable {\n}"),
        Planted(name: "a clock outside Protocol", text: "let now = Date()"),
        Planted(name: "a path of ours", text: "let a = \"Client/home/a\""),
        Planted(
            name: "requirements of a protocol",
            text: "protocol A {\n    func a() throws\n    func b()\n}\n"
                + String(repeating: "let a = { 1 }\n", count: 80)),
        Planted(
            name: "functions of 70 lines",
            text: "    func a() {\n" + String(repeating: "        b()\n", count: 68) + "    }\n\n    func b() {}"),
    ]

    @Test("spare what keeps them", arguments: innocents)
    func spares(_ planted: Planted) {
        #expect(HouseRules.findings(in: SwiftFile(path: planted.path, text: planted.text)) == [])
    }

    @Test("see code within interpolations, and no strings within code")
    func divides() {
        let file = SwiftFile(
            path: "", text: "a(\"x \\(b(\"y\") + c) z\") // d\n\"\"\"\n e \"f\" \\(g)\n\"\"\"\n#\"h\\(i)\"#")
        #expect(
            file.code.joined(separator: "|").filter { $0 != " " } == "a(\"\\(b(\"\")+c)\")|\"\"\"|\\(g)|\"\"\"|#\"\"#")
        #expect(file.prose.joined(separator: "|").filter { $0 != " " } == "xyz//d||e\"f\"||h\\(i)")
    }
}
