import PeykFailpoint
public import PeykModel
import PeykSQLite

/// Who wrote what is being sealed.
enum SealOrigin {
    /// A library write: what may not be is refused, and nothing is kept.
    case library(isWhole: Bool)
    /// Other programs: what may not be is restored to its former state and listed as an issue (rule K3).
    case others
}

/// What sealing needs to know of the file; read once, and again when another connection wrote.
struct SealFacts {
    var site: SiteID
    var lastSeq: Sequence64
    var clock: HybridClock
    var lineage: Lineage
    var lineageID: Int64
    var cursor: Position
    var former: [CommitID]
    /// Server's time − wall clock, and wall − boot clock as of then (rule C4).
    var offset: Int64
    var offsetBase: Int64?
    /// Rule K7: some records must not be written now.
    var hasFaults: Bool
    /// Rule D7: records whose commits wait for `pending confirm`.
    var held: Set<RecordKey>
    var isLoading: Bool

    init(_ connection: Connection) throws {
        let meta = Meta(connection: connection)
        site = try meta.site
        lastSeq = try meta.lastSealed
        clock = HybridClock(last: try meta.hlc)
        lineage = try meta.lineage
        lineageID = try meta.lineageID(lineage)
        cursor = try meta.cursor
        former = try meta.former
        offset = try meta.integer(.clockOffset) ?? 0
        offsetBase = try meta.integer(.clockBase)
        hasFaults = try connection.value("SELECT 1 FROM peyk_fault LIMIT 1") != nil
        isLoading = try meta.integer(.loading) == 1
        held = []
        let statement = try connection.statement(
            "SELECT \(OutboxCommit.columns) FROM peyk_commit WHERE seq >= ?1 ORDER BY seq")
        try statement.bind(1, int64: OutboxCommit.heldBase)
        defer { statement.reset() }
        while try statement.step() {
            for change in try OutboxCommit(statement).body().changes {
                held.insert(RecordKey(table: change.table, record: change.record))
            }
        }
    }

    /// A clock that was set by hand by more than this since the last hello has lost its offset.
    static let driftMillisecondsMax: Int64 = 5_000

    /// Unix milliseconds, corrected by what the server said while that holds (rule C4).
    func time(_ environment: ReplicaEnvironment) -> Int64 {
        let wall = environment.now()
        guard let offsetBase else { return wall }
        let (moved, overflow) = (wall &- environment.uptime()).subtractingReportingOverflow(offsetBase)
        guard !overflow, moved.magnitude <= Self.driftMillisecondsMax.magnitude else { return wall }
        return wall.addingReportingOverflow(offset).partialValue
    }

    /// The vector clock of the next commit (rule C5).
    func vectorClock(seq: Sequence64) -> VectorClock {
        VectorClock(
            lineage: lineage, anchor: cursor, dots: seq > 1 ? [Dot(site: site, seq: seq - 1)] : [], former: former)
    }
}

/// What one sealing made.
public struct SealedSummary: Hashable, Sendable {
    /// Nil where there was nothing to seal.
    public var commits: [CommitID] = []
    public var changes = 0
    /// Changes of other programs that were restored and listed as issues.
    public var issues = 0
    /// The commit waits for `pending confirm` (rule D7).
    public var isHeld = false
}

extension Replica {
    /// Seals what other programs wrote since the last time, in one transaction (rule C7: stamped now).
    @discardableResult
    public func seal() throws -> SealedSummary {
        do {
            return try database.write { connection in
                try state.refresh(connection)
                return try seal(connection)
            }
        } catch {
            state.forget(afterFailure: true)
            throw ReplicaError.wrapping(error)
        }
    }

    /// The same inside the caller's write transaction: the first step of every apply (rule K1).
    @discardableResult
    func seal(_ connection: Connection) throws -> SealedSummary {
        guard state.mayHoldForeignWrites else {
            // What this connection captured by triggers; a live capture never outlives its write.
            let (touched, hasOperations) = touchedHere(connection)
            guard !touched.isEmpty || hasOperations else { return SealedSummary() }
            return try runSeal(connection, touched, hasOperations, .others)
        }
        var summary = SealedSummary()
        let touched = try state.layout.tables.filter { table in
            guard !table.table.isLedger else { return false }
            return try connection.value("SELECT 1 FROM \(TableLayout.quoted(table.captureName)) LIMIT 1") != nil
        }.map(\.index)
        let hasOperations = try connection.value("SELECT 1 FROM peyk_operation LIMIT 1") != nil
        if !touched.isEmpty || hasOperations {
            // Where the triggers are off, they are switched on for what needs them alone (``SealReferences``).
            summary =
                state.capturesLive
                ? try runSeal(connection, touched, hasOperations, .others)
                : try state.capturingByTriggers(connection) {
                    try runSeal(connection, touched, hasOperations, .others)
                }
        }
        state.mayHoldForeignWrites = false
        return summary
    }

    /// Begins to capture what this connection writes, for ``sealLocal(_:isWhole:)``.
    func beginCapture(_ connection: Connection) throws {
        guard state.capturesLive else {
            if !state.isWatching {
                connection.watchTables(prefix: "peyk_")
                state.isWatching = true
            }
            _ = connection.takeTouchedTables()
            return
        }
        let facts = try state.sealing ?? SealFacts(connection)
        state.sealing = facts
        state.capture.begin(state.layout, isCareful: facts.hasFaults)
    }

    /// Seals what this connection wrote in the present transaction.
    func sealLocal(_ connection: Connection, isWhole: Bool) throws -> SealedSummary {
        // A failed statement may have ended the transaction; then there is nothing to seal, and no place for it.
        guard connection.isInTransaction else {
            throw ReplicaError.broken("SQLite rolled the transaction back; nothing was written")
        }
        guard state.capturesLive else {
            let (touched, hasOperations) = touchedHere(connection)
            guard !touched.isEmpty || hasOperations else { return SealedSummary() }
            return try runSeal(connection, touched, hasOperations, .library(isWhole: isWhole))
        }
        let capture = state.capture
        capture.end()
        if let refusal = capture.refusal { throw refusal }
        if capture.isDoubtful { for sheet in capture.sheets { sheet.reconsiderAll() } }
        let touched = capture.touched
        guard !touched.isEmpty || capture.hasOperations else { return SealedSummary() }
        return try runSeal(connection, touched, capture.hasOperations, .library(isWhole: isWhole))
    }

    private func touchedHere(_ connection: Connection) -> (tables: [Int], operations: Bool) {
        var tables: [Int] = []
        var hasOperations = false
        for name in connection.takeTouchedTables() {
            if name == "operation" {
                hasOperations = true
            } else if name.hasPrefix("capture_"),
                let index = state.layout.schema.tableIndex(String(name.dropFirst("capture_".count)))
            {
                tables.append(index)
            }
        }
        return (tables, hasOperations)
    }

    private func runSeal(
        _ connection: Connection, _ touched: [Int], _ hasOperations: Bool, _ origin: SealOrigin
    ) throws -> SealedSummary {
        let facts = try state.sealing ?? SealFacts(connection)
        // While it is in use the facts are not in `state`: a failure leaves nothing stale behind.
        state.sealing = nil
        let run = SealRun(replica: self, connection: connection, facts: facts, origin: origin)
        Failpoint.hit("replica.seal.begun")
        let summary = try run.run(touched: touched, hasOperations: hasOperations)
        Failpoint.hit("replica.seal.done")
        state.sealing = run.facts
        return summary
    }
}
