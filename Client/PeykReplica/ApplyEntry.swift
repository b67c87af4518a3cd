import PeykMerge
import PeykModel
import PeykSQLite
import PeykSession

/// Applies the log's entries to confirmed state, one at a time and in order (rules M4, K6, B1).
struct EntryApplier {
    /// What one entry did to one record, for `peyk_log`.
    struct Touch {
        var before: Row?
        var after: Row?
        var isEvicted = false
    }

    let context: ApplyContext
    private(set) var floors: Floors
    private(set) var touches: [RecordKey: Touch] = [:]
    private(set) var order: [RecordKey] = []
    /// Own commits that this batch settled.
    private(set) var settled: [SettledCommit] = []
    private(set) var evicted: [RecordKey] = []
    /// Records that came with this batch.
    private var arrived: Set<RecordKey> = []
    /// Effects of others.
    private(set) var pulled: Int64 = 0
    private(set) var conflicts: Int64 = 0
    /// The history that the entries are of.
    private let lineage: Lineage

    init(_ context: ApplyContext, floors: Floors, lineage: Lineage) {
        self.context = context
        self.floors = floors
        self.lineage = lineage
    }

    /// Applies one entry and logs it.
    mutating func apply(_ entry: Batch.Entry) throws {
        touches.removeAll(keepingCapacity: true)
        order.removeAll(keepingCapacity: true)
        var own: CommitBody?
        if let seq = try ownSeq(of: entry) { own = try settle(seq, entry) }
        for effect in entry.effects where !effect.removes { try apply(effect, at: entry.position) }
        for effect in entry.effects where effect.removes { try apply(effect, at: entry.position) }
        if !(context.overlay.isEmpty && context.dirty.isEmpty), entry.effects.contains(where: \.evicts) {
            try context.dropOrphans()
        }
        if entry.yours == nil { pulled += Int64(entry.effects.count) }
        if let yours = entry.yours, let own { try compare(own, yours) }
        try EntryLog.write(entry, order, touches, context)
    }

    // MARK: Own commits

    /// The own commit that the entry is about: one that is pending; one that the rows of a gone history showed; or one
    /// that pages had as taken in while it waited for what it needs, and that is merged only here (rule I7.5).
    private mutating func ownSeq(of entry: Batch.Entry) throws -> Sequence64? {
        if let seq = context.overlay.seq(of: entry.commit) { return seq }
        guard let answer = entry.yours?.answer, answer.verdict == .merged else { return nil }
        let position = try context.connection.value(
            "SELECT position FROM peyk_commit WHERE seq = ?1 AND site = ?2 AND id = ?3 AND state = 2",
            [
                .integer(entry.dot.seq), .integer(Int64(bitPattern: entry.dot.site.rawValue)),
                .blob(entry.commit.bytes),
            ])?.integerValue
        guard let position, position < entry.position else { return nil }
        let body = try context.overlay.body(entry.dot.seq, context.connection)
        try context.show(waiting: entry.dot.seq, body)
        return entry.dot.seq
    }

    /// Takes an own commit out of the overlay; its plain effect becomes confirmed where the server merged it.
    private mutating func settle(_ seq: Sequence64, _ entry: Batch.Entry) throws -> CommitBody {
        let body = try context.overlay.body(seq, context.connection)
        let answer = entry.yours?.answer
        settled.append(SettledCommit(seq: seq, position: entry.position, answer: answer, body: body))
        guard answer?.verdict != .waiting else { return body }
        for change in body.changes {
            let key = RecordKey(table: change.table, record: change.record)
            guard context.schema.tables.indices.contains(key.table), context.dirty[key] == nil else { continue }
            context.dirty[key] = .some(try context.confirmed(key))
        }
        context.overlay.remove(seq, body)
        // Without an answer the commit came back under a former dot, with its effects in full; a refused or known
        // one has no plain effect at this position.
        guard answer?.verdict == .merged else { return body }
        for change in body.changes {
            let key = RecordKey(table: change.table, record: change.record)
            guard let table = context.schema.table(at: key.table), !isBelowFloor(key, entry.position) else { continue }
            let before = try current(key)
            try set(key, before: before, after: plainEffect(of: change, on: before, in: table))
        }
        return body
    }

