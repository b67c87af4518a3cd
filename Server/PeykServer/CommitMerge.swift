import PeykMerge
import PeykModel

/// Merges one commit into the store: rights, references, merging, ledger, audiences, effects.
///
/// Runs inside a savepoint; whatever it throws, nothing of the commit stays (rules A4, M6).
final class CommitMerge {
    enum Author {
        case user(UserDocument)
        /// The server itself; the user is for the log only.
        case server(RecordID?)
    }

    /// A record that the commit names, or that it changed by consequence.
    struct Touch {
        var before: StoredRecord?
        /// Index in the commit's changes.
        var change: Int?
    }

    let transaction: any StoreTransaction
    let schema: Schema
    /// The one that the commit's sealed bytes name: what it may write is judged by it (rule T2).
    let sealedSchema: Schema
    let rules: AudienceRules
    let body: CommitBody
    let writer: Writer
    let clock: VectorClock
    let author: Author
    let lineage: Lineage
    let backupHorizon: Position
    /// Unix milliseconds.
    let now: Int64
    /// The part of the author's anchor that lies on our history.
    let anchor: Position
    /// The history has more than one epoch: what was seen under former positions counts (rule I7.1).
    let isRestored: Bool
    /// What records became is remembered, and commits may be late (rules I7.3, I7.4).
    let isRefilling: Bool
    /// What the author knows to be refused, from a history that is gone (rule I8).
    let former: Answer?
    private let isRelabelled: Bool
    var places: [CommitID: [CommitNames.Place]] = [:]
    /// A failure of the store inside a closure that cannot throw.
    var failure: (any Error)?

    var touches: [RecordKey: Touch] = [:]
    private var records: [RecordKey: StoredRecord?] = [:]
    var notices: [Answer.Notice] = []
    /// Changes of which nothing entered.
    var parked: Set<Int> = []
    /// Changes that are being merged or were.
    private var visited: Set<Int> = []
    private var changeOf: [RecordKey: Int] = [:]
    var moved: Set<RecordKey> = []
    /// Soft references to records that do not live: to be emptied by the server's own act (rule D3).
    var dangling: [(key: RecordKey, field: Int, target: RecordKey)] = []
    var targets: [RecordKey: TargetStanding] = [:]
    var rights: [RecordKey: Right] = [:]
    var incomingFields: [Int: [IncomingField]] = [:]
    var referenceCells: [Int: [Int: [ReferenceMember]]] = [:]
    /// The author's grant now and as of the anchor; nil for the server itself. Made once, since each record asks.
    private(set) lazy var presentGrant: Grant? = if case .user(let user) = author { user.grant } else { nil }
    private(set) lazy var anchorGrant: Grant? = if case .user(let user) = author { user.grant(at: anchor) } else { nil }
    var entries: [Position: LogEntry] = [:]
    var ledgerCount = 0
    /// Merges that met a record, encoded (``MergeRecorder``).
    private(set) var recorded: [[UInt8]] = []
    private(set) var recordedBytes = 0
    /// Beyond so many bytes no merge is kept.
    private let recordedMax: Int

    // What the operations say (rule M5).
    var reopened: Set<RecordKey> = []
    var settledKeys: Set<RecordKey> = []
    var undoes: CommitID?
    var isForced = false

    init(
        _ transaction: any StoreTransaction, body: CommitBody, sealedSchema: Schema, writer: Writer, clock: VectorClock,
        author: Author, lineage: Lineage, backupHorizon: Position, now: Int64, isRefilling: Bool = false,
        isRelabelled: Bool = false, former: Answer? = nil, recordedMax: Int = 0
    ) {
        self.recordedMax = recordedMax
        self.isRefilling = isRefilling
        self.isRelabelled = isRelabelled
        self.former = former
        isRestored = lineage.eras.count > 1
        self.transaction = transaction
        schema = transaction.schema
        self.sealedSchema = sealedSchema
        rules = AudienceRules(schema: schema)
        self.body = body
        self.writer = writer
        self.clock = clock
        self.author = author
        self.lineage = lineage
        self.backupHorizon = backupHorizon
        self.now = now
        anchor = min(clock.anchor, clock.lineage.common(with: lineage) ?? 0)
    }

