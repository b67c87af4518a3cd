/// Three-way merge of texts by lines (policy `text`).
///
/// Lines are runs of the texts' bytes between line feeds, so that nothing is normalised. Concurrent edits
/// of the same line, or of lines that touch each other, conflict unless they are equal.
enum TextMerge {
    enum Outcome: Hashable, Sendable {
        case merged(String?)
        case conflict
    }

    /// Texts of more lines than this are not merged by lines.
    static let linesMax = 5_000

    /// Merges `new`, which was made from `base`, into `current`.
    ///
    /// - Parameter keepsCurrent: lines that conflict stay as in `current` instead of failing.
    /// - Complexity: see ``LineDiff/matches(_:_:)``.
    static func merge(
        base: String?, _ current: String?, _ new: String?, keepsCurrent: Bool = false
    ) -> Outcome {
        if same(new, current) || same(base, new) { return .merged(current) }
        if same(base, current) { return .merged(new) }
        guard let base, let current, let new else { return keepsCurrent ? .merged(current) : .conflict }
        var numbers: [ArraySlice<UInt8>: Int] = [:]
        var lines: [ArraySlice<UInt8>] = []
        guard let o = number(base, &numbers, &lines), let a = number(current, &numbers, &lines),
            let b = number(new, &numbers, &lines),
            let toA = LineDiff.matches(o, a), let toB = LineDiff.matches(o, b),
            let merged = merge(o, a, toA, b, toB, keepsCurrent)
        else { return keepsCurrent ? .merged(current) : .conflict }
        var bytes: [UInt8] = []
        for (index, line) in merged.enumerated() {
            if index > 0 { bytes.append(0x0A) }
            bytes.append(contentsOf: lines[line])
        }
        return .merged(String(decoding: bytes, as: UTF8.self))
    }

    private static func same(_ left: String?, _ right: String?) -> Bool {
        switch (left, right) {
        case (nil, nil): true
        case (let left?, let right?): left.utf8.elementsEqual(right.utf8)
        default: false
        }
    }

    /// The text's lines as numbers, equal where the bytes are; nil if there are too many.
    private static func number(
        _ text: String, _ numbers: inout [ArraySlice<UInt8>: Int], _ lines: inout [ArraySlice<UInt8>]
    ) -> [Int]? {
        let bytes = Array(text.utf8)
        var result: [Int] = []
        for line in bytes.split(separator: 0x0A, omittingEmptySubsequences: false) {
            guard result.count < linesMax else { return nil }
            if let known = numbers[line] {
                result.append(known)
            } else {
                numbers[line] = lines.count
                result.append(lines.count)
                lines.append(line)
            }
        }
        return result
    }

    /// diff3: runs of lines that both kept, and between them chunks that at most one side may have changed.
    private static func merge(
        _ o: [Int], _ a: [Int], _ toA: [Int], _ b: [Int], _ toB: [Int], _ keepsCurrent: Bool
    ) -> [Int]? {
        var out: [Int] = []
        var (i, x, y) = (0, 0, 0)
        while i < o.count || x < a.count || y < b.count {
            if i < o.count, toA[i] == x, toB[i] == y {
                out.append(o[i])
                (i, x, y) = (i + 1, x + 1, y + 1)
                continue
            }
            var end = i
            while end < o.count, toA[end] < 0 || toB[end] < 0 { end += 1 }
            let (endA, endB) = end < o.count ? (toA[end], toB[end]) : (a.count, b.count)
            let (old, left, right) = (o[i..<end], a[x..<endA], b[y..<endB])
            if left.elementsEqual(right) || right.elementsEqual(old) {
                out.append(contentsOf: left)
            } else if left.elementsEqual(old) {
                out.append(contentsOf: right)
            } else if keepsCurrent {
                out.append(contentsOf: left)
            } else {
                return nil
            }
            (i, x, y) = (end, endA, endB)
        }
        return out
    }
}
