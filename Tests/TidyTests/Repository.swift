import Foundation

/// The files of this repository, found from where this file was compiled.
enum Repository {
    /// The folder that holds Package.swift.
    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    static let folders = ["Client", "Protocol", "Server", "Sources", "Tests"]

    /// All Swift files of ours, without what is generated.
    static let swiftFiles: [SwiftFile] = paths(under: folders, endingIn: ["swift"])
        .filter { !$0.hasSuffix(".pb.swift") }
        .map { SwiftFile(path: $0, text: text(of: $0) ?? "") }

    /// What people read or run beside Swift.
    static let otherTexts: [String] =
        paths(under: folders + ["seeds", ".ci"], endingIn: ["md", "sh", "proto", ""])
        + ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "Makefile"]

    /// The text of a file named relative to the root; nil where it is absent or not UTF-8.
    static func text(of path: String) -> String? {
        guard let data = try? Data(contentsOf: root.appendingPathComponent(path)) else { return nil }
        return String(data: data, encoding: .utf8)
    }

    /// Names of the folders directly inside `path`, sorted.
    static func subfolders(of path: String) -> [String] {
        let here = root.appendingPathComponent(path)
        let names = (try? FileManager.default.contentsOfDirectory(atPath: here.path)) ?? []
        return names.filter { name in
            var isFolder: ObjCBool = false
            _ = FileManager.default.fileExists(atPath: here.appendingPathComponent(name).path, isDirectory: &isFolder)
            return isFolder.boolValue && !name.hasPrefix(".")
        }.sorted()
    }

    /// Paths relative to the root, sorted; an empty ending asks for names without one.
    static func paths(under folders: [String], endingIn endings: Set<String>) -> [String] {
        var found: [String] = []
        for folder in folders {
            let here = root.appendingPathComponent(folder)
            guard let walk = FileManager.default.enumerator(atPath: here.path) else { continue }
            for case let path as String in walk {
                let url = here.appendingPathComponent(path)
                var isFolder: ObjCBool = false
                _ = FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder)
                if !isFolder.boolValue, endings.contains(url.pathExtension) { found.append("\(folder)/\(path)") }
            }
        }
        return found.sorted()
    }
}

/// Something that the rules of the house forbid, where it stands.
struct Finding: Hashable, Sendable, CustomStringConvertible {
    var path: String
    var line: Int
    var what: String
    var description: String { "\(path):\(line): \(what)" }
}
