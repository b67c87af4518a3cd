import PeykModel
import PeykSQLite

/// One sealing: what the capture tables hold becomes one commit, or several where it is too much for one.
///
/// Order of work: complete what was written without foreign keys (others only), scan each table, seal the complex
/// records from their rows, check declared uniqueness (library only), put the changes in order, store, empty.
final class SealRun {
    let replica: Replica
    let connection: Connection
    let layout: Layout
    let origin: SealOrigin
    var facts: SealFacts
    var summary = SealedSummary()
    private let sheets: [SealSheet]
    /// The sheets are filled already (``LiveCapture``); else the capture tables are scanned, and emptied.
    let isLive: Bool
    /// The writes of other programs, which may have been copied before they were sealed.
    private var identity: SealIdentity?

    init(replica: Replica, connection: Connection, facts: SealFacts, origin: SealOrigin) {
        self.replica = replica
        self.connection = connection
        self.facts = facts
        self.origin = origin
        layout = replica.state.layout
        replica.state.capture.prepare(layout)
        sheets = replica.state.capture.sheets
        if case .library = origin { isLive = replica.state.capturesLive } else { isLive = false }
        // A write that failed has left what it captured.
        if !isLive { for sheet in sheets { sheet.clear() } }
    }

    var isLibrary: Bool { if case .library = origin { true } else { false } }

    func sheet(_ table: Int) -> SealSheet { sheets[table] }

    func run(touched: [Int], hasOperations: Bool) throws -> SealedSummary {
        if isLibrary, facts.isLoading {
            throw ReplicaError.busy("The first sync is still loading this replica.")
        }
        var touched = touched
        if !isLibrary {
            // Before references are completed, which writes of this program's own.
            identity = try SealIdentity(connection, touched.map { layout.tables[$0] })
            touched = try SealReferences(run: self).complete(touched)
        }
        let tables = touched.count < 2 ? touched : layout.parentsFirst.filter { touched.contains($0) }
        defer { for table in tables { sheets[table].clear() } }
        if !isLive { for table in tables { try scan(table) } }
        for table in tables where !sheets[table].complex.isEmpty {
            try SealRecords(run: self, layout: layout.tables[table]).sealAll()
        }
        if isLibrary { for table in tables { try checkUnique(table) } }
        let operations = hasOperations ? try takeOperations() : []
        try store(ordered(tables), operations)
        for table in tables where !isLive {
            let layout = layout.tables[table]
            try connection.statement(Self.number(table, .empty)) {
                "DELETE FROM \(TableLayout.quoted(layout.captureName))"
            }.run()
        }
        return summary
    }

    // MARK: Statements

    enum Numbered: Int { case scan, empty, unique, unused, digest }

    static func number(_ table: Int, _ kind: Numbered) -> Int { 100 + table * 8 + kind.rawValue }
    private static let insertCommit = 1

    private func scan(_ table: Int) throws {
        let layout = layout.tables[table]
        let statement = try connection.statement(Self.number(table, .scan)) { SealScan.sql(layout) }
        let isCareful = facts.hasFaults || layout.maskCount > 1
        try SealScan(
            layout: layout, sheet: sheets[table], encoder: replica.state.capture.encoder(table), statement: statement,
            isCareful: isCareful
        ).run()
    }

    /// Rule D4: a declared-unique set that a visible row has already is refused where it is typed.
    private func checkUnique(_ table: Int) throws {
        let layout = layout.tables[table]
        guard !sheets[table].uniqueWrites.isEmpty else { return }
        for (number, fields) in layout.unique.enumerated() where !fields.isEmpty {
            let name = TableLayout.quoted(layout.name)
            let same = fields.map { "o.\(layout.columns[$0]) = t.\(layout.columns[$0])" }.joined(separator: " AND ")
            let statement = try connection.statement(
                "SELECT o.id FROM \(name) t JOIN \(name) o ON \(same) AND o.id <> t.id WHERE t.id = ?1 LIMIT 1")
            for record in sheets[table].uniqueWrites {
                try statement.bind(1, id: RecordID(bits: record))
                defer { statement.reset() }
                if try statement.step(), let existing = statement.recordID(0) {
                    throw ReplicaError.notUnique(
                        table: layout.name, fields: layout.table.unique[number], existing: existing)
                }
            }
        }
    }