    var isServer: Bool { if case .server = author { true } else { false } }

    var userID: RecordID? {
        switch author {
        case .user(let user): user.id
        case .server(let user): user
        }
    }

    func run() throws -> Merged {
        for (index, change) in body.changes.enumerated() {
            let key = RecordKey(table: change.table, record: change.record)
            if changeOf[key] == nil {
                changeOf[key] = index
            } else {
                park(index, .invalid, "the commit changes a record twice")
            }
        }
        try readOperations()
        for index in body.changes.indices where body.changes[index].kind != .delete { try merge(index) }
        try mergeDeletes()
        try carryOutOperations()
        try retryDeletes()
        try bringBackTargets()
        try findDangling()
        try emptyDangling()
        try putBackReferences()
        try findDuplicates()
        try settleAudiences()
        if body.has(.whole), notices.contains(where: \.code.parks) { throw WholeRefusal(notices: wholeNotices()) }
        if let failure { throw failure }
        let isNothing = !body.changes.isEmpty && parked.count == body.changes.count && body.operations.isEmpty
        if isNothing { throw WholeRefusal(notices: notices) }
        return Merged(effects: try effects(), answer: Answer(notices: notices))
    }

    private func wholeNotices() -> [Answer.Notice] {
        let told = Set(notices.filter(\.code.parks).map(\.change))
        let others = body.changes.indices.filter { !told.contains($0) }
        return notices.filter(\.code.parks) + others.map { Answer.Notice(change: $0, code: .whole) }
    }

    // MARK: - Order

    /// What a change refers to and the commit inserts, is merged before it.
    private func merge(_ index: Int, depth: Int = 0) throws {
        guard depth < Self.depthMax, visited.insert(index).inserted, !parked.contains(index) else { return }
        let change = body.changes[index]
        for target in references(of: change).map(\.target) {
            guard let other = changeOf[target], body.changes[other].kind == .insert else { continue }
            try merge(other, depth: depth + 1)
        }
        try mergeInOrder(index)
    }

    /// Chains within a commit that are longer are merged as they come: nobody may grow our stack.
    private static let depthMax = 200

    /// Children are deleted before their parents (rule D1), whatever the order in the commit.
    private func mergeDeletes() throws {
        let deletes = body.changes.indices.filter { body.changes[$0].kind == .delete }
        guard deletes.count > 1 else {
            for index in deletes { try mergeDelete(index, [:]) }
            return
        }
        var children: [RecordKey: [Int]] = [:]
        for index in deletes {
            let key = RecordKey(table: body.changes[index].table, record: body.changes[index].record)
            guard let row = try current(key)?.state.row else { continue }
            for field in hardFields(of: key.table) {
                guard let target = schema.target(table: key.table, field: field), let id = row[field].recordID else {
                    continue
                }
                children[RecordKey(table: target, record: id), default: []].append(index)
            }
        }
        for index in deletes { try mergeDelete(index, children) }
    }

    private func mergeDelete(_ index: Int, _ children: [RecordKey: [Int]], depth: Int = 0) throws {
        guard depth < Self.depthMax, visited.insert(index).inserted, !parked.contains(index) else { return }
        let key = RecordKey(table: body.changes[index].table, record: body.changes[index].record)
        for child in children[key] ?? [] { try mergeDelete(child, children, depth: depth + 1) }
        try mergeInOrder(index)
    }

    // MARK: - One change

