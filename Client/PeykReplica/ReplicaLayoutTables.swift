import PeykModel
import PeykSQLite

/// The statements that make the tables. User tables are what `sqlite3` shows a person; the rest starts with `peyk_`.
extension TableLayout {
    /// Rule K3: what SQLite itself refuses, by whatever program it is written.
    private func check(_ field: Field) -> String? {
        let column = Self.quoted(field.name)
        // `length` counts the characters before a NUL, so where it equals the bytes there is none; most texts end
        // here. Only others are searched. This runs for each text that is written, and is the cheapest way known.
        let bytes = "CAST(\(column) AS BLOB)"
        let noNUL = "(length(\(column)) = length(\(bytes)) OR instr(\(bytes), x'00') = 0)"
        switch field.type {
        case .text: return noNUL
        case .bool: return "\(column) = 0 OR \(column) = 1"
        case .date: return "\(column) >= '0001-01-01' AND \(column) IS date(\(column))"
        case .set:
            // JSON functions may not stand in a CHECK where the schema is not trusted; the seal reads it whole (K3).
            return "substr(\(column), 1, 1) = '[' AND substr(\(column), -1) = ']' AND \(noNUL)"
        case .enumeration(let words):
            // Not IN: SQLite would build a table of the words at each run of the statement.
            return words.map { "\(column) = \(Self.literal(.text($0)))" }.joined(separator: " OR ")
        // The form of an id is seen to by capture, which is cheaper (``TableLayout/triggers``).
        case .reference, .integer, .instant, .money, .double, .blob: return nil
        }
    }

    /// The canonical form of a UUID.
    static func isID(_ column: String) -> String {
        let digit = "[0-9a-f]"
        let pattern = [8, 4, 4, 4, 12].map { String(repeating: digit, count: $0) }.joined(separator: "-")
        return "\(column) GLOB '\(pattern)'"
    }

    static func literal(_ value: Value) -> String {
        switch value {
        case .null: "NULL"
        case .integer(let number): String(number)
        case .real(let number): "\(number)"
        case .text(let text):
            "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
        case .blob(let bytes):
            "x'"
                + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "'"
        }
    }

    private static func storage(_ type: FieldType) -> String {
        switch type.storage {
        case .integer: "INTEGER"
        case .real: "REAL"
        case .text: "TEXT"
        case .blob: "BLOB"
        }
    }

    /// `"stage" TEXT NOT NULL CHECK (…) REFERENCES …`
    func columnDefinition(_ index: Int) -> String {
        let field = table.fields[index]
        var parts = [columns[index], Self.storage(field.type)]
        if codings[index].isRequired { parts.append("NOT NULL") }
        if !field.standingValue.isNull { parts.append("DEFAULT \(Self.literal(field.standingValue))") }
        if let check = check(field) { parts.append("CHECK (\(check))") }
        if let reference = hardReferences.first(where: { $0.field == index }),
            case .reference(let target) = field.type
        {
            let action = Self.cascades(table.fields[reference.field], in: table) ? "CASCADE" : "NO ACTION"
            parts.append(
                "REFERENCES \(Self.quoted(target))(id) ON DELETE \(action) DEFERRABLE INITIALLY DEFERRED")
        }
        return parts.joined(separator: " ")
    }

    /// CREATE TABLE, its indexes, and the table that a backfill's pages wait in.
    var creation: [String] {
        let definitions =
            ["id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 36)"]
            + columns.indices.map { columnDefinition($0) }
        let staged = ["id TEXT PRIMARY KEY NOT NULL"] + columns
        return [
            "CREATE TABLE \(Self.quoted(name))(\n    \(definitions.joined(separator: ",\n    "))\n) STRICT",
            "CREATE TABLE \(Self.quoted(stageName))(\(staged.joined(separator: ", "))) WITHOUT ROWID",
        ] + columns.indices.flatMap { indexes(ofField: $0) } + uniqueIndexes
    }

