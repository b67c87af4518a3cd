import Foundation

/// The order in which people look names up: Latin letters without regard to case and marks, then the Persian alphabet,
/// in which Arabic letters count as their Persian forms. By our own table, so that no machine's locale decides.
///
/// Differs from the order of code points, in which پ چ ژ گ ک ی stand after all others. As in CLDR for Persian, آ stands
/// before ا, and و before ه.
public enum NameOrder {
    /// The letters in their order; those of one group are the same letter.
    private static let alphabet = [
        "ء", "آ", "اأإٱ", "ب", "پ", "ت", "ث", "ج", "چ", "ح", "خ", "د", "ذ", "ر", "ز", "ژ", "س", "ش", "ص", "ض", "ط", "ظ",
        "ع", "غ", "ف", "ق", "کك", "گ", "ل", "م", "ن", "وؤ", "هةۀەۂۃ", "یيىئے",
    ]

    private static let places: [Unicode.Scalar: UInt32] = {
        var places: [Unicode.Scalar: UInt32] = [:]
        for (place, letters) in alphabet.enumerated() {
            for letter in letters.unicodeScalars { places[letter] = UInt32(place) }
        }
        return places
    }()

    // What comes first, as the first byte of a letter's weight; 0 ends a name.
    private static let space: UInt32 = 1 << 24
    private static let digit: UInt32 = 2 << 24
    private static let letter: UInt32 = 3 << 24
    private static let persianLetter: UInt32 = 4 << 24
    private static let other: UInt32 = 5 << 24

    /// Bytes that stand in the order of the names. Names that look the same are told apart by their code points.
    public static func key(_ name: String) -> [UInt8] {
        var key: [UInt8] = []
        key.reserveCapacity(name.utf8.count * 5 + 1)
        for scalar in name.unicodeScalars { append(scalar, to: &key) }
        key.append(0)
        key.append(contentsOf: name.utf8)
        return key
    }

    private static func append(_ scalar: Unicode.Scalar, to key: inout [UInt8]) {
        let value = scalar.value
        if value < 0x80 {
            add(asciiWeight(value), to: &key)
        } else if let place = places[scalar] {
            add(persianLetter | place, to: &key)
        } else if Digits.latin(scalar) != scalar {
            add(digit | Digits.latin(scalar).value, to: &key)
        } else {
            for part in String(scalar).decomposedStringWithCanonicalMapping.lowercased().unicodeScalars {
                add(weight(part), to: &key)
            }
        }
    }

    private static func asciiWeight(_ value: UInt32) -> UInt32 {
        switch value {
        case 0x30...0x39: digit | value
        case 0x41...0x5A: letter | (value + 0x20)
        case 0x61...0x7A: letter | value
        default: space | value
        }
    }

    /// 0 for what does not count: marks, half-spaces, marks of direction.
    private static func weight(_ scalar: Unicode.Scalar) -> UInt32 {
        if scalar.value < 0x80 { return asciiWeight(scalar.value) }
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format, .control: return 0
        case .spaceSeparator, .dashPunctuation, .otherPunctuation: return space | scalar.value
        default: return (scalar.value < 0x600 ? letter : other) | scalar.value
        }
    }

    private static func add(_ weight: UInt32, to key: inout [UInt8]) {
        guard weight != 0 else { return }
        for shift in stride(from: UInt32(24), through: 0, by: -8) {
            key.append(UInt8(truncatingIfNeeded: weight >> shift))
        }
    }
}
