import PeykMerge
import PeykModel

/// What holds only in a workspace that was restored (rule I7): covering by former positions, being late, deletes that
/// are tried again.
extension CommitMerge {
    // MARK: - Covering (I7.1, I7.2)

    /// Whether an author with this clock had seen `writer`, also under a position of a history that is gone.
    func covers(_ clock: VectorClock, _ writer: Writer) throws -> Bool {
        if clock.covers(writer) || clock.former.contains(writer.commit) { return true }
        guard isRestored else { return false }
        return try names(of: writer.commit).contains { place in
            place.position <= clock.anchor && clock.lineage.epoch(of: place.position) == place.epoch
        }
    }

    /// For the merge functions, which do not throw: a failing store is reported when the commit is done.
    func coversByName(_ clock: VectorClock, _ writer: Writer) -> Bool {
        do {
            return try covers(clock, writer)
        } catch {
            failure = error
            return false
        }
    }

    private func names(of commit: CommitID) throws -> [CommitNames.Place] {
        if let known = places[commit] { return known }
        let found = try transaction.names(of: commit).places
        places[commit] = found
        return found
    }

    /// The end of the part of our history that the author's clock stands on.
    var isAnchoredBeyondFork: Bool { clock.anchor > anchor }

    // MARK: - Void (I8)

    /// Parts of a change that a history which is gone had refused, as their author knows.
    func voidParts(of index: Int) -> [CellRefusal] {
        (former?.notices ?? []).filter { $0.change == index && $0.code.parks }.map {
            CellRefusal(cell: $0.cell, code: $0.code, detail: $0.detail)
        }
    }

    // MARK: - Waiting (I7.5)

    /// Records that the commit needs, and that neither the server knows nor the commit inserts.
    func missingRecords() throws -> [RecordKey] {
        var missing: Set<RecordKey> = []
        let inserted = Set(
            body.changes.filter { $0.kind == .insert }.map { RecordKey(table: $0.table, record: $0.record) })
        for change in body.changes where schema.table(at: change.table) != nil {
            let key = RecordKey(table: change.table, record: change.record)
            var needed = references(of: change).map(\.target)
            if change.kind != .insert { needed.append(key) }
            for need in needed where need != key || change.kind != .insert {
                guard !inserted.contains(need), !missing.contains(need) else { continue }
                if try current(need) == nil, try !transaction.isRefusedInsert(need) { missing.insert(need) }
            }
        }
        return missing.sorted()
    }

    // MARK: - Late (I7.3, I7.4)

    /// Remembered changes of the record whose authors had seen this commit. A new child of a parent whose delete had
    /// seen it comes back deleted.
    func successors(of change: Change, _ key: RecordKey) throws -> [Change] {
        guard isRefilling else { return [] }
        var found: [Change] = []
        for memory in try transaction.memories(of: key) where memory.commit != body.id {
            if try covers(memory.clock, writer) { found.append(memory.change) }
        }
        guard change.kind == .insert, try current(key) == nil else { return found }
        for reference in references(of: change) where reference.isHard && reference.target != key {
            for memory in try transaction.memories(of: reference.target)
            where memory.commit != body.id && memory.change.kind == .delete {
                guard try covers(memory.clock, writer) else { continue }
                found.append(Change(table: key.table, record: key.record, kind: .delete))
                return found
            }
        }
        return found
    }

    /// - Parameter refused: cells of the change that were not taken.
    func remember(_ change: Change, _ key: RecordKey, except refused: [Int]) throws {
        guard isRefilling, !schema.isLedger(key.table) else { return }
        var taken = change
        taken.cells.removeAll { refused.contains($0.cell) }
        try transaction.remember(
            RecordMemory(key: key, position: writer.position, commit: body.id, clock: clock, change: taken))
    }

    // MARK: - Deletes that are tried again (I7.4)

    private enum Obstacle { case none, coveredChildren, lost }

