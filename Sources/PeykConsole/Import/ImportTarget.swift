public import PeykModel

/// Where an import goes: a replica, or the server's store. All calls see what `write` has written before.
public protocol ImportTarget: AnyObject {
    var schema: Schema { get }
    /// Part of derived ids (rule D6): the workspace's name.
    var workspace: String { get }
    /// Every living record of `table` with its value in `field`, nulls left out. Called once per table and field.
    func values(of table: Table, field: Int) throws -> [(record: RecordID, value: Value)]
    /// The present row, or nil.
    func row(of table: Table, record: RecordID) throws -> Row?
    /// A new record's id (UUIDv7), where there is no key.
    func newRecordID() -> RecordID
    /// One transaction: all of it, or an error.
    func write(_ batch: [ImportWrite]) throws
}

/// One record to be written. `values` has whole groups only, and only what differs from the present row.
public struct ImportWrite: Hashable, Sendable {
    public let isInsert: Bool
    public let table: String
    public let record: RecordID
    /// By field name; for an insert, what is left out takes its default.
    public let values: [String: Value]
}

/// What became of a file.
public struct ImportOutcome: Hashable, Sendable {
    public struct Refusal: Hashable, Sendable {
        public let line: Int
        public let reason: String
    }
    public let table: String
    public internal(set) var inserted = 0
    public internal(set) var updated = 0
    public internal(set) var unchanged = 0
    /// Rows that repeat an earlier row of the same key and values.
    public internal(set) var repeated = 0
    public internal(set) var refused: [Refusal] = []

    init(table: String) { self.table = table }

    public var json: JSON {
        [
            "table": .string(table), "inserted": .integer(Int64(inserted)), "updated": .integer(Int64(updated)),
            "unchanged": .integer(Int64(unchanged)), "repeated": .integer(Int64(repeated)),
            "refused": .array(
                refused.map { ["line": .integer(Int64($0.line)), "reason": .string($0.reason)] }),
        ]
    }
}
