/// One source file: as written, and with its comments and strings blanked out.
struct SwiftFile: Sendable, CustomStringConvertible {
    let path: String
    let lines: [String]
    /// Code alone: same lines, same columns, comments and the insides of strings as spaces.
    let code: [String]
    /// What `code` left out: comments and strings alone.
    let prose: [String]

    var description: String { path }

    /// The folder and the module that the path names, such as `Client` and `PeykReplica`.
    var folder: String { component(0) }
    var module: String { component(1) }

    private func component(_ index: Int) -> String {
        let parts = path.split(separator: "/")
        return parts.count > index + 1 ? String(parts[index]) : ""
    }

    init(path: String, text: String) {
        self.path = path
        let (code, prose) = Self.divide(text)
        lines = Self.lines(of: text)
        self.code = Self.lines(of: code)
        self.prose = Self.lines(of: prose)
    }

    private static func lines(of text: String) -> [String] {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if lines.last == "" { lines.removeLast() }
        return lines
    }

    /// Where the reader stands; interpolations nest, so states make a stack.
    private enum Place: Equatable {
        /// Code; within an interpolation, the depth of its parentheses.
        case code(parentheses: Int?)
        case lineComment
        case blockComment(depth: Int)
        /// Inside quotes: three of them or one, with so many number signs.
        case string(isLong: Bool, signs: Int)
    }

    private static func divide(_ text: String) -> (code: String, prose: String) {
        var divider = Divider(bytes: Array(text.utf8))
        divider.run()
        return (String(decoding: divider.code, as: UTF8.self), String(decoding: divider.prose, as: UTF8.self))
    }

    /// Walks over bytes: all that it looks for is ASCII.
    private struct Divider {
        let bytes: [UInt8]
        var index = 0
        var places: [Place] = [.code(parentheses: nil)]
        var code: [UInt8] = []
        var prose: [UInt8] = []

        static let newline = UInt8(ascii: "\n"), space = UInt8(ascii: " "), slash = UInt8(ascii: "/")
        static let star = UInt8(ascii: "*"), quote = UInt8(ascii: "\""), sign = UInt8(ascii: "#")
        static let backslash = UInt8(ascii: "\\"), open = UInt8(ascii: "("), close = UInt8(ascii: ")")

        init(bytes: [UInt8]) {
            self.bytes = bytes
            code.reserveCapacity(bytes.count)
            prose.reserveCapacity(bytes.count)
        }

        func at(_ offset: Int) -> UInt8 { index + offset < bytes.count ? bytes[index + offset] : 0 }

        mutating func take(_ count: Int, asCode: Bool) {
            for _ in 0..<count where index < bytes.count {
                let byte = bytes[index]
                code.append(asCode || byte == Self.newline ? byte : Self.space)
                prose.append(!asCode || byte == Self.newline ? byte : Self.space)
                index += 1
            }
        }

        mutating func run() {
            while index < bytes.count {
                switch places[places.count - 1] {
                case .code(let parentheses): code(parentheses)
                case .lineComment:
                    if at(0) == Self.newline { places.removeLast() }
                    take(1, asCode: false)
                case .blockComment(let depth): comment(depth)
                case .string(let isLong, let signs): string(isLong, signs)
                }
            }
        }

        private mutating func code(_ parentheses: Int?) {
            let byte = at(0)
            if byte == Self.slash, at(1) == Self.slash {
                places.append(.lineComment)
                return take(2, asCode: false)
            }
            if byte == Self.slash, at(1) == Self.star {
                places.append(.blockComment(depth: 1))
                return take(2, asCode: false)
            }
            if byte == Self.quote || byte == Self.sign {
                var signs = 0
                while at(signs) == Self.sign { signs += 1 }
                if at(signs) == Self.quote {
                    let isLong = at(signs + 1) == Self.quote && at(signs + 2) == Self.quote
                    places.append(.string(isLong: isLong, signs: signs))
                    return take(signs + (isLong ? 3 : 1), asCode: true)
                }
            }
            if let depth = parentheses {
                if byte == Self.open { places[places.count - 1] = .code(parentheses: depth + 1) }
                if byte == Self.close {
                    if depth == 1 {
                        places.removeLast()
                    } else {
                        places[places.count - 1] = .code(parentheses: depth - 1)
                    }
                }
            }
            take(1, asCode: true)
        }

        private mutating func comment(_ depth: Int) {
            if at(0) == Self.star, at(1) == Self.slash {
                places[places.count - 1] = .blockComment(depth: depth - 1)
                if depth == 1 { places.removeLast() }
                return take(2, asCode: false)
            }
            if at(0) == Self.slash, at(1) == Self.star {
                places[places.count - 1] = .blockComment(depth: depth + 1)
                return take(2, asCode: false)
            }
            take(1, asCode: false)
        }

        /// Whether so many number signs stand from `offset` on.
        private func hasSigns(_ count: Int, from offset: Int) -> Bool {
            (0..<count).allSatisfy { at(offset + $0) == Self.sign }
        }

        private mutating func string(_ isLong: Bool, _ signs: Int) {
            let quotes = isLong ? 3 : 1
            if at(0) == Self.quote, !isLong || (at(1) == Self.quote && at(2) == Self.quote),
                hasSigns(signs, from: quotes)
            {
                places.removeLast()
                return take(quotes + signs, asCode: true)
            }
            if at(0) == Self.backslash, hasSigns(signs, from: 1) {
                guard at(1 + signs) == Self.open else { return take(2 + signs, asCode: false) }
                places.append(.code(parentheses: 1))
                return take(2 + signs, asCode: true)
            }
            if at(0) == Self.newline, !isLong { places.removeLast() }
            take(1, asCode: false)
        }
    }
}
