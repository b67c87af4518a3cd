import PeykModel
import SeededRandom
import Testing

@testable import PeykMerge

@Suite("Texts merge by lines")
struct TextMergeTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var base: String?
        var current: String?
        var new: String?
        /// Nil: a conflict.
        var merged: String??
        var testDescription: String { name }
    }

    static let cases: [Case] = [
        Case(name: "edits of lines apart", base: "a\nb\nc", current: "A\nb\nc", new: "a\nb\nC", merged: "A\nb\nC"),
        Case(
            name: "an edit and an appended line", base: "a\nb\nc", current: "A\nb\nc", new: "a\nb\nc\nd",
            merged: "A\nb\nc\nd"),
        Case(name: "edits of one line", base: "a\nb\nc", current: "a\nX\nc", new: "a\nY\nc", merged: nil),
        Case(name: "edits of lines that touch", base: "a\nb\nc", current: "A\nb\nc", new: "a\nB\nc", merged: nil),
        Case(name: "the same edit twice", base: "a\nb", current: "a\nX", new: "a\nX", merged: "a\nX"),
        Case(
            name: "a line added above moves the others", base: "a\nb\nc\nd", current: "0\na\nb\nc\nd",
            new: "a\nb\nc\nD", merged: "0\na\nb\nc\nD"),
        Case(name: "different lines added in one place", base: "a\nb", current: "a\nX\nb", new: "a\nY\nb", merged: nil),
        Case(
            name: "a line removed, another edited", base: "a\nb\nc\nd", current: "b\nc\nd", new: "a\nb\nc\nD",
            merged: "b\nc\nD"),
        Case(
            name: "a line removed here and edited there",
            base: "a\nb\nc", current: "a\nc", new: "a\nB\nc", merged: nil),
        Case(name: "only the newcomer changed it", base: "a", current: "a", new: "b", merged: "b"),
        Case(name: "the newcomer changed nothing", base: "a", current: "b", new: "a", merged: "b"),
        Case(name: "two first texts", base: nil, current: "a", new: "b", merged: nil),
        Case(name: "equal first texts", base: nil, current: "a", new: "a", merged: "a"),
        Case(name: "emptied here, edited there", base: "a", current: nil, new: "b", merged: nil),
        Case(
            name: "a line feed at the end stays", base: "a\nb\n", current: "A\nb\n", new: "a\nb\nc\n",
            merged: "A\nb\nc\n"),
        Case(
            name: "CR LF is kept as it is", base: "a\r\nb\r\nc", current: "A\r\nb\r\nc", new: "a\r\nb\r\nC",
            merged: "A\r\nb\r\nC"),
        Case(
            name: "equal characters of other bytes are an edit", base: "\u{E9}", current: "e\u{301}", new: "x",
            merged: nil),
    ]

    @Test("merges, or says that it cannot, alike from both sides", arguments: cases)
    func merges(_ value: Case) {
        let expected: TextMerge.Outcome = value.merged.map { .merged($0) } ?? .conflict
        #expect(TextMerge.merge(base: value.base, value.current, value.new) == expected)
        #expect(TextMerge.merge(base: value.base, value.new, value.current) == expected)
    }

    @Test("long or wholly different texts are not compared for ever")
    func bounded() {
        let lines = (0..<TextMerge.linesMax).map { "line \($0)" }
        let base = lines.joined(separator: "\n")
        #expect(TextMerge.merge(base: base, "x\n" + base + "\ny\nz", "q" + base) == .conflict)
        let shuffled = lines.reversed().joined(separator: "\n")
        #expect(TextMerge.merge(base: base, shuffled, "q" + base) == .conflict)
        #expect(TextMerge.merge(base: base, base + "!", "q" + base) == .merged("q" + base + "!"))
    }

    @Test("matched lines are equal, ascending, and as many as can be", arguments: UInt64(0)..<20)
    func longest(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for _ in 0..<200 {
            let old = (0..<random.draw(12)).map { _ in random.draw(4) }
            let new = (0..<random.draw(12)).map { _ in random.draw(4) }
            let matches = try #require(LineDiff.matches(old, new))
            var last = -1
            for (index, place) in matches.enumerated() where place >= 0 {
                #expect(old[index] == new[place] && place > last, "seed \(seed): \(old) \(new)")
                last = place
            }
            #expect(matches.count { $0 >= 0 } == Self.commonLength(old, new), "seed \(seed): \(old) \(new)")
        }
    }

    static func commonLength(_ a: [Int], _ b: [Int]) -> Int {
        var table = [[Int]](repeating: [Int](repeating: 0, count: b.count + 1), count: a.count + 1)
        for i in a.indices {
            for j in b.indices {
                table[i + 1][j + 1] = a[i] == b[j] ? table[i][j] + 1 : max(table[i][j + 1], table[i + 1][j])
            }
        }
        return table[a.count][b.count]
    }

    @Test("a merge has each side's own lines, and is the same from both sides", arguments: UInt64(0)..<20)
    func laws(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        func edit(_ lines: [String]) -> [String] {
            var lines = lines
            for _ in 0..<random.draw(3) {
                let place = random.draw(lines.count + 1)
                switch random.draw(3) {
                case 0: lines.insert("n\(random.draw(100))", at: place)
                case 1 where place < lines.count: lines.remove(at: place)
                case _ where place < lines.count: lines[place] = "e\(random.draw(100))"
                default: break
                }
            }
            return lines
        }
        for _ in 0..<200 {
            let base = (0..<10).map { "l\($0)" }
            let (a, b) = (edit(base), edit(base))
            let texts = [base, a, b].map { $0.joined(separator: "\n") }
            let one = TextMerge.merge(base: texts[0], texts[1], texts[2])
            #expect(one == TextMerge.merge(base: texts[0], texts[2], texts[1]), "seed \(seed)")
            guard case .merged(let merged?) = one else { continue }
            let lines = merged.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
            for line in a + b where !base.contains(line) { #expect(lines.contains(line), "seed \(seed)") }
            for line in base where !(a.contains(line) && b.contains(line)) && !(a + b).filter({ $0 == line }).isEmpty {
                #expect(!lines.contains(line), "seed \(seed): \(line) was removed by one")
            }
        }
    }
}