    private func obstacle(_ delete: WaitingDelete, _ stored: StoredRecord) throws -> Obstacle {
        for other in stored.state.clock.record where try !covers(delete.clock, other) { return .lost }
        var obstacle = Obstacle.none
        for field in incoming(to: delete.key.table) where field.isHard {
            for child in try transaction.referrers(table: field.table, field: field.field, to: delete.key.record) {
                guard let record = try current(RecordKey(table: field.table, record: child)) else { continue }
                for other in record.state.clock.record where try !covers(delete.clock, other) { return .lost }
                obstacle = .coveredChildren
            }
        }
        return obstacle
    }

    /// Whether this commit's delete of `key` only meets children that it covers wholly, and so waits for their deletes.
    func mayWait(toDelete key: RecordKey, _ stored: StoredRecord) throws -> Bool {
        guard isRefilling, isAnchoredBeyondFork else { return false }
        let delete = WaitingDelete(key: key, writer: writer, clock: clock)
        guard try obstacle(delete, stored) == .coveredChildren else { return false }
        try transaction.setDocument(WaitingDelete.collection, delete.documentKey, delete.bytes)
        return true
    }

    /// After the commit's own changes: deletes whose children are gone take effect now, those that something new stands
    /// against have lost.
    func retryDeletes() throws {
        guard isRefilling else { return }
        var mustRepeat = true
        while mustRepeat {
            mustRepeat = false
            for delete in try transaction.waitingDeletes() where delete.writer.commit != body.id {
                if try retry(delete) { mustRepeat = true }
            }
        }
    }

    /// - Returns: whether a record died.
    private func retry(_ delete: WaitingDelete) throws -> Bool {
        guard let table = schema.table(at: delete.key.table), let stored = try current(delete.key),
            stored.state.isAlive
        else {
            try transaction.setDocument(WaitingDelete.collection, delete.documentKey, nil)
            return false
        }
        let obstacle = try obstacle(delete, stored)
        guard obstacle != .coveredChildren else { return false }
        try transaction.setDocument(WaitingDelete.collection, delete.documentKey, nil)
        let change = Change(table: delete.key.table, record: delete.key.record, kind: .delete)
        let context = MergeContext(
            table: table, writer: delete.writer, clock: delete.clock,
            alsoCovers: { self.coversByName(delete.clock, $0) })
        let outcome = PeykMerge.merge(
            change, into: stored.state, context, hasLivingChildren: try hasLivingReferrers(delete.key))
        if let deletion = outcome.deletion { try open(deletion, delete.key, table) }
        guard let state = outcome.state, !state.isAlive else { return false }
        touch(delete.key, stored)
        try put(state, at: delete.key, stored)
        try transaction.remember(
            RecordMemory(
                key: delete.key, position: writer.position, commit: delete.writer.commit, clock: delete.clock,
                change: change))
        try emptyReferences(to: delete.key)
        return true
    }
}

extension RowClock {
    /// Positions that a restore in place gave to a new epoch (rule I5) keep the name of the old one where they were
    /// written before; their true epoch is the lineage's.
    mutating func relabel(_ lineage: Lineage) {
        func relabelled(_ writers: [Writer]) -> [Writer] {
            writers.map { writer in
                guard let epoch = lineage.epoch(of: writer.position), epoch != writer.epoch else { return writer }
                var writer = writer
                writer.epoch = epoch
                return writer
            }
        }
        created = relabelled(created)
        record = relabelled(record)
        deletes = relabelled(deletes)
        ended = relabelled(ended)
        for cell in cells.indices {
            for index in cells[cell].siblings.indices {
                cells[cell].siblings[index].writer = relabelled([cells[cell].siblings[index].writer])[0]
            }
            for index in cells[cell].elements.indices {
                cells[cell].elements[index].adders = relabelled(cells[cell].elements[index].adders)
            }
        }
    }
}

extension Schema {
    func isLedger(_ table: Int) -> Bool { self.table(at: table)?.isLedger ?? false }
}
