import Crypto
import PeykMerge
import PeykModel
import PeykServer
import PeykSession
import PeykWire
import SeededRandom

/// A replica in memory that does what the rules ask of one, without capture: it seals, syncs and applies.
final class Device {
    var office: Office
    let user: RecordID
    var key: Curve25519.Signing.PrivateKey
    /// Of the last hello.
    private(set) var challenge: Challenge?
    /// It has found out that it is a restored image.
    var renew = false
    var enrolled: Enrolled
    var site: SiteID
    var nonce: [UInt8]
    var helloNumber: Int64 = 0
    var lineage = Lineage([])
    var cursor: Position = 0
    var token: [UInt8] = []
    var held = HeldScope.empty
    var backfill: BackfillMark?
    var hybrid = HybridClock()
    /// Milliseconds that the device's clock is ahead of the server's.
    var skew: Int64 = 0
    /// Under which it seals.
    var schemaVersion: Int64 = 1
    var seq: Sequence64 = 0
    var acknowledged: Sequence64 = 0
    var former: [CommitID] = []
    /// Sealed, and not yet back in the stream.
    var pending: [SealedCommit] = []
    /// Confirmed rows.
    var rows: [RecordKey: Row] = [:]
    var answers: [CommitID: Answer] = [:]
    var context: SessionContext?
    var welcome: Welcome?
    /// Everything that was ever sent to it.
    var heard: [Batch.Entry] = []
    var digestFaults = 0
    /// Own commits that came back in the stream, with their place and answer: offered again after a restore (rule I7).
    var kept: [Kept] = []
    /// Own commits that the server keeps and has not merged (rule A3).
    var waiting: [SealedCommit] = []
    /// What was applied, by position; and names of former epochs (rule I7.2).
    var applied: [Position: CommitID] = [:]
    var names: [Witness] = []
    /// False plays a device that lost its memory of the former history.
    var tellsNames = true
    private var ids: SplitMix64

    struct Kept {
        var commit: SealedCommit
        var position: Position
        var answer: Answer
    }

    init(_ office: Office, user: RecordID, code: String, key seed: UInt8) throws {
        self.office = office
        self.user = user
        key = try Curve25519.Signing.PrivateKey(rawRepresentation: Array(repeating: seed, count: 32))
        let challenge = office.workspace.challenge()
        enrolled = try office.workspace.enrol(
            try Self.enrol(code, key, challenge, office.fingerprint), challenge: challenge,
            fingerprint: office.fingerprint)
        site = enrolled.site
        nonce = enrolled.nonce
        ids = SplitMix64(seed: site.rawValue)
    }

    /// A copy of the device as it stands: an image that is restored later, or run beside it.
    init(copying other: Device) {
        office = other.office
        user = other.user
        key = other.key
        enrolled = other.enrolled
        site = other.site
        nonce = other.nonce
        helloNumber = other.helloNumber
        lineage = other.lineage
        cursor = other.cursor
        token = other.token
        held = other.held
        hybrid = other.hybrid
        seq = other.seq
        acknowledged = other.acknowledged
        former = other.former
        pending = other.pending
        rows = other.rows
        answers = other.answers
        kept = other.kept
        waiting = other.waiting
        applied = other.applied
        names = other.names
        ids = other.ids
        _ = ids.next()
    }

    static func enrol(
        _ code: String, _ key: Curve25519.Signing.PrivateKey, _ challenge: Challenge, _ fingerprint: [UInt8]
    ) throws -> Enrol {
        let signed = Enrol.signedBytes(challenge: challenge.nonce, fingerprint: fingerprint, code: code)
        return Enrol(
            code: code, deviceKey: Array(key.publicKey.rawRepresentation), deviceName: "laptop",
            signature: Array(try key.signature(for: signed)))
    }

    // MARK: - Editing

    @discardableResult
    func commit(_ changes: [Change], _ operations: [Operation] = [], id: CommitID? = nil) -> SealedCommit {
        let id = id ?? CommitID(bits: UUIDBits(high: ids.next(), low: ids.next()))
        seq += 1
        let body = CommitBody(id: id, schemaVersion: schemaVersion, changes: changes, operations: operations)
        let clock = VectorClock(
            lineage: lineage, anchor: cursor, dots: seq > 1 ? [Dot(site: site, seq: seq - 1)] : [], former: former)
        let stamp = hybrid.tick(milliseconds: office.time.now + skew)
        let commit = SealedCommit(
            id: id, envelope: Envelope(dot: Dot(site: site, seq: seq), stamp: stamp, clock: clock),
            sealed: body.encoded())
        pending.append(commit)
        return commit
    }

    /// The row with the device's own pending commits over it.
    func shown(_ table: String, _ id: RecordID) -> Row? {
        var row = rows[Sample.key(table, id)]
        for commit in pending {
            guard let body = try? CommitBody(decoding: commit.sealed) else { continue }
            for change in body.changes where change.record == id && change.table == Sample.table(table) {
                row = plainEffect(of: change, on: row, in: Sample.schema.tables[change.table])
            }
        }
        return row
    }

