/// How concurrent writes of one cell are settled (design §3, rules M1 and M2).
public enum Policy: String, Hashable, Sendable, CaseIterable {
    case lww, review, counter, set, max, min, once, rank, text, server
}

/// One column of a table. Type, policy, group and reference never change once applied (rule T2).
public struct Field: Hashable, Sendable {
    public var name: String
    public var type: FieldType
    public var policy: Policy
    /// Fields with the same group name are one cell (amount and currency; an address).
    public var group: String?
    public var isRequired: Bool
    /// For references: a real foreign key (parent, lender, reference data), or kept as written (rule D3).
    public var isHard: Bool
    /// For `rank` through a reference: which fields of the referenced table give the order and the kind.
    public var rank: Rank?
    public var defaultValue: Value
    /// Retired fields take no new writes (rule T2).
    public var isRetired: Bool
    /// Dropped fields, which were retired before, have their standing value in every record, for good (rule T2). Their
    /// place and name stay taken: an index is a name that never changes.
    public var isDropped: Bool
    /// Words for people, by language code.
    public var labels: [String: String]

    public struct Rank: Hashable, Sendable {
        /// Integer field of the referenced table: the later stage is greater.
        public var order: String
        /// Enumeration field of the referenced table: `open`, `won` or `lost`.
        public var kind: String
        public init(order: String, kind: String) {
            self.order = order
            self.kind = kind
        }
    }

    public init(
        _ name: String, _ type: FieldType, _ policy: Policy = .lww, group: String? = nil, required: Bool = false,
        hard: Bool = false, rank: Rank? = nil, default defaultValue: Value = .null, retired: Bool = false,
        dropped: Bool = false, labels: [String: String] = [:]
    ) {
        self.name = name
        self.type = type
        self.policy = policy
        self.group = group
        isRequired = required
        isHard = hard
        self.rank = rank
        self.defaultValue = defaultValue
        isRetired = retired
        isDropped = dropped
        self.labels = labels
    }
}

extension Field {
    /// What a row has in this field before anybody writes it: the default; 0 for a counter without one (rule K8).
    public var standingValue: Value {
        policy == .counter && defaultValue.isNull ? .integer(0) : defaultValue
    }
}

/// Whose a table's records are (rule D3).
public enum TableKind: Hashable, Sendable {
    /// Belongs to the buckets of its own fields; may lend a record of another root (rule S2).
    case root(AudienceFields, lends: String?)
    /// Inherits from the first of `parents` (reference fields) that is not null; with none, from its owner.
    case child(parents: [String], owner: String?)
    /// Seen by all.
    case reference
    /// Seen by the user in `owner` alone.
    case `private`(owner: String)
    /// The ledger: a child of the record that its `table_name` and `record_id` name.
    case ledger
}

/// The fields of a root that make its audience.
public struct AudienceFields: Hashable, Sendable {
    public var territory: String?
    public var owner: String?
    /// A set field of user ids.
    public var collaborators: String?

    public init(territory: String? = nil, owner: String? = nil, collaborators: String? = nil) {
        self.territory = territory
        self.owner = owner
        self.collaborators = collaborators
    }
}

/// What is merged as one: a field, or a group of fields that only make sense together.
public struct Cell: Hashable, Sendable {
    /// Index of its first field in the table; names the cell on the wire, for ever.
    public let tag: Int
    /// Indexes of its fields, ascending.
    public let fields: [Int]
    public let policy: Policy
    /// The group's name, or the field's.
    public let name: String
}

public struct Table: Hashable, Sendable {
    public let name: String
    public let kind: TableKind
    /// The columns after `id`, in the order of their creation: a row is the list of their values.
    public let fields: [Field]
    /// Sets of fields that should be unique: a declaration, never an index (rule D4).
    public let unique: [[String]]
    /// Rows are added and deleted, never changed: `activity`.
    public let isAppendOnly: Bool
    /// Retired tables take no new records and no new values; what they have may be deleted (rule T2).
    public let isRetired: Bool
    /// Dropped tables, which were retired before, have no records (rule T2).
    public let isDropped: Bool
    public let labels: [String: String]
    public let cells: [Cell]
    /// For each field, the index of its cell in `cells`.
    public let cellOfField: [Int]
    private let indexByName: [String: Int]

