import PeykModel
import PeykSQLite
import PeykSession

/// What one position did to one record, as `peyk_log` keeps it for `why` (rule T4).
struct LoggedEffect: Hashable {
    enum Kind: UInt8 { case created = 0, changed = 1, deleted = 2, evicted = 3, touched = 4 }

    struct Field: Hashable {
        var field: Int
        var old: Value
        var new: Value
    }

    var key: RecordKey
    var kind: Kind
    /// The fields that changed; for a deleted record all that it had. A created record has none: what it began
    /// with is found by going back from what it has now, so that no value is stored twice.
    var fields: [Field] = []

    func encode(to writer: inout ByteWriter) {
        writer.count(key.table)
        writer.bits(key.record.bits)
        writer.byte(kind.rawValue)
        writer.count(fields.count)
        for field in fields {
            writer.count(field.field)
            writer.value(field.old)
            writer.value(field.new)
        }
    }

    init(key: RecordKey, kind: Kind, fields: [Field] = []) {
        self.key = key
        self.kind = kind
        self.fields = fields
    }

    init(from reader: inout ByteReader) throws(DecodeError) {
        let table = try reader.index()
        key = RecordKey(table: table, record: RecordID(bits: try reader.bits()))
        guard let kind = Kind(rawValue: try reader.byte()) else { throw .malformed("unknown kind of logged effect") }
        self.kind = kind
        for _ in 0..<(try reader.count()) {
            let field = try reader.index()
            let old = try reader.value()
            fields.append(Field(field: field, old: old, new: try reader.value()))
        }
    }

    init(_ key: RecordKey, _ touch: EntryApplier.Touch, _ table: Table) {
        self.key = key
        switch (touch.before, touch.after) {
        case (_, nil) where touch.isEvicted: kind = .evicted
        case (nil, nil): kind = .touched
        case (nil, _?): kind = .created
        case (let before?, nil):
            kind = .deleted
            fields = table.fields.indices.filter { !before[$0].isNull }
                .map { Field(field: $0, old: before[$0], new: .null) }
        case (let before?, let after?):
            fields = after.differs(from: before, count: table.fields.count)
                .map { Field(field: $0, old: before[$0], new: after[$0]) }
            kind = fields.isEmpty ? .touched : .changed
        }
    }
}

/// Writes and reads `peyk_log`, and `peyk_log_record`, which finds a record's entries.
enum EntryLog {
    /// An entry that created so many records has no row in `peyk_log_record` for each of them, but one for all, under
    /// ``createdMany``: who asks for a record looks through such entries. Imports would pay a tenth of the file else.
    static let manyFrom = 100
    /// In the place of a table's index.
    static let createdMany: Int64 = -1

    static func write(
        _ entry: Batch.Entry, _ order: [RecordKey], _ touches: [RecordKey: EntryApplier.Touch],
        _ context: ApplyContext
    ) throws {
        var writer = ByteWriter(capacity: 32 + order.count * 32)
        writer.count(order.count)
        var created: Set<RecordKey> = []
        for key in order {
            guard let touch = touches[key] else { continue }
            let effect = LoggedEffect(key, touch, context.schema.tables[key.table])
            if effect.kind == .created { created.insert(key) }
            effect.encode(to: &writer)
        }
        let isMany = created.count >= manyFrom
        let statement = try context.connection.statement(
            """
            INSERT INTO peyk_log(position, commit_id, site, seq, stamp, user, clock, effects, answer)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT(position) DO NOTHING
            """)
        try statement.bind(1, int64: entry.position)
        try statement.bind(2, .blob(entry.commit.bytes))
        try statement.bind(3, int64: Int64(bitPattern: entry.dot.site.rawValue))
        try statement.bind(4, int64: entry.dot.seq)
        try statement.bind(5, int64: Int64(bitPattern: entry.stamp.rawValue))
        if let user = entry.user { try statement.bind(6, id: user) } else { try statement.bindNull(6) }
        try statement.bind(7, .blob(entry.clock.encoded()))
        try statement.bind(8, .blob(writer.bytes))
        if let answer = entry.yours?.answer, !answer.isPlain {
            try statement.bind(9, .blob(answer.stored()))
        } else {
            try statement.bindNull(9)
        }
        try statement.run()
        let index = try context.connection.statement(
            "INSERT INTO peyk_log_record(tbl, record, position) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")
        if isMany {
            try index.bind([.integer(createdMany), .blob([]), .integer(entry.position)])
            try index.run()
        }
        for key in order where !(isMany && created.contains(key)) {
            try context.bind(index, key)
            try index.bind(3, int64: entry.position)
            try index.run()
        }
    }

    /// The condition on `peyk_log` that leaves the entries of one record: parameters 1 and 2 are its table and its id.
    /// - Complexity: O(log entries), and O(bytes) of the entries that created many records.
    static let ofRecord = """
        position IN (
            SELECT position FROM peyk_log_record WHERE tbl = ?1 AND record = ?2
            UNION SELECT m.position FROM peyk_log_record AS m JOIN peyk_log AS l ON l.position = m.position
            WHERE m.tbl = \(createdMany) AND instr(l.effects, ?2) > 0)
        """

    static func effects(_ bytes: [UInt8]) throws -> [LoggedEffect] {
        var reader = ByteReader(bytes)
        do {
            var effects: [LoggedEffect] = []
            for _ in 0..<(try reader.count()) { effects.append(try LoggedEffect(from: &reader)) }
            return effects
        } catch { throw ReplicaError.damaged("peyk_log: \(error)") }
    }
}

extension Answer {
    /// The form in `peyk_commit.answer` and `peyk_log.answer`.
    func stored() -> [UInt8] {
        var writer = ByteWriter(capacity: 16)
        writer.byte(verdict.rawValue)
        writer.fixed(restamped?.rawValue ?? 0)
        writer.count(notices.count)
        for notice in notices {
            writer.signed(Int64(notice.change))
            writer.signed(Int64(notice.cell))
            writer.text(notice.code.rawValue)
            writer.text(notice.detail)
        }
        return writer.bytes
    }

    init(stored bytes: [UInt8]) throws(DecodeError) {
        var reader = ByteReader(bytes)
        guard let verdict = Verdict(rawValue: try reader.byte()) else { throw .malformed("unknown verdict") }
        let stamp = try reader.fixed()
        var notices: [Notice] = []
        for _ in 0..<(try reader.count()) {
            let change = Int(clamping: try reader.signed())
            let cell = Int(clamping: try reader.signed())
            let code = NoticeCode(rawValue: try reader.text())
            notices.append(Notice(change: change, cell: cell, code: code, detail: try reader.text()))
        }
        self.init(verdict: verdict, notices: notices, restamped: stamp == 0 ? nil : HLC(rawValue: stamp))
    }
}
