/// The pseudo-random numbers of a test: one seed makes the run, on every platform and with every library
/// (Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators*, 2014).
public struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// A number in 0..<`bound`; 0 where `bound` is below 2. By our own rule: the standard library promises none.
    public mutating func draw(_ bound: Int) -> Int { Int((next() >> 33) % UInt64(max(1, bound))) }

    public mutating func chance(_ percent: Int) -> Bool { draw(100) < percent }

    /// One of a list that is not empty.
    public mutating func pick<Element>(_ list: [Element]) -> Element { list[draw(list.count)] }

    /// One of a list; nil where it is empty.
    public mutating func pickIfAny<Element>(_ list: [Element]) -> Element? { list.isEmpty ? nil : pick(list) }

    public mutating func shuffled<Element>(_ list: [Element]) -> [Element] {
        var list = list
        for index in stride(from: list.count - 1, to: 0, by: -1) { list.swapAt(index, draw(index + 1)) }
        return list
    }
}
