public import PeykModel
import PeykSQLite
public import PeykSession

/// What one commit did to one record: a step of `history` and `why` (rule T4).
public struct HistoryStep: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable { case created, changed, deleted, left, touched }

    public struct Field: Hashable, Sendable {
        /// Index in the table's fields.
        public var field: Int
        public var old: Value
        public var new: Value
        public init(field: Int, old: Value, new: Value) {
            self.field = field
            self.old = old
            self.new = new
        }
    }

    /// Nil for a commit of this replica that is not merged yet.
    public var position: Position?
    public var commit: CommitID
    public var dot: Dot
    public var stamp: HLC
    /// Nil for the server's own acts.
    public var user: RecordID?
    public var clock: VectorClock
    public var kind: Kind
    public var fields: [Field]
    /// What the server said to this replica about it, if it was its own and not merged as written.
    public var answer: Answer?
}

/// A record's history as far as this replica knows it.
public struct RecordHistory: Hashable, Sendable {
    public var key: RecordKey
    /// Oldest first; the last ones may be pending.
    public var steps: [HistoryStep]
    /// Whether the record's beginning is among the steps; otherwise ask the server.
    public var isComplete: Bool
    /// Conflicts of the record, newest first.
    public var conflicts: [LedgerEntry]
}

extension Replica {
    /// Everything that this replica knows of how a record came to be as it is, offline.
    public func history(_ key: RecordKey) throws -> RecordHistory {
        guard schema.table(at: key.table) != nil else { throw ReplicaError.unknownTable("\(key.table)") }
        let conflicts = try ledger(of: key)
        return try applying { context, meta in
            var steps = try Self.logged(key, context)
            try Self.complete(&steps, key, context)
            let isComplete = steps.contains { $0.kind == .created }
            steps += try Self.pending(key, context, meta)
            return RecordHistory(key: key, steps: steps, isComplete: isComplete, conflicts: conflicts)
        }
    }

    /// The same from what the server sent (``HistoryReply``): full rows become the differences between them.
    public func history(_ reply: HistoryReply) throws -> RecordHistory {
        guard let table = schema.table(at: reply.key.table) else {
            throw ReplicaError.unknownTable("\(reply.key.table)")
        }
        var steps: [HistoryStep] = []
        var row: Row?
        for entry in reply.entries {
            for effect in entry.effects where effect.key == reply.key {
                let before = row
                var kind = HistoryStep.Kind.changed
                switch effect.kind {
                case .full(let new, _):
                    kind = before == nil ? .created : .changed
                    row = new.fitted(to: table)
                case .delta(let fields):
                    var next = row ?? Row.empty(table)
                    for field in fields where table.fields.indices.contains(field.field) {
                        next[field.field] = field.value
                    }
                    row = next
                case .delete:
                    kind = .deleted
                    row = nil
                case .evict:
                    kind = .left
                    row = nil
                case .touched: kind = .touched
                }
                let old = before ?? Row([])
                let new = row ?? Row([])
                let fields = new.differs(from: old, count: table.fields.count)
                    .map { HistoryStep.Field(field: $0, old: old[$0], new: new[$0]) }
                steps.append(HistoryStep(entry, kind: kind, fields: fields))
            }
        }
        return RecordHistory(
            key: reply.key, steps: steps, isComplete: reply.since <= 1, conflicts: try ledger(of: reply.key))
    }

    private static func logged(_ key: RecordKey, _ context: ApplyContext) throws -> [HistoryStep] {
        let statement = try context.connection.statement(
            """
            SELECT position, commit_id, site, seq, stamp, user, clock, effects, answer
            FROM peyk_log WHERE \(EntryLog.ofRecord) ORDER BY position
            """)
        try context.bind(statement, key)
        defer { statement.reset() }
        var steps: [HistoryStep] = []
        while try statement.step() {
            guard let commit = CommitID(bytes: statement.blob(1)) else { continue }
            for effect in try EntryLog.effects(statement.blob(7)) where effect.key == key {
                steps.append(
                    HistoryStep(
                        position: statement.int64(0), commit: commit,
                        dot: Dot(
                            site: SiteID(rawValue: UInt64(bitPattern: statement.int64(2))), seq: statement.int64(3)),
                        stamp: HLC(rawValue: UInt64(bitPattern: statement.int64(4))), user: statement.recordID(5),
                        clock: try VectorClock(decoding: statement.blob(6)), kind: HistoryStep.Kind(effect.kind),
                        fields: effect.fields.map { HistoryStep.Field(field: $0.field, old: $0.old, new: $0.new) },
                        answer: statement.isNull(8) ? nil : try Answer(stored: statement.blob(8))))
            }
        }
        return steps
    }

