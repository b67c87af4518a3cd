import PeykMerge
public import PeykModel
public import PeykServer

/// Property P2, judged from outside: each accepted local write is in the state, causally superseded, in the ledger,
/// or answered with a notice. Reads the server's log and rows; knows nothing of how merging is done.
public struct Audit {
    /// A commit as its author sealed it.
    public struct Written: Sendable {
        public var author: Int
        public var commit: SealedCommit
        public var body: CommitBody

        public init(author: Int, commit: SealedCommit, body: CommitBody) {
            self.author = author
            self.commit = commit
            self.body = body
        }
    }

    private let schema: Schema
    private let written: [CommitID: Written]
    private let log: [LogEntry]
    private let entryOf: [CommitID: LogEntry]
    private let touching: [RecordKey: [LogEntry]]
    /// Commits that delete a record, also where it was dead already or had not come back yet.
    private let deletes: [RecordKey: [LogEntry]]
    private let ledger: [RecordKey: String]
    private let hadSeen: ((_ later: CommitID, _ earlier: CommitID) -> Bool)?
    private let row: (RecordKey) throws -> Row?

    /// - Parameter hadSeen: whether the author of a commit had really seen another one when she made it; nil to
    ///   believe the commits' own vector clocks.
    /// - Parameter entries: the log, or the part of it in which what was written has its place; nil to read all of it.
    public init(
        _ reader: any StoreReader, written: [Written],
        hadSeen: ((_ later: CommitID, _ earlier: CommitID) -> Bool)? = nil, entries: [LogEntry]? = nil
    ) throws {
        self.hadSeen = hadSeen
        schema = reader.schema
        self.written = Dictionary(written.map { ($0.commit.id, $0) }) { first, _ in first }
        var log = entries ?? []
        if entries == nil {
            try reader.log(after: 0, upTo: try reader.head()) { entry in
                log.append(entry)
                return true
            }
        }
        self.log = log
        entryOf = Dictionary(log.filter { $0.kind == .commit }.map { ($0.commit, $0) }) { first, _ in first }
        var touching: [RecordKey: [LogEntry]] = [:]
        for entry in log { for effect in entry.effects { touching[effect.key, default: []].append(entry) } }
        self.touching = touching
        var deletes: [RecordKey: [LogEntry]] = [:]
        for write in written {
            guard let entry = entryOf[write.commit.id], entry.answer.verdict == .merged else { continue }
            for (index, change) in write.body.changes.enumerated() where change.kind == .delete {
                guard !entry.answer.notices.contains(where: { $0.change == index && $0.code.parks }) else { continue }
                deletes[RecordKey(table: change.table, record: change.record), default: []].append(entry)
            }
        }
        self.deletes = deletes
        var ledger: [RecordKey: String] = [:]
        let ledgerTable = Schema.ledger
        try reader.records(of: Schema.ledgerIndex, after: nil) { _, stored in
            let row = stored.state.row
            // What was handed off may have been lost all the same.
            if row.text(ledgerTable, "kind") != LedgerKind.handedOff.rawValue,
                let name = row.text(ledgerTable, "table_name"), let table = reader.schema.tableIndex(name),
                let record = row.text(ledgerTable, "record_id").flatMap({ RecordID($0) })
            {
                let texts = ["cell", "kind", "winner", "losers"].map { row.text(ledgerTable, $0) ?? "" }
                ledger[RecordKey(table: table, record: record), default: ""] += texts.joined(separator: " ") + "\n"
            }
            return true
        }
        self.ledger = ledger
        row = { key in
            guard let stored = try reader.record(key), stored.state.isAlive else { return nil }
            return stored.state.row
        }
    }

    /// One sentence for each write that vanished without a word; empty when P2 holds.
    public func findings() throws -> [String] {
        var findings: [String] = []
        for write in written.values.sorted(by: { $0.commit.envelope.dot < $1.commit.envelope.dot }) {
            let name = "commit \(write.commit.envelope.dot) of author \(write.author)"
            guard let entry = entryOf[write.commit.id] else {
                findings.append("\(name) never got a position")
                continue
            }
            guard entry.answer.verdict == .merged else { continue }
            for (index, change) in write.body.changes.enumerated() {
                findings += try check(change, index: index, entry: entry).map { "\(name) at \(entry.position): \($0)" }
            }
        }
        return findings
    }

