/// Latin, Persian (U+06F0…) and Arabic (U+0660…) digits.
public enum Digits {
    /// Persian and Arabic digits as Latin ones; everything else as it was.
    public static func latin(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 == 0xDB || $0 == 0xD9 }) else { return text }
        var out = String.UnicodeScalarView()
        for scalar in text.unicodeScalars { out.append(latin(scalar)) }
        return String(out)
    }

    static func latin(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
        switch scalar.value {
        case 0x06F0...0x06F9: Unicode.Scalar(UInt8(0x30 + scalar.value - 0x06F0))
        case 0x0660...0x0669: Unicode.Scalar(UInt8(0x30 + scalar.value - 0x0660))
        default: scalar
        }
    }

    /// Latin digits as Persian ones; everything else as it was.
    public static func persian(_ text: String) -> String {
        var out = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x30...0x39: out.append(Unicode.Scalar(0x06F0 + scalar.value - 0x30) ?? scalar)
            default: out.append(scalar)
            }
        }
        return String(out)
    }
}

/// Characters that change the direction of what follows them: taken out of imported texts, since they can make
/// a name look like another one (U+202A–202E and U+2066–2069).
public enum BidiControls {
    public static func stripped(from text: String) -> String {
        guard text.unicodeScalars.contains(where: isControl) else { return text }
        var out = String.UnicodeScalarView()
        for scalar in text.unicodeScalars where !isControl(scalar) { out.append(scalar) }
        return String(out)
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        (0x202A...0x202E).contains(scalar.value) || (0x2066...0x2069).contains(scalar.value)
    }
}
