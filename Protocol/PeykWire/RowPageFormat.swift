import PeykModel

/// The layout of a row page (protocol.md, W): columns of rows of one table, in id order.
///
/// format (1) · rows · columns · ids · writers · columns. Every count and length is a varint.
/// - ids: for each row how many leading bytes it shares with the id before (1 byte each), then a length, and the
///   remaining bytes of all ids.
/// - writers: count of rows that have any; for each the rows skipped since the last one, a count, 16 bytes each.
/// - column: flags (1), then the sections of ``RowPageSection``, each with its length before it.
enum RowPageFormat {
    static let version: UInt8 = 1
    static let columnsMax = 4_096
    static let rowsMax = 1 << 20

    /// Flags of a column.
    static let tagsInRuns: UInt8 = 1
    static let integersAsDifferences: UInt8 = 2

    /// Tags of a cell.
    static let null: UInt8 = 0
    static let integer: UInt8 = 1
    static let real: UInt8 = 2
    static let text: UInt8 = 3
    static let blob: UInt8 = 4
    /// A text that is the canonical form of an id: 16 bytes instead of 36.
    static let recordText: UInt8 = 5
    static let tagsMax: UInt8 = 5
}

/// The sections of one column, in this order.
enum RowPageSection: Int, CaseIterable {
    /// A byte per row, or runs of (tag, count).
    case tags
    /// Zig-zag varints; each against the one before it where the flag says so.
    case integers
    /// 8 bytes each, big-endian bits.
    case reals
    /// 16 bytes each.
    case records
    case textLengths
    /// UTF-8, without separators.
    case texts
    case blobLengths
    case blobs
}

/// The 36 characters of an id, written and read at speed.
enum IDText {
    static let length = 36

    /// Reads the canonical form only, as ``UUIDBits/init(canonical:)`` does; nil for anything else.
    @inline(__always)
    static func parse(_ text: UnsafeBufferPointer<UInt8>) -> UUIDBits? {
        guard text.count == length, text[8] == 0x2D, text[13] == 0x2D, text[18] == 0x2D, text[23] == 0x2D else {
            return nil
        }
        var words: (UInt64, UInt64) = (0, 0)
        var at = 0
        for nibble in 0..<32 {
            if nibble == 8 || nibble == 12 || nibble == 16 || nibble == 20 { at += 1 }
            let byte = text[at]
            at += 1
            let digit: UInt64
            switch byte {
            case 0x30...0x39: digit = UInt64(byte &- 0x30)
            case 0x61...0x66: digit = UInt64(byte &- 0x57)
            default: return nil
            }
            if nibble < 16 { words.0 = words.0 << 4 | digit } else { words.1 = words.1 << 4 | digit }
        }
        return UUIDBits(high: words.0, low: words.1)
    }

    /// Writes 36 bytes to `out`.
    @inline(__always)
    static func write(_ bits: UUIDBits, to out: UnsafeMutablePointer<UInt8>) {
        var at = 0
        for nibble in 0..<32 {
            if nibble == 8 || nibble == 12 || nibble == 16 || nibble == 20 {
                out[at] = 0x2D
                at &+= 1
            }
            let word = nibble < 16 ? bits.high : bits.low
            let digit = UInt8(truncatingIfNeeded: word &>> UInt64(60 &- 4 &* (nibble & 15))) & 15
            out[at] = digit < 10 ? 0x30 &+ digit : 0x57 &+ digit
            at &+= 1
        }
    }
}
