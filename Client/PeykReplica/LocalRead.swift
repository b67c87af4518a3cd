public import PeykModel
import PeykSQLite

/// One state of the replica, as ``Replica/read(_:)`` shows it. Belongs to the closure that it is handed to.
public final class LocalRead {
    private let connection: Connection
    private let layout: Layout

    init(connection: Connection, layout: Layout) {
        self.connection = connection
        self.layout = layout
    }

    public var schema: Schema { layout.schema }

    /// The rows of a query. Statements that change something are refused.
    public func rows(_ sql: String, _ values: [Value] = []) throws -> [[Value]] { try query(sql, values).rows }

    /// The rows of a query with the names of their columns.
    public func query(_ sql: String, _ values: [Value] = []) throws -> (columns: [String], rows: [[Value]]) {
        let statement = try connection.statement(sql)
        guard statement.isReadOnly else { throw ReplicaError.readOnly }
        try statement.bind(values)
        defer { statement.reset() }
        var rows: [[Value]] = []
        while try statement.step() { rows.append(statement.row) }
        return ((0..<statement.columnCount).map { statement.columnName($0) }, rows)
    }

    /// The first column of the first row; nil where there is no row.
    public func value(_ sql: String, _ values: [Value] = []) throws -> Value? { try rows(sql, values).first?.first }

    /// A record's values in field order; nil where it is not there.
    public func row(_ table: String, _ record: RecordID) throws -> Row? {
        try PresentRow(record, try self.table(table), connection)?.row
    }

    /// The one record of `table` whose id begins with `prefix`.
    public func record(_ table: String, startingWith prefix: String) throws -> RecordID {
        let layout = try self.table(table)
        let escaped = prefix.filter { $0.isASCII && ($0.isHexDigit || $0 == "-") }.lowercased()
        guard !escaped.isEmpty, escaped.count == prefix.count else {
            throw ReplicaError.unknownRecord(table: table, record: prefix)
        }
        let found = try rows(
            "SELECT id FROM \(TableLayout.quoted(layout.name)) WHERE id >= ?1 AND id < ?2 LIMIT 10",
            [.text(escaped), .text(escaped + "g")])
        guard let first = found.first?.first?.recordID else {
            throw ReplicaError.unknownRecord(table: table, record: prefix)
        }
        guard found.count == 1 else {
            throw ReplicaError.ambiguousRecord(table: table, prefix: prefix, count: found.count)
        }
        return first
    }

    private func table(_ name: String) throws -> TableLayout {
        guard let index = layout.schema.tableIndex(name) else { throw ReplicaError.unknownTable(name) }
        return layout.tables[index]
    }
}

extension Replica {
    /// Runs `body` on one state of the replica: confirmed rows with the own pending commits over them.
    public func read<T>(_ body: (LocalRead) throws -> T) throws -> T {
        try reading { try body(LocalRead(connection: $0, layout: state.layout)) }
    }
}