    /// References are looked up from both ends: by reports, by cascades and by audiences.
    func indexes(ofField index: Int) -> [String] {
        guard case .reference = table.fields[index].type else { return [] }
        let field = table.fields[index].name
        return ["CREATE INDEX \(Self.quoted("peyk_index_\(name)_\(field)")) ON \(Self.quoted(name))(\(columns[index]))"]
    }

    /// For the check of rule D4; never UNIQUE.
    private var uniqueIndexes: [String] {
        if table.isLedger { return ["CREATE INDEX peyk_index_ledger_record ON peyk_ledger(record_id)"] }
        return unique.enumerated().compactMap { number, fields in
            if fields.count == 1, case .reference = table.fields[fields[0]].type { return nil }
            let list = fields.map { columns[$0] }.joined(separator: ", ")
            return "CREATE INDEX \(Self.quoted("peyk_unique_\(name)_\(number)")) ON \(Self.quoted(name))(\(list))"
        }
    }
}

extension Layout {
    /// The tables that are the same in every replica.
    static let fixedTables = """
        CREATE TABLE peyk_meta(key TEXT PRIMARY KEY NOT NULL, value ANY) STRICT, WITHOUT ROWID;
        -- Capture is muted while this table has a row: set and removed inside one transaction, by apply alone.
        CREATE TABLE peyk_mute(muted INTEGER PRIMARY KEY) STRICT;
        -- Rule M5: what is not a row write; any program may insert here.
        CREATE TABLE peyk_operation(
            n INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            table_name TEXT,
            record_id TEXT,
            argument TEXT,
            nonce INTEGER NOT NULL DEFAULT (random())
        ) STRICT;
        CREATE TABLE peyk_lineage(id INTEGER PRIMARY KEY, eras BLOB NOT NULL) STRICT;
        CREATE TABLE peyk_commit(
            seq INTEGER PRIMARY KEY,
            id BLOB NOT NULL,
            site INTEGER NOT NULL,
            stamp INTEGER NOT NULL,
            lineage INTEGER NOT NULL,
            anchor INTEGER NOT NULL,
            clock BLOB,
            state INTEGER NOT NULL,
            edits INTEGER NOT NULL,
            position INTEGER,
            receipt BLOB,
            answer BLOB,
            sealed BLOB NOT NULL,
            before BLOB NOT NULL
        ) STRICT;
        CREATE TABLE peyk_base(
            tbl INTEGER NOT NULL,
            record BLOB NOT NULL,
            present INTEGER NOT NULL,
            row BLOB,
            position INTEGER NOT NULL,
            PRIMARY KEY(tbl, record)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE peyk_fault(
            tbl INTEGER NOT NULL,
            record BLOB NOT NULL,
            PRIMARY KEY(tbl, record)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE peyk_log(
            position INTEGER PRIMARY KEY,
            commit_id BLOB NOT NULL,
            site INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            stamp INTEGER NOT NULL,
            user TEXT,
            clock BLOB,
            effects BLOB,
            answer BLOB
        ) STRICT;
        CREATE TABLE peyk_log_record(
            tbl INTEGER NOT NULL,
            record BLOB NOT NULL,
            position INTEGER NOT NULL,
            PRIMARY KEY(tbl, record, position)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE peyk_issue(
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            commit_id BLOB,
            seq INTEGER,
            change INTEGER,
            cell INTEGER,
            code TEXT NOT NULL,
            detail TEXT,
            table_name TEXT,
            record_id TEXT,
            payload BLOB,
            base BLOB,
            created_at INTEGER NOT NULL,
            state TEXT NOT NULL
        ) STRICT;
        CREATE TABLE peyk_page(tbl INTEGER NOT NULL, last TEXT, position INTEGER NOT NULL) STRICT;
        CREATE TABLE peyk_fact(
            site INTEGER PRIMARY KEY,
            user TEXT NOT NULL,
            user_name TEXT NOT NULL,
            device_name TEXT NOT NULL,
            last_contact INTEGER NOT NULL,
            pending INTEGER NOT NULL
        ) STRICT;
        """
        + addedTables

