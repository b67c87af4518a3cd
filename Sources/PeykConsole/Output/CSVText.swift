/// RFC 4180: fields with a comma, quote or line break are quoted, lines end with CRLF.
public enum CSVText {
    public static func line(_ fields: [String]) -> String {
        fields.map(quoted).joined(separator: ",") + "\r\n"
    }

    static func quoted(_ field: String) -> String {
        let needsQuotes =
            field.utf8.contains { [0x22, 0x2C, 0x0A, 0x0D].contains($0) }
            || field.utf8.first == 0x20 || field.utf8.last == 0x20
            // At the beginning of a file it would be passed over as a mark of byte order.
            || field.unicodeScalars.first == "\u{FEFF}"
        guard needsQuotes else { return field }
        var out = "\""
        for character in field.unicodeScalars { out += character == "\"" ? "\"\"" : String(character) }
        return out + "\""
    }
}
