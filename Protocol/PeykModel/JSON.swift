/// A JSON document, with one canonical text: keys sorted by bytes, no spaces, ASCII escapes only where needed.
///
/// Ours rather than Foundation's because `Protocol/` imports no Foundation and equal states must give equal
/// bytes on every platform. Integers keep 64 bits; doubles are written as the shortest text that reads back.
public indirect enum JSON: Hashable, Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    case double(Double)
    case string(String)
    case array([JSON])
    case object([String: JSON])

    /// Why a text is not a JSON document that we take.
    public struct ParseError: Error, Hashable, Sendable, CustomStringConvertible {
        public let offset: Int
        public let problem: String
        public var description: String { "not valid JSON at byte \(offset): \(problem)" }
    }

    public static let depthMax = 64

    public init(parsing text: String) throws(ParseError) {
        try self.init(parsing: Array(text.utf8))
    }

    public init(parsing bytes: [UInt8]) throws(ParseError) {
        var parser = JSONParser(bytes: bytes)
        self = try parser.document()
    }

    public subscript(key: String) -> JSON? {
        if case .object(let members) = self { members[key] } else { nil }
    }

    public var stringValue: String? { if case .string(let value) = self { value } else { nil } }
    public var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }
    public var arrayValue: [JSON]? { if case .array(let value) = self { value } else { nil } }
    public var objectValue: [String: JSON]? { if case .object(let value) = self { value } else { nil } }
    public var integerValue: Int64? { if case .integer(let value) = self { value } else { nil } }

    /// The canonical text, on one line.
    public var text: String {
        var out: [UInt8] = []
        append(to: &out, indent: nil, depth: 0)
        return String(decoding: out, as: UTF8.self)
    }

    /// The same document for people: two spaces a level.
    public var pretty: String {
        var out: [UInt8] = []
        append(to: &out, indent: 2, depth: 0)
        return String(decoding: out, as: UTF8.self)
    }

    /// Appends the canonical text's bytes.
    public func append(to out: inout [UInt8]) { append(to: &out, indent: nil, depth: 0) }

    private func append(to out: inout [UInt8], indent: Int?, depth: Int) {
        func newline(_ depth: Int) {
            guard let indent else { return }
            out.append(0x0A)
            out.append(contentsOf: repeatElement(0x20, count: indent * depth))
        }
        switch self {
        case .null: out.append(contentsOf: "null".utf8)
        case .bool(let value): out.append(contentsOf: (value ? "true" : "false").utf8)
        case .integer(let value): out.append(contentsOf: String(value).utf8)
        case .double(let value): out.append(contentsOf: Self.text(of: value).utf8)
        case .string(let value): Self.appendQuoted(value, to: &out)
        case .array(let items):
            out.append(0x5B)
            for (index, item) in items.enumerated() {
                if index > 0 { out.append(0x2C) }
                newline(depth + 1)
                item.append(to: &out, indent: indent, depth: depth + 1)
            }
            if !items.isEmpty { newline(depth) }
            out.append(0x5D)
        case .object(let members):
            out.append(0x7B)
            let sorted = members.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            for (index, member) in sorted.enumerated() {
                if index > 0 { out.append(0x2C) }
                newline(depth + 1)
                Self.appendQuoted(member.key, to: &out)
                out.append(0x3A)
                if indent != nil { out.append(0x20) }
                member.value.append(to: &out, indent: indent, depth: depth + 1)
            }
            if !members.isEmpty { newline(depth) }
            out.append(0x7D)
        }
    }

    /// JSON has no infinity; a number beyond all doubles is read as one by most programs, SQLite among them.
    private static let infinity = "9e999"

    private static func text(of value: Double) -> String {
        if value.isNaN { return "null" }
        return value.isFinite ? "\(value)" : (value < 0 ? "-" : "") + infinity
    }

    /// What stands for no number but an infinity; nil for every other text.
    fileprivate static func infinity(_ text: String) -> Double? {
        switch text {
        case infinity: .infinity
        case "-" + infinity: -.infinity
        default: nil
        }
    }

    static func appendQuoted(_ text: String, to out: inout [UInt8]) {
        out.append(0x22)
        defer { out.append(0x22) }
        guard text.utf8.contains(where: { $0 < 0x20 || $0 == 0x22 || $0 == 0x5C }) else {
            return out.append(contentsOf: text.utf8)
        }
        let hex = Array("0123456789abcdef".utf8)
        for byte in text.utf8 {
            switch byte {
            case 0x22: out.append(contentsOf: [0x5C, 0x22])
            case 0x5C: out.append(contentsOf: [0x5C, 0x5C])
            case 0x0A: out.append(contentsOf: [0x5C, 0x6E])
            case 0x0D: out.append(contentsOf: [0x5C, 0x72])
            case 0x09: out.append(contentsOf: [0x5C, 0x74])
            case 0..<0x20:
                out.append(contentsOf: "\\u00".utf8)
                out.append(hex[Int(byte >> 4)])
                out.append(hex[Int(byte & 15)])
            default: out.append(byte)
            }
        }
    }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(arrayLiteral elements: JSON...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, JSON)...) {
        self = .object(Dictionary(elements) { _, last in last })
    }
}

