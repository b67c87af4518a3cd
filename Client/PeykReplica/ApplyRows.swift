import PeykModel
import PeykSQLite

/// Whole rows of one user table inside one transaction; statements are prepared once.
///
/// Not kept beyond the `Database` closure that made it.
final class TableRows {
    let index: Int
    let table: Table
    /// Where the rows are: the user's table, or the one that a backfill's pages wait in.
    let name: String
    private let connection: Connection
    private let count: Int
    private lazy var updates: [[Int]: Statement] = [:]
    private var selecting: Statement?
    private var upserting: Statement?
    private var deleting: Statement?

    init(_ index: Int, _ table: Table, _ connection: Connection, name: String? = nil) {
        self.index = index
        self.table = table
        self.name = name ?? table.name
        self.connection = connection
        count = table.fields.count
    }

    static func quoted(_ name: String) -> String { "\"" + name + "\"" }

    /// `"a", "b"` of all columns after `id`, each with a comma before it.
    static func columnList(_ table: Table, prefix: String = "") -> String {
        table.fields.map { ", " + prefix + quoted($0.name) }.joined()
    }

    /// The upsert of a whole row; parameters are id, then the fields.
    static func upsertSQL(_ table: Table, into name: String) -> String {
        let parameters = (0...table.fields.count).map { "?\($0 + 1)" }.joined(separator: ", ")
        let sets = table.fields.map { "\(quoted($0.name)) = excluded.\(quoted($0.name))" }.joined(separator: ", ")
        let conflict = sets.isEmpty ? "DO NOTHING" : "DO UPDATE SET \(sets)"
        return "INSERT INTO \(quoted(name))(id\(columnList(table))) VALUES (\(parameters)) ON CONFLICT(id) \(conflict)"
    }

    /// The row in the table, as shown; nil if it is not there.
    func shown(_ record: RecordID) throws -> Row? {
        let statement: Statement
        if let known = selecting {
            statement = known
        } else {
            let columns = table.fields.isEmpty ? "1" : String(Self.columnList(table).dropFirst(2))
            statement = try connection.statement(
                "SELECT \(columns) FROM \(Self.quoted(name)) WHERE id = ?1")
            selecting = statement
        }
        try statement.bind(1, id: record)
        defer { statement.reset() }
        guard try statement.step() else { return nil }
        return Row((0..<count).map { statement.value(Int32($0)) })
    }

    func contains(_ record: RecordID) throws -> Bool {
        let statement = try connection.statement("SELECT 1 FROM \(Self.quoted(name)) WHERE id = ?1")
        try statement.bind(1, id: record)
        defer { statement.reset() }
        return try statement.step()
    }

    func upsert(_ record: RecordID, _ row: Row) throws {
        let statement: Statement
        if let known = upserting {
            statement = known
        } else {
            statement = try connection.statement(Self.upsertSQL(table, into: name))
            upserting = statement
        }
        try statement.bind(1, id: record)
        for field in 0..<count { try statement.bind(Int32(field + 2), row[field]) }
        try statement.run()
    }

    /// - Returns: whether the row was there.
    @discardableResult
    func update(_ record: RecordID, _ fields: [FieldValue]) throws -> Bool {
        let known = fields.filter { table.fields.indices.contains($0.field) }
        guard !known.isEmpty else { return try shown(record) != nil }
        let names = known.map(\.field)
        let statement: Statement
        if let prepared = updates[names] {
            statement = prepared
        } else {
            let sets = names.enumerated().map { "\(Self.quoted(table.fields[$1].name)) = ?\($0 + 2)" }
            statement = try connection.statement(
                "UPDATE \(Self.quoted(name)) SET \(sets.joined(separator: ", ")) WHERE id = ?1")
            updates[names] = statement
        }
        try statement.bind(1, id: record)
        for (offset, field) in known.enumerated() { try statement.bind(Int32(offset + 2), field.value) }
        try statement.run()
        return connection.changes > 0
    }

    func delete(_ record: RecordID) throws {
        let statement: Statement
        if let known = deleting {
            statement = known
        } else {
            statement = try connection.statement("DELETE FROM \(Self.quoted(name)) WHERE id = ?1")
            deleting = statement
        }
        try statement.bind(1, id: record)
        try statement.run()
    }

    /// Ids of rows whose reference column `field` names `record`.
    func referring(_ field: Int, to record: RecordID) throws -> [RecordID] {
        let statement = try connection.statement(
            "SELECT id FROM \(Self.quoted(name)) WHERE \(Self.quoted(table.fields[field].name)) = ?1")
        try statement.bind(1, id: record)
        defer { statement.reset() }
        var found: [RecordID] = []
        while try statement.step() {
            if let id = statement.recordID(0) { found.append(id) }
        }
        return found
    }

    /// Ledger entries about `record` of the table named `other`.
    func about(_ other: String, _ record: RecordID) throws -> [RecordID] {
        let statement = try connection.statement(
            "SELECT id FROM \(Self.quoted(name)) WHERE record_id = ?1 AND table_name = ?2")
        try statement.bind(1, id: record)
        try statement.bind(2, .text(other))
        defer { statement.reset() }
        var found: [RecordID] = []
        while try statement.step() {
            if let id = statement.recordID(0) { found.append(id) }
        }
        return found
    }
}

/// How the schema's tables hang together, computed once a transaction.
struct TableTree {
    struct Link: Hashable {
        /// The table that refers.
        var table: Int
        var field: Int
        /// The table referred to.
        var target: Int
        /// A child of the target: goes with it.
        var isParent: Bool
    }

    /// Hard references by referring table, and by the table referred to.
    let outgoing: [[Link]]
    let incoming: [[Link]]

    init(_ schema: Schema) {
        var outgoing = Array(repeating: [Link](), count: schema.tables.count)
        var incoming = outgoing
        for (index, table) in schema.tables.enumerated() {
            var parents: Set<String> = []
            if case .child(let names, _) = table.kind { parents = Set(names) }
            for (field, definition) in table.fields.enumerated() where definition.isHard {
                guard case .reference(let name) = definition.type, let target = schema.tableIndex(name) else {
                    continue
                }
                let link = Link(
                    table: index, field: field, target: target, isParent: parents.contains(definition.name))
                outgoing[index].append(link)
                incoming[target].append(link)
            }
        }
        self.outgoing = outgoing
        self.incoming = incoming
    }
}
