import PeykModel
import Synchronization

/// Documents by their bytes, as they were taken apart before: each session asks for the same few several times. What
/// is found here has the very bytes that were read, so nothing of an undone transaction, of another process or of
/// another workspace can be believed (rule T3).
final class DecodedDocuments: Sendable {
    static let shared = DecodedDocuments()

    private struct Key: Hashable {
        let kind: ObjectIdentifier
        let bytes: [UInt8]

        // An array's own way is byte by byte.
        func hash(into hasher: inout Hasher) {
            hasher.combine(kind)
            bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
        }
    }

    private let known = Mutex<[Key: any Document]>([:])

    /// Beyond this all are forgotten: some megabytes, and a sweep over a thousand devices fits.
    static let countMax = 4_096
    /// Longer documents are rare and seldom read.
    static let bytesMax = 2_048

    func document<Kind: Document>(_ bytes: [UInt8], _ decode: () throws -> Kind) rethrows -> Kind {
        guard bytes.count <= Self.bytesMax else { return try decode() }
        let key = Key(kind: ObjectIdentifier(Kind.self), bytes: bytes)
        if let same = known.withLock({ $0[key] }) as? Kind { return same }
        let document = try decode()
        keep(document, key)
        return document
    }

    /// The document that these bytes, the text of `json`, will be read as: what is written is mostly read again soon.
    func note<Kind: Document>(_ kind: Kind.Type, _ json: JSON, _ bytes: [UInt8]) {
        guard bytes.count <= Self.bytesMax, let document = Kind(json: json) else { return }
        keep(document, Key(kind: ObjectIdentifier(kind), bytes: bytes))
    }

    private func keep(_ document: any Document, _ key: Key) {
        known.withLock { known in
            if known.count >= Self.countMax { known = [:] }
            known[key] = document
        }
    }
}
