import PeykModel
import PeykSession

/// The log as one session sees it. Nothing outside the buckets leaves, not even an id (P20).
struct SessionView {
    let schema: Schema
    /// The session's own site; entries of it are "yours".
    let site: SiteID
    let buckets: [Bucket]
    /// Whole records only, and no "yours" (rule B1).
    let isWhole: Bool

    /// - Parameter only: leaves out the effects on other records.
    /// - Returns: nil where the entry has nothing for the session.
    func shown(_ entry: LogEntry, only: RecordKey? = nil) -> Batch.Entry? {
        let isMine = entry.dot.site == site && [.commit, .known, .waiting].contains(entry.kind)
        var effects: [Effect] = []
        for stored in entry.effects where only == nil || stored.key == only {
            let effect = widened(stored)
            let kind = isMine && !isWhole ? correction(effect) : outcome(effect, entry.commit)
            if let kind { effects.append(Effect(key: effect.key, kind: kind)) }
        }
        guard !effects.isEmpty || isMine else { return nil }
        var yours: Batch.Yours?
        if isMine, !isWhole { yours = Batch.Yours(answer: entry.answer, digest: digest(entry)) }
        return Batch.Entry(
            position: entry.position, dot: entry.dot, commit: entry.commit, stamp: entry.stamp, user: entry.user,
            clock: entry.clock, effects: effects, yours: yours)
    }

    /// An outcome from before a field was added shows the value that old rows got then (rule T2).
    private func widened(_ effect: LogEffect) -> LogEffect {
        guard let row = effect.after, let table = schema.table(at: effect.key.table),
            row.values.count < table.fields.count
        else { return effect }
        var effect = effect
        effect.after = row.widened(to: table)
        return effect
    }

    private func holds(_ audience: Audience?) -> Bool {
        guard let audience else { return false }
        return audience.readers.contains { buckets.contains($0) }
    }

    /// Rules S1 and S3: in→in the delta, out→in the full image, in→out an evict or a delete, out→out nothing.
    private func outcome(_ effect: LogEffect, _ commit: CommitID) -> Effect.Kind? {
        let isIn = holds(effect.audienceAfter)
        guard let row = effect.after, isIn else {
            guard holds(effect.audienceBefore) else { return nil }
            return effect.after == nil ? .delete : .evict(.moved)
        }
        let wasIn = holds(effect.audienceBefore)
        if !wasIn || effect.isMove || isWhole {
            // Whole records of a position that wrote nothing are left out, as deltas would be.
            if wasIn, !effect.isMove, effect.replaced.isEmpty, !effect.writers.contains(commit) { return nil }
            return .full(row, writers: effect.writers)
        }
        if effect.replaced.isEmpty { return effect.writers.contains(commit) ? .touched : nil }
        return .delta(effect.replaced.map { FieldValue(field: $0.field, value: row[$0.field]) })
    }

    /// Rule M4: what mends the author's plain effect.
    private func correction(_ effect: LogEffect) -> Effect.Kind? {
        let wasIn = holds(effect.audienceBefore)
        guard let row = effect.after else {
            guard wasIn || effect.isNamed else { return nil }
            return effect.correction == .delete ? .delete : nil
        }
        guard holds(effect.audienceAfter) else { return wasIn || effect.isNamed ? .evict(.moved) : nil }
        // The author's own row is nothing where she did not see it before, so the plain effect is not what we know.
        if !wasIn, effect.audienceBefore != nil { return .full(row, writers: effect.writers) }
        if effect.isMove { return .full(row, writers: effect.writers) }
        switch effect.correction {
        case .none: return nil
        case .delta(let fields): return .delta(fields)
        case .full: return .full(row, writers: effect.writers)
        case .delete: return .delete
        }
    }

    /// Over the records that the commit names and that the author sees after it.
    private func digest(_ entry: LogEntry) -> UInt64 {
        var sum: UInt64 = 0
        for effect in entry.effects where effect.isNamed && holds(effect.audienceAfter) {
            guard let row = widened(effect).after, let table = schema.table(at: effect.key.table) else { continue }
            sum &+= row.digest(table: table, record: effect.key.record)
        }
        return sum
    }
}

extension Batch.Entry {
    /// About what it takes on the wire.
    var estimatedBytes: Int {
        var bytes = 96 + clock.dots.count * 16 + clock.former.count * 16 + clock.lineage.eras.count * 20
        for effect in effects { bytes += effect.estimatedBytes }
        for notice in yours?.answer.notices ?? [] { bytes += 24 + notice.detail.utf8.count }
        return bytes
    }
}

extension Effect {
    /// About what it takes on the wire.
    var estimatedBytes: Int {
        switch kind {
        case .full(let row, let writers): row.values.reduce(24 + writers.count * 16) { $0 + $1.estimatedBytes }
        case .delta(let fields): fields.reduce(24) { $0 + 2 + $1.value.estimatedBytes }
        case .delete, .evict, .touched: 24
        }
    }
}

extension Value {
    var estimatedBytes: Int {
        switch self {
        case .null: 1
        case .integer: 6
        case .real: 9
        case .text(let text): text.utf8.count + 2
        case .blob(let bytes): bytes.count + 2
        }
    }
}
