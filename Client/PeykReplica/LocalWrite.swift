public import PeykModel
import PeykSQLite

/// A transaction of ``Replica/write(whole:_:)``. Everything written in it becomes one commit, or nothing does.
///
/// Belongs to the closure that it is handed to.
public final class LocalWrite {
    let replica: Replica
    let connection: Connection
    private let schema: Schema
    /// Something other than rows may have been changed.
    private(set) var changedSchema = false

    init(replica: Replica, connection: Connection) {
        self.replica = replica
        self.connection = connection
        schema = replica.state.layout.schema
    }

    func layout(_ table: Int) -> TableLayout? {
        let tables = replica.state.layout.tables
        return tables.indices.contains(table) ? tables[table] : nil
    }

    private func layout(named name: String) throws -> TableLayout {
        guard let index = schema.tableIndex(name), let layout = layout(index), !layout.table.isLedger else {
            throw ReplicaError.unknownTable(name)
        }
        return layout
    }

    /// A new UUIDv7: ids made later sort later, roughly.
    public func newID() -> RecordID { replica.newID() }

    // MARK: Records

    /// Adds a record. Fields that are not given get their defaults.
    ///
    /// - Parameter values: by field name.
    /// - Returns: its id: `id`, or a new one.
    /// - Throws: ``ReplicaError`` naming the field that does not fit.
    @discardableResult
    public func insert(into table: String, id: RecordID? = nil, _ values: [String: Value]) throws -> RecordID {
        let layout = try layout(named: table)
        let record = id ?? newID()
        let given = try admit(values, layout)
        for (index, field) in layout.table.fields.enumerated()
        where field.isRequired && field.defaultValue.isNull && !given.contains(where: { $0.field == index }) {
            throw ReplicaError.invalidValue(table: table, field: field.name, problem: .required)
        }
        try insert(record, given, layout)
        return record
    }

    private func insert(_ record: RecordID, _ fields: [FieldValue], _ layout: TableLayout) throws {
        let columns = (["id"] + fields.map { layout.columns[$0.field] }).joined(separator: ", ")
        let places = (1...fields.count + 1).map { "?\($0)" }.joined(separator: ", ")
        try run(
            "INSERT INTO \(TableLayout.quoted(layout.name))(\(columns)) VALUES (\(places))",
            [Value(record)] + fields.map(\.value), layout)
    }

    /// Changes the named fields of a record.
    public func update(_ table: String, _ record: RecordID, _ values: [String: Value]) throws {
        let layout = try layout(named: table)
        guard !layout.table.isAppendOnly else { throw ReplicaError.appendOnly(table: table, record: record) }
        try update(record, try admit(values, layout), layout)
    }

    private func update(_ record: RecordID, _ fields: [FieldValue], _ layout: TableLayout) throws {
        // An update of nothing still says whether the record is there.
        let sets =
            fields.isEmpty
            ? "id = id" : fields.enumerated().map { "\(layout.columns[$1.field]) = ?\($0 + 2)" }.joined(separator: ", ")
        try run(
            "UPDATE \(TableLayout.quoted(layout.name)) SET \(sets) WHERE id = ?1",
            [Value(record)] + fields.map(\.value), layout)
        guard connection.changes > 0 else {
            throw ReplicaError.unknownRecord(table: layout.name, record: record.description)
        }
    }

    /// Deletes a record; its children go with it.
    public func delete(_ table: String, _ record: RecordID) throws {
        let layout = try layout(named: table)
        for referrer in layout.referrers where !referrer.cascades {
            guard let other = self.layout(referrer.table) else { continue }
            let found = try connection.value(
                "SELECT 1 FROM \(TableLayout.quoted(other.name)) WHERE \(other.columns[referrer.field]) = ?1 LIMIT 1",
                [Value(record)])
            if found != nil { throw ReplicaError.stillReferred(table: table, record: record, by: other.name) }
        }
        try run("DELETE FROM \(TableLayout.quoted(table)) WHERE id = ?1", [Value(record)], layout)
        guard connection.changes > 0 else {
            throw ReplicaError.unknownRecord(table: table, record: record.description)
        }
    }

