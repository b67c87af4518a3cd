import PeykCRM

/// Rows in columns, for people.
public struct TextTable: Sendable {
    public enum Alignment: Sendable { case left, right }

    public var headers: [String]
    public var alignments: [Alignment]
    public var rows: [[String]]

    public init(_ headers: [String], alignments: [Alignment] = [], rows: [[String]] = []) {
        self.headers = headers
        self.alignments = alignments
        self.rows = rows
    }

    /// One line a row, columns two spaces apart, cut to `width` columns of the terminal where one is given. The
    /// widest column of text gives way first.
    public func text(width: Int? = nil, headline: (String) -> String = { $0 }) -> String {
        let count = headers.count
        let cells = rows.map { row in (0..<count).map { $0 < row.count ? Self.oneLine(row[$0]) : "" } }
        var widths = headers.map { DisplayWidth.of($0) }
        for row in cells {
            for (index, cell) in row.enumerated() { widths[index] = max(widths[index], DisplayWidth.of(cell)) }
        }
        if let width { shrink(&widths, to: width) }
        func line(_ row: [String]) -> String {
            var out = ""
            for (index, cell) in row.enumerated() {
                let cell = DisplayWidth.cut(cell, to: widths[index])
                let isRight = index < alignments.count && alignments[index] == .right
                let isLast = index == count - 1
                out += isLast && !isRight ? cell : DisplayWidth.padded(cell, to: widths[index], right: isRight)
                if !isLast { out += "  " }
            }
            return out
        }
        var lines = [headline(line(headers))]
        lines += cells.map(line)
        return lines.joined(separator: "\n") + "\n"
    }

    private func shrink(_ widths: inout [Int], to total: Int) {
        var over = widths.reduce(0, +) + 2 * max(0, widths.count - 1) - total
        while over > 0 {
            let candidates = widths.indices.filter { index in
                widths[index] > 12 && !(index < alignments.count && alignments[index] == .right)
            }
            guard let widest = candidates.max(by: { widths[$0] < widths[$1] }) else { return }
            widths[widest] -= 1
            over -= 1
        }
    }

    /// Line breaks and tabs would tear the table.
    static func oneLine(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else { return text }
        return String(
            String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? " " : $0 }))
    }
}
