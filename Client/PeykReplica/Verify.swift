import PeykModel
import PeykSQLite
public import PeykSession

extension Replica {
    /// Digests of confirmed state at the cursor: one a table, or the parts of the ranges asked for (rule T5).
    ///
    /// A digest of several records is the wrapping sum of theirs (``Row/digest(table:record:)``). Pending commits do
    /// not count: the base rows under them do.
    /// - Complexity: O(rows) of the ranges asked for.
    public func digests(_ request: DigestRequest) throws -> DigestReply {
        try applying { context, meta in
            let cursor = try meta.cursor
            guard !request.ranges.isEmpty else {
                let parts = try context.schema.tables.indices.map { try context.digest(ofTable: $0) }
                return DigestReply(position: cursor, parts: parts)
            }
            var parts: [DigestReply.Part] = []
            for (number, range) in request.ranges.enumerated() {
                var cut = DigestParts(range, number: number)
                try context.forEachDigest(range) { cut.add($0, $1) }
                parts += cut.finish()
            }
            return DigestReply(position: cursor, parts: parts)
        }
    }

    /// Compares the server's digests with our rows: which ranges to cut further, and which records differ.
    ///
    /// Both must be of one position: the reply comes in the stream right after the log up to its own.
    ///
    /// - Parameter request: what was asked.
    /// - Throws: ``ReplicaError/broken(_:)`` where the cursor is elsewhere, or the reply does not fit the request.
    /// - Complexity: O(rows) of the ranges asked for; each is read once, in id order.
    public func compare(_ reply: DigestReply, to request: DigestRequest) throws -> DigestDescent.Finding {
        try applying { context, meta in
            let cursor = try meta.cursor
            guard cursor == reply.position else {
                throw ReplicaError.broken(
                    "the digests are of position \(reply.position), but this replica stands at \(cursor)")
            }
            var finding = DigestDescent.Finding()
            guard !request.ranges.isEmpty else {
                for part in reply.parts where context.schema.tables.indices.contains(part.table) {
                    let own = try context.digest(ofTable: part.table)
                    if own.count != part.count || own.digest != part.digest {
                        finding.ranges.append(DigestRange(table: part.table))
                    }
                }
                return finding
            }
            var rest = reply.parts[...]
            for (number, range) in request.ranges.enumerated() {
                let parts = Array(rest.prefix { $0.range == number })
                rest = rest.dropFirst(parts.count)
                guard context.schema.tables.indices.contains(range.table) else { continue }
                guard let last = parts.last, last.upTo == range.upTo else {
                    throw ReplicaError.broken("the digests of range \(number) are not whole")
                }
                try context.compare(parts, of: range, &finding)
            }
            return finding
        }
    }
}

/// Holds our records, as they go by in id order, against the server's parts of one range.
private struct PartWalk {
    /// Own records named in a part of which the server has one at most; the next comparison names the rest.
    private static let namesMax = 10_000

    private let parts: [DigestReply.Part]
    private let range: DigestRange
    private var at = 0
    private var start: RecordID?
    private var count: Int64 = 0
    private var digest: UInt64 = 0
    private var names: [(record: RecordID, digest: UInt64)] = []

    init(_ parts: [DigestReply.Part], _ range: DigestRange) {
        self.parts = parts
        self.range = range
        start = range.after
    }

    mutating func add(_ record: RecordID, _ value: UInt64, _ finding: inout DigestDescent.Finding) {
        while at < parts.count, let end = parts[at].upTo, record > end { close(&finding) }
        guard at < parts.count else { return }
        count += 1
        digest &+= value
        if parts[at].count <= 1, names.count < Self.namesMax { names.append((record, value)) }
    }

    mutating func finish(_ finding: inout DigestDescent.Finding) {
        while at < parts.count { close(&finding) }
    }

    /// The part at `at` is complete on our side.
    private mutating func close(_ finding: inout DigestDescent.Finding) {
        let part = parts[at]
        if count != part.count || digest != part.digest {
            if part.count > 1 {
                finding.ranges.append(DigestRange(table: range.table, after: start, upTo: part.upTo))
            } else {
                finding.records += differing(part).map { RecordKey(table: range.table, record: $0) }
            }
        }
        start = part.upTo
        at += 1
        count = 0
        digest = 0
        names = []
    }

    /// The server has at most one record here, and it is the last of the part.
    private func differing(_ part: DigestReply.Part) -> [RecordID] {
        let theirs = part.count == 1 ? part.upTo : nil
        var found = names.filter { $0.record != theirs || $0.digest != part.digest }.map(\.record)
        if let theirs, names.last?.record != theirs { found.append(theirs) }
        return found
    }
}

extension ApplyContext {
    fileprivate func digest(ofTable index: Int) throws -> DigestReply.Part {
        var part = DigestReply.Part(table: index, range: 0, upTo: nil, count: 0, digest: 0)
        try forEachDigest(DigestRange(table: index)) { _, digest in
            part.count += 1
            part.digest &+= digest
        }
        return part
    }

    /// One walk over the range beside the server's parts.
    fileprivate func compare(
        _ parts: [DigestReply.Part], of range: DigestRange, _ finding: inout DigestDescent.Finding
    ) throws {
        var walk = PartWalk(parts, range)
        try forEachDigest(range) { walk.add($0, $1, &finding) }
        walk.finish(&finding)
    }

    fileprivate func forEachDigest(_ range: DigestRange, _ body: (RecordID, UInt64) throws -> Void) throws {
        guard let table = schema.table(at: range.table) else { return }
        try forEachConfirmed(range.table, after: range.after) { record, row in
            if let end = range.upTo, record > end { return false }
            try body(record, row.digest(table: table, record: record))
            return true
        }
    }

    /// Confirmed rows of a table in id order, until `body` returns false.
    func forEachConfirmed(_ index: Int, after: RecordID?, _ body: (RecordID, Row) throws -> Bool) throws {
        let table = schema.tables[index]
        // Records with pending commits are put in from their bases, at their places.
        var pending = overlay.items.keys.filter { $0.table == index }.map(\.record)
        if let after { pending.removeAll { $0 <= after } }
        pending.sort(by: >)
        let statement = try connection.statement(SealRun.number(index, .digest)) {
            """
            SELECT id\(TableRows.columnList(table)) FROM \(TableRows.quoted(table.name))
            WHERE ?1 IS NULL OR id > ?1 ORDER BY id
            """
        }
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
