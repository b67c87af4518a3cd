import PropertyKit
import Testing

@Suite("The property runner")
struct PropertyTests {
    @Test("finds what breaks a law, and makes it as small as it can be")
    func shrinks() throws {
        let sums = Property { $0.list(upTo: 40) { $0.int64() } }
        let found = try #require(sums.falsified { try ensure($0.allSatisfy { $0 < 1_000 }) })
        #expect(found.value == "[1000]")
        let unsorted = Property { $0.list(upTo: 40) { $0.below(50) } }
        let pair = try #require(unsorted.falsified { try same($0, $0.sorted()) })
        #expect(pair.value == "[1, 0]")
        let texts = Property { ($0.text(upTo: 30), $0.text(upTo: 30)) }
        let quote = try #require(texts.falsified { first, second in try ensure(!(first + second).contains("\\")) })
        #expect(quote.value == #"("", "\\")"# || quote.value == #"("\\", "")"#, "\(quote.value)")
        #expect(quote.description.contains("PEYK_CASE=\(quote.seed)"))
    }

    @Test("keeps what a generator promises while it shrinks")
    func invariants() throws {
        let ranges = Property { choices in
            let start = choices.below(1_000)
            return start...start + choices.below(1_000)
        }
        let found = try #require(ranges.falsified { try ensure($0.count < 300 || $0.upperBound < 700) })
        #expect(found.value == "0...700", "\(found.value)")
    }

    @Test("says nothing where the law holds, and makes the same values each time")
    func repeats() {
        func values() -> [[UInt8]] {
            var seen: [[UInt8]] = []
            let found = Property(cases: 50) { $0.bytes(upTo: 30) }.falsified { seen.append($0) }
            #expect(found == nil)
            return seen
        }
        #expect(values() == values())
        #expect(values().contains { $0.count > 10 } && values().contains([]))
    }

    @Test("the case that a failure names is that case again")
    func replays() throws {
        let property = Property { $0.list(upTo: 9) { $0.int64() } }
        let found = try #require(property.falsified(attemptsMax: 0) { try ensure($0.reduce(0, &+) % 7 != 3) })
        var choices = Choices(seed: found.seed)
        let list = choices.list(upTo: 9) { $0.int64() }
        #expect("\(list)" == found.value)
        #expect(choices.made == found.choices)
        var again = Choices(replaying: found.choices)
        #expect(again.list(upTo: 9) { $0.int64() } == list)
    }

    @Test("an error while a value is made counts as a failure")
    func generatorFails() throws {
        let property = Property<Int> { choices in
            let number = choices.below(100)
            try ensure(number < 90, "no number \(number)")
            return number
        }
        let found = try #require(property.falsified { _ in })
        #expect(found.failure == "no number 90")
    }

    @Test("texts, numbers and damaged bytes reach their edges")
    func edges() {
        var choices = Choices(seed: 7)
        let numbers = Set((0..<3_000).map { _ in choices.int64() })
        #expect(numbers.isSuperset(of: [0, -1, .max, .min]))
        let texts = (0..<500).map { _ in choices.text() }.joined()
        for scalar in "\"\\\n😀\u{200C}".unicodeScalars { #expect(texts.unicodeScalars.contains(scalar)) }
        #expect(!texts.unicodeScalars.contains("\0"))
        let lengths = Set((0..<300).map { _ in choices.damaged([1, 2, 3, 4]).count })
        #expect(lengths.isSuperset(of: [0, 3, 4, 5]))
    }
}
