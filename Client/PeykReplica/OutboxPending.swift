import PeykMerge
public import PeykModel
import PeykSQLite
import Synchronization

/// A commit of this replica that the server has not merged yet, for people: `peyk pending`.
public struct PendingCommit: Hashable, Sendable {
    public enum State: String, Hashable, Sendable {
        case pending, acknowledged, held, waiting
    }

    public struct FieldChange: Hashable, Sendable {
        public var field: String
        /// Nil for an insert.
        public var before: Value?
        public var after: Value
    }

    public struct RecordChange: Hashable, Sendable {
        public var table: String
        public var record: RecordID
        public var kind: Change.Kind
        public var fields: [FieldChange]
    }

    public var id: CommitID
    /// 0 while it is held.
    public var seq: Sequence64
    public var state: State
    public var stamp: HLC
    public var changes: [RecordChange]
    public var operations: [Operation]
    public var bytes: Int
}

extension Replica {
    /// The commits that are not merged yet, oldest first.
    ///
    /// - Parameter limit: at most this many; their changes are decoded.
    public func pendingCommits(limit: Int = 1_000) throws -> [PendingCommit] {
        try reading { connection in
            let statement = try connection.statement(
                "SELECT \(OutboxCommit.columns) FROM peyk_commit WHERE state <> 2 ORDER BY seq LIMIT ?1")
            try statement.bind(1, int64: Int64(limit))
            defer { statement.reset() }
            var commits: [PendingCommit] = []
            while try statement.step() { commits.append(try readable(try OutboxCommit(statement))) }
            return commits
        }
    }

    private func readable(_ commit: OutboxCommit) throws -> PendingCommit {
        let body = try commit.body()
        let state: PendingCommit.State =
            switch commit.state {
            case .pending, .merged, .returning: .pending
            case .acknowledged: .acknowledged
            case .held: .held
            case .waiting: .waiting
            }
        return PendingCommit(
            id: commit.id, seq: commit.state == .held ? 0 : commit.seq, state: state, stamp: commit.stamp,
            changes: zip(body.changes, try commit.beforeImages()).compactMap { readable($0, $1) },
            operations: body.operations, bytes: commit.sealed.count)
    }

    private func readable(_ change: Change, _ image: BeforeImage) -> PendingCommit.RecordChange? {
        guard let table = schema.table(at: change.table) else { return nil }
        var fields: [PendingCommit.FieldChange] = []
        switch image {
        case .row: break
        case .absent:
            let row = plainEffect(of: change, on: nil, in: table) ?? Row([])
            for (index, field) in table.fields.enumerated() where !row[index].isNull {
                fields.append(PendingCommit.FieldChange(field: field.name, before: nil, after: row[index]))
            }
        case .fields(let former):
            var before = Row.empty(table)
            for field in former { before[field.field] = field.value }
            let after = plainEffect(of: change, on: before, in: table) ?? before
            for field in former where table.fields.indices.contains(field.field) {
                fields.append(
                    PendingCommit.FieldChange(
                        field: table.fields[field.field].name, before: field.value, after: after[field.field]))
            }
        }
        return PendingCommit.RecordChange(
            table: table.name, record: change.record, kind: change.kind, fields: fields)
    }

    /// Releases the commits that wait because they delete much (rule D7), or only `commit`; they go with the next
    /// sync, sealed as they were, with the dot and stamp of now.
    ///
    /// - Returns: how many were released.
    @discardableResult
    public func confirmPending(_ commit: CommitID? = nil) throws -> Int {
        try changing { connection in
            let held = try OutboxCommit.held(connection).filter { commit == nil || $0.id == commit }
            if let commit, held.isEmpty { throw ReplicaError.unknownCommit(commit.description) }
            var facts = try SealFacts(connection)
            for waiting in held {
                facts.lastSeq += 1
                let stamp = facts.clock.tick(milliseconds: facts.time(environment))
                let clock: Value =
                    facts.former.isEmpty ? .null : .blob(facts.vectorClock(seq: facts.lastSeq).encoded())
                try connection.run(
                    """
                    UPDATE peyk_commit SET seq = ?2, state = 0, site = ?3, stamp = ?4, lineage = ?5, anchor = ?6,
                        clock = ?7 WHERE seq = ?1
                    """,
                    [
                        .integer(waiting.seq), .integer(facts.lastSeq),
                        .integer(Int64(bitPattern: facts.site.rawValue)),
                        .integer(Int64(bitPattern: stamp.rawValue)), .integer(facts.lineageID),
                        .integer(facts.cursor), clock,
                    ])
            }
            if !held.isEmpty { overlay.index.withLock { $0 = nil } }
            return held.count
        }
    }
}

extension OutboxCommit {
    /// The commits that wait for `pending confirm`, in order.
    static func held(_ connection: Connection) throws -> [OutboxCommit] {
        let statement = try connection.statement(
            "SELECT \(columns) FROM peyk_commit WHERE seq >= ?1 ORDER BY seq")
        try statement.bind(1, int64: heldBase)
        defer { statement.reset() }
        var commits: [OutboxCommit] = []
        while try statement.step() { commits.append(try OutboxCommit(statement)) }
        return commits
    }

    static func returning(_ connection: Connection) throws -> [CommitID: Sequence64] {
        let statement = try connection.statement("SELECT seq, id FROM peyk_commit WHERE state = 5")
        defer { statement.reset() }
        var found: [CommitID: Sequence64] = [:]
        while try statement.step() {
            if let id = CommitID(bytes: statement.blob(1)) { found[id] = statement.int64(0) }
        }
        return found
    }

    /// By its id. Reads the table through: ids have no index, since few ask.
    static func find(_ id: CommitID, _ connection: Connection) throws -> OutboxCommit? {
        let statement = try connection.statement("SELECT \(columns) FROM peyk_commit WHERE id = ?1")
        try statement.bind(1, .blob(id.bytes))
        defer { statement.reset() }
        return try statement.step() ? try OutboxCommit(statement) : nil
    }
}