    private func mergeInOrder(_ index: Int) throws {
        var change = body.changes[index]
        let key = RecordKey(table: change.table, record: change.record)
        var refusals = validate(change, in: sealedSchema, byServer: isServer) + droppedRefusals(change)
        refusals += voidParts(of: index)
        guard let table = schema.table(at: change.table) else {
            park(index, refusals)
            return
        }
        let stored = try current(key)
        touch(key, stored, change: index)
        let isInsert = change.kind == .insert
        if refusals.contains(where: { $0.cell == -1 }) || (isInsert && !refusals.isEmpty) {
            park(index, refusals)
            return
        }
        if change.kind != .delete { refusals += try referenceRefusals(change, key, isNew: stored == nil) }
        if isInsert, !refusals.isEmpty {
            park(index, refusals)
            return
        }
        change.cells.removeAll { write in refusals.contains { $0.cell == write.cell } }
        guard change.cells.isEmpty == body.changes[index].cells.isEmpty else {
            park(index, refusals)
            return
        }
        if stored == nil, !isInsert {
            if change.kind == .update { park(index, try unknownRecord(key)) }
            return
        }
        let right = try right(of: change, key, stored, table)
        guard right != .none else {
            park(index, .scope, "")
            return
        }
        if isInsert, undoes != nil, stored != nil {
            // The undo of a delete, and no new record (rule D2): it comes back with its own last values.
            try revive(key)
            if right == .handedOff { try handOff(index, key, table, before: stored) }
            return
        }
        let outcome = try decide(change, key, stored, table)
        if outcome.isRefused {
            park(index, refusals + outcome.refusals)
            return
        }
        for refusal in refusals + outcome.refusals { note(index, refusal) }
        if let state = outcome.state, state != stored?.state { try put(state, at: key, stored) }
        if right == .handedOff { try handOff(index, key, table, before: stored) }
        if change.kind != .delete || outcome.state?.isAlive == false {
            try remember(change, key, except: outcome.refusals.map(\.cell))
        }
        if change.kind == .delete, outcome.deletion != nil, let stored, try mayWait(toDelete: key, stored) {
            notices.append(Answer.Notice(change: index, code: .deleteWaits))
            return
        }
        try report(outcome, index, key, table)
        if outcome.state?.isAlive == false, stored?.state.isAlive == true { try emptyReferences(to: key) }
    }

    /// The merge itself; what meets a record is kept for a while, so that it can be looked into.
    private func decide(
        _ change: Change, _ key: RecordKey, _ stored: StoredRecord?, _ table: Table
    ) throws -> ChangeOutcome {
        let hasChildren = try change.kind == .delete && hasLivingReferrers(key)
        var context = context(for: key, table, successors: try successors(of: change, key))
        guard let stored, recordedBytes < recordedMax else {
            return PeykMerge.merge(change, into: stored?.state, context, hasLivingChildren: hasChildren)
        }
        let trace = MergeTrace(change, stored.state, &context, hasLivingChildren: hasChildren)
        let outcome = PeykMerge.merge(change, into: stored.state, context, hasLivingChildren: hasChildren)
        let bytes = trace.note(outcome).encoded()
        recordedBytes += bytes.count
        recorded.append(bytes)
        return outcome
    }

    /// What was dropped is gone, whatever the schema was at the sealing: the author was away beyond her lease.
    private func droppedRefusals(_ change: Change) -> [CellRefusal] {
        guard !isServer, change.kind != .delete, let table = schema.table(at: change.table) else { return [] }
        if table.isDropped { return [CellRefusal(code: .retired, detail: table.name)] }
        return change.cells.compactMap { write in
            guard let cell = table.cell(tag: write.cell), cell.fields.allSatisfy({ table.fields[$0].isDropped }) else {
                return nil
            }
            return CellRefusal(cell: write.cell, code: .retired, detail: cell.name)
        }
    }

