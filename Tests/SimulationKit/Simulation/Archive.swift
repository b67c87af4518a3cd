import PeykMerge
import PeykModel
import PeykServer

/// The truth about the server's history, kept outside it: every entry of the log as it was when it first became
/// visible, each record's rows by position, and what each commit's author had seen when she made it. Also of histories
/// that restores ended: devices may still stand in one of them.
final class Archive {
    /// A record's row and audience from a position on; no row where it does not live.
    struct Version {
        var position: Position
        var row: Row?
        var audience: Audience
        var digest: UInt64
    }

    /// A commit as its author sealed it, with what she had really seen: a prefix of the log and her own former commits.
    struct Made {
        var client: Int
        var commit: SealedCommit
        var body: CommitBody
        var seen: Standing
        var former: CommitID?
    }

    /// How far a replica had applied which history. Where that is below the fork, any epoch after it says the same.
    struct Standing: Hashable {
        var epoch: Epoch?
        var position: Position
    }

    /// A history that a restore ended, whole.
    private struct Lost {
        var entries: [LogEntry]
        var versions: [RecordKey: [Version]]
        var positions: [CommitID: Position]
        var schemaChanges: [Position]
    }

    private(set) var entries: [LogEntry] = []
    private(set) var versions: [RecordKey: [Version]] = [:]
    /// Where each commit was merged or refused; before that, where it first took a position to wait (rule A3).
    private(set) var positions: [CommitID: Position] = [:]
    /// Commits that had their effect, of the present history.
    private var effective: Set<CommitID> = []
    private var lost: [Epoch: Lost] = [:]
    /// Of the present history.
    private(set) var lineage = Lineage([])
    var epoch: Epoch? { lineage.epoch }
    private(set) var made: [CommitID: Made] = [:]
    /// How many hard references of living rows name a record.
    private(set) var referrers: [RecordKey: Int] = [:]
    /// Records that were written since the references were looked at.
    private var written: Set<RecordKey> = []
    private var dots: [Dot: CommitID] = [:]
    private var stamps: [SiteID: (seq: Sequence64, stamp: HLC)] = [:]
    private(set) var schema: Schema
    /// By version. A version is one schema for ever.
    private(set) var schemas: [Int64: Schema] = [:]
    /// Where each version after the first came, of the present history.
    private var schemaChanges: [Position] = []
    var head: Position { entries.last?.position ?? start }
    /// What lies at or below was there when the world began.
    private var start: Position = 0
    private var startVersion: Int64 = 0

    init(_ store: any Store) throws {
        schema = Schema(version: 0, tables: [])
        try store.read { reader in
            schema = reader.schema
            startVersion = schema.version
            schemas[schema.version] = schema
            start = try reader.head()
            lineage = try reader.workspaceDocument().lineage
            for (index, table) in schema.tables.enumerated() {
                try reader.records(of: index, after: nil) { id, record in
                    let row = record.state.row
                    versions[RecordKey(table: index, record: id)] = [
                        Version(
                            position: 0, row: row, audience: record.audience,
                            digest: row.digest(table: table, record: id))
                    ]
                    count(row, in: table, by: 1)
                    return true
                }
            }
        }
    }

    // MARK: Growing

    /// Takes in what became visible since the last call, and checks each entry against the rules of the log.
    func catchUp(_ store: any Store) throws {
        try store.read { reader in
            schema = reader.schema
            let head = try reader.head()
            guard head >= self.head else {
                throw Finding("P16", "the log ends at \(head), but \(self.head) had been visible")
            }
            try reader.log(after: self.head, upTo: head) { entry in
                try append(entry)
                return true
            }
            guard self.head == head else { throw Finding("P17", "the log has a gap after \(self.head)") }
            guard schema.version == schemaVersion(at: head) else {
                throw Finding("T2", "version \(schema.version) of the schema came without a position")
            }
            guard schemas.updateValue(schema, forKey: schema.version) ?? schema == schema else {
                throw Finding("T2", "version \(schema.version) of the schema is not what it was")
            }
        }
    }