    /// Tables that the first files did not have; made where they are missing when a file is opened.
    static let addedTables = """

        -- Rule I7.2: where commits stood, in histories that may be gone.
        CREATE TABLE IF NOT EXISTS peyk_name(
            epoch BLOB NOT NULL,
            position INTEGER NOT NULL,
            commit_id BLOB NOT NULL,
            PRIMARY KEY(epoch, position, commit_id)
        ) STRICT, WITHOUT ROWID;
        -- Rule I5: proofs of the server for former positions, back to the backup horizon.
        CREATE TABLE IF NOT EXISTS peyk_token(
            epoch BLOB NOT NULL,
            position INTEGER NOT NULL,
            token BLOB NOT NULL,
            PRIMARY KEY(epoch, position)
        ) STRICT, WITHOUT ROWID;
        """

    /// Everything for a new file. The caller sets the meta rows.
    func create(_ connection: Connection) throws {
        try connection.execute(Self.fixedTables)
        for table in tables {
            for statement in table.creation { try connection.execute(statement) }
            for statement in table.triggers { try connection.execute(statement) }
        }
    }

    /// Brings a file of `old` to this schema: new tables, new columns at the end, triggers made anew (rule T2).
    ///
    /// The caller has sealed what was captured, checked that this schema may follow `old`, and stores the new
    /// schema in the same transaction.
    func upgrade(from old: Layout, _ connection: Connection) throws {
        for table in tables {
            guard old.tables.indices.contains(table.index) else {
                for statement in table.creation { try connection.execute(statement) }
                for statement in table.triggers { try connection.execute(statement) }
                continue
            }
            let former = old.tables[table.index]
            guard former.table != table.table else { continue }
            for statement in former.triggerRemoval { try connection.execute(statement) }
            for field in former.fieldCount..<max(former.fieldCount, table.fieldCount) {
                let name = TableLayout.quoted(table.name)
                try connection.execute("ALTER TABLE \(name) ADD COLUMN \(table.columnDefinition(field))")
                try connection.execute(
                    "ALTER TABLE \(TableLayout.quoted(table.stageName)) ADD COLUMN \(table.columns[field])")
                for statement in table.indexes(ofField: field) { try connection.execute(statement) }
                let standing = table.table.fields[field].standingValue
                if !standing.isNull {
                    // The preupdate hook shows a row as it is stored, and without this the column is not.
                    let column = table.columns[field]
                    try connection.execute("UPDATE \(name) SET \(column) = \(column)")
                    // Pages that came before the field did.
                    try connection.execute(
                        "UPDATE \(TableLayout.quoted(table.stageName)) SET \(column) = "
                            + TableLayout.literal(standing))
                }
            }
            try table.widenEnumerations(from: former, connection)
            for statement in table.triggers { try connection.execute(statement) }
        }
    }
}

extension TableLayout {
    /// An enum may get more words; SQLite cannot alter a CHECK, so the table's text is written anew.
    ///
    /// This is the procedure of SQLite's own documentation for changes that do not touch the stored rows
    /// (lang_altertable.html §7, second list), with `writable_schema` on for this one statement.
    fileprivate func widenEnumerations(from former: TableLayout, _ connection: Connection) throws {
        let widened = former.table.fields.indices.filter { former.table.fields[$0].type != table.fields[$0].type }
        guard !widened.isEmpty else { return }
        guard
            let text = try connection.value(
                "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1", [.text(name)])?.textValue
        else { throw ReplicaError.damaged("the table \(name) is missing") }
        var changed = text
        for field in widened {
            guard let old = former.check(former.table.fields[field]), let new = check(table.fields[field]),
                let range = changed.firstRange(of: "CHECK (\(old))")
            else { throw ReplicaError.damaged("the table \(name) was changed by another program") }
            changed.replaceSubrange(range, with: "CHECK (\(new))")
        }
        try connection.rewriteSchema(ofTable: name, to: changed)
    }
}
