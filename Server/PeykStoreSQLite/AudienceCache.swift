import PeykModel
import PeykSQLite
import PeykServer
import Synchronization

/// Audiences by number and numbers by audience, as committed. A number never changes its meaning, so that
/// readers and the writer share what any of them has read.
final class AudienceCache: Sendable {
    struct Pairs {
        var audiences: [Int64: Audience] = [:]
        var numbers: [Audience: Int64] = [:]

        mutating func insert(_ audience: Audience, number: Int64) {
            audiences[number] = audience
            numbers[audience] = number
        }
    }

    private let pairs = Mutex(Pairs())

    func audience(_ number: Int64) -> Audience? { pairs.withLock { $0.audiences[number] } }
    func number(_ audience: Audience) -> Int64? { pairs.withLock { $0.numbers[audience] } }
    func insert(_ audience: Audience, number: Int64) { pairs.withLock { $0.insert(audience, number: number) } }

    /// Takes over what a transaction made, after its COMMIT (rule A4).
    func insert(_ new: Pairs) {
        pairs.withLock { pairs in
            for (number, audience) in new.audiences { pairs.insert(audience, number: number) }
        }
    }
}

/// An audience's two columns: JSON lists of bucket texts.
enum AudienceText {
    static func text(_ buckets: [Bucket]) -> String { JSON.array(buckets.map { .string($0.text) }).text }

    static func audience(home: String, readers: String) throws -> Audience {
        Audience(home: try buckets(home), lent: try buckets(readers))
    }

    private static func buckets(_ text: String) throws -> [Bucket] {
        guard let items = try? JSON(parsing: text).arrayValue else {
            throw StoreError.corrupt("an audience")
        }
        return items.compactMap(\.stringValue).map { Bucket(text: $0) }
    }
}
