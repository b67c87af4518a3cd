public import PeykModel

/// A small document of the store: JSON, so that IT can read it with `sqlite3`.
public protocol Document: Hashable, Sendable {
    static var collection: String { get }
    /// Its key in the collection.
    var key: String { get }
    var json: JSON { get }
    /// Nil where the JSON is not such a document.
    init?(json: JSON)
}

extension StoreReader {
    /// - Throws: ``StoreError/corrupt(_:)`` where what is stored cannot be read.
    public func document<Kind: Document>(_ kind: Kind.Type, _ key: String) throws -> Kind? {
        guard let bytes = try document(Kind.collection, key) else { return nil }
        return try read(bytes, "\(Kind.collection)/\(key)")
    }

    public func documents<Kind: Document>(_ kind: Kind.Type, prefix: String = "") throws -> [Kind] {
        try documents(Kind.collection, prefix: prefix).map { try read($0.value, "\(Kind.collection)/\($0.key)") }
    }

    func read<Kind: Document>(_ bytes: [UInt8], _ name: @autoclosure () -> String) throws -> Kind {
        try DecodedDocuments.shared.document(bytes) {
            guard let json = try? JSON(parsing: bytes), let document = Kind(json: json) else {
                throw StoreError.corrupt("the document \(name())")
            }
            return document
        }
    }
}

extension StoreTransaction {
    public func set<Kind: Document>(_ document: Kind) throws {
        let json = document.json
        var bytes: [UInt8] = []
        bytes.reserveCapacity(1_024)
        json.append(to: &bytes)
        DecodedDocuments.shared.note(Kind.self, json, bytes)
        try setDocument(Kind.collection, document.key, bytes)
    }

    public func remove(_ document: some Document) throws {
        try setDocument(type(of: document).collection, document.key, nil)
    }
}

extension [UInt8] {
    var hex: String {
        func digit(_ number: UInt8) -> UInt8 { number < 10 ? 0x30 + number : 0x57 + number }
        return String(unsafeUninitializedCapacity: count * 2) { text in
            for (index, byte) in enumerated() {
                text[index * 2] = digit(byte >> 4)
                text[index * 2 + 1] = digit(byte & 15)
            }
            return count * 2
        }
    }

    init?(hex: String) {
        guard hex.utf8.count % 2 == 0 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(hex.utf8.count / 2)
        var high: UInt8?
        for character in hex.utf8 {
            let digit: UInt8
            switch character {
            case 0x30...0x39: digit = character - 0x30
            case 0x41...0x46: digit = character - 0x37
            case 0x61...0x66: digit = character - 0x57
            default: return nil
            }
            if let first = high {
                bytes.append(first << 4 | digit)
                high = nil
            } else {
                high = digit
            }
        }
        self = bytes
    }

    /// Base64 for URLs, without padding (RFC 4648 §5).
    var base64URL: String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        var out: [UInt8] = []
        for start in stride(from: 0, to: count, by: 3) {
            let part = self[start..<Swift.min(start + 3, count)]
            var bits = part.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - part.count))
            var digits: [UInt8] = []
            for _ in 0..<4 {
                digits.insert(alphabet[bits & 63], at: 0)
                bits >>= 6
            }
            out += digits.prefix(part.count + 1)
        }
        return String(decoding: out, as: UTF8.self)
    }
}

extension Int64 {
    /// 16 digits, so that the order of texts is the order of numbers that are not negative.
    var sortable: String {
        let hex = String(UInt64(bitPattern: self), radix: 16)
        return String(repeating: "0", count: Swift.max(0, 16 - hex.count)) + hex
    }
}

extension Lineage {
    var json: JSON {
        .array(eras.map { ["epoch": .string($0.epoch.description), "after": .integer($0.after)] })
    }

    init?(json: JSON?) {
        guard let items = json?.arrayValue else { return nil }
        var eras: [Era] = []
        for item in items {
            guard let epoch = item["epoch"]?.stringValue.flatMap({ Epoch($0) }), let after = item["after"]?.integerValue
            else { return nil }
            eras.append(Era(epoch: epoch, after: after))
        }
        self.init(eras)
    }
}