    private func check(_ change: Change, index: Int, entry: LogEntry) throws -> [String] {
        let key = RecordKey(table: change.table, record: change.record)
        let notices = entry.answer.notices.filter { $0.change == index }
        if notices.contains(where: { $0.cell == -1 }) { return [] }
        // An insert stands or falls whole, also where one cell is the reason (rule M6).
        if change.kind == .insert, notices.contains(where: \.code.parks) { return [] }
        guard let table = schema.table(at: change.table) else { return ["unknown table"] }
        let present = try row(key)
        let place = "\(table.name)/\(change.record)"
        if change.kind == .delete {
            if present == nil || isSuperseded(key, cell: nil, by: entry) || mentions(key, "delete", entry) { return [] }
            // Or it came back because a child needs it.
            if mentions(key, "revived", entry) || isOfEarlierLife(key, entry) { return [] }
            return ["delete of \(place) is gone without a word"]
        }
        guard let present else {
            // Nothing of it entered, and its author was told so of each part.
            let isRefused = change.cells.allSatisfy { write in notices.contains { $0.cell == write.cell } }
            if isRefused, !change.cells.isEmpty { return [] }
            // In a history that was filled again the delete may have come first, and found nothing (rule I7.4).
            let isDeletedKnowingly =
                isSuperseded(key, cell: nil, by: entry) || mentions(key, "", entry)
                || (deletes[key] ?? []).contains { $0.commit != entry.commit && sees($0, entry) }
            return isDeletedKnowingly ? [] : ["\(place) is gone without a word"]
        }
        // The undo of a delete writes no values: the record has those that it had last (rule D2).
        if change.kind == .insert, isRevival(key, entry) { return [] }
        var findings: [String] = []
        for cellChange in change.cells where !notices.contains(where: { $0.cell == cellChange.cell }) {
            guard let cell = table.cell(tag: cellChange.cell) else { continue }
            if holds(cellChange.write, cell, present) { continue }
            if isSuperseded(key, cell: cell, by: entry) || mentions(key, cell.name, entry) { continue }
            if try isEmptied(cellChange.write, cell, table, present) { continue }
            if isTakenOut(cellChange.write, key, cell, present, after: entry) { continue }
            findings.append(
                "\(place).\(cell.name) \(cellChange.write) is gone, now \(cell.fields.map { present[$0] })")
        }
        return findings
    }

    /// A soft reference is emptied by the server when what it names is gone (rule D3).
    private func isEmptied(_ write: CellWrite, _ cell: Cell, _ table: Table, _ present: Row) throws -> Bool {
        guard case .assign(let values) = write, let field = cell.fields.first, !table.fields[field].isHard,
            case .reference(let name) = table.fields[field].type, let target = schema.tableIndex(name),
            let record = values.first?.recordID
        else { return false }
        return try present[field].isNull && row(RecordKey(table: target, record: record)) == nil
    }

    /// Whether the written value is in the state, as its policy means it.
    private func holds(_ write: CellWrite, _ cell: Cell, _ row: Row) -> Bool {
        guard let first = cell.fields.first else { return true }
        let now = row[first]
        switch write {
        case .assign(let values):
            if cell.policy == .max, let value = values.first { return value <= now }
            if cell.policy == .min, let value = values.first { return now.isNull == value.isNull && now <= value }
            return values == cell.fields.map { row[$0] }
        case .add: return true  // Sums are checked apart.
        case .elements(let added, _):
            let set = now.textValue.flatMap { ValueSet(json: $0) }?.elements ?? []
            return added.allSatisfy { set.contains($0) }
        case .text(let base, let new):
            return Self.lines(new).subtracting(Self.lines(base)).isSubset(of: Self.lines(now.textValue))
        }
    }

    private static func lines(_ text: String?) -> Set<Substring> {
        Set((text ?? "").split(separator: "\n", omittingEmptySubsequences: false))
    }

