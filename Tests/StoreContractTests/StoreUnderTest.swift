import Foundation
import PeykModel
import PeykServer
import PeykStoreSQLite
import Testing

/// The stores that the one contract runs over.
enum StoreKind: String, CaseIterable, CustomTestStringConvertible {
    case memory, sqlite
    var testDescription: String { rawValue }
}

/// A new store with a folder of its own, which goes with ``end()``.
final class StoreUnderTest {
    let kind: StoreKind
    let store: any Store
    private let folder: URL

    init(_ kind: StoreKind, schema: Schema = Sample.schema) throws {
        self.kind = kind
        folder = FileManager.default.temporaryDirectory.appending(path: "peyk-store-\(UUID().uuidString)")
        switch kind {
        case .memory: store = MemoryStore()
        case .sqlite:
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            store = try SQLiteStore(path: folder.appending(path: "workspace.sqlite").path, create: true)
        }
        try store.write { try $0.adopt(schema) }
    }

    func end() { try? FileManager.default.removeItem(at: folder) }

    var path: String { folder.appending(path: "workspace.sqlite").path }

    /// Where the store is in files: a second one on them. Nil for one that lives in memory.
    func reopened() throws -> (any Store)? {
        kind == .sqlite ? try SQLiteStore(path: path) : nil
    }
}