    public init(
        _ name: String, _ kind: TableKind, fields: [Field], unique: [[String]] = [], appendOnly: Bool = false,
        retired: Bool = false, dropped: Bool = false, labels: [String: String] = [:]
    ) {
        self.name = name
        self.kind = kind
        self.fields = fields
        self.unique = unique
        isAppendOnly = appendOnly
        isRetired = retired
        isDropped = dropped
        self.labels = labels
        var cells: [Cell] = []
        var cellOfField = [Int](repeating: 0, count: fields.count)
        var cellOfGroup: [String: Int] = [:]
        for (index, field) in fields.enumerated() {
            if let group = field.group {
                if let known = cellOfGroup[group] {
                    let cell = cells[known]
                    cells[known] = Cell(tag: cell.tag, fields: cell.fields + [index], policy: cell.policy, name: group)
                    cellOfField[index] = known
                    continue
                }
                cellOfGroup[group] = cells.count
            }
            cellOfField[index] = cells.count
            cells.append(Cell(tag: index, fields: [index], policy: field.policy, name: field.group ?? field.name))
        }
        self.cells = cells
        self.cellOfField = cellOfField
        indexByName = Dictionary(fields.enumerated().map { ($0.element.name, $0.offset) }) { first, _ in first }
    }

    public func fieldIndex(_ name: String) -> Int? { indexByName[name] }
    public func cell(tag: Int) -> Cell? { cells.first { $0.tag == tag } }
    /// The cell of a field or group name.
    public func cell(named name: String) -> Cell? {
        cells.first { $0.name == name } ?? fieldIndex(name).map { cells[cellOfField[$0]] }
    }

    public var isReference: Bool { if case .reference = kind { true } else { false } }
    public var isPrivate: Bool { if case .private = kind { true } else { false } }
    public var isLedger: Bool { if case .ledger = kind { true } else { false } }

    /// Fields whose value decides the record's audience or its place in the tree: a change of one of them makes
    /// an outcome carry full images (rule S3).
    public var placingFields: [Int] {
        let names: [String?]
        switch kind {
        case .root(let audience, let lends):
            names = [audience.territory, audience.owner, audience.collaborators, lends]
        case .child(let parents, let owner): names = parents.map { $0 } + [owner]
        case .private(let owner): names = [owner]
        case .ledger: names = ["table_name", "record_id"]
        case .reference: names = []
        }
        return names.compactMap { $0 }.compactMap { fieldIndex($0) }.sorted()
    }
}

/// A workspace's tables, as data. Tables and fields are only ever added, at the end, so an index is a name
/// that never changes.
public struct Schema: Hashable, Sendable {
    /// 1 for the first; one more with each `schema apply`.
    public var version: Int64
    /// The ledger first, then the workspace's own.
    public let tables: [Table]
    private let indexByName: [String: Int]

    /// - Parameter own: the workspace's tables; the ledger is put before them.
    public init(version: Int64, tables own: [Table]) {
        self.version = version
        tables = [Self.ledger] + own
        indexByName = Dictionary(tables.enumerated().map { ($0.element.name, $0.offset) }) { first, _ in first }
    }

    public func tableIndex(_ name: String) -> Int? { indexByName[name] }
    public func table(named name: String) -> Table? { indexByName[name].map { tables[$0] } }
    /// Nil where `index` came from a peer that knows more tables than we do.
    public func table(at index: Int) -> Table? { tables.indices.contains(index) ? tables[index] : nil }

    /// The tables without the ledger.
    public var ownTables: ArraySlice<Table> { tables.dropFirst() }

    public static let ledgerIndex = 0

    /// The conflict ledger (design §2): a table like the others, written by the server only, synced with its record.
    public static let ledger = Table(
        "peyk_ledger", .ledger,
        fields: [
            Field("table_name", .text, .server, required: true),
            Field("record_id", .text, .server, required: true),
            Field("cell", .text, .server),
            Field("kind", .enumeration(LedgerKind.allCases.map(\.rawValue)), .server, required: true),
            Field("rule", .text, .server, required: true),
            Field("state", .enumeration(["open", "noted", "settled"]), .server, required: true),
            Field("base", .text, .server),
            Field("winner", .text, .server),
            Field("losers", .text, .server),
            Field("position", .integer, .server, required: true),
            Field("opened_at", .instant, .server, required: true),
            Field("settled_by", .text, .server),
            Field("settled_at", .instant, .server),
            // Who may read the entry once its record is gone (rule M7): the readers' buckets when it was written.
            Field("audience", .set, .server),
        ])
}

/// What a ledger entry is about.
public enum LedgerKind: String, Hashable, Sendable, CaseIterable {
    /// Concurrent writes of one cell.
    case field
    /// A delete lost to a concurrent update or a living child.
    case delete
    /// A record came back because a child needs it.
    case revived
    /// A write met a deleted or re-created record (rule D2).
    case incarnation
    /// Two rows collide on what should be unique (rule D4).
    case duplicate
    /// Written while its author had the record, and merged after it had moved away: for whoever has it now (rule S4).
    case handedOff = "handed-off"
}
