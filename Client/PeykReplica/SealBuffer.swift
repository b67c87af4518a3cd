import PeykModel

/// A growing run of bytes in memory of its own, for the inner loop of sealing: what `ByteWriter` writes, without
/// the checks of an array at each byte. Its owner calls ``free()``.
struct SealBuffer {
    private(set) var start: UnsafeMutableRawPointer
    private(set) var count = 0
    private var capacity: Int

    /// Kept between transactions; what one large transaction needed beyond it goes back.
    private static let keptBytesMax = 1 << 20
    private static let firstBytes = 1 << 10

    init() {
        capacity = Self.firstBytes
        start = .allocate(byteCount: capacity, alignment: 16)
    }

    func free() { start.deallocate() }

    mutating func clear() {
        count = 0
        guard capacity > Self.keptBytesMax else { return }
        start.deallocate()
        capacity = Self.firstBytes
        start = .allocate(byteCount: capacity, alignment: 16)
    }

    mutating func rewind(to count: Int) { self.count = min(count, self.count) }

    func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        let range = range.clamped(to: 0..<count)
        return UnsafeRawBufferPointer(start: start + range.lowerBound, count: range.count)
    }

    /// Makes room for `bytes` more.
    @inline(__always)
    mutating func reserve(_ bytes: Int) {
        if count + bytes > capacity { grow(bytes) }
    }

    @inline(never)
    private mutating func grow(_ bytes: Int) {
        capacity = max(capacity * 2, count + bytes)
        let moved = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        moved.copyMemory(from: start, byteCount: count)
        start.deallocate()
        start = moved
    }

    @inline(__always)
    mutating func byte(_ value: UInt8) {
        reserve(1)
        start.storeBytes(of: value, toByteOffset: count, as: UInt8.self)
        count += 1
    }

    @inline(__always)
    mutating func varint(_ value: UInt64) {
        reserve(10)
        var rest = value
        while rest >= 0x80 {
            start.storeBytes(of: UInt8(truncatingIfNeeded: rest) | 0x80, toByteOffset: count, as: UInt8.self)
            count += 1
            rest >>= 7
        }
        start.storeBytes(of: UInt8(truncatingIfNeeded: rest), toByteOffset: count, as: UInt8.self)
        count += 1
    }

    @inline(__always)
    mutating func signed(_ value: Int64) { varint(UInt64(bitPattern: (value << 1) ^ (value >> 63))) }

    @inline(__always)
    mutating func fixed(_ value: UInt64) {
        reserve(8)
        start.storeBytes(of: value.bigEndian, toByteOffset: count, as: UInt64.self)
        count += 8
    }

    mutating func bits(_ value: UUIDBits) {
        fixed(value.high)
        fixed(value.low)
    }

    mutating func raw(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        reserve(bytes.count)
        (start + count).copyMemory(from: base, byteCount: bytes.count)
        count += bytes.count
    }

    mutating func raw(_ writer: ByteWriter) { writer.bytes.withUnsafeBytes { raw($0) } }

    /// Appends text that may be stored everywhere (``UTF8Check``); else nothing, and false.
    @inline(__always)
    mutating func text(_ base: UnsafeRawPointer?, _ length: Int) -> Bool {
        guard length <= FieldType.valueBytesMax else { return false }
        varint(UInt64(length))
        guard length > 0, let base else { return length == 0 }
        reserve(length + 8)
        let target = start + count
        var index = 0
        while index + 8 <= length {
            let word = base.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            guard Self.isPlain(word) else { break }
            target.storeBytes(of: word, toByteOffset: index, as: UInt64.self)
            index += 8
        }
        if index < length {
            let rest = UnsafeRawBufferPointer(start: base + index, count: length - index)
            guard UTF8Check.isWellFormed(rest) else { return false }
            (target + index).copyMemory(from: base + index, byteCount: length - index)
        }
        count += length
        return true
    }

    /// Eight ASCII characters, none of them NUL.
    @inline(__always)
    private static func isPlain(_ word: UInt64) -> Bool {
        (word | (word &- 0x0101_0101_0101_0101)) & 0x8080_8080_8080_8080 == 0
    }
}

/// Whether bytes are text that can be stored everywhere: well-formed UTF-8, no NUL, within the limit.
enum UTF8Check {
    /// Well-formed by table 3-7 of the Unicode standard; NUL counts as ill-formed.
    static func isWellFormed(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        let count = bytes.count
        while index < count {
            let first = bytes[index]
            if first < 0x80 {
                if first == 0 { return false }
                index += 1
                continue
            }
            let length: Int
            var low: UInt8 = 0x80
            var high: UInt8 = 0xBF
            switch first {
            case 0xC2...0xDF: length = 2
            case 0xE0...0xEF:
                length = 3
                if first == 0xE0 { low = 0xA0 }
                if first == 0xED { high = 0x9F }
            case 0xF0...0xF4:
                length = 4
                if first == 0xF0 { low = 0x90 }
                if first == 0xF4 { high = 0x8F }
            default: return false
            }
            guard index + length <= count, (low...high).contains(bytes[index + 1]) else { return false }
            for offset in 2..<max(2, length) where bytes[index + offset] & 0xC0 != 0x80 { return false }
            index += length
        }
        return true
    }
}