    /// What a record was created with is not logged: it is found by going back from what it is now.
    private static func complete(_ steps: inout [HistoryStep], _ key: RecordKey, _ context: ApplyContext) throws {
        let count = context.schema.tables[key.table].fields.count
        var row = try context.confirmed(key)
        for index in steps.indices.reversed() {
            switch steps[index].kind {
            case .created:
                if let row {
                    steps[index].fields = (0..<count).filter { !row[$0].isNull }
                        .map { HistoryStep.Field(field: $0, old: .null, new: row[$0]) }
                }
                row = nil
            case .changed:
                for field in steps[index].fields { row?[field.field] = field.old }
            case .deleted:
                var former = Row(Array(repeating: .null, count: count))
                for field in steps[index].fields { former[field.field] = field.old }
                row = former
            case .left: row = nil
            case .touched: break
            }
        }
    }

    private static func pending(_ key: RecordKey, _ context: ApplyContext, _ meta: Meta) throws -> [HistoryStep] {
        let table = context.schema.tables[key.table]
        var row = try context.confirmed(key)
        var steps: [HistoryStep] = []
        let changes = try context.overlay.changes(of: key, context.connection)
        for (item, pending) in zip(context.overlay.items[key] ?? [], changes) {
            let statement = try context.connection.statement(
                "SELECT \(OutboxCommit.columns) FROM peyk_commit WHERE seq = ?1")
            try statement.bind(1, int64: item.seq)
            defer { statement.reset() }
            guard try statement.step() else { continue }
            let commit = try OutboxCommit(statement)
            let after = context.forecast(pending.change, on: row)
            let kind: HistoryStep.Kind =
                switch pending.change.kind {
                case .insert: .created
                case .update: .changed
                case .delete: .deleted
                }
            let old = row ?? Row([])
            let new = after ?? Row([])
            steps.append(
                HistoryStep(
                    position: nil, commit: commit.id, dot: Dot(site: commit.site, seq: commit.seq), stamp: commit.stamp,
                    user: try meta.user, clock: try commit.vectorClock(meta), kind: kind,
                    fields: new.differs(from: old, count: table.fields.count)
                        .map { HistoryStep.Field(field: $0, old: old[$0], new: new[$0]) }))
            row = after
        }
        return steps
    }

    /// The last welcome's facts about devices whose users share a bucket with this one (rule T4).
    public func deviceFacts() throws -> [DeviceFact] {
        try reading { connection in
            try connection.rows(
                "SELECT site, user, user_name, device_name, last_contact, pending FROM peyk_fact ORDER BY user_name, site"
            ).compactMap { row in
                guard row.count == 6, let site = row[0].integerValue, let user = row[1].recordID else { return nil }
                return DeviceFact(
                    site: SiteID(rawValue: UInt64(bitPattern: site)), user: user, userName: row[2].textValue ?? "",
                    deviceName: row[3].textValue ?? "", lastContact: row[4].integerValue ?? 0,
                    pending: row[5].integerValue ?? 0)
            }
        }
    }
}

extension HistoryStep {
    init(_ entry: Batch.Entry, kind: Kind, fields: [Field]) {
        self.init(
            position: entry.position, commit: entry.commit, dot: entry.dot, stamp: entry.stamp, user: entry.user,
            clock: entry.clock, kind: kind, fields: fields, answer: entry.yours?.answer)
    }
}

extension HistoryStep.Kind {
    init(_ kind: LoggedEffect.Kind) {
        self =
            switch kind {
            case .created: .created
            case .changed: .changed
            case .deleted: .deleted
            case .evicted: .left
            case .touched: .touched
            }
    }
}
