import PeykFailpoint
import PeykMerge
public import PeykModel
import PeykSQLite

/// What a local write became.
public struct WriteResult: Hashable, Sendable {
    /// Nil where nothing was changed.
    public var commit: CommitID?
    /// The commit's place among this site's; 0 while it is held or where there is none.
    public var seq: Sequence64
    /// Records changed.
    public var changes: Int
    /// Rule D7: it waits for `pending confirm`.
    public var isHeld: Bool
}

extension Replica {
    /// Runs `body` and seals what it wrote into one commit, in one transaction: all of it is there afterwards, or
    /// nothing, also after a crash. Anything thrown rolls back.
    ///
    /// ```swift
    /// let result = try replica.write { write in
    ///     let customer = try write.insert(into: "customer", ["name": .text("Kaveh Trading")])
    ///     try write.insert(into: "contact", ["customer_id": Value(customer), "name": .text("Sara")])
    /// }
    /// ```
    ///
    /// - Parameter whole: one refusal by the server refuses the whole commit (rule M6).
    /// - Throws: ``ReplicaError``, saying which field of which table does not fit.
    /// - Returns: the commit; it is durable here, and is sent by the next sync.
    @discardableResult
    public func write(whole: Bool = false, _ body: (LocalWrite) throws -> Void) throws -> WriteResult {
        do {
            return try database.write { connection in
                try state.refresh(connection)
                // What others wrote meanwhile becomes a commit of its own.
                if state.mayHoldForeignWrites { try seal(connection) }
                try beginCapture(connection)
                // Nothing that is written after an error is captured.
                defer { state.capture.end() }
                let write = LocalWrite(replica: self, connection: connection)
                try body(write)
                Failpoint.hit("replica.write.captured")
                let summary = try sealLocal(connection, isWhole: whole)
                try Failpoint.hitOrThrow("replica.write.sealed")
                if connection.hasForeignKeyViolations { throw try brokenReference(connection) }
                let lastSeq = state.sealing?.lastSeq ?? 0
                // A table or trigger may have been made: everything is looked at anew.
                if write.changedSchema { state.forget(afterFailure: true) }
                return WriteResult(
                    commit: summary.commits.last,
                    seq: summary.isHeld || summary.commits.isEmpty ? 0 : lastSeq,
                    changes: summary.changes, isHeld: summary.isHeld)
            }
        } catch {
            state.forget(afterFailure: true)
            throw ReplicaError.wrapping(error)
        }
    }

    /// Which reference does not hold: SQLite itself only says that one does not.
    private func brokenReference(_ connection: Connection) throws -> ReplicaError {
        for row in try connection.rows("PRAGMA foreign_key_check") {
            guard let name = row[0].textValue, let table = state.layout.schema.table(named: name),
                let layout = state.layout.schema.tableIndex(name).map({ state.layout.tables[$0] })
            else { continue }
            let key = try connection.rows("PRAGMA foreign_key_list(\(TableLayout.quoted(name)))")
                .first { $0[0] == row[3] }
            let field = key?[3].textValue ?? ""
            let found = try connection.rows(
                "SELECT id, \(TableLayout.quoted(field)) FROM \(TableLayout.quoted(name)) WHERE rowid = ?1", [row[1]])
            guard let record = found.first?[0].recordID, let target = row[2].textValue else { continue }
            _ = (table, layout)
            return .missingReference(table: name, record: record, field: field, target: target)
        }
        return .refusedBySQLite(table: "the replica", problem: "a reference names a record that does not exist")
    }

    /// A new UUIDv7 from the wall clock and 74 random bits.
    public func newID() -> RecordID {
        RecordID(
            milliseconds: UInt64(max(0, environment.now())), randomHigh: environment.random(),
            randomLow: environment.random())
    }
}

extension LocalWrite {
    func effect(_ change: Change, _ row: Row?, _ table: Table) -> Row? { plainEffect(of: change, on: row, in: table) }
}
