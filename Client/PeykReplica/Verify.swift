public import PeykModel
import PeykSQLite
public import PeykSession

/// What `verify` found (rule T5).
public struct Verification: Hashable, Sendable {
    /// The position at which both sides were compared.
    public var position: Position
    /// Tables whose digests differ.
    public var tables: [Int]
    /// Records that differ, as far as they were asked for.
    public var records: [RecordKey]
    public var isEqual: Bool { tables.isEmpty && records.isEmpty }
}

extension Replica {
    /// Digests of confirmed state at the cursor: one a table, or one a record of `request.table` in id order.
    ///
    /// A table's digest is the wrapping sum of its records' digests (``Row/digest(table:record:)``). Pending commits do
    /// not count: the base rows under them do.
    /// - Complexity: O(rows) of the tables asked for.
    public func digests(_ request: DigestRequest, limit: Int = .max) throws -> DigestReply {
        try applying { context, meta in
            let cursor = try meta.cursor
            guard let table = request.table else {
                let items = try context.schema.tables.indices.map { try context.digest(ofTable: $0) }
                return DigestReply(position: cursor, items: items, hasMore: false)
            }
            guard context.schema.tables.indices.contains(table) else {
                throw ReplicaError.broken("there is no table \(table)")
            }
            return try context.digests(ofRecords: table, after: request.after, limit: limit, cursor: cursor)
        }
    }

    /// Compares the server's digests with our own. Both must be of one position: catch up to `reply.position` first.
    ///
    /// - Parameter request: what was asked.
    /// - Throws: ``ReplicaError/broken(_:)`` where the cursor is elsewhere.
    public func compare(_ reply: DigestReply, to request: DigestRequest) throws -> Verification {
        let own = try digests(request, limit: reply.items.isEmpty && reply.hasMore ? 0 : .max)
        guard own.position == reply.position else {
            throw ReplicaError.broken(
                "the digests are of position \(reply.position), but this replica stands at \(own.position)")
        }
        var found = Verification(position: reply.position, tables: [], records: [])
        guard let table = request.table else {
            let theirs = Dictionary(reply.items.map { ($0.table, $0) }) { first, _ in first }
            found.tables = own.items.filter { item in
                let other = theirs[item.table]
                return (other?.count ?? 0) != item.count || (other?.digest ?? 0) != item.digest
            }.map(\.table)
            return found
        }
        // The server may have sent only a part: what lies after its last record is asked for next.
        let end = reply.hasMore ? reply.items.last?.record : nil
        var theirs: [RecordID: UInt64] = [:]
        for item in reply.items { if let record = item.record { theirs[record] = item.digest } }
        var differing: Set<RecordID> = []
        for item in own.items {
            guard let record = item.record else { continue }
            if let end, record > end { break }
            if theirs.removeValue(forKey: record) != item.digest { differing.insert(record) }
        }
        differing.formUnion(theirs.keys)
        found.records = differing.sorted().map { RecordKey(table: table, record: $0) }
        return found
    }
}

extension ApplyContext {
    func digest(ofTable index: Int) throws -> DigestReply.Item {
        var item = DigestReply.Item(table: index, record: nil, count: 0, digest: 0)
        try forEachConfirmed(index, after: nil) { record, row in
            item.count += 1
            item.digest &+= row.digest(table: schema.tables[index], record: record)
            return true
        }
        return item
    }

    func digests(ofRecords index: Int, after: RecordID?, limit: Int, cursor: Position) throws -> DigestReply {
        var reply = DigestReply(position: cursor, items: [], hasMore: false)
        try forEachConfirmed(index, after: after) { record, row in
            guard reply.items.count < limit else {
                reply.hasMore = true
                return false
            }
            let digest = row.digest(table: schema.tables[index], record: record)
            reply.items.append(DigestReply.Item(table: index, record: record, count: 1, digest: digest))
            return true
        }
        return reply
    }

    /// Confirmed rows of a table in id order, until `body` returns false.
    func forEachConfirmed(_ index: Int, after: RecordID?, _ body: (RecordID, Row) throws -> Bool) throws {
        let table = schema.tables[index]
        // Records with pending commits are put in from their bases, at their places.
        var pending = overlay.items.keys.filter { $0.table == index }.map(\.record)
        if let after { pending.removeAll { $0 <= after } }
        pending.sort(by: >)
        let statement = try connection.statement(
            """
            SELECT id\(TableRows.columnList(table)) FROM \(TableRows.quoted(table.name))
            WHERE ?1 IS NULL OR id > ?1 ORDER BY id
            """)
        if let after { try statement.bind(1, id: after) } else { try statement.bindNull(1) }
        defer { statement.reset() }
        func flush(before record: RecordID?) throws -> Bool {
            while let next = pending.last, record.map({ next < $0 }) ?? true {
                pending.removeLast()
                guard let row = try confirmed(RecordKey(table: index, record: next)) else { continue }
                guard try body(next, row) else { return false }
            }
            return true
        }
        while try statement.step() {
            guard let record = statement.recordID(0) else { continue }
            guard try flush(before: record) else { return }
            if overlay.isPending(RecordKey(table: index, record: record)) {
                // `flush` stopped right before it; the base row stands for it.
                if pending.last == record {
                    pending.removeLast()
                    guard let row = try confirmed(RecordKey(table: index, record: record)) else { continue }
                    guard try body(record, row) else { return }
                }
                continue
            }
            guard try body(record, Row((0..<table.fields.count).map { statement.value(Int32($0 + 1)) })) else { return }
        }
        _ = try flush(before: nil)
    }
}