    // MARK: Operations

    private func takeOperations() throws -> [Operation] {
        let rows = try connection.rows(
            "SELECT kind, table_name, record_id, argument FROM peyk_operation ORDER BY n")
        guard !rows.isEmpty else { return [] }
        var operations: [Operation] = []
        for row in rows {
            let record = row[2].recordID
            let table = row[1].textValue.map { layout.schema.tableIndex($0) } ?? Schema.ledgerIndex
            guard let kind = row[0].textValue.flatMap({ Operation.Kind(rawValue: $0) }), let table,
                row[2].isNull || record != nil
            else {
                let problem =
                    "the operation \(row[0].textValue ?? "") on \(row[1].textValue ?? "") "
                    + "\(row[2].textValue ?? "") is not known"
                if isLibrary { throw ReplicaError.broken(problem) }
                try replica.park(
                    connection,
                    IssueDraft(
                        code: .invalid, detail: problem, table: row[1].textValue, record: nil, payload: []))
                summary.issues += 1
                continue
            }
            operations.append(Operation(kind: kind, table: table, record: record, argument: row[3].textValue))
        }
        try connection.run("DELETE FROM peyk_operation")
        return operations
    }

    // MARK: Order

    /// One change's place: numbers only, since there is one for each record.
    struct Piece {
        let table: Int
        let entry: Int
    }

    private func entry(_ piece: Piece) -> SealSheet.Entry { sheets[piece.table].entries[piece.entry] }

    /// Inserts and updates from parents to children, then deletes from children to parents (rule D1): a child that
    /// was moved away has left before its former parent goes.
    private func ordered(_ tables: [Int]) -> [Piece] {
        var pieces: [Piece] = []
        pieces.reserveCapacity(tables.reduce(0) { $0 + sheets[$1].entries.count })
        var hasDeletes = false
        for table in tables {
            for (index, entry) in sheets[table].entries.enumerated() where !entry.isDropped && !entry.sealed.isEmpty {
                if entry.isDelete {
                    hasDeletes = true
                } else {
                    pieces.append(Piece(table: table, entry: index))
                }
            }
        }
        guard hasDeletes else { return pieces }
        for table in tables.reversed() {
            // Backwards as well: within a table that refers to itself children tend to be younger.
            for (index, entry) in sheets[table].entries.enumerated().reversed()
            where !entry.isDropped && entry.isDelete && !entry.sealed.isEmpty {
                pieces.append(Piece(table: table, entry: index))
            }
        }
        return pieces
    }

    // MARK: Storing

    private func store(_ pieces: [Piece], _ operations: [Operation]) throws {
        guard !pieces.isEmpty || !operations.isEmpty else { return }
        var operations = operations
        if case .library(isWhole: true) = origin { operations.append(Operation(kind: .whole)) }
        // Room for the header and the operations; their arguments are small.
        let limit =
            replica.state.commitBytesMax - 4_096 - operations.reduce(0) { $0 + 64 + ($1.argument?.utf8.count ?? 0) }
        var start = 0
        var size = 0
        var cuts: [Range<Int>] = []
        for (index, piece) in pieces.enumerated() {
            let bytes = entry(piece).sealed.count
            if size + bytes > limit, index > start {
                cuts.append(start..<index)
                start = index
                size = 0
            }
            size += bytes
        }
        cuts.append(start..<pieces.count)
        if isLibrary, cuts.count > 1 || size > limit {
            let bytes = pieces.reduce(0) { $0 + entry($1).sealed.count }
            throw ReplicaError.commitTooLarge(bytes: bytes, limit: replica.state.commitBytesMax)
        }
        let isMassDelete = try isMassDelete(pieces)
        for cut in cuts {
            try storeCommit(pieces[cut], operations, isMassDelete: isMassDelete)
            operations = []
        }
    }

