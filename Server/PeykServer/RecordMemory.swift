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

// MARK: - Clocks as bytes

extension VectorClock {
    /// Lineage, anchor, dots, former ids (protocol.md W-20).
    func encode(to writer: inout ByteWriter) {
        writer.count(lineage.eras.count)
        for era in lineage.eras {
            writer.bits(era.epoch.bits)
            writer.varint(UInt64(bitPattern: era.after))
        }
        writer.varint(UInt64(bitPattern: anchor))
        writer.count(dots.count)
        for dot in dots {
            writer.fixed(dot.site.rawValue)
            writer.varint(UInt64(bitPattern: dot.seq))
        }
        writer.count(former.count)
        for commit in former { writer.bits(commit.bits) }
    }

    init(from reader: inout ByteReader) throws(DecodeError) {
        var eras: [Era] = []
        for _ in 0..<(try reader.count()) {
            let epoch = Epoch(bits: try reader.bits())
            eras.append(Era(epoch: epoch, after: try reader.natural()))
        }
        let anchor = try reader.natural()
        var dots: [Dot] = []
        for _ in 0..<(try reader.count()) {
            let site = SiteID(rawValue: try reader.fixed())
            dots.append(Dot(site: site, seq: try reader.natural()))
        }
        var former: [CommitID] = []
        for _ in 0..<(try reader.count()) { former.append(CommitID(bits: try reader.bits())) }
        self.init(lineage: Lineage(eras), anchor: anchor, dots: dots, former: former)
    }
}
