import Testing

@Suite("Imports")
struct ImportTests {
    @Test("follow the table of ARCHITECTURE.md", arguments: Repository.swiftFiles)
    func imports(_ file: SwiftFile) {
        let findings = ImportTable.findings(in: file)
        #expect(findings.isEmpty, "\(findings.map(\.description).joined(separator: "\n"))")
    }

    @Test("come from modules that the table knows", arguments: ImportTable.modules.keys.sorted())
    func modules(in folder: String) {
        let known = ImportTable.modules[folder, default: []].union(ImportTable.others[folder, default: []])
        let unknown = Set(Repository.subfolders(of: folder)).subtracting(known)
        #expect(unknown.isEmpty, "a module that the table does not know needs a decision record: \(unknown.sorted())")
    }

    struct Planted: Sendable, CustomTestStringConvertible {
        var path: String
        var text: String
        var testDescription: String { "\(path): \(text)" }
    }

    @Test(
        "that break the table are found",
        arguments: [
            Planted(path: "Protocol/PeykModel/A.swift", text: "import Foundation"),
            Planted(path: "Protocol/PeykSession/A.swift", text: "public import PeykSQLite"),
            Planted(path: "Protocol/PeykSession/A.swift", text: "import PeykMerge"),
            Planted(path: "Client/PeykReplica/A.swift", text: "import PeykServer"),
            Planted(path: "Client/PeykReplica/A.swift", text: "internal import NIOCore"),
            Planted(path: "Server/PeykServer/A.swift", text: "@testable import PeykReplica"),
            Planted(path: "Server/PeykServer/A.swift", text: "import struct GRDB.Row"),
            Planted(path: "Sources/PeykConsole/A.swift", text: "import PeykMerge"),
            Planted(path: "Sources/PeykCRM/A.swift", text: "import peykd"),
            Planted(path: "Client/peyk/A.swift", text: "import Testing"),
        ])
    func finds(_ planted: Planted) {
        #expect(ImportTable.findings(in: SwiftFile(path: planted.path, text: planted.text)).count == 1)
    }

    @Test(
        "that keep to the table, or only look like imports, are left alone",
        arguments: [
            Planted(path: "Client/PeykReplica/A.swift", text: "public import PeykMerge\nimport GRDB"),
            Planted(path: "Protocol/PeykWire/A.swift", text: "import SwiftProtobuf"),
            Planted(path: "Protocol/PeykModel/A.swift", text: "// import Foundation\nlet word = \"import GRDB\""),
            Planted(path: "Server/PeykNet/A.swift", text: "import NIOSSL\nimport Foundation"),
            Planted(path: "Tests/PeykServerTests/A.swift", text: "import Testing\nimport PeykReplica"),
        ])
    func spares(_ planted: Planted) {
        #expect(ImportTable.findings(in: SwiftFile(path: planted.path, text: planted.text)) == [])
    }
}