    private func storeCommit(
        _ pieces: ArraySlice<Piece>, _ operations: [Operation], isMassDelete: Bool
    ) throws {
        let environment = replica.environment
        let id = identity?.next() ?? CommitID(bits: UUIDBits(high: environment.random(), low: environment.random()))
        var header = ByteWriter(capacity: 64)
        CommitBody.writeHeader(
            id: id, schemaVersion: layout.schema.version, operations: operations, to: &header)
        header.count(pieces.count)
        var sealed = SealBuffer()
        var before = SealBuffer()
        defer {
            sealed.free()
            before.free()
        }
        sealed.reserve(header.bytes.count + pieces.reduce(0) { $0 + entry($1).sealed.count })
        sealed.raw(header)
        before.reserve(pieces.reduce(0) { $0 + entry($1).before.count })
        for piece in pieces {
            let (sheet, entry) = (sheets[piece.table], entry(piece))
            sealed.raw(sheet.sealed.bytes(entry.sealed))
            before.raw(sheet.before.bytes(entry.before))
        }
        let keys = isMassDelete || !facts.held.isEmpty ? self.keys(pieces) : []
        let isHeld = isMassDelete || keys.contains { facts.held.contains($0) }
        if isHeld { facts.held.formUnion(keys) }
        let stamp = facts.clock.tick(milliseconds: facts.time(environment))
        try insert(
            id, stamp: stamp, isHeld: isHeld, edits: pieces.count, sealed.bytes(0..<sealed.count),
            before.bytes(0..<before.count))
        summary.commits.append(id)
        summary.changes += pieces.count
        summary.isHeld = summary.isHeld || isHeld
    }

    private func insert(
        _ id: CommitID, stamp: HLC, isHeld: Bool, edits: Int, _ sealed: UnsafeRawBufferPointer,
        _ before: UnsafeRawBufferPointer
    ) throws {
        let seq: Sequence64
        var clock: [UInt8]?
        if isHeld {
            let last = try connection.value(
                "SELECT max(seq) FROM peyk_commit WHERE seq >= ?1", [.integer(OutboxCommit.heldBase)]
            )?.integerValue
            seq = max(OutboxCommit.heldBase, last ?? 0) + 1
            clock = facts.vectorClock(seq: facts.lastSeq + 1).encoded()
            // The clock's place is the last commit with a dot, which this is not.
            try Meta(connection: connection).set(hlc: stamp)
        } else {
            seq = facts.lastSeq + 1
            facts.lastSeq = seq
            if !facts.former.isEmpty { clock = facts.vectorClock(seq: seq).encoded() }
        }
        let statement = try connection.statement(Self.insertCommit) {
            """
            INSERT INTO peyk_commit(seq, id, site, stamp, lineage, anchor, clock, state, edits, sealed, before)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
            """
        }
        try statement.bind(1, int64: seq)
        try statement.bind(2, .blob(id.bytes))
        try statement.bind(3, int64: Int64(bitPattern: facts.site.rawValue))
        try statement.bind(4, int64: Int64(bitPattern: stamp.rawValue))
        try statement.bind(5, int64: facts.lineageID)
        try statement.bind(6, int64: facts.cursor)
        try statement.bind(7, clock.map { .blob($0) } ?? .null)
        let state: OutboxCommit.State = isHeld ? .held : .pending
        try statement.bind(8, int64: state.rawValue)
        try statement.bind(9, int64: Int64(edits))
        try statement.bind(10, uncopied: sealed)
        try statement.bind(11, uncopied: before)
        // The statement is kept and the bytes are not.
        defer { statement.clearBindings() }
        try statement.run()
    }

    private func keys(_ pieces: ArraySlice<Piece>) -> [RecordKey] {
        pieces.map { RecordKey(table: $0.table, record: RecordID(bits: entry($0).record)) }
    }

    // MARK: Mass deletes (rule D7)

    /// A fifth of a table counts from this many deletes on: two tasks of eight are no accident.
    static let fifthFrom = 10
    static let deletesMax = 500

    private func isMassDelete(_ pieces: [Piece]) throws -> Bool {
        var counts: [Int: Int] = [:]
        for piece in pieces.reversed() {
            guard entry(piece).isDelete else { break }
            counts[piece.table, default: 0] += 1
        }
        if counts.values.reduce(0, +) > Self.deletesMax { return true }
        for (table, count) in counts where count >= Self.fifthFrom {
            let name = TableLayout.quoted(layout.tables[table].name)
            let left = try connection.value("SELECT count(*) FROM \(name)")?.integerValue ?? 0
            if Int64(count) * 5 > left + Int64(count) { return true }
        }
        return false
    }
}