    func context(for key: RecordKey, _ table: Table, successors: [Change] = []) -> MergeContext {
        MergeContext(
            table: table, writer: writer, clock: clock, isServer: isServer, allowsReopen: reopened.contains(key),
            settles: settledKeys.contains(key), undoes: undoes, isForced: isForced,
            rankOf: { field, value in self.rank(table, field, value) },
            alsoCovers: { self.isRestored && self.coversByName(self.clock, $0) }, successors: successors)
    }

    /// Rule M2: as of this commit's position. A stage that cannot be read counts as unknown.
    private func rank(_ table: Table, _ field: Int, _ value: Value) -> StageRank? {
        guard table.fields.indices.contains(field) else { return nil }
        switch table.fields[field].type {
        case .enumeration(let words): return StageRank(value, in: words)
        case .reference(let name):
            guard let rank = table.fields[field].rank, let index = schema.tableIndex(name),
                let target = schema.table(at: index), let id = value.recordID,
                let row = try? current(RecordKey(table: index, record: id))?.state.row,
                let place = target.fieldIndex(rank.order), let order = row[place].integerValue
            else { return nil }
            let kind = row.text(target, rank.kind).flatMap { StageRank.Kind(rawValue: $0) }
            return StageRank(order: order, kind: kind ?? .open)
        default: return nil
        }
    }

    /// Why an update finds no record: the commit's own insert of it was refused, or it was never here.
    private func unknownRecord(_ key: RecordKey) throws -> [CellRefusal] {
        [CellRefusal(code: .unknownRecord, detail: schema.table(at: key.table)?.name ?? "")]
    }

    // MARK: - Reading and writing

    /// A record as it is now, read from the store once.
    func current(_ key: RecordKey) throws -> StoredRecord? {
        if let known = records[key] { return known }
        var record = try transaction.record(key)
        if isRelabelled { record?.state.clock.relabel(lineage) }
        records[key] = .some(record)
        return record
    }

    func write(_ record: StoredRecord, at key: RecordKey) throws {
        try transaction.put(record, at: key)
        records[key] = .some(record)
    }

    func touch(_ key: RecordKey, _ before: StoredRecord?, change: Int? = nil) {
        if touches[key] == nil { touches[key] = Touch(before: before, change: change) }
        if let change { touches[key]?.change = change }
    }

    func put(_ state: RecordState, at key: RecordKey, _ stored: StoredRecord?) throws {
        touch(key, stored)
        var state = state
        // What comes back has nothing of what was dropped while it was gone (rule T2).
        if stored?.state.isAlive == false, let table = schema.table(at: key.table) { state.row.emptyDropped(table) }
        var audience = stored?.audience
        if audience == nil || stored?.state.isAlive != true {
            audience = try firstAudience(key, state.row, isNew: stored == nil)
        }
        try write(
            StoredRecord(
                state: state, audience: audience ?? .nobody, position: writer.position,
                insertedBy: stored.map(\.insertedBy) ?? userID), at: key)
        targets[key] = nil
        rights[key] = nil
    }

    // MARK: - Notices

    func park(_ index: Int, _ code: NoticeCode, _ detail: String) {
        park(index, [CellRefusal(code: code, detail: detail)])
    }

    func park(_ index: Int, _ refusals: [CellRefusal]) {
        parked.insert(index)
        for refusal in refusals { note(index, refusal) }
    }

    private func note(_ index: Int, _ refusal: CellRefusal) {
        notices.append(
            Answer.Notice(change: index, cell: refusal.cell, code: refusal.code, detail: refusal.detail))
    }

    /// Whether the commit tried to insert the record and was refused (rule A3).
    func isRefusedInsert(_ key: RecordKey) -> Bool {
        guard let index = changeOf[key], body.changes[index].kind == .insert else { return false }
        return parked.contains(index)
    }

    /// Whether the commit inserts the record and has not come to it yet (two records that name each other).
    func isComing(_ key: RecordKey) -> Bool {
        guard let index = changeOf[key], body.changes[index].kind == .insert else { return false }
        return visited.contains(index) && !parked.contains(index) && touches[key] == nil
    }
}
