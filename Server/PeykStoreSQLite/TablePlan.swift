import PeykModel

/// The SQL of one typed table, made once per schema.
///
/// Living rows stand in ordinary tables that IT can query: `id` as text, then the fields by their storage class.
/// Types, enumerations and required fields are checked before rows get here, so the tables carry no CHECKs that a
/// later schema would have to change; hard references are real foreign keys, deferred and without a cascade (D1).
struct TablePlan: Sendable {
    let index: Int
    let fieldCount: Int
    /// One row by its id.
    let select: String
    /// `id` and the fields, in id order after an id, at most so many.
    let scan: String
    let scanFromStart: String
    /// The whole table in id order after an id; for pages.
    let walk: String
    let insert: String
    let delete: String
    private let quotedName: String
    private let quotedFields: [String]

    init(table: Table, index: Int) {
        self.index = index
        fieldCount = table.fields.count
        let name = Self.quoted(table.name)
        let fields = table.fields.map { Self.quoted($0.name) }
        quotedName = name
        quotedFields = fields
        let columns = (["\"id\""] + fields).joined(separator: ", ")
        select = "SELECT \(columns) FROM \(name) WHERE \"id\" = ?"
        scan = "SELECT \(columns) FROM \(name) WHERE \"id\" > ? ORDER BY \"id\" LIMIT ?"
        scanFromStart = "SELECT \(columns) FROM \(name) ORDER BY \"id\" LIMIT ?"
        walk = "SELECT \(columns) FROM \(name) WHERE \"id\" > ? ORDER BY \"id\""
        let marks = Array(repeating: "?", count: fields.count + 1).joined(separator: ", ")
        insert = "INSERT INTO \(name)(\(columns)) VALUES(\(marks))"
        delete = "DELETE FROM \(name) WHERE \"id\" = ?"
    }

    /// Sets the fields listed, in that order; the id comes last.
    func update(_ fields: [Int]) -> String {
        let sets = fields.map { "\(quotedFields[$0]) = ?" }.joined(separator: ", ")
        return "UPDATE \(quotedName) SET \(sets) WHERE \"id\" = ?"
    }

    /// Ids of the rows that hold these fields' values, in id order; nil for a field that the table lacks.
    func matching(_ fields: [Int]) -> String? {
        guard fields.allSatisfy({ quotedFields.indices.contains($0) }) else { return nil }
        let terms = fields.map { "\(quotedFields[$0]) IS ?" }.joined(separator: " AND ")
        return "SELECT \"id\" FROM \(quotedName)\(terms.isEmpty ? "" : " WHERE " + terms) ORDER BY \"id\""
    }

    static func quoted(_ name: String) -> String {
        "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}

/// A schema with the SQL of its tables.
struct SchemaPlan: Sendable {
    let schema: Schema
    let tables: [TablePlan]

    init(schema: Schema) {
        self.schema = schema
        tables = schema.tables.enumerated().map { TablePlan(table: $0.element, index: $0.offset) }
    }

    func table(_ index: Int) throws(StoreLayoutError) -> TablePlan {
        guard tables.indices.contains(index) else { throw StoreLayoutError.unknownTable(index) }
        return tables[index]
    }
}

/// A mistake of our own program: it asked for what the schema does not have.
enum StoreLayoutError: Error, Hashable, CustomStringConvertible {
    case unknownTable(Int)
    case unknownField(table: Int, field: Int)
    case notNext(position: Int64, head: Int64)
    case unresolvedReference

    var description: String {
        switch self {
        case .unknownTable(let index): "The store has no table number \(index). Nothing was changed."
        case .unknownField(let table, let field):
            "Table number \(table) of the store has no field number \(field). Nothing was changed."
        case .notNext(let position, let head):
            "Position \(position) cannot follow \(head) in the log. Nothing was changed."
        case .unresolvedReference:
            "A record refers to one that does not exist. Nothing was changed."
        }
    }
}
