/// Why bytes are not what they should be. Any byte sequence gives a value or one of these (P29).
public enum DecodeError: Error, Hashable, Sendable, CustomStringConvertible {
    case truncated
    case malformed(String)
    case tooLong(bytes: Int, limit: Int)
    case trailing(bytes: Int)

    public var description: String {
        switch self {
        case .truncated: "the data ends too early"
        case .malformed(let what): "the data is malformed: \(what)"
        case .tooLong(let bytes, let limit): "a part of \(bytes) bytes is over the limit of \(limit)"
        case .trailing(let bytes): "\(bytes) bytes follow the end of the data"
        }
    }
}

/// Writes our own binary form: LEB128 varints, zig-zag integers, length-prefixed bytes.
public struct ByteWriter: Sendable {
    public var bytes: [UInt8]

    public init(capacity: Int = 0) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    @inlinable
    public mutating func byte(_ value: UInt8) { bytes.append(value) }

    @inlinable
    public mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    @inlinable
    public mutating func count(_ value: Int) { varint(UInt64(value)) }

    @inlinable
    public mutating func signed(_ value: Int64) {
        varint(UInt64(bitPattern: (value << 1) ^ (value >> 63)))
    }

    public mutating func fixed(_ value: UInt64) {
        for shift in stride(from: 56, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(shift)))
        }
    }

    public mutating func bits(_ value: UUIDBits) { value.appendBytes(to: &bytes) }

    @inlinable
    public mutating func raw(_ buffer: UnsafeRawBufferPointer) { bytes.append(contentsOf: buffer) }

    public mutating func blob(_ value: [UInt8]) {
        count(value.count)
        bytes.append(contentsOf: value)
    }

    public mutating func text(_ value: String) {
        var value = value
        value.withUTF8 { utf8 in
            varint(UInt64(utf8.count))
            bytes.append(contentsOf: utf8)
        }
    }

    /// One tagged value: 0 null, 1 integer, 2 real, 3 text, 4 blob.
    public mutating func value(_ value: Value) {
        switch value {
        case .null: byte(0)
        case .integer(let number):
            byte(1)
            signed(number)
        case .real(let number):
            byte(2)
            fixed(number.bitPattern)
        case .text(let string):
            byte(3)
            text(string)
        case .blob(let data):
            byte(4)
            blob(data)
        }
    }
}

/// Reads what ``ByteWriter`` wrote; never reads past the end, never allocates more than the input holds.
public struct ByteReader: Sendable {
    public let bytes: [UInt8]
    public private(set) var offset: Int
    private let end: Int

    public init(_ bytes: [UInt8], from start: Int = 0) {
        self.bytes = bytes
        offset = min(max(0, start), bytes.count)
        end = bytes.count
    }

    public var remaining: Int { end - offset }
    public var isAtEnd: Bool { offset == end }

    public func finish() throws(DecodeError) {
        guard isAtEnd else { throw .trailing(bytes: remaining) }
    }

    public mutating func byte() throws(DecodeError) -> UInt8 {
        guard offset < end else { throw .truncated }
        defer { offset += 1 }
        return bytes[offset]
    }

    public mutating func varint() throws(DecodeError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let part = try byte()
            if shift == 63, part > 1 { throw .malformed("an integer of more than 64 bits") }
            value |= UInt64(part & 0x7F) << shift
            if part & 0x80 == 0 { return value }
            shift += 7
            if shift > 63 { throw .malformed("an integer of more than 64 bits") }
        }
    }

    /// A count of things that take at least one byte each, so it cannot exceed what is left.
    public mutating func count() throws(DecodeError) -> Int {
        let value = try varint()
        guard value <= UInt64(remaining) else { throw .truncated }
        return Int(value)
    }

    public mutating func signed() throws(DecodeError) -> Int64 {
        let value = try varint()
        return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }

    /// A position, seq or other integer that is never negative.
    public mutating func natural() throws(DecodeError) -> Int64 {
        let value = try varint()
        guard let natural = Int64(exactly: value) else { throw .malformed("an integer over 2^63") }
        return natural
    }

    public mutating func fixed() throws(DecodeError) -> UInt64 {
        guard remaining >= 8 else { throw .truncated }
        var value: UInt64 = 0
        for index in offset..<offset + 8 { value = value << 8 | UInt64(bytes[index]) }
        offset += 8
        return value
    }

    public mutating func bits() throws(DecodeError) -> UUIDBits {
        UUIDBits(high: try fixed(), low: try fixed())
    }

    public mutating func blob() throws(DecodeError) -> [UInt8] {
        let length = try count()
        defer { offset += length }
        return Array(bytes[offset..<offset + length])
    }

    public mutating func text() throws(DecodeError) -> String {
        let length = try count()
        guard let text = String(validating: bytes[offset..<offset + length], as: UTF8.self) else {
            throw .malformed("text that is not UTF-8")
        }
        offset += length
        return text
    }

    public mutating func value() throws(DecodeError) -> Value {
        switch try byte() {
        case 0: return .null
        case 1: return .integer(try signed())
        case 2: return .real(Double(bitPattern: try fixed()))
        case 3: return .text(try text())
        case 4: return .blob(try blob())
        default: throw .malformed("unknown kind of value")
        }
    }
}

/// A 64-bit digest of bytes (FNV-1a, folded once more at the end): finds accidents, not attackers.
public struct Digest64: Sendable {
    private var state: UInt64 = 0xCBF2_9CE4_8422_2325

    public init() {}

    public mutating func update(_ bytes: some Sequence<UInt8>) {
        var hash = state
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        state = hash
    }

    public var value: UInt64 {
        var mixed = state
        mixed = (mixed ^ (mixed >> 33)) &* 0xFF51_AFD7_ED55_8CCD
        mixed = (mixed ^ (mixed >> 33)) &* 0xC4CE_B9FE_1A85_EC53
        return mixed ^ (mixed >> 33)
    }
}