    /// Whether each line that is missing was in the text that a later writer read, who took it out knowingly: a text
    /// that its author had changed back is what she saw, although she had not seen these two writes (rule M6).
    private func isTakenOut(
        _ write: CellWrite, _ key: RecordKey, _ cell: Cell, _ present: Row, after entry: LogEntry
    ) -> Bool {
        guard case .text(let base, let new) = write, let field = cell.fields.first else { return false }
        var missing = Self.lines(new).subtracting(Self.lines(base)).subtracting(Self.lines(present[field].textValue))
        for later in touching[key] ?? [] where later.position > entry.position {
            for change in written[later.commit]?.body.changes ?? []
            where RecordKey(table: change.table, record: change.record) == key {
                for case (cell.tag, .text(let read, let written)) in change.cells.map({ ($0.cell, $0.write) }) {
                    missing.subtract(Self.lines(read).subtracting(Self.lines(written)))
                }
            }
        }
        return missing.isEmpty
    }

    /// Whether a later position whose author had seen this one wrote the cell, or deleted or made the record anew.
    private func isSuperseded(_ key: RecordKey, cell: Cell?, by entry: LogEntry) -> Bool {
        guard let table = schema.table(at: key.table) else { return false }
        let author = Writer(
            position: entry.position, epoch: entry.clock.lineage.epoch ?? Epoch(bits: UUIDBits(high: 0, low: 0)),
            dot: entry.dot, stamp: entry.stamp, commit: entry.commit)
        return (touching[key] ?? []).contains { later in
            guard let body = written[later.commit]?.body else {
                // The server's own act, or that of a device which nobody watches: only its clock says what it had seen.
                guard later.position > entry.position else { return false }
                return later.kind != .commit || later.clock.anchor >= entry.position
            }
            if let hadSeen {
                // In a history that was filled again what replaced it may have come back first (rule I7.4).
                guard later.commit != entry.commit, hadSeen(later.commit, entry.commit) else { return false }
            } else {
                guard later.position > entry.position, later.clock.covers(author) else { return false }
            }
            return body.changes.contains { change in
                guard change.table == key.table, change.record == key.record else { return false }
                guard let cell, change.kind == .update else { return true }
                return change.cells.contains { table.cell(tag: $0.cell)?.name == cell.name }
            }
        }
    }

    /// Whether the delete is of a life of the record that others had ended already: somebody who knew that has made it
    /// anew, and the delete's author had not seen this (rule D2).
    private func isOfEarlierLife(_ key: RecordKey, _ delete: LogEntry) -> Bool {
        // A delete of what was deleted already has no effect, but who made it knew.
        func others(_ kind: Change.Kind) -> [LogEntry] {
            written.values.compactMap { other in
                guard other.commit.id != delete.commit, let entry = entryOf[other.commit.id],
                    kind != .insert || !isRevival(key, entry),
                    other.body.changes.contains(where: {
                        $0.kind == kind && RecordKey(table: $0.table, record: $0.record) == key
                    })
                else { return nil }
                return entry
            }
        }
        let deletes = others(.delete)
        guard !deletes.isEmpty else { return false }
        return others(.insert).contains { insert in
            !sees(delete, insert) && deletes.contains { sees(insert, $0) }
        }
    }

    /// Whether the commit is an undo of what ended a record that was there before it.
    private func isRevival(_ key: RecordKey, _ entry: LogEntry) -> Bool {
        guard let body = written[entry.commit]?.body, body.operations.contains(where: { $0.kind == .undo }) else {
            return false
        }
        return (touching[key] ?? []).contains { $0.position < entry.position }
    }

    private func sees(_ later: LogEntry, _ earlier: LogEntry) -> Bool {
        if let hadSeen { return hadSeen(later.commit, earlier.commit) }
        return later.clock.covers(
            Writer(
                position: earlier.position,
                epoch: earlier.clock.lineage.epoch ?? Epoch(bits: UUIDBits(high: 0, low: 0)), dot: earlier.dot,
                stamp: earlier.stamp, commit: earlier.commit))
    }

    private func mentions(_ key: RecordKey, _ word: String, _ entry: LogEntry) -> Bool {
        (ledger[key] ?? "").split(separator: "\n").contains {
            $0.contains(entry.commit.description) && (word.isEmpty || $0.contains(word))
        }
    }
}
