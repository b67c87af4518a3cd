import Foundation
import Testing

/// The seeded bugs of `make mutants`: patches grow stale as the code moves on.
@Suite("Seeded bugs")
struct MutantTests {
    static let patches = Repository.paths(under: ["Tests/Mutants"], endingIn: ["patch"])

    @Test("still apply; whoever moves the line mends the patch", arguments: patches)
    func applies(_ path: String) throws {
        let git = Process()
        git.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        git.arguments = ["git", "apply", "--check", path]
        git.currentDirectoryURL = Repository.root
        let complaints = Pipe()
        git.standardError = complaints
        try git.run()
        let said = complaints.fileHandleForReading.readDataToEndOfFile()
        git.waitUntilExit()
        #expect(git.terminationStatus == 0, "\(path): \(String(decoding: said, as: UTF8.self))")
    }

    @Test("say which rule they break, what that does, and who should notice", arguments: patches)
    func head(_ path: String) throws {
        let text = try #require(Repository.text(of: path))
        let rule = try #require(text.firstMatch(of: /(?m)^Rule: ([A-Z]\d+)$/)?.output.1)
        let rules = Specification.rules(in: Repository.text(of: Specification.path) ?? "")
        #expect(rules.contains(String(rule)), "\(path) names rule \(rule)")
        #expect(text.contains(/(?m)^Breaks: .{10,}\.$/))
        let suites = try #require(text.firstMatch(of: /(?m)^Caught-by: (.+)$/)?.output.1)
        let targets = Set(Repository.subfolders(of: "Tests"))
        for suite in suites.split(separator: " ") {
            let target = suite.split(separator: ".").first.map(String.init) ?? ""
            #expect(targets.contains(target), "\(path): \(suite)")
        }
    }

    @Test("are numbered as their switches, and there are enough of them")
    func numbers() {
        #expect(Self.patches.count >= 40)
        for (index, path) in Self.patches.enumerated() {
            let name = path.split(separator: "/").last.map(String.init) ?? ""
            #expect(Int(name.prefix(3)) == index + 1, "\(name)")
            #expect(Repository.text(of: path)?.contains("Mutant.isOn(\(index + 1))") == true, "\(name)")
        }
    }
}
