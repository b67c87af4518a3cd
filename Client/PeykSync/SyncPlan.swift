public import PeykModel
import PeykReplica
import PeykSession

/// What a sync would do: `peyk sync --plan`.
public struct SyncPlan: Hashable, Sendable {
    /// Changed records by table.
    public typealias Counts = [String: Int64]

    /// Own commits that would go up, and the records that they change.
    public var commitsUp: Int64 = 0
    public var up: Counts = [:]
    /// Records of others that would change here.
    public var down: Counts = [:]
    /// Records with local edits of cells that others have changed meanwhile, by table name and id.
    public var clashes: [RecordKey] = []
    /// Records that would leave the replica.
    public var leaving: [RecordKey] = []
    /// The server would send everything, or newly granted parts, as pages: then `down` is not counted.
    public var needsPages = false
    /// There was more than could be looked at; the counts are lower limits.
    public var isPartial = false
    /// Milliseconds to add to this machine's clock to have the server's, as of now.
    public var clockOffset: Int64 = 0
    /// For names.
    var tables: [String] = []

    public var json: JSON {
        func object(_ counts: Counts) -> JSON { .object(counts.mapValues { .integer($0) }) }
        func list(_ keys: [RecordKey]) -> JSON {
            .array(
                keys.map { key in
                    .string("\(tables.indices.contains(key.table) ? tables[key.table] : "?")/\(key.record)")
                })
        }
        return [
            "commits_up": .integer(commitsUp), "up": object(up), "down": object(down), "clashes": list(clashes),
            "leaving": list(leaving), "needs_pages": .bool(needsPages), "partial": .bool(isPartial),
        ]
    }
}

/// Counts what would happen, without doing it.
struct SyncPlanner {
    var plan = SyncPlan()
    let cursor: Position
    /// Pages are not asked for.
    let mustStop: Bool
    private let schema: Schema
    private let site: SiteID
    /// Tags of the cells that pending commits write, by record; an insert or delete stands for all.
    private var pending: [RecordKey: Set<Int>?] = [:]
    private var down: [Int: Set<RecordID>] = [:]

    init(_ welcome: Welcome, _ replica: Replica) throws {
        schema = replica.schema
        site = welcome.site
        cursor = try replica.status().anchor
        plan.tables = schema.tables.map(\.name)
        if case .resume = welcome.entrance { mustStop = false } else { mustStop = true }
        plan.needsPages = mustStop
        plan.clockOffset = welcome.serverTime &- replica.environment.now()
        var after = welcome.lastMerged
        while true {
            let slice = try replica.outbox(after: after, bytesMax: 4 << 20)
            for commit in slice.commits {
                after = commit.envelope.dot.seq
                plan.commitsUp += 1
                guard let body = try? CommitBody(decoding: commit.sealed) else { continue }
                for change in body.changes { add(change) }
            }
            guard slice.hasMore, !slice.commits.isEmpty else { break }
        }
    }

    private mutating func add(_ change: Change) {
        plan.up[name(change.table), default: 0] += 1
        let key = RecordKey(table: change.table, record: change.record)
        if change.kind == .update, let known = pending[key, default: []] {
            pending[key] = known.union(change.cells.map(\.cell))
        } else {
            pending[key] = .some(nil)
        }
    }

    mutating func add(_ batch: Batch) {
        for entry in batch.entries where entry.yours == nil && entry.dot.site != site {
            for effect in entry.effects { add(effect) }
        }
        plan.clashes.sort()
        plan.leaving.sort()
    }

    private mutating func add(_ effect: Effect) {
        switch effect.kind {
        case .touched: return
        case .evict:
            if !plan.leaving.contains(effect.key) { plan.leaving.append(effect.key) }
            return
        case .full, .delete, .delta: break
        }
        if down[effect.key.table, default: []].insert(effect.key.record).inserted {
            plan.down[name(effect.key.table), default: 0] += 1
        }
        guard let cells = pending[effect.key], !plan.clashes.contains(effect.key) else { return }
        if clashes(effect, cells) { plan.clashes.append(effect.key) }
    }

    private func clashes(_ effect: Effect, _ cells: Set<Int>?) -> Bool {
        guard case .delta(let fields) = effect.kind, let cells, let table = schema.table(at: effect.key.table) else {
            return true
        }
        return fields.contains { field in
            guard table.cellOfField.indices.contains(field.field) else { return false }
            return cells.contains(table.cells[table.cellOfField[field.field]].tag)
        }
    }

    private func name(_ table: Int) -> String { schema.table(at: table)?.name ?? "?" }
}