extension JSON {
    /// A stored value's plain JSON form, as in dumps: blobs as `{"blob": "<hex>"}`.
    public init(_ value: PeykModel.Value) {
        switch value {
        case .null: self = .null
        case .integer(let number): self = .integer(number)
        case .real(let number): self = .double(number)
        case .text(let text): self = .string(text)
        case .blob(let bytes):
            let hex = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            self = .object(["blob": .string(hex)])
        }
    }

    /// The value that ``init(_:)`` made this from; nil where it was something else.
    public var value: PeykModel.Value? {
        switch self {
        case .null: return .null
        case .bool(let value): return .integer(value ? 1 : 0)
        case .integer(let number): return .integer(number)
        case .double(let number): return .real(number)
        case .string(let text): return .text(text)
        case .object(let members):
            guard members.count == 1, let hex = members["blob"]?.stringValue, hex.utf8.count % 2 == 0 else {
                return nil
            }
            var bytes: [UInt8] = []
            var rest = hex[...]
            while !rest.isEmpty {
                guard rest.utf8.first ?? 0 > 0x2D, let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
                bytes.append(byte)
                rest = rest.dropFirst(2)
            }
            return .blob(bytes)
        case .array: return nil
        }
    }
}

private struct JSONParser {
    let bytes: [UInt8]
    var at = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    func failure(_ problem: String) -> JSON.ParseError { JSON.ParseError(offset: at, problem: problem) }

    mutating func document() throws(JSON.ParseError) -> JSON {
        let value = try value(depth: 0)
        skipSpace()
        guard at == bytes.count else { throw failure("text after the document") }
        return value
    }

    mutating func skipSpace() {
        while at < bytes.count {
            switch bytes[at] {
            case 0x20, 0x0A, 0x0D, 0x09: at += 1
            default: return
            }
        }
    }

    mutating func take(_ byte: UInt8) -> Bool {
        skipSpace()
        guard at < bytes.count, bytes[at] == byte else { return false }
        at += 1
        return true
    }

    mutating func word(_ word: String, _ value: JSON) throws(JSON.ParseError) -> JSON {
        let expected = Array(word.utf8)
        guard bytes.count - at >= expected.count, Array(bytes[at..<at + expected.count]) == expected else {
            throw failure("unknown word")
        }
        at += expected.count
        return value
    }

    mutating func value(depth: Int) throws(JSON.ParseError) -> JSON {
        guard depth < JSON.depthMax else { throw failure("nested deeper than \(JSON.depthMax)") }
        skipSpace()
        guard at < bytes.count else { throw failure("ends too early") }
        switch bytes[at] {
        case 0x6E: return try word("null", .null)
        case 0x74: return try word("true", .bool(true))
        case 0x66: return try word("false", .bool(false))
        case 0x22: return .string(try string())
        case 0x5B: return try array(depth: depth)
        case 0x7B: return try object(depth: depth)
        default: return try number()
        }
    }

