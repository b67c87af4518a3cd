import PeykModel

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

// The one place that knows protobuf's `Data`: ids, byte strings and checked integers of messages.

extension Identifier128 {
    var data: Data {
        withUnsafeBytes(of: (bits.high.bigEndian, bits.low.bigEndian)) { Data($0) }
    }
}

extension [UInt8] {
    var data: Data { Data(self) }
}

extension Optional where Wrapped: Identifier128 {
    /// Nothing is written for nil.
    var data: Data { map(\.data) ?? Data() }
}

extension Data {
    func bytes(atMost limit: Int, _ what: String) throws(DecodeError) -> [UInt8] {
        guard count <= limit else { throw .tooLong(bytes: count, limit: limit) }
        return [UInt8](self)
    }

    func bytes(exactly length: Int, _ what: String) throws(DecodeError) -> [UInt8] {
        guard count == length else { throw .malformed("\(what) of \(count) bytes, not \(length)") }
        return [UInt8](self)
    }

    func id<ID: Identifier128>(_ what: String) throws(DecodeError) -> ID {
        guard count == 16 else { throw .malformed("\(what) of \(count) bytes, not 16") }
        return withUnsafeBytes { raw in
            let high = UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
            let low = UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            return ID(bits: UUIDBits(high: high, low: low))
        }
    }

    /// What ``EffectCodec`` wrote; nothing means no effects.
    func effects() throws(DecodeError) -> [Effect] { isEmpty ? [] : try EffectCodec.decode([UInt8](self)) }

    /// Nil where nothing was written.
    func optionalID<ID: Identifier128>(_ what: String) throws(DecodeError) -> ID? {
        isEmpty ? nil : try id(what)
    }
}

extension Int64 {
    /// A position, seq, count or time that is never negative.
    func natural(_ what: String) throws(DecodeError) -> Int64 {
        guard self >= 0 else { throw .malformed("\(what) below 0") }
        return self
    }
}

extension UInt32 {
    /// Writes an index or size; a value that no peer accepts is written as the largest.
    init(wire value: Int) { self.init(clamping: value) }

    /// The index of a table; not yet checked against a schema.
    func index(_ what: String) throws(DecodeError) -> Int { try atMost(Int(Int32.max), what) }

    func atMost(_ limit: Int, _ what: String) throws(DecodeError) -> Int {
        guard let value = Int(exactly: self), value <= limit else {
            throw .malformed("\(what) \(self) is over the limit of \(limit)")
        }
        return value
    }
}

extension String {
    func atMost(_ limit: Int, _ what: String) throws(DecodeError) -> String {
        guard utf8.count <= limit else { throw .tooLong(bytes: utf8.count, limit: limit) }
        return self
    }
}

/// Limits of single fields, above what honest peers send.
enum FieldLimits {
    static let key = 32
    static let signature = 64
    static let nonce = 64
    static let certificate = 4 << 10
    static let token = 4 << 10
    static let receipt = 256
    static let name = 1 << 10
    static let word = 64
    static let message = 16 << 10
    static let schema = 8 << 20
    static let buckets = 1 << 16
    static let eras = 1 << 12
}
