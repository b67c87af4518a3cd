import PeykModel
import PeykSQLite

/// The audience of records as the replica itself can compute it, over confirmed rows (rule S1).
struct LocalAudience {
    let context: ApplyContext
    private let rules: AudienceRules
    /// Lending references by the table that is lent: the table that borrows, and its field.
    private let lending: [Int: [(table: Int, field: Int)]]

    init(_ context: ApplyContext) {
        self.context = context
        rules = AudienceRules(schema: context.schema)
        var lending: [Int: [(table: Int, field: Int)]] = [:]
        for (index, table) in context.schema.tables.enumerated() {
            guard case .root(_, let name?) = table.kind, let field = table.fieldIndex(name),
                case .reference(let target) = table.fields[field].type,
                let targetIndex = context.schema.tableIndex(target)
            else { continue }
            lending[targetIndex, default: []].append((index, field))
        }
        self.lending = lending
    }

    func audience(_ key: RecordKey, _ row: Row) throws -> Audience {
        try rules.audience(
            table: key.table, record: key.record, row: row,
            rows: { try context.confirmed(RecordKey(table: $0, record: $1)) },
            borrowers: { try borrowers($0, $1) })
    }

    private func borrowers(_ table: Int, _ record: RecordID) throws -> [(table: Int, row: Row)] {
        var found: [(table: Int, row: Row)] = []
        for lender in lending[table] ?? [] {
            let shown = try context.tables[lender.table].referring(lender.field, to: record)
            // A pending edit may show a borrower elsewhere than it is.
            let pending = context.overlay.items.keys.filter { $0.table == lender.table }.map(\.record)
            for borrower in Set(shown + pending).sorted() {
                guard let row = try context.confirmed(RecordKey(table: lender.table, record: borrower)),
                    row[lender.field].recordID == record
                else { continue }
                found.append((lender.table, row))
            }
        }
        return found
    }

    /// Every confirmed record that `grant` does not read.
    /// - Complexity: a few look-ups a record.
    func outside(_ grant: Grant) throws -> [RecordKey] {
        var found: [RecordKey] = []
        for (index, table) in context.schema.tables.enumerated() where !table.isReference {
            for record in try context.confirmedIDs(index) {
                let key = RecordKey(table: index, record: record)
                guard let row = try context.confirmed(key) else { continue }
                if try !grant.reads(audience(key, row)) { found.append(key) }
            }
        }
        return found
    }
}

extension ApplyContext {
    /// Ids of a table's confirmed records, and perhaps some that are only pending; ascending.
    func confirmedIDs(_ table: Int) throws -> [RecordID] {
        let statement = try connection.statement("SELECT id FROM \(TableRows.quoted(schema.tables[table].name))")
        defer { statement.reset() }
        var ids: Set<RecordID> = []
        while try statement.step() {
            if let id = statement.recordID(0) { ids.insert(id) }
        }
        for key in overlay.items.keys where key.table == table { ids.insert(key.record) }
        return ids.sorted()
    }
}
