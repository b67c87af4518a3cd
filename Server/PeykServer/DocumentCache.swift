import Synchronization

/// Documents of one kind as they were last read. Reading their bytes is cheap and always done; taking them apart again,
/// where a thousand devices greet at once, is not. A document is taken from here only where its bytes are the same, so
/// nothing of an undone transaction or of another process can be believed (rule T3).
final class DocumentCache<Kind: Document>: Sendable {
    private let known = Mutex<[String: (bytes: [UInt8], document: Kind)]>([:])

    /// All documents of the kind, in key order.
    func documents(_ reader: any StoreReader) throws -> [Kind] {
        let stored = try reader.documents(Kind.collection, prefix: "")
        return try known.withLock { known in
            var documents: [Kind] = []
            documents.reserveCapacity(stored.count)
            for (key, bytes) in stored {
                if let same = known[key], same.bytes == bytes {
                    documents.append(same.document)
                    continue
                }
                let document: Kind = try reader.read(bytes, "\(Kind.collection)/\(key)")
                known[key] = (bytes, document)
                documents.append(document)
            }
            if known.count > stored.count {
                let present = Set(stored.map(\.key))
                known = known.filter { present.contains($0.key) }
            }
            return documents
        }
    }

    /// The document of this key; nil where there is none.
    func document(_ reader: any StoreReader, _ key: String) throws -> Kind? {
        guard let bytes = try reader.document(Kind.collection, key) else { return nil }
        return try known.withLock { known in
            if let same = known[key], same.bytes == bytes { return same.document }
            let document: Kind = try reader.read(bytes, "\(Kind.collection)/\(key)")
            known[key] = (bytes, document)
            return document
        }
    }
}
