import Foundation
public import Testing

/// What should hold of every value that a generator makes.
///
///     Property { $0.list(upTo: 9) { $0.int64() } }.holds { list in
///         try same(list.sorted().sorted(), list.sorted())
///     }
///
/// Runs are the same each time. Where a law fails, the value is made as small as it can be, and the failure tells the
/// seed of its case: `PEYK_CASE=…` runs that case alone, `PEYK_CASES=10000` that many cases of each property.
public struct Property<Value> {
    private let cases: Int
    private let seed: UInt64
    private let make: (inout Choices) throws -> Value

    /// - Parameters:
    ///   - cases: how many values are tried.
    ///   - seed: of the first case; the others follow from it.
    ///   - make: draws from its argument alone. It is called some thousand times more where a law fails.
    public init(cases: Int = 200, seed: UInt64 = 1, _ make: @escaping (inout Choices) throws -> Value) {
        let environment = ProcessInfo.processInfo.environment
        if let chosen = environment["PEYK_CASE"].flatMap(UInt64.init) {
            (self.cases, self.seed) = (1, chosen)
        } else {
            (self.cases, self.seed) = (environment["PEYK_CASES"].flatMap(Int.init) ?? cases, seed << 32)
        }
        self.make = make
    }

    /// Records an issue with the smallest value for which the law throws.
    public func holds(sourceLocation: SourceLocation = #_sourceLocation, _ law: (Value) throws -> Void) {
        guard let found = falsified(by: law) else { return }
        Issue.record("\(found)", sourceLocation: sourceLocation)
    }

    /// The smallest value for which the law throws, as far as `attemptsMax` values show; nil where it holds for all.
    public func falsified(attemptsMax: Int = 3_000, by law: (Value) throws -> Void) -> Counterexample? {
        for number in 0..<UInt64(cases) {
            var choices = Choices(seed: seed &+ number)
            guard let failure = attempt(&choices, law) else { continue }
            var search = Reduction(choices.made)
            search.run(attemptsMax: attemptsMax) { candidate in
                var choices = Choices(replaying: candidate)
                return attempt(&choices, law) == nil ? nil : choices.made
            }
            var smallest = Choices(replaying: search.best)
            let reduced = attempt(&smallest, law) ?? failure
            return Counterexample(
                seed: seed &+ number, cases: Int(number) + 1, attempts: search.attempts, value: reduced.value,
                failure: reduced.failure, choices: search.best)
        }
        return nil
    }

    /// Nil where the law holds.
    private func attempt(
        _ choices: inout Choices, _ law: (Value) throws -> Void
    ) -> (value: String, failure: String)? {
        let value: Value
        do { value = try make(&choices) } catch { return ("no value could be made", "\(error)") }
        do {
            try law(value)
            return nil
        } catch {
            return ("\(value)", "\(error)")
        }
    }
}

/// A value for which a law does not hold.
public struct Counterexample: Hashable, Sendable, CustomStringConvertible {
    /// Of the case that failed first.
    public var seed: UInt64
    public var cases: Int
    public var attempts: Int
    public var value: String
    public var failure: String
    public var choices: [UInt64]

    public var description: String {
        """
        case \(cases) fails (replay with PEYK_CASE=\(seed)); the smallest of \(attempts) attempts is
        \(value.count > 6_000 ? value.prefix(6_000) + " …" : value[...])
        \(failure)
        """
    }
}

/// Why a law does not hold.
public struct Broken: Error, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}

/// - Throws: ``Broken`` unless the condition holds.
public func ensure(_ condition: Bool, _ what: @autoclosure () -> String = "it does not hold") throws {
    if !condition { throw Broken(what()) }
}

/// - Throws: ``Broken`` with both unless they are equal.
public func same<Value: Equatable>(
    _ found: Value, _ expected: Value, _ what: @autoclosure () -> String = "they differ"
) throws {
    if found != expected { throw Broken("\(what()):\n  \(found)\n  \(expected)") }
}

/// The value that must be there.
public func present<Value>(_ value: Value?, _ what: @autoclosure () -> String = "it is absent") throws -> Value {
    guard let value else { throw Broken(what()) }
    return value
}
