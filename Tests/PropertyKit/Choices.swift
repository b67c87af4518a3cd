import SeededRandom

/// Where a generator's decisions come from: a seed, or a list of former decisions that is being made smaller.
///
/// A value is a function of the list, and a smaller list makes a simpler value by the same generator. So nothing has to
/// be said about how a type shrinks, and no shrunk value breaks what its generator promises. In return a generator
/// draws from nowhere else, and gives what is simple the small choices.
///
/// Source: MacIver and Donaldson, *Test-Case Reduction via Test-Case Generation: Insights From the Hypothesis Reducer*,
/// 2020.
public struct Choices: Sendable {
    private var random: SplitMix64?
    private let script: [UInt64]
    /// What was chosen so far.
    public private(set) var made: [UInt64] = []

    /// - Parameter seed: makes the case.
    public init(seed: UInt64) {
        random = SplitMix64(seed: seed)
        script = []
    }

    /// - Parameter script: former choices; where they end, and where a bound is lower now, the simplest that is left.
    public init(replaying script: [UInt64]) {
        random = nil
        self.script = script
    }

    /// A number in 0...`most`; the smaller, the simpler.
    public mutating func draw(upTo most: UInt64) -> UInt64 {
        let choice: UInt64
        if let drawn = random?.next() {
            choice = most == .max ? drawn : drawn % (most + 1)
        } else {
            choice = made.count < script.count ? min(script[made.count], most) : 0
        }
        made.append(choice)
        return choice
    }
}

extension Choices {
    /// A number in 0..<`bound`; 0 where `bound` is below 2.
    public mutating func below(_ bound: Int) -> Int { Int(draw(upTo: UInt64(max(1, bound) - 1))) }

    public mutating func within(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + below(range.upperBound - range.lowerBound + 1)
    }

    /// One of a list that is not empty; the first is the simplest.
    public mutating func pick<Element>(_ list: [Element]) -> Element { list[below(list.count)] }

    /// True in so many of 100 cases; false is simpler.
    public mutating func chance(_ percent: Int) -> Bool { below(100) >= 100 - percent }

    /// At most `most` elements, some `usual` of them mostly. Each is announced by a choice of its own, so that
    /// shrinking can take any of them out.
    public mutating func list<Element>(
        upTo most: Int, usual: Int = 6, _ element: (inout Choices) throws -> Element
    ) rethrows -> [Element] {
        var elements: [Element] = []
        while elements.count < most, below(usual + 1) > 0 { elements.append(try element(&self)) }
        return elements
    }

    /// Nil in a quarter of cases.
    public mutating func optional<Element>(_ element: (inout Choices) -> Element) -> Element? {
        below(4) == 0 ? nil : element(&self)
    }

    /// The list in any order; as it is where all choices are 0.
    public mutating func shuffled<Element>(_ list: [Element]) -> [Element] {
        var list = list
        for index in list.indices.dropLast() { list.swapAt(index, index + below(list.count - index)) }
        return list
    }

    /// Of all sizes, and often at an edge.
    public mutating func int64() -> Int64 {
        let edges: [Int64] = [0, 1, -1, 2, .max, .min, .max - 1, .min + 1, 1 << 53, (1 << 53) + 1, -(1 << 53) - 1]
        switch below(4) {
        case 0: return pick(edges)
        case 1: return Int64(below(200)) - 100
        default: return Int64(truncatingIfNeeded: draw(upTo: .max) >> UInt64(below(64)))
        }
    }

    public mutating func bytes(upTo most: Int, usual: Int = 8) -> [UInt8] {
        list(upTo: most, usual: usual) { UInt8($0.below(256)) }
    }

    /// Plain letters first; then what quoting, escaping, normal forms and directions trip over.
    public mutating func text(upTo most: Int = 24, usual: Int = 5) -> String {
        String(String.UnicodeScalarView(list(upTo: most, usual: usual) { $0.scalar() }))
    }

    /// Never NUL: no stored text has one (P24).
    public mutating func scalar() -> Unicode.Scalar {
        let odd = "\"',;\\\n\r\t %$/é\u{0301}ی\u{200C}\u{202E}۴\u{FEFF}\u{FFFD}😀\u{1}\u{7F}"
        switch below(4) {
        case 0, 1: return pick(Array("abcXYZ019".unicodeScalars))
        case 2: return pick(Array(odd.unicodeScalars))
        default: return Unicode.Scalar(UInt32(1 + below(0x10_FFFF))) ?? "x"
        }
    }

    /// Any bytes that differ from `bytes` in a few places: changed, cut, doubled, put in.
    public mutating func damaged(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0...below(3) {
            let place = below(bytes.count + 1)
            switch below(4) {
            case 0: bytes.removeLast(bytes.count - place)
            case 1 where place < bytes.count: bytes[place] = UInt8(below(256))
            case 2: bytes.insert(UInt8(below(256)), at: place)
            default: bytes += bytes.suffix(place)
            }
        }
        return bytes
    }
}
