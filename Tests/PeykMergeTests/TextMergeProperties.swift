import PropertyKit
import Testing

@testable import PeykMerge

extension Choices {
    fileprivate mutating func lines() -> [String] {
        list(upTo: 10, usual: 5) { $0.pick(["a", "b", "c", "d", "", "é", "e\u{301}", "x\r"]) }
    }

    /// The lines with a few taken out, changed or put in.
    fileprivate mutating func edited(_ lines: [String]) -> [String] {
        var lines = lines
        for _ in 0..<below(4) {
            let place = below(lines.count + 1)
            switch below(3) {
            case 0 where place < lines.count: lines.remove(at: place)
            case 1 where place < lines.count: lines[place] = pick(["X", "Y", "a"])
            default: lines.insert(pick(["N", "M", "b"]), at: place)
            }
        }
        return lines
    }

    fileprivate mutating func texts() -> (base: String, left: String, right: String) {
        let base = lines()
        let (left, right) = (edited(base), edited(base))
        return (base.joined(separator: "\n"), left.joined(separator: "\n"), right.joined(separator: "\n"))
    }
}

@Suite("Properties of texts that merge")
struct TextMergeProperties {
    private func merge(_ base: String?, _ current: String?, _ new: String?) -> [UInt8]? {
        guard case .merged(let text) = TextMerge.merge(base: base, current, new) else { return nil }
        return text.map { Array($0.utf8) } ?? []
    }

    @Test("who stands on which side does not matter, nor does merging once more (P5, P6)")
    func symmetric() {
        Property(cases: 1_200) { $0.texts() }.holds { texts in
            let (base, left, right) = texts
            let merged = merge(base, left, right)
            try same(merge(base, right, left), merged, "the other way round")
            guard let merged else { return }
            let text = String(decoding: merged, as: UTF8.self)
            // The result has both already: over the base of either, it stands.
            try same(merge(left, left, text), merged)
            try same(merge(base, text, text), merged)
        }
    }

    @Test("what only one changed is as they left it, and what both changed alike is there once (P2)")
    func oneSided() {
        Property(cases: 800) { $0.texts() }.holds { texts in
            let (base, left, _) = texts
            try same(merge(base, left, base), Array(left.utf8))
            try same(merge(base, base, left), Array(left.utf8))
            try same(merge(base, left, left), Array(left.utf8))
        }
    }

    @Test("no line is lost that nobody took away, and none is there that nobody wrote (P2, P3)")
    func lines() {
        Property(cases: 1_200) { $0.texts() }.holds { texts in
            func count(_ text: [UInt8]) -> [[UInt8]: Int] {
                text.split(separator: 0x0A, omittingEmptySubsequences: false).reduce(into: [:]) {
                    $0[Array($1), default: 0] += 1
                }
            }
            let (base, left, right) = texts
            guard let merged = merge(base, left, right) else { return }
            let (old, mine, theirs, all) = (
                count(Array(base.utf8)), count(Array(left.utf8)), count(Array(right.utf8)), count(merged)
            )
            for line in Set(old.keys).union(mine.keys).union(theirs.keys).union(all.keys) {
                let (was, a, b, now) = (old[line] ?? 0, mine[line] ?? 0, theirs[line] ?? 0, all[line] ?? 0)
                let name = String(decoding: line, as: UTF8.self)
                try ensure(
                    now >= min(a, b, a + b - was) && now <= max(a, b, a + b - was), "“\(name)” \(was) \(a) \(b): \(now)"
                )
                if a >= was, b >= was { try ensure(now >= max(a, b), "“\(name)” is lost") }
            }
        }
    }
}
