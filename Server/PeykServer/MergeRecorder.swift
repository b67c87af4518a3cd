import PeykMerge
import PeykModel
import Synchronization

/// The last merges that met an existing record, so that IT can look into one, and anybody can make it again
/// (`peykd doctor --bundle --record`, `peykd replay`). A ring of a fixed size, in documents of the store: one for each
/// group of commits, so that it costs one write a group.
final class MergeRecorder: Sendable {
    static let collection = "merges"
    /// All of it, and of one group.
    static let bytesMax = 32 << 20
    static let groupBytesMax = 1 << 20

    private struct Ring {
        var documents: [(key: String, bytes: Int)]
        var total: Int
    }

    /// Nil until the store was looked at.
    private let ring = Mutex<Ring?>(nil)

    /// Keeps what a group did; the oldest goes.
    func keep(_ records: [[UInt8]], first position: Position, in transaction: any StoreTransaction) throws {
        guard !records.isEmpty else { return }
        var writer = ByteWriter()
        writer.count(records.count)
        for record in records { writer.blob(record) }
        let key = position.sortable
        try transaction.setDocument(Self.collection, key, writer.bytes)
        let size = writer.bytes.count
        let dropped = try ring.withLock { ring -> [String] in
            var now =
                try ring
                ?? {
                    let stored = try transaction.documents(Self.collection, prefix: "").filter { $0.key != key }
                    return Ring(
                        documents: stored.map { ($0.key, $0.value.count) },
                        total: stored.reduce(0) { $0 + $1.value.count })
                }()
            now.documents.append((key, size))
            now.total += size
            var dropped: [String] = []
            while now.total > Self.bytesMax, now.documents.count > 1 {
                let first = now.documents.removeFirst()
                now.total -= first.bytes
                dropped.append(first.key)
            }
            ring = now
            return dropped
        }
        for key in dropped { try transaction.setDocument(Self.collection, key, nil) }
    }

    /// What is kept of one record, oldest first.
    static func records(of key: RecordKey, _ reader: any StoreReader) throws -> [MergeRecord] {
        var found: [MergeRecord] = []
        for document in try reader.documents(collection, prefix: "") {
            var bytes = ByteReader(document.value)
            for _ in 0..<(try bytes.count()) {
                let record = try MergeRecord(decoding: try bytes.blob())
                if record.key == key { found.append(record) }
            }
        }
        return found.sorted { $0.writer.position < $1.writer.position }
    }
}

/// What a merge looked up while it was made.
final class MergeTrace {
    private(set) var record: MergeRecord

    init(_ change: Change, _ before: RecordState?, _ context: inout MergeContext, hasLivingChildren: Bool) {
        record = MergeRecord(
            key: RecordKey(table: change.table, record: change.record), change: change, before: before,
            writer: context.writer, clock: context.clock)
        record.isServer = context.isServer
        record.allowsReopen = context.allowsReopen
        record.settles = context.settles
        record.isForced = context.isForced
        record.undoes = context.undoes
        record.hasLivingChildren = hasLivingChildren
        record.successors = context.successors
        let rankOf = context.rankOf
        context.rankOf = { field, value in
            let rank = rankOf(field, value)
            self.record.ranks.append(MergeRecord.Rank(field: field, value: value, rank: rank))
            return rank
        }
        let alsoCovers = context.alsoCovers
        context.alsoCovers = { writer in
            let covers = alsoCovers(writer)
            if covers { self.record.alsoCovered.append(writer.commit) }
            return covers
        }
    }

    func note(_ outcome: ChangeOutcome) -> MergeRecord {
        record.note(outcome)
        return record
    }
}