    /// What is not a row write (rule M5): travels with this commit.
    public func operation(
        _ kind: Operation.Kind, table: String? = nil, record: RecordID? = nil, argument: String? = nil
    ) throws {
        if let table, schema.tableIndex(table) == nil { throw ReplicaError.unknownTable(table) }
        try connection.run(
            "INSERT INTO peyk_operation(kind, table_name, record_id, argument) VALUES (?1, ?2, ?3, ?4)",
            [
                .text(kind.rawValue), table.map { .text($0) } ?? .null, record.map { Value($0) } ?? .null,
                argument.map { .text($0) } ?? .null,
            ])
    }

    // MARK: SQL

    /// One statement of SQL on the user tables; captured like any other. Savepoints may be used; what would end the
    /// transaction is refused.
    public func execute(_ sql: String, _ values: [Value] = []) throws {
        try admit(sql)
        try run(sql, values, nil)
    }

    /// A statement to be run many times.
    public func prepare(_ sql: String) throws -> LocalStatement {
        try admit(sql)
        return LocalStatement(try watching(nil) { try connection.statement(sql) }, self)
    }

    /// The rows of a query, as of this point of the transaction.
    public func rows(_ sql: String, _ values: [Value] = []) throws -> [[Value]] {
        try admit(sql)
        return try watching(nil) { try connection.rows(sql, values) }
    }

    private func admit(_ sql: String) throws {
        switch SQLVerb(sql) {
        case .rows: return
        case .savepoint: replica.state.capture.isDoubtful = true
        case .transaction:
            throw ReplicaError.refusedBySQLite(
                table: "the replica", problem: "a write is one transaction, which no statement in it may begin or end")
        case .other:
            replica.state.capture.isDoubtful = true
            changedSchema = true
        }
    }

    /// Runs a statement of the body's; after a failed one, part of what was captured may have been taken back.
    func watching<T>(_ layout: TableLayout?, _ body: () throws -> T) throws -> T {
        let result: T
        do {
            result = try body()
        } catch let error as SQLiteError {
            replica.state.capture.isDoubtful = true
            guard error.isConstraint else { throw error }
            throw ReplicaError.refusedBySQLite(table: layout?.name ?? "the replica", problem: error.message)
        }
        if let refusal = replica.state.capture.refusal { throw refusal }
        return result
    }

    /// A record's values; nil where it is not there.
    public func row(_ table: String, _ record: RecordID) throws -> Row? {
        try PresentRow(record, try layout(named: table), connection)?.row
    }

    /// The plain effect of a change, written as a new local write.
    func apply(_ change: Change) throws {
        guard let layout = layout(change.table), !layout.table.isLedger else {
            throw ReplicaError.broken("table \(change.table) is not known here")
        }
        let present = try PresentRow(change.record, layout, connection)?.row
        guard let after = effect(change, present, layout.table) else {
            guard present != nil else {
                throw ReplicaError.unknownRecord(table: layout.name, record: change.record.description)
            }
            return try delete(layout.name, change.record)
        }
        if let present {
            try update(change.record, changed(after, present, layout), layout)
        } else {
            let fields = layout.table.fields.indices.filter { !after[$0].isNull }
            try insert(change.record, fields.map { FieldValue(field: $0, value: after[$0]) }, layout)
        }
    }

    private func changed(_ after: Row, _ before: Row, _ layout: TableLayout) -> [FieldValue] {
        after.differs(from: before, count: layout.fieldCount).map { FieldValue(field: $0, value: after[$0]) }
    }

    // MARK: Checks

    private func admit(_ values: [String: Value], _ layout: TableLayout) throws -> [FieldValue] {
        guard !layout.table.isRetired else { throw ReplicaError.retiredTable(layout.name) }
        return try values.map { name, value in
            guard let index = layout.table.fieldIndex(name) else {
                throw ReplicaError.unknownField(table: layout.name, field: name)
            }
            let field = layout.table.fields[index]
            if field.policy == .server { throw ReplicaError.serverOnly(table: layout.name, field: name) }
            if field.isRetired { throw ReplicaError.retiredField(table: layout.name, field: name) }
            switch field.type.admit(value) {
            case .success(let admitted):
                if admitted.isNull, layout.codings[index].isRequired {
                    throw ReplicaError.invalidValue(table: layout.name, field: name, problem: .required)
                }
                return FieldValue(field: index, value: admitted)
            case .failure(let problem):
                throw ReplicaError.invalidValue(table: layout.name, field: name, problem: problem)
            }
        }.sorted { $0.field < $1.field }
    }

    private func run(_ sql: String, _ values: [Value], _ layout: TableLayout?) throws {
        try watching(layout) { try connection.run(sql, values) }
    }
}
