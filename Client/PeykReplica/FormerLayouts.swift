import PeykModel
import PeykSQLite

/// Files that former versions of the library made.
extension Replica {
    /// The oldest layout that is still read, and brought to the present one where the file is opened for writing.
    static let oldestLayoutVersion: Int64 = 2

    /// Gives the file what it lacks, in one transaction: a program that stops leaves the old layout or the new one.
    func bringUpToDate() throws {
        let (version, hasTokens) = try database.read { connection in
            (
                try Meta(connection: connection).integer(.layout) ?? 0,
                try connection.value("SELECT 1 FROM sqlite_schema WHERE name = 'peyk_token'") != nil
            )
        }
        guard version < Self.layoutVersion || !hasTokens else { return }
        try database.write { connection in
            if !hasTokens { try connection.execute(Layout.addedTables) }
            let meta = Meta(connection: connection)
            // Another process may have done it meanwhile.
            guard try meta.integer(.layout) ?? 0 < Self.layoutVersion else { return }
            try addLedgerKind(.handedOff, connection)
            try distinguishDeletes(connection)
            try meta.set(.layout, Self.layoutVersion)
        }
    }

    /// Layout 3: what went while pages came is known to be deleted, or to have left. The table is there where some
    /// pages came for a wider scope.
    private func distinguishDeletes(_ connection: Connection) throws {
        let name = "peyk_stage_gone"
        let isThere = try connection.value("SELECT 1 FROM sqlite_schema WHERE name = ?1", [.text(name)]) != nil
        let columns = try connection.rows("SELECT name FROM pragma_table_info(?1)", [.text(name)])
        guard isThere, !columns.contains([.text("deleted")]) else { return }
        try connection.execute("ALTER TABLE \(name) ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0")
    }

    /// Layout 3: the ledger says what was handed off. Its list of kinds is a CHECK, as those of all enumerations.
    private func addLedgerKind(_ kind: LedgerKind, _ connection: Connection) throws {
        let kinds = LedgerKind.allCases
        guard let place = kinds.firstIndex(of: kind), place > 0 else { return }
        func check(_ kind: LedgerKind) -> String { "\"kind\" = '\(kind.rawValue)'" }
        let name = Schema.ledger.name
        let text = try connection.value(
            "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1", [.text(name)])?.textValue
        guard let text, !text.contains(check(kind)) else { return }
        guard let range = text.firstRange(of: check(kinds[place - 1])) else {
            throw ReplicaError.damaged("the table \(name) was changed by another program")
        }
        var changed = text
        changed.insert(contentsOf: " OR " + check(kind), at: range.upperBound)
        try connection.rewriteSchema(ofTable: name, to: changed)
    }
}
