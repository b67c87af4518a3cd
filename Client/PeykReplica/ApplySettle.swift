import PeykModel
import PeykSQLite

extension ApplyContext {
    /// Ends the work of a transaction: bases and forecasts of everything in `dirty`, then what hangs together by
    /// foreign keys (rules K6, P22).
    func settle() throws {
        try settleDirty()
        try settleForest()
    }

    /// Takes acknowledged commits out of the overlay whose position the confirmed rows have reached already.
    func leaveToRows(upTo cursor: Position) throws {
        let rows = try connection.rows(
            "SELECT seq FROM peyk_commit WHERE state = 1 AND position <= ?1", [.integer(cursor)])
        for seq in rows.compactMap({ $0.first?.integerValue }) {
            let body = try overlay.body(seq, connection)
            for change in body.changes {
                let key = RecordKey(table: change.table, record: change.record)
                guard schema.tables.indices.contains(key.table), dirty[key] == nil else { continue }
                dirty[key] = .some(try confirmed(key))
            }
            overlay.remove(seq, body)
            try connection.run("UPDATE peyk_commit SET state = 2 WHERE seq = ?1", [.integer(seq)])
        }
        try settle()
    }

    /// Lays a commit over the rows again that was merged for the replica till now, and waits on the server (rule I7.5).
    func show(waiting seq: Sequence64, _ body: CommitBody) throws {
        for change in body.changes {
            let key = RecordKey(table: change.table, record: change.record)
            guard schema.tables.indices.contains(key.table), dirty[key] == nil else { continue }
            dirty[key] = .some(try confirmed(key))
        }
        try overlay.include(seq, connection)
    }

    /// A record whose confirmed parent was evicted has left with it, wherever a pending edit shows it now. To be
    /// called after each entry that evicts.
    /// - Complexity: O(pending records).
    func dropOrphans() throws {
        var again = true
        while again {
            again = false
            for key in Set(overlay.items.keys).union(dirty.keys) where !tree.outgoing[key.table].isEmpty {
                guard let row = try confirmed(key) else { continue }
                let isOrphan = try tree.outgoing[key.table].contains { link in
                    guard link.isParent, let parent = row[link.field].recordID else { return false }
                    return try confirmed(RecordKey(table: link.target, record: parent)) == nil
                }
                guard isOrphan else { continue }
                dirty[key] = .some(nil)
                again = true
            }
        }
    }

    private func settleDirty() throws {
        var leaving: [RecordKey] = []
        for key in dirty.keys.sorted() {
            guard let row = dirty[key] else { continue }
            let isPending = overlay.isPending(key)
            if isPending { try setBase(key, row) } else { try clearBase(key) }
            let wanted = isPending ? try forecastRow(key, from: row) : row
            if !isPending {
                overlay.hidden.remove(key)
                overlay.revealed.remove(key)
            }
            let shown = try tables[key.table].shown(key.record)
            if let wanted {
                overlay.revealed.remove(key)
                if let shown {
                    try write(key, wanted, over: shown)
                } else {
                    try write(key, wanted, over: nil)
                }
            } else if shown != nil {
                if row != nil {
                    // Deleted here and not there: decided when it is known what still needs it.
                    overlay.revealed.insert(key)
                    try write(key, try revealedRow(key, from: row) ?? Row([]), over: shown)
                } else {
                    leaving.append(key)
                }
            }
        }
        for key in leaving { try remove(key) }
        dirty = [:]
    }

    /// Shows what can be shown again, and takes away what the foreign keys do not allow.
    private func settleForest() throws {
        try showHidden()
        var rounds = 0
        while connection.hasForeignKeyViolations, rounds < 100 {
            rounds += 1
            for key in try violating() { try ground(key) }
            // What cannot be mended row by row goes, whatever it is: the rest must not wait for it (P27).
            if rounds == 99 { for key in try violating() { try give(up: key) } }
        }
        try hideRevealed()
    }

    /// Records that were hidden for want of a parent.
    private func showHidden() throws {
        var again = !overlay.hidden.isEmpty
        while again {
            again = false
            for key in overlay.hidden.sorted() {
                guard overlay.isPending(key), let row = try forecastRow(key, from: try confirmed(key)) else {
                    overlay.hidden.remove(key)
                    continue
                }
                guard try canStand(key.table, row) else { continue }
                try write(key, row, over: nil)
                overlay.hidden.remove(key)
                again = true
            }
        }
    }

    /// Parents that a pending delete removes, shown only while a living child is here.
    private func hideRevealed() throws {
        var again = !overlay.revealed.isEmpty
        while again {
            again = false
            for key in overlay.revealed.sorted() {
                let isNeeded = try tree.incoming[key.table].contains { link in
                    try !tables[link.table].referring(link.field, to: key.record).isEmpty
                }
                guard !isNeeded else { continue }
                overlay.revealed.remove(key)
                guard overlay.isPending(key) else { continue }
                try remove(key)
                again = true
            }
        }
    }

    func violating() throws -> [RecordKey] {
        var found: Set<RecordKey> = []
        for violation in try connection.rows("PRAGMA foreign_key_check") {
            guard violation.count > 1, let name = violation[0].textValue, let table = schema.tableIndex(name),
                case .integer = violation[1],
                let id = try connection.value(
                    "SELECT id FROM \(TableRows.quoted(name)) WHERE rowid = ?1", [violation[1]])?.recordID
            else { continue }
            found.insert(RecordKey(table: table, record: id))
        }
        return found.sorted()
    }

    /// Gives a row what it refers to, or takes the row away.
    func ground(_ key: RecordKey) throws {
        guard let row = try tables[key.table].shown(key.record) else { return }
        var lacking: [RecordKey] = []
        for target in try missing(key.table, row) {
            if try isDeletedHere(target) { try reveal(target) } else { lacking.append(target) }
        }
        guard !lacking.isEmpty else { return }
        guard overlay.isPending(key) else {
            fetch.formUnion(lacking)
            return try give(up: key)
        }
        try ensureBase(key)
        overlay.hidden.insert(key)
        if let row = try placedRow(key, without: lacking), try canStand(key.table, row) {
            try write(key, row, over: nil)
        } else {
            try remove(key)
        }
    }

    /// Whether what `row` needs is shown, or can be; then it is.
    func canStand(_ table: Int, _ row: Row) throws -> Bool {
        let lacking = try missing(table, row)
        guard try lacking.allSatisfy({ try isDeletedHere($0) }) else { return false }
        for target in lacking { try reveal(target) }
        return true
    }

    /// Whether the only reason why a record is not shown is a pending delete.
    private func isDeletedHere(_ key: RecordKey) throws -> Bool {
        guard overlay.isPending(key), let row = try confirmed(key) else { return false }
        return try forecastRow(key, from: row) == nil
    }

    /// Shows a record that is deleted here: the delete will lose against what needs the record (rule K6, m4).
    private func reveal(_ key: RecordKey) throws {
        try ensureBase(key)
        guard let row = try revealedRow(key, from: try confirmed(key)) else { return }
        try write(key, row, over: nil)
        overlay.revealed.insert(key)
    }

    func give(up key: RecordKey) throws {
        fetch.insert(key)
        try remove(key)
    }
}
