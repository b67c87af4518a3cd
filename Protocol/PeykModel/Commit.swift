/// What a commit does to one cell. Carries what the policy needs, and no more.
public enum CellWrite: Hashable, Sendable {
    /// The new values of all fields of the cell, in field order (rule M6: groups are never torn).
    case assign([Value])
    /// A counter's delta; in an insert, its start value (rule K8).
    case add(Int64)
    /// Elements added to and removed from a set, each sorted by bytes.
    case elements(added: [String], removed: [String])
    /// A long text's new form, with the base that its author saw, for a three-way merge.
    case text(base: String?, new: String?)
}

/// One cell of one change.
public struct CellChange: Hashable, Sendable {
    /// ``Cell/tag``.
    public var cell: Int
    public var write: CellWrite

    public init(cell: Int, write: CellWrite) {
        self.cell = cell
        self.write = write
    }
}

/// What a commit does to one record. A commit changes a record at most once.
public struct Change: Hashable, Sendable {
    public enum Kind: UInt8, Hashable, Sendable { case insert = 0, update = 1, delete = 2 }

    /// Index in ``Schema/tables``.
    public var table: Int
    public var record: RecordID
    public var kind: Kind
    /// Ascending by cell tag. An insert has all cells that are not null; a delete none.
    public var cells: [CellChange]

    public init(table: Int, record: RecordID, kind: Kind, cells: [CellChange] = []) {
        self.table = table
        self.record = record
        self.kind = kind
        self.cells = cells
    }
}

/// What is not a row write (rule M5): a row inserted into `peyk_operation` in the same local transaction.
public struct Operation: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// Allows leaving a closed stage in this commit.
        case reopen
        /// Closes a ledger entry; `record` is the entry's id.
        case settle
        /// Undo of a delete: same incarnation, same children (rule D2).
        case revive
        /// Says that this commit undoes the one named in `argument` (rule M8); with `force` in the text, unchecked.
        case undo
        /// Customers found to be one (rule D5). Reserved.
        case merge
        case unmerge
        /// One refusal refuses the whole commit (rule M6).
        case whole
    }

    public var kind: Kind
    public var table: Int
    public var record: RecordID?
    public var argument: String?

    public init(kind: Kind, table: Int = 0, record: RecordID? = nil, argument: String? = nil) {
        self.kind = kind
        self.table = table
        self.record = record
        self.argument = argument
    }
}

/// The part of a commit that is sealed: encoded once, hashed as bytes, never changed (rule C1).
public struct CommitBody: Hashable, Sendable {
    public var id: CommitID
    public var schemaVersion: Int64
    public var changes: [Change]
    public var operations: [Operation]

    public init(id: CommitID, schemaVersion: Int64, changes: [Change], operations: [Operation] = []) {
        self.id = id
        self.schemaVersion = schemaVersion
        self.changes = changes
        self.operations = operations
    }

    public func has(_ kind: Operation.Kind) -> Bool { operations.contains { $0.kind == kind } }
}

/// The part of a commit that may change on its way: after a copy or a restore it travels under a new dot.
public struct Envelope: Hashable, Sendable {
    public var dot: Dot
    public var stamp: HLC
    public var clock: VectorClock
    /// The server's proof of a former acceptance (rule A1); empty if none.
    public var receipt: [UInt8]
    /// What a history that is gone had answered, where it refused something (rule I8): what its parking notices name
    /// (the whole commit where it was refused whole) is offered again as void: it has no effect and is answered so
    /// again.
    public var formerAnswer: Answer?

    public init(
        dot: Dot, stamp: HLC, clock: VectorClock, receipt: [UInt8] = [], formerAnswer: Answer? = nil
    ) {
        self.dot = dot
        self.stamp = stamp
        self.clock = clock
        self.receipt = receipt
        self.formerAnswer = formerAnswer
    }
}

/// A commit as it is stored and sent: its envelope, and the sealed bytes of its body.
public struct SealedCommit: Hashable, Sendable {
    public var id: CommitID
    public var envelope: Envelope
    /// What ``CommitBody/encoded()`` gave when the commit was sealed.
    public var sealed: [UInt8]

    public init(id: CommitID, envelope: Envelope, sealed: [UInt8]) {
        self.id = id
        self.envelope = envelope
        self.sealed = sealed
    }

    /// The limit of one commit, refused at sealing (rule A5): it travels in one frame.
    public static let bytesMax = 31 << 20
}

// MARK: - Sealed form

extension CommitBody {
    static let format: UInt8 = 1

