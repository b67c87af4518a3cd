import PeykModel
import PeykSQLite

/// How a schema lies in the replica's file: names, SQL texts and the order of tables. Immutable.
final class Layout: Sendable {
    let schema: Schema
    /// One for each of `schema.tables`, in the same order.
    let tables: [TableLayout]
    /// Own tables, those referred to before those that refer.
    let parentsFirst: [Int]

    init(schema: Schema) {
        self.schema = schema
        var tables = schema.tables.indices.map { TableLayout(index: $0, schema: schema) }
        let depths = Self.depths(schema)
        for index in tables.indices { tables[index].depth = depths[index] }
        self.tables = tables
        parentsFirst = tables.indices.filter { $0 != Schema.ledgerIndex }
            .sorted { (depths[$0], $0) < (depths[$1], $1) }
    }

    /// The length of the longest chain of hard references from each table; cycles are cut where they close.
    private static func depths(_ schema: Schema) -> [Int] {
        var depths = [Int](repeating: -1, count: schema.tables.count)
        func visit(_ index: Int, _ path: [Int]) -> Int {
            if depths[index] >= 0 { return depths[index] }
            var depth = 0
            for field in schema.tables[index].fields {
                guard field.isHard, case .reference(let name) = field.type, let target = schema.tableIndex(name),
                    target != index, !path.contains(target)
                else { continue }
                depth = max(depth, 1 + visit(target, path + [index]))
            }
            // Only a whole walk is remembered: one cut by a cycle depends on where it began.
            if path.isEmpty { depths[index] = depth }
            return depth
        }
        for index in schema.tables.indices { depths[index] = visit(index, []) }
        return depths
    }
}

/// One table of the layout.
struct TableLayout: Sendable {
    /// Index in ``Schema/tables``.
    let index: Int
    let table: Table
    let fieldCount: Int
    /// Quoted column names, in field order.
    let columns: [String]
    /// Distance from the tables that refer to nothing.
    var depth = 0
    /// Hard references of this table: field and the table that it names.
    let hardReferences: [(field: Int, target: Int)]
    /// Hard references to this table: table, field, and whether deleting here deletes there.
    let referrers: [(table: Int, field: Int, cascades: Bool)]
    /// For each field, what sealing does with it.
    let codings: [FieldCoding]
    /// Columns of ``Table/unique``, as field indexes.
    let unique: [[Int]]
    /// Bits of the fields of each cell, and of all unique sets; only of the first ``maskBits`` fields.
    let cellMasks: [UInt64]
    let uniqueMask: UInt64

    /// Bits in one mask column.
    static let maskBits = 60
    var maskCount: Int { max(1, (fieldCount + Self.maskBits - 1) / Self.maskBits) }

    /// The bits of all fields that the first mask has.
    var wholeMask: UInt64 { (UInt64(1) << UInt64(min(fieldCount, Self.maskBits))) - 1 }

    var name: String { table.name }
    var captureName: String { "peyk_capture_" + table.name }
    var stageName: String { "peyk_stage_" + table.name }

    init(index: Int, schema: Schema) {
        let table = schema.tables[index]
        self.index = index
        self.table = table
        fieldCount = table.fields.count
        columns = table.fields.map { Self.quoted($0.name) }
        hardReferences = table.fields.enumerated().compactMap { offset, field in
            guard field.isHard, case .reference(let name) = field.type, let target = schema.tableIndex(name)
            else { return nil }
            return (offset, target)
        }
        referrers = schema.tables.enumerated().flatMap { other, referring in
            referring.fields.enumerated().compactMap { offset, field in
                guard field.isHard, field.type == .reference(table: table.name) else { return nil }
                return (other, offset, Self.cascades(field, in: referring))
            }
        }
        codings = table.fields.map { FieldCoding($0) }
        unique = table.unique.map { $0.compactMap { table.fieldIndex($0) } }
        func mask(_ fields: [Int]) -> UInt64 {
            fields.reduce(0) { $1 < Self.maskBits ? $0 | 1 << UInt64($1) : $0 }
        }
        cellMasks = table.cells.map { mask($0.fields) }
        uniqueMask = mask(unique.flatMap { $0 })
    }

    /// A child goes with its parent; nothing else goes with anything.
    static func cascades(_ field: Field, in table: Table) -> Bool {
        if case .child(let parents, _) = table.kind { parents.contains(field.name) } else { false }
    }

    static func quoted(_ name: String) -> String { "\"\(name)\"" }
}

/// What sealing must know of a field, small enough for the inner loop.
struct FieldCoding: Sendable {
    enum Check: UInt8, Sendable { case none, integer, bool, real, text, id, blob, slow }
    enum Write: UInt8, Sendable { case assign, counter, elements, text }
    /// How much of the value the fast path can check by itself.
    let check: Check
    let write: Write
    let isRequired: Bool
    /// Written by nobody here, or no longer.
    let isClosed: Bool
    let hasDefault: Bool

    init(_ field: Field) {
        check =
            switch field.type {
            case .integer, .instant, .money: .integer
            case .bool: .bool
            case .double: .real
            case .text: .text
            // SQLite's CHECK has seen to these (rule K3), except where a column was added by hand.
            case .enumeration, .date: .text
            // A hard one has a foreign key.
            case .reference: field.isHard ? .text : .id
            case .blob: .blob
            case .set: .slow
            }
        write =
            switch field.policy {
            case .counter: .counter
            case .set where field.type == .set: .elements
            case .text: .text
            default: .assign
            }
        isRequired = field.isRequired || field.policy == .counter
        isClosed = field.isRetired || field.policy == .server
        hasDefault = !field.defaultValue.isNull || field.policy == .counter
    }
}
