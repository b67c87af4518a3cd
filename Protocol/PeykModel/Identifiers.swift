/// 128 random or time-ordered bits, with one text form: 36 lower-case characters as in RFC 9562.
public struct UUIDBits: Hashable, Sendable, Comparable {
    public let high: UInt64
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Reads the canonical text form only: lower case, hyphens at 8, 13, 18 and 23. Anything else gives nil.
    ///
    /// Inlinable, as is its neighbour: each row that is read comes by here, and unspecialised it costs ten times as
    /// much.
    @inlinable
    public init?<Bytes: Collection>(canonical bytes: Bytes) where Bytes.Element == UInt8 {
        guard bytes.count == 36 else { return nil }
        var high: UInt64 = 0
        var low: UInt64 = 0
        var index = 0
        var digits = 0
        for byte in bytes {
            defer { index += 1 }
            if index == 8 || index == 13 || index == 18 || index == 23 {
                guard byte == 0x2D else { return nil }
                continue
            }
            let digit: UInt64
            switch byte {
            case 0x30...0x39: digit = UInt64(byte &- 0x30)
            case 0x61...0x66: digit = UInt64(byte &- 0x57)
            default: return nil
            }
            if digits < 16 { high = high << 4 | digit } else { low = low << 4 | digit }
            digits += 1
        }
        self.init(high: high, low: low)
    }

    /// Reads 16 bytes, big-endian; any other count gives nil.
    @inlinable
    public init?<Bytes: Collection>(bytes: Bytes) where Bytes.Element == UInt8 {
        guard bytes.count == 16 else { return nil }
        var high: UInt64 = 0
        var low: UInt64 = 0
        for (index, byte) in bytes.enumerated() {
            if index < 8 { high = high << 8 | UInt64(byte) } else { low = low << 8 | UInt64(byte) }
        }
        self.init(high: high, low: low)
    }

    /// 16 bytes, big-endian, so that byte order is the order of the text form.
    public var bytes: [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(16)
        appendBytes(to: &out)
        return out
    }

    public func appendBytes(to out: inout [UInt8]) {
        for shift in stride(from: 56, through: 0, by: -8) {
            out.append(UInt8(truncatingIfNeeded: high >> UInt64(shift)))
        }
        for shift in stride(from: 56, through: 0, by: -8) {
            out.append(UInt8(truncatingIfNeeded: low >> UInt64(shift)))
        }
    }

    /// Calls `body` with the 36 ASCII bytes of the canonical text, without allocating.
    public func withText<Result>(_ body: (UnsafeBufferPointer<UInt8>) throws -> Result) rethrows -> Result {
        try withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 36) { buffer in
            var at = 0
            for nibble in 0..<32 {
                if nibble == 8 || nibble == 12 || nibble == 16 || nibble == 20 {
                    buffer[at] = 0x2D
                    at += 1
                }
                let word = nibble < 16 ? high : low
                let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * (nibble & 15))) & 15
                buffer[at] = digit < 10 ? 0x30 + digit : 0x57 + digit
                at += 1
            }
            return try body(UnsafeBufferPointer(buffer))
        }
    }

    public var text: String { withText { String(decoding: $0, as: UTF8.self) } }

    public static func < (left: Self, right: Self) -> Bool {
        left.high != right.high ? left.high < right.high : left.low < right.low
    }
}

/// A 128-bit identifier of one kind. Order is the order of the text forms.
public protocol Identifier128: Hashable, Sendable, Comparable, CustomStringConvertible {
    var bits: UUIDBits { get }
    init(bits: UUIDBits)
}

extension Identifier128 {
    @inlinable
    public init?(_ text: some StringProtocol) {
        guard let bits = UUIDBits(canonical: text.utf8) else { return nil }
        self.init(bits: bits)
    }
    @inlinable
    public init?(bytes: some Collection<UInt8>) {
        guard let bits = UUIDBits(bytes: bytes) else { return nil }
        self.init(bits: bits)
    }
    public var bytes: [UInt8] { bits.bytes }
    public var description: String { bits.text }
    public static func < (left: Self, right: Self) -> Bool { left.bits < right.bits }
}

/// The `id` of a row. Made as UUIDv7 (or UUIDv8 by `import --key`, rule D6); any canonical UUID is accepted.
public struct RecordID: Identifier128 {
    public let bits: UUIDBits
    public init(bits: UUIDBits) { self.bits = bits }

    /// UUIDv7 from a wall-clock time in Unix milliseconds and 74 random bits (RFC 9562 §5.7).
    public init(milliseconds: UInt64, randomHigh: UInt64, randomLow: UInt64) {
        let high = (milliseconds & 0xFFFF_FFFF_FFFF) << 16 | 0x7000 | (randomHigh & 0x0FFF)
        let low = 0x8000_0000_0000_0000 | (randomLow >> 2)
        self.init(bits: UUIDBits(high: high, low: low))
    }

    /// UUIDv8 from 16 bytes of a digest (rule D6): the same input gives the same record everywhere.
    public init?(digest: some Collection<UInt8>) {
        guard let bits = UUIDBits(bytes: digest.prefix(16)) else { return nil }
        let high = (bits.high & ~0xF000) | 0x8000
        let low = (bits.low & 0x3FFF_FFFF_FFFF_FFFF) | 0x8000_0000_0000_0000
        self.init(bits: UUIDBits(high: high, low: low))
    }
}

/// Names a commit for ever, whatever dot it travels under (rule C1).
public struct CommitID: Identifier128 {
    public let bits: UUIDBits
    public init(bits: UUIDBits) { self.bits = bits }
}

/// One history of the server; changes when a restore begins a new one.
public struct Epoch: Identifier128 {
    public let bits: UUIDBits
    public init(bits: UUIDBits) { self.bits = bits }
}

/// One replica on one device: 64 random bits, never reused (rule I1). Zero is never a site.
public struct SiteID: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Reads the 16 hexadecimal digits of ``description``.
    public init?(_ text: some StringProtocol) {
        // A sign is no digit, though the standard library reads one.
        guard text.utf8.count == 16, text.utf8.first ?? 0 > 0x2D, let raw = UInt64(text, radix: 16) else { return nil }
        self.init(rawValue: raw)
    }

    public var description: String {
        String(unsafeUninitializedCapacity: 16) { text in
            for index in 0..<16 {
                let digit = UInt8(truncatingIfNeeded: rawValue >> UInt64(60 - 4 * index)) & 15
                text[index] = digit < 10 ? 0x30 + digit : 0x57 + digit
            }
            return 16
        }
    }

    /// The first 6 digits: enough for a person to tell devices apart.
    public var short: String { String(description.prefix(6)) }

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// Place in the workspace's log: 1, 2, 3… without gaps; 0 is before the first.
public typealias Position = Int64

/// A site's own count of its commits: 1, 2, 3… without gaps.
public typealias Sequence64 = Int64

/// `(site, seq)`: names one commit of one site.
public struct Dot: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let site: SiteID
    public let seq: Sequence64

    public init(site: SiteID, seq: Sequence64) {
        self.site = site
        self.seq = seq
    }

    public var description: String { "\(site.short):\(seq)" }

    public static func < (left: Self, right: Self) -> Bool {
        left.site != right.site ? left.site < right.site : left.seq < right.seq
    }
}
