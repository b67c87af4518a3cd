public import PeykModel
import PeykSQLite

/// What is put into `peyk_issue`: a refused or parked change, or something that the user must be told.
struct IssueDraft {
    var commit: CommitID?
    var seq: Sequence64?
    /// Index in the commit's changes; -1 for the commit as a whole.
    var change = -1
    var cell = -1
    var code: NoticeCode
    var detail = ""
    var table: String?
    var record: RecordID?
    /// An encoded ``Change``; empty where there is nothing to try again.
    var payload: [UInt8] = []
    /// The encoded row that the change was made on; empty for none.
    var base: [UInt8] = []
    /// `open` for what the user must settle, `told` for what she should know.
    var state = Issue.State.open
}

/// A change that did not enter, or news about one: `peyk parked`.
public struct Issue: Hashable, Sendable, Identifiable {
    public enum State: String, Hashable, Sendable { case open, discarded, retried, told }

    public var id: Int64
    public var commit: CommitID?
    public var code: NoticeCode
    public var detail: String
    public var table: String?
    public var record: RecordID?
    /// What was refused; nil where there is nothing to try again.
    public var change: Change?
    /// The record as it was when the change was made; nil for none.
    public var base: Row?
    /// Unix milliseconds.
    public var createdAt: Int64
    public var state: State
}

extension Replica {
    /// Adds an issue inside the caller's transaction.
    func park(_ connection: Connection, _ draft: IssueDraft) throws {
        try connection.run(
            """
            INSERT INTO peyk_issue(commit_id, seq, change, cell, code, detail, table_name, record_id, payload, base,
                created_at, state)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
            """,
            [
                draft.commit.map { .blob($0.bytes) } ?? .null, draft.seq.map { .integer($0) } ?? .null,
                .integer(Int64(draft.change)), .integer(Int64(draft.cell)), .text(draft.code.rawValue),
                .text(draft.detail), draft.table.map { .text($0) } ?? .null,
                draft.record.map { Value($0) } ?? .null, .blob(draft.payload), .blob(draft.base),
                .integer(environment.now()), .text(draft.state.rawValue),
            ])
    }

    /// The issues in `state`, oldest first; all of them where it is nil.
    public func issues(in state: Issue.State? = .open) throws -> [Issue] {
        try reading { connection in
            try Issue.read(
                connection, "WHERE ?1 IS NULL OR state = ?1", [state.map { .text($0.rawValue) } ?? .null])
        }
    }

    public func issue(_ id: Int64) throws -> Issue {
        try reading { try Issue.find($0, id) }
    }

    /// Makes a new commit of what was refused, on the record as it is now; or of a record that a restored server does
    /// not have, as it was here.
    ///
    /// - Parameter values: replaces these fields' values first (`parked edit`); by name.
    @discardableResult
    public func retryIssue(_ id: Int64, changing values: [String: Value] = [:]) throws -> WriteResult {
        try write { write in
            let issue = try Issue.find(write.connection, id)
            if issue.canBeWrittenAgain { return try writeAgain(issue, write) }
            guard issue.state == .open, var change = issue.change, let layout = write.layout(change.table) else {
                throw ReplicaError.unknownIssue(id)
            }
            for (name, value) in values.sorted(by: { $0.key < $1.key }) {
                guard let field = layout.table.fieldIndex(name) else {
                    throw ReplicaError.unknownField(table: layout.name, field: name)
                }
                change.replace(field: field, by: value, in: layout.table)
            }
            try write.apply(change)
            try write.connection.run(
                "UPDATE peyk_issue SET state = ?2 WHERE id = ?1",
                [.integer(id), .text(Issue.State.retried.rawValue)])
        }
    }

    /// Under its own id: should those who wrote it bring it back after all, it is one record.
    private func writeAgain(_ issue: Issue, _ write: LocalWrite) throws {
        guard let name = issue.table, let record = issue.record, let row = issue.base,
            let table = schema.table(named: name)
        else { throw ReplicaError.unknownIssue(issue.id) }
        var values: [String: Value] = [:]
        for (field, definition) in table.fields.enumerated()
        where !row[field].isNull && !definition.isRetired && definition.policy != .server {
            values[definition.name] = row[field]
        }
        try write.insert(into: name, id: record, values)
        try write.connection.run("DELETE FROM peyk_issue WHERE id = ?1", [.integer(issue.id)])
    }

    /// Forgets what was refused. It stays readable among all issues.
    public func discardIssue(_ id: Int64) throws {
        try changing { connection in
            let issue = try Issue.find(connection, id)
            guard issue.state == .open || issue.state == .told else { throw ReplicaError.unknownIssue(id) }
            try connection.run(
                "UPDATE peyk_issue SET state = ?2 WHERE id = ?1",
                [.integer(id), .text(Issue.State.discarded.rawValue)])
        }
    }
}

extension Issue {
    /// A record that a restored server does not have, with the values that it had here.
    public var canBeWrittenAgain: Bool { code == .lacking && state == .told && record != nil && base != nil }

    static func find(_ connection: Connection, _ id: Int64) throws -> Issue {
        guard let issue = try read(connection, "WHERE id = ?1", [.integer(id)]).first else {
            throw ReplicaError.unknownIssue(id)
        }
        return issue
    }

    static func read(_ connection: Connection, _ condition: String, _ values: [Value]) throws -> [Issue] {
        try connection.rows(
            """
            SELECT id, commit_id, code, detail, table_name, record_id, payload, base, created_at, state
            FROM peyk_issue \(condition) ORDER BY id
            """, values
        ).map { row in
            func bytes(_ column: Int) -> [UInt8] { if case .blob(let bytes) = row[column] { bytes } else { [] } }
            return Issue(
                id: row[0].integerValue ?? 0, commit: CommitID(bytes: bytes(1)),
                code: NoticeCode(rawValue: row[2].textValue ?? ""), detail: row[3].textValue ?? "",
                table: row[4].textValue, record: row[5].recordID, change: try decodedChange(bytes(6)),
                base: try decodedRow(bytes(7)), createdAt: row[8].integerValue ?? 0,
                state: State(rawValue: row[9].textValue ?? "") ?? .open)
        }
    }

    private static func decodedChange(_ bytes: [UInt8]) throws -> Change? {
        guard !bytes.isEmpty else { return nil }
        var reader = ByteReader(bytes)
        return try Change(from: &reader)
    }

    private static func decodedRow(_ bytes: [UInt8]) throws -> Row? {
        guard !bytes.isEmpty else { return nil }
        var reader = ByteReader(bytes)
        return try Row(from: &reader)
    }
}

extension Change {
    /// Puts another value into one field of the change; the field's cell is added where it is missing.
    mutating func replace(field: Int, by value: Value, in table: Table) {
        let cell = table.cells[table.cellOfField[field]]
        let place = cell.fields.firstIndex(of: field) ?? 0
        var values = [Value](repeating: .null, count: cell.fields.count)
        let index = cells.firstIndex { $0.cell == cell.tag }
        if let index, case .assign(let former) = cells[index].write, former.count == values.count { values = former }
        values[place] = value
        let write: CellWrite
        switch cell.policy {
        case .counter: write = .add(value.integerValue ?? 0)
        case .set:
            write = .elements(added: value.textValue.flatMap { ValueSet(json: $0) }?.elements ?? [], removed: [])
        case .text: write = .text(base: nil, new: value.textValue)
        default: write = .assign(values)
        }
        if let index {
            cells[index].write = write
        } else {
            cells.append(CellChange(cell: cell.tag, write: write))
            cells.sort { $0.cell < $1.cell }
        }
    }
}