    /// The digest that ends "yours, seq n" (rule M4): where it differs, the records are fetched whole.
    private mutating func compare(_ body: CommitBody, _ yours: Batch.Yours) throws {
        var sum: UInt64 = 0
        for change in body.changes {
            let key = RecordKey(table: change.table, record: change.record)
            guard let table = context.schema.table(at: key.table), floors[key] == 0 else { return }
            if let row = try current(key) { sum &+= row.digest(table: table, record: key.record) }
        }
        guard sum != yours.digest else { return }
        for change in body.changes { context.fetch.insert(RecordKey(table: change.table, record: change.record)) }
    }

    // MARK: Effects

    private func isBelowFloor(_ key: RecordKey, _ position: Position) -> Bool {
        position <= floors[key]
    }

    /// The confirmed row as this entry has made it so far.
    private func current(_ key: RecordKey) throws -> Row? {
        if let touch = touches[key] { return touch.after }
        return try context.confirmed(key)
    }

    private mutating func note(_ key: RecordKey, before: Row?, after: Row?, isEvicted: Bool = false) {
        if touches[key] == nil {
            order.append(key)
            touches[key] = Touch(before: before, after: after, isEvicted: isEvicted)
        } else {
            touches[key]?.after = after
            touches[key]?.isEvicted = isEvicted
        }
    }

    private mutating func set(_ key: RecordKey, before: Row?, after: Row?) throws {
        note(key, before: before, after: after)
        try context.confirm(key, after, old: before)
    }

    private mutating func apply(_ effect: Effect, at position: Position) throws {
        let key = effect.key
        guard let table = context.schema.table(at: key.table), !isBelowFloor(key, position) else { return }
        let before = try current(key)
        switch effect.kind {
        case .full(let row, let writers):
            try context.note(writers: writers, at: position, in: lineage)
            if key.table == Schema.ledgerIndex, before == nil { conflicts += 1 }
            if before == nil { arrived.insert(key) }
            try set(key, before: before, after: row.fitted(to: table))
        case .delta(let fields):
            guard var row = before else {
                context.fetch.insert(key)
                return
            }
            for field in fields where table.fields.indices.contains(field.field) { row[field.field] = field.value }
            try set(key, before: before, after: row)
        case .delete:
            guard before != nil else { return }
            try set(key, before: before, after: nil)
        case .evict:
            for gone in try context.evict(key, butNot: { position <= floors.ofPages($0) }) {
                // Fetched as it came back after this position: what brings it back must be applied again.
                if gone != key { floors.records[gone] = nil }
                // What came and went within one batch was never shown here.
                note(gone, before: nil, after: nil, isEvicted: true)
                if arrived.remove(gone) == nil { evicted.append(gone) }
            }
            note(key, before: nil, after: nil, isEvicted: true)
        case .touched:
            note(key, before: before, after: before)
        }
    }
}

/// An own commit that the stream answered.
struct SettledCommit {
    var seq: Sequence64
    var position: Position
    /// Nil where it came back without one, under a former dot.
    var answer: Answer?
    var body: CommitBody
}

extension Effect {
    var evicts: Bool { if case .evict = kind { true } else { false } }

    /// Whether it takes the record away: such effects come after the others of their entry, so that a cascade
    /// cannot take what the same entry brings.
    var removes: Bool {
        switch kind {
        case .delete, .evict: true
        case .full, .delta, .touched: false
        }
    }
}

extension Row {
    /// As wide as the table: what a newer peer has beyond it is left out.
    func fitted(to table: Table) -> Row {
        values.count == table.fields.count ? self : Row((0..<table.fields.count).map { self[$0] })
    }
}

/// Outcomes of a record up to its floor are in its row already (rule B1): it was read at that position.
struct Floors {
    /// Records that were fetched one by one.
    var records: [RecordKey: Position] = [:]
    /// By table: the last id of each page of a backfill, ascending, nil for the table's last; and its position.
    var pages: [[(last: RecordID?, position: Position)]] = []

    /// 0 where the record's row says no more than the cursor.
    subscript(key: RecordKey) -> Position {
        max(records.isEmpty ? 0 : records[key] ?? 0, ofPages(key))
    }

    /// As of which position a page had the record, or its absence.
    func ofPages(_ key: RecordKey) -> Position {
        guard pages.indices.contains(key.table) else { return 0 }
        let list = pages[key.table]
        var low = 0
        var high = list.count
        while low < high {
            let middle = (low + high) / 2
            if let last = list[middle].last, last < key.record { low = middle + 1 } else { high = middle }
        }
        return low < list.count ? list[low].position : 0
    }
}
