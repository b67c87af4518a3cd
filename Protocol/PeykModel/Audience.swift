/// Who belongs together: records and grants name the same buckets.
///
/// Text forms: `*` reference data, `@` every record that is not private (held by managers), `t:<territory>`,
/// `u:<user>` owner or collaborator, `p:<user>` private, `?` neither territory nor owner.
public struct Bucket: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let text: String
    public init(text: String) { self.text = text }

    public static let everyone = Bucket(text: "*")
    public static let whole = Bucket(text: "@")
    public static let unassigned = Bucket(text: "?")
    public static func territory(_ id: String) -> Bucket { Bucket(text: "t:" + id) }
    public static func user(_ id: String) -> Bucket { Bucket(text: "u:" + id) }
    public static func personal(_ id: String) -> Bucket { Bucket(text: "p:" + id) }

    public var description: String { text }
    public static func < (left: Self, right: Self) -> Bool {
        left.text.utf8.lexicographicallyPrecedes(right.text.utf8)
    }
}

/// The buckets of a record: `home` may be written by who holds one of them, `readers` may be read (rule S2).
/// Both sorted, `readers` contains `home`.
public struct Audience: Hashable, Sendable {
    public let home: [Bucket]
    public let readers: [Bucket]

    public init(home: some Sequence<Bucket>, lent: some Sequence<Bucket> = []) {
        self.home = Self.sorted(Array(home))
        let lent = Array(lent)
        readers = lent.isEmpty ? self.home : Self.sorted(self.home + lent)
    }

    /// Each once. Nearly always one or two, for which a set costs more than it saves.
    private static func sorted(_ buckets: [Bucket]) -> [Bucket] {
        guard buckets.count > 1 else { return buckets }
        var unique: [Bucket] = []
        for bucket in buckets.sorted() where unique.last != bucket { unique.append(bucket) }
        return unique
    }

    public static let nobody = Audience(home: [])
}

/// What a user may read and write: sorted buckets.
public struct Grant: Hashable, Sendable {
    public var read: [Bucket]
    public var write: [Bucket]
    /// Rises when the rules or the buckets change (rule S1).
    public var version: Int64

    public init(read: some Sequence<Bucket>, write: some Sequence<Bucket>, version: Int64) {
        self.read = Set(read).sorted()
        self.write = Set(write).sorted()
        self.version = version
    }

    public func reads(_ audience: Audience) -> Bool { Self.meet(read, audience.readers) }
    public func writes(_ audience: Audience) -> Bool { Self.meet(write, audience.home) }

    static func meet(_ left: [Bucket], _ right: [Bucket]) -> Bool {
        right.contains { left.contains($0) }
    }
}

/// The buckets that a replica holds, stored with its cursor (rule S1).
public struct HeldScope: Hashable, Sendable {
    public var buckets: [Bucket]
    public var version: Int64

    public init(buckets: some Sequence<Bucket>, version: Int64) {
        self.buckets = Set(buckets).sorted()
        self.version = version
    }

    public static let empty = HeldScope(buckets: [Bucket](), version: 0)
    public func holds(_ audience: Audience) -> Bool { Grant.meet(buckets, audience.readers) }
}

/// The names of the roles that a user can have.
public enum Role: String, Hashable, Sendable, CaseIterable {
    case rep, manager, admin, viewer

    /// The grant of a user of this role (rule S2: managers also hold what is in nobody's territory).
    public func grant(user: String, territories: [String], version: Int64) -> Grant {
        var buckets: [Bucket] = [.personal(user), .user(user)]
        switch self {
        case .rep, .viewer: buckets += territories.map { .territory($0) }
        case .manager where !territories.isEmpty: buckets += territories.map { .territory($0) } + [.unassigned]
        case .manager, .admin: buckets.append(.whole)
        }
        if self == .viewer, territories.isEmpty { buckets.append(.whole) }
        let write = self == .viewer ? [.personal(user)] : buckets
        return Grant(read: buckets + [.everyone], write: self == .admin ? write + [.everyone] : write, version: version)
    }
}

/// Computes audiences from rows, the same on server and replica (rules D3, S1, S2).
///
/// `rows` gives a record's present row; `borrowers` the rows of the roots that lend the record.
public struct AudienceRules: Sendable {
    public let schema: Schema

