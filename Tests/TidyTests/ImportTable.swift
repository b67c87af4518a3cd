/// Which module may import what: the table of ARCHITECTURE.md, as data.
enum ImportTable {
    /// Each folder's modules. A module that is not here needs a line here and a decision record.
    static let modules: [String: Set<String>] = [
        "Protocol": ["PeykModel", "PeykMerge", "PeykSession", "PeykWire"],
        "Client": ["PeykReplica", "PeykSync", "peyk"],
        "Server": [
            "PeykServer", "PeykStoreSQLite", "PeykStorePostgres", "CLibPQ", "PeykNet", "PeykDashboard", "peykd",
        ],
        "Sources": ["PeykCRM", "PeykFailpoint", "PeykSQLite", "PeykTransport", "PeykConsole", "CZstd", "CPeykSQLite"],
    ]

    /// Folders that are not modules.
    static let others: [String: Set<String>] = ["Protocol": ["Specification", "peyk"]]

    /// Whose modules a folder's modules may import. Tests may import anything.
    static let reach: [String: Set<String>] = [
        "Protocol": ["Protocol"],
        "Sources": ["Protocol", "Sources"],
        "Client": ["Protocol", "Sources", "Client"],
        "Server": ["Protocol", "Sources", "Server"],
    ]

    /// Modules that only these may import; a name ending in `*` stands for all that begin so.
    static let only: [(name: String, by: Set<String>)] = [
        ("GRDB*", ["PeykSQLite", "PeykReplica", "PeykStoreSQLite"]),
        ("SQLite3", []),
        ("NIO*", ["PeykTransport", "PeykSync", "PeykNet", "PeykDashboard"]),
        ("CNIO*", []),
        ("CLibPQ", ["PeykStorePostgres"]),
        ("CZstd", ["PeykTransport", "PeykReplica"]),
        ("CPeykSQLite", ["PeykSQLite"]),
        ("SwiftProtobuf", ["PeykWire"]),
        ("X509", ["PeykNet"]),
        ("Hummingbird*", ["PeykDashboard"]),
        ("Mustache", ["PeykDashboard"]),
        ("ArgumentParser", ["PeykConsole", "peyk", "peykd"]),
        ("Rainbow", ["PeykConsole"]),
        ("Testing", []),
        ("XCTest", []),
        // Merging belongs to the server's decision and the client's forecast of it, to nothing that both share.
        ("PeykMerge", ["PeykReplica", "PeykServer", "PeykStoreSQLite", "PeykStorePostgres", "peyk", "peykd"]),
    ]

    /// All that modules under Protocol/ may import beside each other. Foundation is there for `Data` (decision 0007).
    static let protocolPackages: [String: Set<String>] = [
        "PeykWire": ["SwiftProtobuf", "Foundation", "FoundationEssentials"]
    ]

    /// The modules that a file imports, with their lines.
    static func imports(of file: SwiftFile) -> [(module: String, line: Int)] {
        file.code.enumerated().compactMap { index, line in
            var words = line.split { $0 == " " || $0 == ";" }.map(String.init)
            guard let at = words.firstIndex(of: "import"),
                words[..<at].allSatisfy({ $0.hasPrefix("@") || accessLevels.contains($0) })
            else { return nil }
            words.removeFirst(at + 1)
            if let kind = words.first, kinds.contains(kind) { words.removeFirst() }
            guard let path = words.first, let module = path.split(separator: ".").first else { return nil }
            return (String(module), index + 1)
        }
    }

    private static let accessLevels: Set<String> = ["public", "package", "internal", "fileprivate", "private"]
    private static let kinds: Set<String> = ["struct", "class", "enum", "protocol", "func", "let", "var", "typealias"]

    /// What `file` imports against the table.
    static func findings(in file: SwiftFile) -> [Finding] {
        guard file.folder != "Tests" else { return [] }
        return imports(of: file).compactMap { module, line in
            complaint(module, by: file).map { Finding(path: file.path, line: line, what: $0) }
        }
    }

    private static func complaint(_ module: String, by file: SwiftFile) -> String? {
        if let home = modules.first(where: { $0.value.contains(module) })?.key {
            guard reach[file.folder, default: []].contains(home) else {
                return "\(file.folder)/ may not import \(module) of \(home)/"
            }
        } else if file.folder == "Protocol", !protocolPackages[file.module, default: []].contains(module) {
            return "Protocol/\(file.module) may not import \(module)"
        }
        // Within Protocol/ the folder's own rule has spoken; PeykSession and PeykWire know nothing of merging.
        for (name, by) in only where matches(module, name) && !by.contains(file.module) {
            return "\(file.module) may not import \(module)"
        }
        return nil
    }

    private static func matches(_ module: String, _ pattern: String) -> Bool {
        pattern.hasSuffix("*") ? module.hasPrefix(pattern.dropLast()) : module == pattern
    }
}
