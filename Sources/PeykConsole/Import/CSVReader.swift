/// Reads CSV strictly (RFC 4180), record by record, and knows on which line each record begins.
///
/// Lines end with LF or CRLF; a byte order mark is skipped; lines without any text are skipped. A record that is
/// not well formed is given as an error and the next line goes on; only a quote that is never closed ends the file.
public struct CSVReader: Sequence, IteratorProtocol {
    public struct Record: Hashable, Sendable {
        /// 1 is the file's first line.
        public let line: Int
        public let fields: [String]
    }

    public struct Problem: Error, Hashable, Sendable {
        public let line: Int
        public let reason: String
    }

    private let bytes: [UInt8]
    private let delimiter: UInt8
    private var at: Int
    private var line = 1

    public init(_ bytes: [UInt8], delimiter: UInt8 = 0x2C) {
        self.bytes = bytes
        self.delimiter = delimiter
        at = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    }

    public mutating func next() -> Result<Record, Problem>? {
        while at < bytes.count {
            let first = line
            if let end = lineBreak(at) {
                at = end
                line += 1
                continue
            }
            do throws(Problem) {
                let fields = try record()
                if fields.count == 1, fields[0].allSatisfy(\.isWhitespace) { continue }
                return .success(Record(line: first, fields: fields))
            } catch {
                return .failure(Problem(line: first, reason: error.reason))
            }
        }
        return nil
    }

    /// The place after the line break at `place`, if one is there.
    private func lineBreak(_ place: Int) -> Int? {
        guard place < bytes.count else { return nil }
        if bytes[place] == 0x0A { return place + 1 }
        if bytes[place] == 0x0D, place + 1 < bytes.count, bytes[place + 1] == 0x0A { return place + 2 }
        return nil
    }

    private mutating func skipLine() {
        while at < bytes.count {
            if let end = lineBreak(at) {
                at = end
                line += 1
                return
            }
            at += 1
        }
    }

    private mutating func record() throws(Problem) -> [String] {
        var fields: [String] = []
        while true {
            fields.append(try bytesOfField())
            if at >= bytes.count { return fields }
            if bytes[at] == delimiter {
                at += 1
                continue
            }
            if let end = lineBreak(at) {
                at = end
                line += 1
                return fields
            }
            try fail("there is text after a closing quote")
        }
    }

    private mutating func fail(_ reason: String) throws(Problem) -> Never {
        skipLine()
        throw Problem(line: line, reason: reason)
    }

    private mutating func bytesOfField() throws(Problem) -> String {
        var out: [UInt8] = []
        if at < bytes.count, bytes[at] == 0x22 {
            at += 1
            while true {
                guard at < bytes.count else { throw Problem(line: line, reason: "a quote is never closed") }
                let byte = bytes[at]
                at += 1
                if byte == 0x22 {
                    guard at < bytes.count, bytes[at] == 0x22 else { break }
                    at += 1
                } else if byte == 0x0A {
                    line += 1
                }
                out.append(byte)
            }
        } else {
            while at < bytes.count, bytes[at] != delimiter, lineBreak(at) == nil {
                if bytes[at] == 0x22 { try fail("a quote stands inside an unquoted value") }
                out.append(bytes[at])
                at += 1
            }
        }
        guard let text = String(validating: out, as: UTF8.self) else { try fail("it is not valid UTF-8") }
        return text
    }
}