    mutating func array(depth: Int) throws(JSON.ParseError) -> JSON {
        at += 1
        var items: [JSON] = []
        if take(0x5D) { return .array(items) }
        while true {
            items.append(try value(depth: depth + 1))
            if take(0x5D) { return .array(items) }
            guard take(0x2C) else { throw failure("expected , or ]") }
        }
    }

    mutating func object(depth: Int) throws(JSON.ParseError) -> JSON {
        at += 1
        var members: [String: JSON] = [:]
        if take(0x7D) { return .object(members) }
        while true {
            skipSpace()
            guard at < bytes.count, bytes[at] == 0x22 else { throw failure("expected a key") }
            let key = try string()
            guard take(0x3A) else { throw failure("expected :") }
            let member = try value(depth: depth + 1)
            guard members.updateValue(member, forKey: key) == nil else { throw failure("key “\(key)” twice") }
            if take(0x7D) { return .object(members) }
            guard take(0x2C) else { throw failure("expected , or }") }
        }
    }

    /// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
    mutating func number() throws(JSON.ParseError) -> JSON {
        let start = at
        _ = skip(0x2D)
        let isZero = skip(0x30)
        guard isZero || digits() else { throw failure("not a value") }
        var isInteger = true
        if skip(0x2E) {
            isInteger = false
            guard digits() else { throw failure("not a number") }
        }
        if skip(0x65) || skip(0x45) {
            isInteger = false
            if !skip(0x2B) { _ = skip(0x2D) }
            guard digits() else { throw failure("not a number") }
        }
        let text = String(decoding: bytes[start..<at], as: UTF8.self)
        if isInteger, let number = Int64(text) { return .integer(number) }
        if let infinite = JSON.infinity(text) { return .double(infinite) }
        guard let number = Double(text), number.isFinite else { throw failure("not a number") }
        return .double(number)
    }

    mutating func skip(_ byte: UInt8) -> Bool {
        guard at < bytes.count, bytes[at] == byte else { return false }
        at += 1
        return true
    }

    mutating func digits() -> Bool {
        let start = at
        while at < bytes.count, (0x30...0x39).contains(bytes[at]) { at += 1 }
        return at > start
    }

    mutating func string() throws(JSON.ParseError) -> String {
        at += 1
        let start = at
        while at < bytes.count, bytes[at] != 0x22, bytes[at] != 0x5C, bytes[at] >= 0x20 { at += 1 }
        var out = Array(bytes[start..<at])
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            switch byte {
            case 0x22:
                guard let text = String(validating: out, as: UTF8.self) else { throw failure("invalid UTF-8") }
                return text
            case 0x5C: try escape(into: &out)
            case 0..<0x20: throw failure("control character in a string")
            default: out.append(byte)
            }
        }
        throw failure("string without an end")
    }

    mutating func escape(into out: inout [UInt8]) throws(JSON.ParseError) {
        guard at < bytes.count else { throw failure("string without an end") }
        let byte = bytes[at]
        at += 1
        switch byte {
        case 0x22, 0x5C, 0x2F: out.append(byte)
        case 0x62: out.append(0x08)
        case 0x66: out.append(0x0C)
        case 0x6E: out.append(0x0A)
        case 0x72: out.append(0x0D)
        case 0x74: out.append(0x09)
        case 0x75:
            var code = try hexQuad()
            if (0xD800..<0xDC00).contains(code) {
                guard bytes.count - at >= 6, bytes[at] == 0x5C, bytes[at + 1] == 0x75 else {
                    throw failure("lone surrogate")
                }
                at += 2
                let low = try hexQuad()
                guard (0xDC00..<0xE000).contains(low) else { throw failure("lone surrogate") }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw failure("lone surrogate") }
            out.append(contentsOf: String(Character(scalar)).utf8)
        default: throw failure("unknown escape")
        }
    }

    mutating func hexQuad() throws(JSON.ParseError) -> UInt32 {
        guard bytes.count - at >= 4, bytes[at] > 0x2D,
            let code = UInt32(String(decoding: bytes[at..<at + 4], as: UTF8.self), radix: 16)
        else { throw failure("bad \\u escape") }
        at += 4
        return code
    }
}
