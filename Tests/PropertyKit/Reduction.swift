/// Makes a list of choices smaller for as long as what it makes still fails: shorter first, then lower numbers.
struct Reduction {
    private(set) var best: [UInt64]
    private(set) var attempts = 0
    private var attemptsMax = 0

    /// The choices that were really made from a candidate, where it fails; nil where it does not.
    typealias Trial = ([UInt64]) -> [UInt64]?

    init(_ choices: [UInt64]) { best = choices }

    mutating func run(attemptsMax: Int, _ fails: Trial) {
        self.attemptsMax = attemptsMax
        var isSmaller = true
        while isSmaller, attempts < attemptsMax {
            let before = best
            for size in [64, 16, 8, 4, 3, 2, 1] { takeOut(size, fails) }
            for size in [16, 4, 2] { clear(size, fails) }
            lower(fails)
            isSmaller = best != before
        }
    }

    /// Whether the candidate fails too and is smaller; then it is the best one.
    private mutating func take(_ candidate: [UInt64], _ fails: Trial) -> Bool {
        guard attempts < attemptsMax else { return false }
        attempts += 1
        guard let made = fails(candidate) else { return false }
        let isSmaller = made.count == best.count ? made.lexicographicallyPrecedes(best) : made.count < best.count
        if isSmaller { best = made }
        return isSmaller
    }

    private mutating func takeOut(_ size: Int, _ fails: Trial) {
        var start = best.count - size
        while start >= 0 {
            var candidate = best
            candidate.removeSubrange(start..<start + size)
            // From the end, where later choices mean the same as before.
            start = take(candidate, fails) ? min(start, best.count - size) : start - 1
        }
    }

    private mutating func clear(_ size: Int, _ fails: Trial) {
        var start = 0
        while start + size <= best.count {
            let range = start..<start + size
            if best[range].contains(where: { $0 > 0 }) {
                var candidate = best
                for index in range { candidate[index] = 0 }
                _ = take(candidate, fails)
            }
            start += size
        }
    }

    /// Each number by itself, by halves.
    private mutating func lower(_ fails: Trial) {
        var index = 0
        while index < best.count {
            var low: UInt64 = 0
            while index < best.count, low < best[index] {
                let middle = low + (best[index] - low) / 2
                var candidate = best
                candidate[index] = middle
                if !take(candidate, fails) { low = middle + 1 }
            }
            index += 1
        }
    }
}
