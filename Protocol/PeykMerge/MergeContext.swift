public import PeykModel

/// Where a value stands in a `rank` field.
public struct StageRank: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable {
        case open, won, lost
    }

    /// The later stage is greater.
    public var order: Int64
    public var kind: Kind

    public init(order: Int64, kind: Kind = .open) {
        self.order = order
        self.kind = kind
    }

    /// The rank of a word of an enumeration: its place; `won` and `lost` are closed, the others open.
    public init?(_ value: Value, in words: [String]) {
        guard let text = value.textValue, let place = words.firstIndex(where: { $0.utf8.elementsEqual(text.utf8) })
        else { return nil }
        self.init(order: Int64(place), kind: Kind(rawValue: text) ?? .open)
    }

    /// Lost above won above open; within one kind by order (rule M2).
    func isAbove(_ other: StageRank) -> Bool {
        kind != other.kind ? kind.weight > other.kind.weight : order > other.order
    }
}

extension StageRank.Kind {
    var weight: Int {
        switch self {
        case .open: 0
        case .won: 1
        case .lost: 2
        }
    }
}

/// Everything beside the record that a merge depends on.
public struct MergeContext {
    public var table: Table
    /// The commit that is being merged, with its position and its accepted stamp.
    public var writer: Writer
    /// What its author had seen.
    public var clock: VectorClock
    /// The server's own act: it may write `server` fields, and the bounds of rule M2 do not hold for it.
    public var isServer: Bool
    /// The commit has a `reopen` for this record: it may leave a closed stage.
    public var allowsReopen: Bool
    /// The commit settles a ledger entry of this record: it may replace a `once` and leave a closed stage.
    public var settles: Bool
    /// The commit that this one undoes (rule M8).
    public var undoes: CommitID?
    /// With `undo --force`: rule M8 is not checked.
    public var isForced: Bool
    /// The rank of a value of a field, for policy `rank`. Nil: unknown, which counts as open and first.
    public var rankOf: (_ field: Int, _ value: Value) -> StageRank?
    /// Writers that the clock covers by other names (rule I7.1: former positions); asked where the clock says no.
    public var alsoCovers: (Writer) -> Bool
    /// Remembered changes of this record whose authors had seen this commit (rule I7.4). Empty outside a refill.
    public var successors: [Change]

    /// - Parameter rankOf: nil gives the order of the field's enumeration.
    public init(
        table: Table, writer: Writer, clock: VectorClock, isServer: Bool = false, allowsReopen: Bool = false,
        settles: Bool = false, undoes: CommitID? = nil, isForced: Bool = false,
        rankOf: ((_ field: Int, _ value: Value) -> StageRank?)? = nil,
        alsoCovers: @escaping (Writer) -> Bool = { _ in false }, successors: [Change] = []
    ) {
        self.table = table
        self.writer = writer
        self.clock = clock
        self.isServer = isServer
        self.allowsReopen = allowsReopen
        self.settles = settles
        self.undoes = undoes
        self.isForced = isForced
        self.rankOf =
            rankOf ?? { field, value in
                guard table.fields.indices.contains(field), case .enumeration(let words) = table.fields[field].type
                else { return nil }
                return StageRank(value, in: words)
            }
        self.alsoCovers = alsoCovers
        self.successors = successors
    }

    /// Whether this commit stands on top of `other`.
    func covers(_ other: Writer) -> Bool {
        other.commit == writer.commit || other.commit == undoes || clock.covers(other) || alsoCovers(other)
    }

    func coversAny(_ list: [Writer]) -> Bool { list.contains { covers($0) } }
}
