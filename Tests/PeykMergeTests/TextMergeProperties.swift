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

    @Test("every line is there that both kept, and each that one wrote or both wrote alike, once (P2, P3)")
    func lines() {
        Property(cases: 1_500) { choices in
            let base = (0..<choices.below(9)).map { "base \($0)" }
            // The same line stands in both for one that both have changed alike.
            let alike = choices.chance(40) ? choices.below(base.count) : -1
            func side(_ name: String, _ choices: inout Choices) -> [String] {
                var lines: [String] = []
                for (place, line) in base.enumerated() {
                    if choices.chance(15) { lines.append("\(name) \(place)") }
                    if place == alike { lines.append("alike") } else if !choices.chance(15) { lines.append(line) }
                }
                return lines
            }
            return (base, side("left", &choices), side("right", &choices))
        }.holds { base, left, right in
            let texts = [base, left, right].map { $0.isEmpty ? nil : $0.joined(separator: "\n") }
            guard let merged = merge(texts[0], texts[1], texts[2]) else { return }
            let lines = String(decoding: merged, as: UTF8.self).split(separator: "\n").map(String.init)
            let written = (left + right).filter { !base.contains($0) }
            let kept = base.filter { left.contains($0) && right.contains($0) }
            try same(Set(lines), Set(kept + written))
            try same(lines.count, Set(lines).count, "a line is there twice")
            try same(lines.filter { kept.contains($0) }, kept, "in another order")
        }
    }
}