    private func append(_ entry: LogEntry) throws {
        guard entry.position == head + 1 else { throw Finding("P17", "position \(entry.position) follows \(head)") }
        if let other = dots.updateValue(entry.commit, forKey: entry.dot), other != entry.commit {
            throw Finding("P18", "the dot \(entry.dot) names two commits")
        }
        // What waited has its outcome under the dot that it came with.
        let hasWaited = entry.kind == .commit && positions[entry.commit] != nil
        if entry.kind == .commit {
            guard effective.insert(entry.commit).inserted else {
                throw Finding("P4", "commit \(entry.commit) took effect twice, at \(entry.position) again")
            }
        } else if entry.kind == .known, !entry.effects.isEmpty {
            throw Finding("P4", "the known commit \(entry.commit) had an effect at \(entry.position)")
        }
        place(entry)
        if let last = stamps[entry.dot.site], Self.hasDeviceDot(entry), !hasWaited {
            guard entry.dot.seq == last.seq + 1 else {
                throw Finding("I4", "seq \(entry.dot.seq) of a site follows \(last.seq)")
            }
            guard entry.stamp > last.stamp else {
                throw Finding("P8", "the stamp of \(entry.dot) is not above the one before")
            }
        }
        if !hasWaited { stamps[entry.dot.site] = (entry.dot.seq, entry.stamp) }
        for effect in entry.effects {
            guard let table = schema.table(at: effect.key.table) else { continue }
            if let before = versions[effect.key]?.last?.row { count(before, in: table, by: -1) }
            if let after = effect.after { count(after, in: table, by: 1) }
            written.insert(effect.key)
            versions[effect.key, default: []].append(
                Version(
                    position: entry.position, row: effect.after, audience: effect.audienceAfter ?? .nobody,
                    digest: effect.after?.digest(table: table, record: effect.key.record) ?? 0))
        }
        entries.append(entry)
        if entry.kind == .schema { schemaChanges.append(entry.position) }
    }

    private static func hasDeviceDot(_ entry: LogEntry) -> Bool {
        switch entry.kind {
        case .commit, .known, .waiting: true
        default: false
        }
    }

    private func place(_ entry: LogEntry) {
        if positions[entry.commit] == nil || entry.kind == .commit { positions[entry.commit] = entry.position }
    }

    /// The server was put back to `position` of its history, and goes on under another epoch (rule I6). Dots stay what
    /// they are for ever (P18); seqs and stamps go on from what the restored server knows.
    func goBack(to position: Position, under next: Lineage) {
        if let epoch {
            lost[epoch] = Lost(
                entries: entries, versions: versions, positions: positions, schemaChanges: schemaChanges)
        }
        lineage = next
        schemaChanges = schemaChanges.filter { $0 <= position }
        entries = Array(entries.prefix { $0.position <= position })
        versions = versions.mapValues { $0.filter { $0.position <= position } }.filter { !$0.value.isEmpty }
        (positions, effective, stamps, referrers, written) = ([:], [], [:], [:], [])
        for entry in entries {
            let hasWaited = entry.kind == .commit && positions[entry.commit] != nil
            place(entry)
            if entry.kind == .commit { effective.insert(entry.commit) }
            if !hasWaited { stamps[entry.dot.site] = (entry.dot.seq, entry.stamp) }
        }
        for (key, list) in versions {
            guard let row = list.last?.row, let table = schema.table(at: key.table) else { continue }
            count(row, in: table, by: 1)
        }
    }

    private func count(_ row: Row, in table: Table, by step: Int) {
        for key in hardReferences(of: row, in: table) { referrers[key, default: 0] += step }
    }