    /// Layout: format (1), id (16), schema version, operations, changes; see protocol.md W-20 to W-24.
    /// - Complexity: O(bytes).
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 64 + changes.count * 64)
        Self.writeHeader(id: id, schemaVersion: schemaVersion, operations: operations, to: &writer)
        writer.count(changes.count)
        for change in changes { change.encode(to: &writer) }
        return writer.bytes
    }

    /// Writes everything up to the count of changes; a caller that streams changes writes that count and them itself.
    public static func writeHeader(
        id: CommitID, schemaVersion: Int64, operations: [Operation], to writer: inout ByteWriter
    ) {
        writer.byte(format)
        writer.bits(id.bits)
        writer.varint(UInt64(bitPattern: schemaVersion))
        writer.count(operations.count)
        for operation in operations {
            writer.text(operation.kind.rawValue)
            writer.count(operation.table)
            writer.byte(operation.record == nil ? 0 : 1)
            if let record = operation.record { writer.bits(record.bits) }
            writer.byte(operation.argument == nil ? 0 : 1)
            if let argument = operation.argument { writer.text(argument) }
        }
    }

    /// The schema version of a sealed commit, without reading the rest of it.
    public static func schemaVersion(of sealed: [UInt8]) throws(DecodeError) -> Int64 {
        var reader = ByteReader(sealed)
        guard try reader.byte() == Self.format else { throw .malformed("unknown format of a commit") }
        _ = try reader.bits()
        return try reader.natural()
    }

    public init(decoding bytes: [UInt8]) throws(DecodeError) {
        var reader = ByteReader(bytes)
        guard try reader.byte() == Self.format else { throw .malformed("unknown format of a commit") }
        id = CommitID(bits: try reader.bits())
        schemaVersion = try reader.natural()
        operations = []
        for _ in 0..<(try reader.count()) {
            let word = try reader.text()
            guard let kind = Operation.Kind(rawValue: word) else { throw .malformed("unknown operation “\(word)”") }
            let table = try reader.index()
            let record = try reader.byte() == 1 ? RecordID(bits: try reader.bits()) : nil
            let argument = try reader.byte() == 1 ? try reader.text() : nil
            operations.append(Operation(kind: kind, table: table, record: record, argument: argument))
        }
        let total = try reader.count()
        changes = []
        // A change has 19 bytes at least: nobody makes us take memory by a number alone.
        guard total <= reader.remaining / 19 else { throw .truncated }
        changes.reserveCapacity(total)
        for _ in 0..<total { changes.append(try Change(from: &reader)) }
        try reader.finish()
    }
}

extension Change {
    public func encode(to writer: inout ByteWriter) {
        writer.byte(kind.rawValue)
        writer.count(table)
        writer.bits(record.bits)
        writer.count(cells.count)
        for cell in cells {
            writer.count(cell.cell)
            cell.write.encode(to: &writer)
        }
    }

    public init(from reader: inout ByteReader) throws(DecodeError) {
        guard let kind = Kind(rawValue: try reader.byte()) else { throw .malformed("unknown kind of change") }
        self.kind = kind
        // An index of a table or cell is small; a count of things still to come is not asked for here.
        table = try reader.index()
        record = RecordID(bits: try reader.bits())
        cells = []
        let count = try reader.count()
        guard count <= Schema.fieldsMax else { throw .tooLong(bytes: count, limit: Schema.fieldsMax) }
        for _ in 0..<count {
            let tag = try reader.index()
            cells.append(CellChange(cell: tag, write: try CellWrite(from: &reader)))
        }
    }
}

extension ByteReader {
    /// A table, field or cell index: at most 2^31 − 1, and not yet checked against a schema.
    public mutating func index() throws(DecodeError) -> Int {
        let value = try varint()
        guard value <= UInt64(Int32.max) else { throw .malformed("an index over 2^31") }
        return Int(value)
    }
}

extension CellWrite {
    /// Kinds: 0 assign one value, 1 assign a group, 2 add, 3 elements, 4 text.
    public func encode(to writer: inout ByteWriter) {
        switch self {
        case .assign(let values) where values.count == 1:
            writer.byte(0)
            writer.value(values[0])
        case .assign(let values):
            writer.byte(1)
            writer.count(values.count)
            for value in values { writer.value(value) }
        case .add(let delta):
            writer.byte(2)
            writer.signed(delta)
        case .elements(let added, let removed):
            writer.byte(3)
            for list in [added, removed] {
                writer.count(list.count)
                for element in list { writer.text(element) }
            }
        case .text(let base, let new):
            writer.byte(4)
            for text in [base, new] { writer.value(text.map { .text($0) } ?? .null) }
        }
    }

    public init(from reader: inout ByteReader) throws(DecodeError) {
        switch try reader.byte() {
        case 0: self = .assign([try reader.value()])
        case 1:
            let count = try reader.count()
            guard count <= Schema.fieldsMax else { throw .tooLong(bytes: count, limit: Schema.fieldsMax) }
            var values: [Value] = []
            for _ in 0..<count { values.append(try reader.value()) }
            self = .assign(values)
        case 2: self = .add(try reader.signed())
        case 3:
            var lists: [[String]] = []
            for _ in 0..<2 {
                var list: [String] = []
                for _ in 0..<(try reader.count()) { list.append(try reader.text()) }
                lists.append(list)
            }
            self = .elements(added: lists[0], removed: lists[1])
        case 4:
            let base = try reader.value()
            let new = try reader.value()
            self = .text(base: base.textValue, new: new.textValue)
        default: throw .malformed("unknown kind of write")
        }
    }
}