    @discardableResult
    func set(_ table: String, _ id: RecordID, _ values: [String: Value]) -> SealedCommit {
        commit([Sample.update(table, id, values, on: shown(table, id))])
    }

    @discardableResult
    func insert(_ table: String, _ id: RecordID, _ values: [String: Value]) -> SealedCommit {
        commit([Sample.insert(table, id, values)])
    }

    @discardableResult
    func delete(_ table: String, _ id: RecordID) -> SealedCommit { commit([Sample.delete(table, id)]) }

    func value(_ table: String, _ id: RecordID, _ field: String) -> Value? {
        rows[Sample.key(table, id)]?[Sample.field(table, field)]
    }

    // MARK: - Syncing

    func hello() throws -> (Hello, Challenge) {
        let challenge = office.workspace.challenge()
        self.challenge = challenge
        helloNumber += 1
        var hello = Hello(
            number: helloNumber, site: site, certificate: enrolled.certificate, nonce: nonce, lineage: lineage,
            cursor: cursor, anchorToken: token, lastSealed: seq, lastAcknowledged: acknowledged,
            lastKept: pending.last.map { KeptCommit(seq: $0.envelope.dot.seq, id: $0.id) }, applied: report,
            scope: held, schemaVersion: schemaVersion, pending: Int64(pending.count), backfill: backfill,
            wallTime: office.time.now + skew, program: "test", renew: renew)
        hello.signature = Array(
            try key.signature(
                for: hello.signedBytes(challenge: challenge.nonce, fingerprint: office.fingerprint)))
        return (hello, challenge)
    }

    @discardableResult
    func connect() throws -> Welcome {
        office.time.advance(1)
        let (hello, challenge) = try hello()
        let admission = try office.workspace.admit(hello, challenge: challenge, fingerprint: office.fingerprint)
        let welcome = admission.welcome
        context = admission.context
        self.welcome = welcome
        leaveHistory(for: welcome.lineage)
        if welcome.site != site { adoptSite(welcome.site) }
        nonce = welcome.nonce
        lineage = welcome.lineage
        if welcome.wantsNames, tellsNames { try tellNames() }
        hybrid.learn(welcome.stamp)
        for answer in welcome.openAnswers { answers[answer.commit] = answer.answer }
        switch welcome.entrance {
        case .resume: leaveScope(welcome.grant)
        case .widen:
            leaveScope(welcome.grant)
            try pull(upTo: welcome.head, scope: .kept)
            try fill(admission.backfill, replacing: false)
        case .snapshot: try fill(admission.backfill, replacing: true)
        }
        held = HeldScope(buckets: welcome.grant.read, version: welcome.grant.version)
        return welcome
    }

    /// Kept commits get new dots and keep their ids (rule I3).
    private func adoptSite(_ new: SiteID) {
        former += pending.map(\.id)
        site = new
        seq = 0
        acknowledged = 0
        pending = pending.map { commit in
            seq += 1
            var commit = commit
            commit.envelope.dot = Dot(site: new, seq: seq)
            return commit
        }
    }

    /// Rules I7 and I8: what another history does not have is offered again, void where it was refused; what was seen
    /// of it is named.
    private func leaveHistory(for new: Lineage) {
        guard !lineage.eras.isEmpty, let common = lineage.common(with: new), common != .max else { return }
        let lost = kept.filter { $0.position > common }
        kept.removeAll { $0.position > common }
        let again = lost.map { kept -> SealedCommit in
            var commit = kept.commit
            if kept.answer.notices.contains(where: \.code.parks) { commit.envelope.formerAnswer = kept.answer }
            return commit
        }
        pending = (again + waiting + pending).sorted { $0.envelope.stamp < $1.envelope.stamp }
        waiting = []
        for (position, commit) in applied.sorted(by: { $0.key < $1.key }) where position > common {
            guard let epoch = lineage.epoch(of: position) else { continue }
            names.append(Witness(epoch: epoch, position: position, commit: commit))
        }
        applied = applied.filter { $0.key <= common }
    }

    private func tellNames() throws {
        guard let context else { return }
        let request = PushRequest(context: context, commits: [], names: names, endsNames: true)
        guard case .acknowledge = try office.workspace.commit([request])[0] else {
            throw TestFailure("the names were not taken")
        }
    }

    /// Rule S1: what is outside the grant leaves before anything comes.
    private func leaveScope(_ grant: Grant) {
        let rules = AudienceRules(schema: Sample.schema)
        let before = rows
        for (key, row) in before {
            let audience = rules.audience(
                table: key.table, record: key.record, row: row,
                rows: { before[RecordKey(table: $0, record: $1)] },
                borrowers: { table, record in
                    before.compactMap { other, row in
                        guard let lent = rules.lent(table: other.table, row: row), lent.table == table,
                            lent.record == record
                        else { return nil }
                        return (other.table, row)
                    }
                })
            // A ledger entry outlives its record (rule M7), and its audience is then the server's to know.
            let isOrphan = key.table == Schema.ledgerIndex && audience == .nobody
            if !grant.reads(audience), !isOrphan { rows[key] = nil }
        }
    }

