/// A record's values, in the order of its table's fields. A row may be shorter than the table when it was
/// written before a field was added; missing values read as null.
public struct Row: Hashable, Sendable {
    public var values: [Value]

    public init(_ values: [Value]) { self.values = values }

    public subscript(field: Int) -> Value {
        get { values.indices.contains(field) ? values[field] : .null }
        set {
            while values.count <= field { values.append(.null) }
            values[field] = newValue
        }
    }

    /// The text in the named field; nil where there is none.
    public func text(_ table: Table, _ field: String) -> String? {
        table.fieldIndex(field).flatMap { self[$0].textValue }
    }

    /// A full-width row for `table`: padded with the fields' defaults for an insert, cut never.
    public static func empty(_ table: Table) -> Row {
        Row(table.fields.map(\.defaultValue))
    }

    /// The row with the values that fields added since have in old rows (``Field/standingValue``).
    public func widened(to table: Table) -> Row {
        guard values.count < table.fields.count else { return self }
        return Row(values + table.fields.dropFirst(values.count).map(\.standingValue))
    }

    /// Rows are equal where all values are, and missing ones count as null.
    public func differs(from other: Row, count: Int) -> [Int] {
        (0..<count).filter { self[$0] != other[$0] }
    }

    public func encode(to writer: inout ByteWriter) {
        writer.count(values.count)
        for value in values { writer.value(value) }
    }

    public init(from reader: inout ByteReader) throws(DecodeError) {
        let count = try reader.count()
        values = []
        values.reserveCapacity(count)
        for _ in 0..<count { values.append(try reader.value()) }
    }

    /// The digest of one record (rules M4 and T5): table name, id, then each value that is not null with the
    /// name of its field, so that a row from before a field was added digests like one with a null there.
    public func digest(table: Table, record: RecordID) -> UInt64 {
        var writer = ByteWriter(capacity: 256)
        writer.text(table.name)
        writer.bits(record.bits)
        for (index, field) in table.fields.enumerated() where !self[index].isNull {
            writer.text(field.name)
            writer.value(self[index])
        }
        var digest = Digest64()
        digest.update(writer.bytes)
        return digest.value
    }
}

/// Names a record in a workspace.
public struct RecordKey: Hashable, Sendable, Comparable {
    public let table: Int
    public let record: RecordID

    public init(table: Int, record: RecordID) {
        self.table = table
        self.record = record
    }

    public static func < (left: Self, right: Self) -> Bool {
        left.table != right.table ? left.table < right.table : left.record < right.record
    }
}
