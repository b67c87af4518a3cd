import PeykModel
import PeykSQLite

/// Names the commits of what other programs wrote by the nonces of what was captured (decision 0018).
///
/// A file may be copied between a write and its sealing. Both copies then seal the same writes; under ids of chance
/// the server would merge them twice, which a counter and an append-only table show (property P4). So the id is a
/// digest of the nonces, equal in both copies; one that has captured more since has another.
struct SealIdentity {
    /// Two digests of the same nonces that begin differently: 128 bits, against accidents.
    private var high = Digest64()
    private var low = Digest64()
    private var number: UInt64 = 0

    /// Nil where nothing was captured.
    ///
    /// Cost: one pass over the captured rows.
    init?(_ connection: Connection, _ tables: [TableLayout]) throws {
        high.update(CollectionOfOne(0))
        low.update(CollectionOfOne(1))
        var isEmpty = true
        for source in tables.map({ TableLayout.quoted($0.captureName) }) + ["peyk_operation"] {
            let statement = try connection.statement("SELECT nonce FROM \(source) ORDER BY n")
            defer { statement.reset() }
            while try statement.step() {
                Self.add(UInt64(bitPattern: statement.int64(0)), to: &high, &low)
                isEmpty = false
            }
        }
        if isEmpty { return nil }
    }

    private static func add(_ value: UInt64, to high: inout Digest64, _ low: inout Digest64) {
        withUnsafeBytes(of: value.littleEndian) { bytes in
            high.update(bytes)
            low.update(bytes)
        }
    }

    /// The id of the next commit of this sealing: too much for one is cut into several.
    mutating func next() -> CommitID {
        defer { number += 1 }
        var (high, low) = (high, low)
        Self.add(number, to: &high, &low)
        return CommitID(bits: UUIDBits(high: high.value, low: low.value))
    }
}