    /// The records that the row cannot be without.
    private func hardReferences(of row: Row, in table: Table) -> [RecordKey] {
        guard !table.isLedger else { return [] }
        return table.fields.enumerated().compactMap { index, field in
            guard field.isHard, case .reference(let name) = field.type, let target = schema.tableIndex(name) else {
                return nil
            }
            return row[index].recordID.map { RecordKey(table: target, record: $0) }
        }
    }

    /// Each child on the server has its parent (P22), as of the head: looks at what was written since the last call.
    func checkReferences() throws {
        defer { written = [] }
        for key in written {
            guard let table = schema.table(at: key.table) else { continue }
            guard let row = versions[key]?.last?.row else {
                guard referrers[key, default: 0] == 0 else {
                    throw Finding(
                        "P22", "\(table.name) \(key.record) is gone from the server, but not what refers to it")
                }
                continue
            }
            for target in hardReferences(of: row, in: table) where versions[target]?.last?.row == nil {
                throw Finding("P22", "the server holds \(table.name) \(key.record) without its \(target)")
            }
        }
    }

    func entry(at position: Position) -> LogEntry? {
        let index = Int(position - start - 1)
        return entries.indices.contains(index) ? entries[index] : nil
    }

    /// An author made a commit while she had applied the log up to `seen`.
    func note(_ commit: SealedCommit, client: Int, seen: Standing, former: CommitID?) throws {
        guard made[commit.id] == nil else { return }
        made[commit.id] = Made(
            client: client, commit: commit, body: try CommitBody(decoding: commit.sealed), seen: seen, former: former)
    }

    // MARK: Asking

    /// The head of a replica's history.
    func head(of epoch: Epoch?) -> Position {
        epoch.flatMap { lost[$0] }.map { $0.entries.last?.position ?? start } ?? head
    }

    /// Where the author of a commit stood. A restored server cannot know what an author beyond the fork could see
    /// there: it goes by what she saw at the fork.
    func anchors(of clock: VectorClock) -> [Standing] {
        let anchor = Standing(epoch: clock.lineage.epoch, position: clock.anchor)
        guard let common = clock.lineage.common(with: lineage), common < anchor.position else { return [anchor] }
        return [anchor, Standing(epoch: epoch, position: common)]
    }

    private func versions(of epoch: Epoch?) -> [RecordKey: [Version]] {
        epoch.flatMap { lost[$0]?.versions } ?? versions
    }

    /// The record as of a position; nil where it did not live then.
    func version(of key: RecordKey, at position: Position, of epoch: Epoch? = nil) -> Version? {
        versions(of: epoch)[key]?.last { $0.position <= position }
    }

    /// The version of the schema that was in force at a position.
    func schemaVersion(at position: Position, of epoch: Epoch? = nil) -> Int64 {
        let changes = epoch.flatMap { lost[$0]?.schemaChanges } ?? schemaChanges
        return startVersion + Int64(changes.count { $0 <= position })
    }

    /// The digest of a row for whoever has `table` as it is in some version of the schema: fields that were added since
    /// the row was written have their standing value.
    private func digest(_ version: Version, _ row: Row, of record: RecordID, as table: Table) -> UInt64 {
        guard row.values.count != table.fields.count else { return version.digest }
        return row.widened(to: table).digest(table: table, record: record)
    }

    /// The records of a table that live now, in order.
    func living(in table: Int) -> [RecordID] {
        versions.filter { $0.key.table == table && $0.value.last?.row != nil }.map(\.key.record).sorted()
    }

    /// Each table's count and digest at a position, of what a holder of these buckets sees under some version of the
    /// schema.
    func digests(
        at position: Position, of epoch: Epoch?, in buckets: [Bucket], as schema: Schema
    ) -> [(count: Int64, digest: UInt64)] {
        var result = schema.tables.map { _ in (count: Int64(0), digest: UInt64(0)) }
        let held = Set(buckets)
        for (key, list) in versions(of: epoch) {
            guard let version = list.last(where: { $0.position <= position }), let row = version.row,
                version.audience.readers.contains(where: { held.contains($0) }),
                let table = schema.table(at: key.table)
            else { continue }
            result[key.table].count += 1
            result[key.table].digest &+= digest(version, row, of: key.record, as: table)
        }
        return result
    }