    public init(schema: Schema) { self.schema = schema }

    public typealias Rows = (_ table: Int, _ record: RecordID) throws -> Row?
    public typealias Borrowers = (_ table: Int, _ record: RecordID) throws -> [(table: Int, row: Row)]

    /// A parent chain is at most this long; beyond it a record belongs to nobody.
    public static let depthMax = 16

    /// The audience of the record with this row.
    public func audience(
        table index: Int, record: RecordID, row: Row, rows: Rows, borrowers: Borrowers
    ) rethrows -> Audience {
        try audience(table: index, record: record, row: row, depth: 0, rows: rows, borrowers: borrowers)
    }

    private func audience(
        table index: Int, record: RecordID, row: Row, depth: Int, rows: Rows, borrowers: Borrowers
    ) rethrows -> Audience {
        guard let table = schema.table(at: index), depth < Self.depthMax else { return .nobody }
        switch table.kind {
        case .reference: return Audience(home: [.everyone])
        case .private(let owner):
            return Audience(home: row.text(table, owner).map { [.personal($0)] } ?? [])
        case .root(let fields, _):
            let lent = try borrowers(index, record).flatMap { home(table: $0.table, row: $0.row) }
            return Audience(home: home(fields, table, row), lent: lent)
        case .child, .ledger:
            guard let parent = parent(table: index, row: row) else {
                if case .child(_, let owner) = table.kind, let owner, let user = row.text(table, owner) {
                    return Audience(home: [.user(user), .whole])
                }
                return Audience(home: [.unassigned, .whole])
            }
            guard let parentRow = try rows(parent.table, parent.record) else {
                // A ledger entry outlives its record (rule M7) and then says itself who may read it.
                guard table.isLedger, let readers = row.text(table, "audience").flatMap({ ValueSet(json: $0) }) else {
                    return .nobody
                }
                return Audience(home: [], lent: readers.elements.map { Bucket(text: $0) })
            }
            return try audience(
                table: parent.table, record: parent.record, row: parentRow, depth: depth + 1, rows: rows,
                borrowers: borrowers)
        }
    }

    /// The record that this row inherits its audience from: the first parent reference that is not null.
    public func parent(table index: Int, row: Row) -> (table: Int, record: RecordID)? {
        guard let table = schema.table(at: index) else { return nil }
        if case .ledger = table.kind {
            guard let name = row.text(table, "table_name"), let target = schema.tableIndex(name),
                let record = row.text(table, "record_id").flatMap({ RecordID($0) })
            else { return nil }
            return (target, record)
        }
        guard case .child(let parents, _) = table.kind else { return nil }
        for name in parents {
            guard let field = table.fieldIndex(name), case .reference(let target) = table.fields[field].type,
                let targetIndex = schema.tableIndex(target), field < row.values.count,
                let record = row.values[field].recordID
            else { continue }
            return (targetIndex, record)
        }
        return nil
    }

    /// The record that this root lends, if any (rule S2).
    public func lent(table index: Int, row: Row) -> (table: Int, record: RecordID)? {
        guard let table = schema.table(at: index), case .root(_, let lends?) = table.kind,
            let field = table.fieldIndex(lends), case .reference(let target) = table.fields[field].type,
            let targetIndex = schema.tableIndex(target), field < row.values.count,
            let record = row.values[field].recordID
        else { return nil }
        return (targetIndex, record)
    }

    /// A root's own buckets, without what is lent to it.
    public func home(table index: Int, row: Row) -> [Bucket] {
        guard let table = schema.table(at: index), case .root(let fields, _) = table.kind else { return [] }
        return home(fields, table, row)
    }

    private func home(_ fields: AudienceFields, _ table: Table, _ row: Row) -> [Bucket] {
        var buckets: [Bucket] = []
        if let territory = fields.territory.flatMap({ row.text(table, $0) }) { buckets.append(.territory(territory)) }
        if let owner = fields.owner.flatMap({ row.text(table, $0) }) { buckets.append(.user(owner)) }
        if buckets.isEmpty { buckets.append(.unassigned) }
        if let set = fields.collaborators.flatMap({ row.text(table, $0) }).flatMap({ ValueSet(json: $0) }) {
            buckets += set.elements.map { .user($0) }
        }
        return buckets + [.whole]
    }
}