    /// Rule B1, in one go.
    private func fill(_ mark: BackfillMark?, replacing: Bool) throws {
        guard let context, var mark else { throw TestFailure("no mark for the backfill") }
        var staged: [RecordKey: Row] = [:]
        while true {
            let page = try office.workspace.page(for: context, after: mark)
            try RowPageReader(page.payload).forEachRow { row in
                staged[RecordKey(table: page.table, record: row.id)] = row.row
            }
            mark.firstPosition = mark.firstPosition == 0 ? page.position : mark.firstPosition
            mark.lastPosition = page.position
            mark.table = page.endsTable ? page.table + 1 : page.table
            mark.last = page.endsTable ? nil : page.last
            if page.endsBackfill { break }
        }
        if replacing { rows = [:] }
        rows.merge(staged) { _, new in new }
        if replacing { cursor = mark.firstPosition }
        let batch = try office.workspace.batch(
            for: context, from: cursor, upTo: mark.lastPosition, scope: .all, whole: true)
        take(batch)
        let merged = welcome?.lastMerged ?? 0
        pending.removeAll { $0.envelope.dot.seq <= merged }
    }

    /// - Returns: what the server said, with the commits that were sent.
    @discardableResult
    func push(_ commits: [SealedCommit]? = nil) throws -> PushResult {
        guard let context else { throw TestFailure("not connected") }
        let result = try office.workspace.commit([PushRequest(context: context, commits: commits ?? pending)])[0]
        if case .acknowledge(let acknowledge) = result, let last = acknowledge.items.last {
            acknowledged = max(acknowledged, last.seq)
        }
        return result
    }

    func pull(upTo: Position? = nil, scope: ServerSession.ReadScope = .all) throws {
        guard let context else { throw TestFailure("not connected") }
        while true {
            let batch = try office.workspace.batch(for: context, from: cursor, upTo: upTo, scope: scope)
            take(batch)
            if cursor >= min(upTo ?? batch.head, batch.head) { return }
        }
    }

    private func take(_ batch: Batch) {
        for entry in batch.entries { apply(entry) }
        cursor = max(cursor, batch.to)
        token = batch.anchorToken
        hybrid.learn(batch.stamp)
    }

    /// Rule M4: the plain effect of one's own commit, then the corrections.
    private func apply(_ entry: Batch.Entry) {
        heard.append(entry)
        if entry.yours?.answer.verdict != .waiting, entry.yours?.answer.verdict != .known {
            applied[entry.position] = entry.commit
        }
        if let yours = entry.yours, yours.answer.verdict == .waiting {
            answers[entry.commit] = yours.answer
            waiting += pending.filter { $0.id == entry.commit }
            pending.removeAll { $0.id == entry.commit }
        } else if let yours = entry.yours {
            answers[entry.commit] = yours.answer
            let own = (pending + waiting).first { $0.id == entry.commit }
            let body = own.flatMap { try? CommitBody(decoding: $0.sealed) }
            if let own { kept.append(Kept(commit: own, position: entry.position, answer: yours.answer)) }
            pending.removeAll { $0.id == entry.commit }
            waiting.removeAll { $0.id == entry.commit }
            if yours.answer.verdict == .merged, let body {
                for change in body.changes where Sample.schema.table(at: change.table) != nil {
                    let key = RecordKey(table: change.table, record: change.record)
                    rows[key] = plainEffect(of: change, on: rows[key], in: Sample.schema.tables[change.table])
                }
            }
            for effect in entry.effects { apply(effect) }
            var sum: UInt64 = 0
            for change in body?.changes ?? [] where yours.answer.verdict == .merged {
                guard let row = rows[RecordKey(table: change.table, record: change.record)] else { continue }
                sum &+= row.digest(table: Sample.schema.tables[change.table], record: change.record)
            }
            if yours.answer.verdict == .merged, sum != yours.digest { digestFaults += 1 }
        } else {
            for effect in entry.effects { apply(effect) }
        }
    }

    private func apply(_ effect: Effect) {
        switch effect.kind {
        case .full(let row, _): rows[effect.key] = row
        case .delta(let fields):
            for field in fields { rows[effect.key]?[field.field] = field.value }
        case .delete, .evict: rows[effect.key] = nil
        case .touched: break
        }
    }

    /// Rule T1: the lower of the cursor and the anchor of the oldest commit without an answer.
    var report: Position { pending.reduce(cursor) { min($0, $1.envelope.clock.anchor) } }

    /// Connect, push, pull, confirm.
    func sync() throws {
        try connect()
        if !pending.isEmpty { try push() }
        try pull()
        try confirm()
    }

    func confirm() throws {
        guard let context else { return }
        try office.workspace.applied(report, by: context)
    }

    /// What it must hold now, by the server.
    func expected() throws -> [RecordKey: Row] {
        guard let grant = welcome?.grant else { return [:] }
        return try office.rows(for: grant)
    }
}