    /// The rows that a holder of these buckets sees at a position under some version of the schema, by record.
    func rows(
        of table: Int, at position: Position, of epoch: Epoch? = nil, in buckets: [Bucket], as schema: Schema
    ) -> [RecordID: Row] {
        guard let definition = schema.table(at: table) else { return [:] }
        var found: [RecordID: Row] = [:]
        for (key, list) in versions(of: epoch) where key.table == table {
            guard let version = list.last(where: { $0.position <= position }), let row = version.row,
                version.audience.readers.contains(where: { buckets.contains($0) })
            else { continue }
            found[key.record] = row.widened(to: definition)
        }
        return found
    }

    /// Whether the author of `later` had really seen `earlier` when she made it.
    func hadSeen(_ later: CommitID, _ earlier: CommitID) -> Bool {
        guard let made = made[later] else { return false }
        let places = made.seen.epoch.flatMap { lost[$0]?.positions } ?? positions
        if let position = places[earlier], position <= made.seen.position { return true }
        var former = made.former
        while let id = former {
            if id == earlier { return true }
            former = self.made[id]?.former
        }
        return false
    }

    /// The store's rows against what the log has said: a reader of the log misses nothing (P17).
    func compare(_ store: any Store) throws {
        try store.read { reader in
            for (index, table) in reader.schema.tables.enumerated() {
                var found: Set<RecordID> = []
                try reader.records(of: index, after: nil) { id, record in
                    found.insert(id)
                    let key = RecordKey(table: index, record: id)
                    guard let version = versions[key]?.last, let row = version.row else {
                        throw Finding("P17", "\(table.name) \(id) is on the server, but no position made it")
                    }
                    guard digest(version, row, of: id, as: table) == record.state.row.digest(table: table, record: id)
                    else {
                        throw Finding("P17", "\(table.name) \(id) on the server is not what the log says")
                    }
                    guard version.audience == record.audience else {
                        throw Finding("S3", "\(table.name) \(id): its audience changed without a position")
                    }
                    return true
                }
                for (key, list) in versions where key.table == index && !found.contains(key.record) {
                    guard list.last?.row == nil else {
                        throw Finding("P17", "\(table.name) \(key.record) left the server without a position")
                    }
                }
            }
        }
    }

    // MARK: Telling

    func text(of id: CommitID) -> String {
        guard let made = made[id] else { return "commit \(id)" }
        let changes = made.body.changes.map { change in
            let table = schema.table(at: change.table)
            let cells = change.cells.map { cell in
                "\(table?.cell(tag: cell.cell)?.name ?? "?"): \(cell.write)"
            }
            return "\(change.kind) \(table?.name ?? "?")/\(change.record) {\(cells.joined(separator: ", "))}"
        }
        return "\(made.commit.envelope.dot) having seen \(made.seen.position), stamp \(made.commit.envelope.stamp): "
            + changes.joined(separator: "; ")
    }

    func text(of entry: LogEntry) -> String {
        var lines = [
            "  position \(entry.position) \(entry.kind) \(entry.dot) \(entry.answer.verdict) stamp \(entry.stamp)"
        ]
        for notice in entry.answer.notices { lines.append("    notice \(notice)") }
        for effect in entry.effects {
            let name = schema.table(at: effect.key.table)?.name ?? "?"
            let what = "\(name)/\(effect.key.record)\(effect.isNamed ? " named" : "")"
            let now = effect.after.map { "\($0.values)" } ?? "none"
            let readers = effect.audienceAfter?.readers.map(\.text) ?? []
            lines.append("    \(what) was \(effect.replaced), now \(now), for \(readers)")
        }
        return lines.joined(separator: "\n").replacing("PeykModel.Value.", with: "").replacing("PeykModel.", with: "")
    }
}
