import PeykModel
import PeykSQLite

/// Takes the server's answers into `peyk_commit` and `peyk_issue` (rules A1 to A3).
struct AnswerBook {
    let connection: Connection
    let schema: Schema
    /// Unix milliseconds.
    let now: Int64
    private(set) var parked: Int64 = 0
    private(set) var handedOff: Int64 = 0
    private var isIndexed = false

    init(_ connection: Connection, _ schema: Schema, now: Int64) {
        self.connection = connection
        self.schema = schema
        self.now = now
    }

    /// What the stream said about one own commit.
    /// - Parameter row: the confirmed row of a record now.
    mutating func take(_ settled: SettledCommit, row: (RecordKey) throws -> Row?) throws {
        let answer = settled.answer
        let isWaiting = answer?.verdict == .waiting
        // Long ago, where it was acknowledged before it came back.
        try CommitPacking.pack(settled.seq, connection)
        let statement = try connection.statement(
            "UPDATE peyk_commit SET state = ?2, position = ?3, answer = coalesce(?4, answer) WHERE seq = ?1")
        try statement.bind(1, int64: settled.seq)
        try statement.bind(2, int64: isWaiting ? 4 : 2)
        try statement.bind(3, int64: settled.position)
        if let answer, !answer.isPlain {
            try statement.bind(4, .blob(answer.stored()))
        } else {
            try statement.bindNull(4)
        }
        try statement.run()
        if let answer { try list(answer, of: settled.body, row: row) }
    }

    /// Lists an answer's notices, each once, however often the answer comes (rule A2).
    mutating func list(_ answer: Answer, of body: CommitBody, row: (RecordKey) throws -> Row?) throws {
        if !answer.isPlain { try forget(forecastsOf: body) }
        var notices = answer.notices
        if answer.verdict == .refused, !notices.contains(where: \.code.parks) {
            notices.append(Answer.Notice(change: -1, code: .failed))
        }
        for notice in notices {
            let indexes = notice.change < 0 ? Array(body.changes.indices) : [notice.change]
            for index in indexes where body.changes.indices.contains(index) {
                var single = notice
                single.change = index
                try insert(single, body, row: row)
            }
        }
    }

    private mutating func insert(_ notice: Answer.Notice, _ body: CommitBody, row: (RecordKey) throws -> Row?) throws {
        try makeIndex()
        let change = body.changes[notice.change]
        let key = RecordKey(table: change.table, record: change.record)
        let known = try connection.value(
            "SELECT id FROM peyk_issue WHERE commit_id = ?1 AND change = ?2 AND cell = ?3 AND code = ?4",
            [
                .blob(body.id.bytes), .integer(Int64(notice.change)), .integer(Int64(notice.cell)),
                .text(notice.code.rawValue),
            ])
        guard known == nil else { return }
        if notice.code.parks { parked += 1 }
        if notice.code == .handedOff { handedOff += 1 }
        try add(
            body.id, notice, key: key, change: change, base: try row(key), state: notice.code.parks ? "open" : "told")
    }

    /// Lists something about a change, with the change whole, so that it can be retried or edited.
    mutating func add(
        _ commit: CommitID, _ notice: Answer.Notice, key: RecordKey, change: Change, base: Row?, state: String
    ) throws {
        try makeIndex()
        var payload = ByteWriter()
        change.encode(to: &payload)
        try connection.run(
            """
            INSERT INTO peyk_issue(
                commit_id, seq, change, cell, code, detail, table_name, record_id, payload, base, created_at, state)
            VALUES (?1, (SELECT seq FROM peyk_commit WHERE id = ?1), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
            """,
            [
                .blob(commit.bytes), .integer(Int64(notice.change)), .integer(Int64(notice.cell)),
                .text(notice.code.rawValue), notice.detail.isEmpty ? .null : .text(notice.detail),
                schema.table(at: key.table).map { .text($0.name) } ?? .null, Value(key.record), .blob(payload.bytes),
                base.map { .blob($0.encoded()) } ?? .null, .integer(now), .text(state),
            ])
    }

    /// The server has answered: what the replica only feared (rule T1) is settled one way or the other.
    private func forget(forecastsOf body: CommitBody) throws {
        try connection.run(
            "DELETE FROM peyk_issue WHERE commit_id = ?1 AND code = ?2",
            [.blob(body.id.bytes), .text(NoticeCode.missingHere.rawValue)])
    }

    private mutating func makeIndex() throws {
        guard !isIndexed else { return }
        isIndexed = true
        try connection.execute("CREATE INDEX IF NOT EXISTS peyk_index_issue_commit ON peyk_issue(commit_id)")
    }
}

extension NoticeCode {
    /// After a resync: a pending change of a record that is no longer here (rule T1).
    static let missingHere = Self(rawValue: "missing-here")
    /// A record with pending edits left the scope.
    static let evicted = Self(rawValue: "evicted")
}

extension Row {
    func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 256)
        encode(to: &writer)
        return writer.bytes
    }
}
