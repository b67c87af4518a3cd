import PeykModel

/// What one merged commit did to one record, remembered while a refill is open, across deletes (rule I7.3).
struct RecordMemory {
    static let collection = "memory"

    var key: RecordKey
    /// Where it was merged in the present epoch.
    var position: Position
    var commit: CommitID
    /// What its author had seen, its own earlier commits included.
    var clock: VectorClock
    /// The parts that were taken. A delete only where it took effect, or found the record dead.
    var change: Change

    static func prefix(_ key: RecordKey) -> String { "\(key.table)/\(key.record)/" }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 160)
        writer.bits(commit.bits)
        clock.encode(to: &writer)
        change.encode(to: &writer)
        return writer.bytes
    }

    init(key: RecordKey, position: Position, commit: CommitID, clock: VectorClock, change: Change) {
        self.key = key
        self.position = position
        self.commit = commit
        self.clock = clock
        self.change = change
    }

    init(_ key: RecordKey, decoding bytes: [UInt8]) throws(DecodeError) {
        var reader = ByteReader(bytes)
        self.key = key
        position = 0
        commit = CommitID(bits: try reader.bits())
        clock = try VectorClock(from: &reader)
        change = try Change(from: &reader)
        try reader.finish()
    }
}

extension StoreReader {
    /// What is remembered of a record, in the order of its merging.
    func memories(of key: RecordKey) throws -> [RecordMemory] {
        try documents(RecordMemory.collection, prefix: RecordMemory.prefix(key)).map { entry in
            do {
                return try RecordMemory(key, decoding: entry.value)
            } catch {
                throw StoreError.corrupt("the memory of record \(key.record)")
            }
        }
    }
}

extension StoreTransaction {
    func remember(_ memory: RecordMemory) throws {
        let key = RecordMemory.prefix(memory.key) + memory.position.sortable + "/\(memory.commit)"
        try setDocument(RecordMemory.collection, key, memory.bytes)
    }
}
