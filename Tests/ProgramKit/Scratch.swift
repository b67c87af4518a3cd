package import Foundation

/// Folders for one run of the tests, each under the system's temporary folder and gone when the test's world ends.
package enum Scratch {
    package static func folder(_ name: String) throws -> URL {
        let url = FileManager.default.temporaryDirectory
            .appendingPathComponent("peyk-\(name)-\(UUID().uuidString.prefix(8))", isDirectory: true)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        return url
    }
}

/// JSON as it comes from `--format json`, read leniently by tests.
package enum JSON: Sendable, Equatable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSON])
    case object([String: JSON])

    package init(parsing text: String) throws {
        let any = try JSONSerialization.jsonObject(with: Data(text.utf8), options: [.fragmentsAllowed])
        self.init(any)
    }

    private init(_ any: Any) {
        switch any {
        case let text as String: self = .string(text)
        case let list as [Any]: self = .array(list.map { JSON($0) })
        case let object as [String: Any]: self = .object(object.mapValues { JSON($0) })
        case let number as NSNumber: self = .number(number.doubleValue)
        case let flag as Bool: self = .bool(flag)
        default: self = .null
        }
    }

    package subscript(key: String) -> JSON {
        if case .object(let object) = self { object[key] ?? .null } else { .null }
    }

    package var list: [JSON] { if case .array(let list) = self { list } else { [] } }
    package var text: String? { if case .string(let text) = self { text } else { nil } }

    /// A number; true and false count as 1 and 0.
    package var number: Int? {
        switch self {
        case .number(let number): Int(exactly: number.rounded())
        case .bool(let flag): flag ? 1 : 0
        case .string(let text): Int(text)
        default: nil
        }
    }

    /// The list itself, or the first list within the object: `[…]` or `{"items": […]}`.
    package var rows: [JSON] {
        switch self {
        case .array(let list): list
        case .object(let object):
            object.sorted { $0.key < $1.key }.lazy.map(\.value).first { if case .array = $0 { true } else { false } }?
                .list ?? []
        default: []
        }
    }
}
