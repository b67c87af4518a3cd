import PeykMerge
import PeykModel

/// A soft reference that was emptied because its target was deleted (rule D3): kept as long as the target's tombstone,
/// and put back where the target lives again and nobody has written the cell since (decision 0019).
struct EmptiedReference: Hashable {
    static let collection = "emptied"

    var target: RecordKey
    /// Whose field was emptied.
    var key: RecordKey
    var field: Int
    /// The commits that the cell listed as its writers. An emptying is none of them.
    var writers: [CommitID]

    static func prefix(_ target: RecordKey) -> String { "\(target.table)/\(target.record)/" }

    var documentKey: String { Self.prefix(target) + "\(key.table)/\(key.record)/\(field)" }

    init(target: RecordKey, key: RecordKey, field: Int, writers: [CommitID]) {
        self.target = target
        self.key = key
        self.field = field
        self.writers = writers
    }

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 48)
        writer.varint(UInt64(key.table))
        writer.bits(key.record.bits)
        writer.varint(UInt64(field))
        writer.count(writers.count)
        for commit in writers { writer.bits(commit.bits) }
        return writer.bytes
    }

    init(_ target: RecordKey, decoding bytes: [UInt8]) throws(DecodeError) {
        var reader = ByteReader(bytes)
        self.target = target
        key = RecordKey(table: Int(try reader.natural()), record: RecordID(bits: try reader.bits()))
        field = Int(try reader.natural())
        writers = []
        for _ in 0..<(try reader.count()) { writers.append(CommitID(bits: try reader.bits())) }
        try reader.finish()
    }
}

extension StoreReader {
    func emptied(to target: RecordKey) throws -> [EmptiedReference] {
        try documents(EmptiedReference.collection, prefix: EmptiedReference.prefix(target)).map { entry in
            do {
                return try EmptiedReference(target, decoding: entry.value)
            } catch {
                throw StoreError.corrupt("a reference that was emptied with record \(target.record)")
            }
        }
    }
}

extension StoreTransaction {
    func remember(_ reference: EmptiedReference) throws {
        try setDocument(EmptiedReference.collection, reference.documentKey, reference.bytes)
    }

    /// What the record's tombstone kept goes with it.
    func forgetEmptied(to target: RecordKey) throws {
        for entry in try documents(EmptiedReference.collection, prefix: EmptiedReference.prefix(target)) {
            try setDocument(EmptiedReference.collection, entry.key, nil)
        }
    }
}

extension CommitMerge {
    /// What came back may refer to what was deleted while it was away.
    func findDangling() throws {
        for key in try revived() {
            guard let row = try current(key)?.state.row, let table = schema.table(at: key.table) else { continue }
            let hard = Set(hardFields(of: key.table))
            for field in table.fields.indices where !hard.contains(field) {
                guard let id = row[field].recordID, let index = schema.target(table: key.table, field: field) else {
                    continue
                }
                let target = RecordKey(table: index, record: id)
                // Also where its tombstone was collected: collection changes no outcome (P14).
                if try current(target)?.state.isAlive != true { dangling.append((key, field, target)) }
            }
        }
    }

    /// Records that were dead before this commit and live now.
    private func revived() throws -> [RecordKey] {
        let dead = touches.filter { $0.value.before?.state.isAlive == false }.keys.sorted()
        return try dead.filter { try current($0)?.state.isAlive == true }
    }

    /// Rule D3: a soft reference is emptied when its target does not live. No cell clock changes: nobody wrote it.
    func emptyDangling() throws {
        for (key, field, target) in dangling {
            guard let stored = try current(key), stored.state.isAlive,
                stored.state.row[field].recordID == target.record,
                try current(target)?.state.isAlive != true,
                schema.table(at: key.table)?.fields[field].isRequired == false
            else { continue }
            var state = stored.state
            state.row[field] = .null
            try put(state, at: key, stored)
            try transaction.remember(
                EmptiedReference(target: target, key: key, field: field, writers: writers(state, key, field)))
        }
    }

    /// What was emptied with a record comes back with it, where the cell is as it was left. A record that is inserted
    /// anew is another incarnation (rule D2), to which nobody has referred yet.
    func putBackReferences() throws {
        for target in try revived() {
            let former = touches[target]?.before?.state.clock.incarnation
            if try current(target)?.state.clock.incarnation == former {
                for reference in try transaction.emptied(to: target) { try putBack(reference) }
            }
            try transaction.forgetEmptied(to: target)
        }
    }

    private func putBack(_ reference: EmptiedReference) throws {
        let (key, field) = (reference.key, reference.field)
        guard let stored = try current(key), stored.state.isAlive, field < stored.state.row.values.count,
            stored.state.row[field].isNull, writers(stored.state, key, field) == reference.writers,
            schema.target(table: key.table, field: field) == reference.target.table
        else { return }
        var state = stored.state
        state.row[field] = Value(reference.target.record)
        try put(state, at: key, stored)
    }

    private func writers(_ state: RecordState, _ key: RecordKey, _ field: Int) -> [CommitID] {
        guard let cell = schema.table(at: key.table)?.cells.first(where: { $0.fields.contains(field) }) else {
            return []
        }
        return state.clock.listed(cell.tag)?.siblings.map(\.writer.commit) ?? []
    }
}
