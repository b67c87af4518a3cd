import PeykModel

/// The tables of `workspace.sqlite`: typed ones per schema, and what the server keeps beside them.
enum StoreLayout {
    static let format: Int64 = 3

    /// What every store has. `peyk_record` holds living records only, in the same order as the typed tables, so that
    /// a page reads both side by side; a tombstone stands in `peyk_tombstone` with its whole row (rule T1).
    static let fixed = """
        CREATE TABLE peyk_meta(key TEXT PRIMARY KEY NOT NULL, value ANY) STRICT, WITHOUT ROWID;
        CREATE TABLE peyk_audience(
            id INTEGER PRIMARY KEY, home TEXT NOT NULL, readers TEXT NOT NULL, UNIQUE(home, readers)) STRICT;
        CREATE TABLE peyk_record(
            tbl INTEGER NOT NULL, id BLOB NOT NULL, audience INTEGER NOT NULL, position INTEGER NOT NULL,
            inserted_by BLOB, clock BLOB NOT NULL, PRIMARY KEY(tbl, id)) STRICT, WITHOUT ROWID;
        CREATE TABLE peyk_count(tbl INTEGER PRIMARY KEY, living INTEGER NOT NULL) STRICT;
        CREATE TABLE peyk_tombstone(
            tbl INTEGER NOT NULL, id BLOB NOT NULL, audience INTEGER NOT NULL, position INTEGER NOT NULL,
            inserted_by BLOB, clock BLOB NOT NULL, row BLOB NOT NULL, PRIMARY KEY(tbl, id)) STRICT, WITHOUT ROWID;
        CREATE TABLE peyk_log(
            position INTEGER PRIMARY KEY, commit_id BLOB NOT NULL, site INTEGER NOT NULL, seq INTEGER NOT NULL,
            kind INTEGER NOT NULL, stamp INTEGER NOT NULL, user BLOB, time INTEGER NOT NULL,
            entry BLOB NOT NULL) STRICT;
        \(logIndexes)
        CREATE TABLE peyk_log_record(
            tbl INTEGER NOT NULL, id BLOB NOT NULL, position INTEGER NOT NULL,
            PRIMARY KEY(tbl, id, position)) STRICT, WITHOUT ROWID;
        CREATE TABLE peyk_document(
            collection TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
            PRIMARY KEY(collection, key)) STRICT, WITHOUT ROWID;
        """ + retention

    /// Since format 2. Of outcomes that have left the log, `peyk_commit` keeps where their commits were taken in: a
    /// copy may offer one again after years (rule I3). Tombstones are collected by position, children before parents.
    static let retention = """

        CREATE TABLE peyk_commit(
            id BLOB PRIMARY KEY NOT NULL, position INTEGER NOT NULL, site INTEGER NOT NULL) STRICT, WITHOUT ROWID;
        CREATE INDEX peyk_tombstone_position ON peyk_tombstone(position, tbl DESC, id);
        """

    /// The statements that take a store of format `format` to the next one. All steps from a file's format to
    /// ``format`` run in one transaction.
    static func upgrade(from format: Int64) -> String? {
        switch format {
        case 1: retention
        case 2: "DROP INDEX peyk_log_dot; DROP INDEX peyk_log_commit;" + logIndexes
        default: nil
        }
    }
    /// Since format 3. A commit that waits (kind 5) has a position, and another one with the same dot and id once it is
    /// merged.
    static let logIndexes = """
        CREATE UNIQUE INDEX peyk_log_dot ON peyk_log(site, seq) WHERE seq > 0 AND kind <> 5;
        CREATE UNIQUE INDEX peyk_log_commit ON peyk_log(commit_id) WHERE kind NOT IN (1, 5);
        """

    /// The statements that take a store from `old` (nil: a new one) to `new`. They only add (rule T2).
    static func changes(from old: Schema?, to new: Schema) -> [String] {
        var statements: [String] = []
        for (index, table) in new.tables.enumerated() {
            let known = old?.table(at: index)?.fields.count
            if let known {
                statements += table.fields.dropFirst(known).map { addition($0, to: table) }
            } else {
                statements.append(create(table))
            }
            statements += indexes(of: table)
        }
        return statements
    }

    /// The fields of the ledger after the first `count`, which a store of an older program lacks.
    static func ledgerColumns(beyond count: Int) -> [String] {
        Schema.ledger.fields.dropFirst(count).map { addition($0, to: Schema.ledger) }
    }

    private static func addition(_ field: Field, to table: Table) -> String {
        // Old rows get the default here as they do on replicas.
        let standing = literal(field.standingValue).map { " DEFAULT \($0)" } ?? ""
        return "ALTER TABLE \(TablePlan.quoted(table.name)) ADD COLUMN \(column(field))\(standing)"
    }

    private static func literal(_ value: Value) -> String? {
        switch value {
        case .null: nil
        case .integer(let number): String(number)
        case .real(let number): "\(number)"
        case .text(let text): "'" + text.replacing("'", with: "''") + "'"
        case .blob(let bytes): "x'" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "'"
        }
    }

    private static func create(_ table: Table) -> String {
        let columns = ["\"id\" TEXT PRIMARY KEY NOT NULL"] + table.fields.map { column($0) }
        return "CREATE TABLE \(TablePlan.quoted(table.name))(\(columns.joined(separator: ", "))) STRICT"
    }

    private static func column(_ field: Field) -> String {
        var text = "\(TablePlan.quoted(field.name)) \(field.type.storage.sql)"
        if field.isHard, case .reference(let target) = field.type {
            text += " REFERENCES \(TablePlan.quoted(target))(\"id\") DEFERRABLE INITIALLY DEFERRED"
        }
        return text
    }

    /// One per reference, one per set of fields that should be unique (rule D4: a declaration, so not UNIQUE), and
    /// the ledger by the record that an entry is about.
    private static func indexes(of table: Table) -> [String] {
        var sets: [(name: String, fields: [String])] = []
        for field in table.fields {
            guard case .reference = field.type else { continue }
            sets.append(("peyk_ref.\(table.name).\(field.name)", [field.name]))
        }
        for fields in table.unique {
            sets.append(("peyk_unique.\(table.name).\(fields.joined(separator: "."))", fields))
        }
        if table.isLedger {
            sets.append(("peyk_ledger.record", ["table_name", "record_id"]))
            sets.append(("peyk_ledger.state", ["state"]))
        }
        return sets.map { set in
            let columns = set.fields.map { TablePlan.quoted($0) }.joined(separator: ", ")
            return "CREATE INDEX IF NOT EXISTS \(TablePlan.quoted(set.name)) "
                + "ON \(TablePlan.quoted(table.name))(\(columns))"
        }
    }
}

extension StorageClass {
    var sql: String {
        switch self {
        case .integer: "INTEGER"
        case .real: "REAL"
        case .text: "TEXT"
        case .blob: "BLOB"
        }
    }
}
