import PeykModel

/// A commit that the server has taken in and cannot merge yet (rules A3, I7.5): durable, listed, and merged when what
/// it needs has come.
struct WaitingCommit: Document {
    static let collection = "waiting"
    /// Its sealed bytes and its clock, apart so that the list stays small.
    static let bodies = "waiting-body"
    var key: String { position.sortable }

    enum Reason: String, Hashable { case record, schema }

    /// Where it was first taken in.
    var position: Position
    var commit: CommitID
    /// The dot under which it came last.
    var dot: Dot
    var user: RecordID
    var stamp: HLC
    var reason: Reason
    /// Records that it needs and that were not known when it came.
    var needs: [RecordKey]
    /// Records that it inserts: what needs those waits as well.
    var inserts: [RecordKey]
    var schemaVersion: Int64
    /// Unix milliseconds.
    var since: Int64

    var answer: Answer {
        let code: NoticeCode = reason == .schema ? .waitsForSchema : .waitsForRecord
        return Answer(verdict: .waiting, notices: [Answer.Notice(change: -1, code: code)])
    }

    var json: JSON {
        [
            "position": .integer(position), "commit": .string(commit.description),
            "site": .string(dot.site.description), "seq": .integer(dot.seq), "user": .string(user.description),
            "stamp": .integer(Int64(bitPattern: stamp.rawValue)), "reason": .string(reason.rawValue),
            "needs": .array(needs.map(\.json)), "inserts": .array(inserts.map(\.json)),
            "schema_version": .integer(schemaVersion), "since": .integer(since),
        ]
    }
}

extension WaitingCommit {
    init?(json: JSON) {
        guard let position = json["position"]?.integerValue,
            let commit = json["commit"]?.stringValue.flatMap({ CommitID($0) }),
            let site = json["site"]?.stringValue.flatMap({ SiteID($0) }), let seq = json["seq"]?.integerValue,
            let user = json["user"]?.stringValue.flatMap({ RecordID($0) }), let stamp = json["stamp"]?.integerValue,
            let reason = json["reason"]?.stringValue.flatMap({ Reason(rawValue: $0) })
        else { return nil }
        self.init(
            position: position, commit: commit, dot: Dot(site: site, seq: seq), user: user,
            stamp: HLC(rawValue: UInt64(bitPattern: stamp)), reason: reason,
            needs: (json["needs"]?.arrayValue ?? []).compactMap { RecordKey(json: $0) },
            inserts: (json["inserts"]?.arrayValue ?? []).compactMap { RecordKey(json: $0) },
            schemaVersion: json["schema_version"]?.integerValue ?? 0, since: json["since"]?.integerValue ?? 0)
    }
}

extension RecordKey {
    /// `3/0190…`: table index and id.
    var json: JSON { .string("\(table)/\(record)") }

    init?(json: JSON) {
        guard let parts = json.stringValue?.split(separator: "/"), parts.count == 2, let table = Int(parts[0]),
            let record = RecordID(parts[1])
        else { return nil }
        self.init(table: table, record: record)
    }
}

extension StoreReader {
    func waitingCommits() throws -> [WaitingCommit] { try documents(WaitingCommit.self) }

    /// The clock and the sealed bytes of a waiting commit.
    func body(of waiting: WaitingCommit) throws -> SealedCommit {
        guard let bytes = try document(WaitingCommit.bodies, waiting.key) else {
            throw StoreError.corrupt("the waiting commit \(waiting.commit)")
        }
        var reader = ByteReader(bytes)
        do {
            let clock = try VectorClock(from: &reader)
            let sealed = try reader.blob()
            try reader.finish()
            return SealedCommit(
                id: waiting.commit, envelope: Envelope(dot: waiting.dot, stamp: waiting.stamp, clock: clock),
                sealed: sealed)
        } catch {
            throw StoreError.corrupt("the waiting commit \(waiting.commit)")
        }
    }
}

extension StoreTransaction {
    func set(_ waiting: WaitingCommit, _ commit: SealedCommit) throws {
        try set(waiting)
        var writer = ByteWriter(capacity: commit.sealed.count + 96)
        commit.envelope.clock.encode(to: &writer)
        writer.blob(commit.sealed)
        try setDocument(WaitingCommit.bodies, waiting.key, writer.bytes)
    }

    func drop(_ waiting: WaitingCommit) throws {
        try remove(waiting)
        try setDocument(WaitingCommit.bodies, waiting.key, nil)
    }
}

/// An insert that was refused or void during a refill: what needs the record is refused and does not wait (I7.5).
enum RefusedInsert {
    static let collection = "refused-insert"
    static func key(_ key: RecordKey) -> String { "\(key.table)/\(key.record)" }
}

extension StoreReader {
    func isRefusedInsert(_ key: RecordKey) throws -> Bool {
        try document(RefusedInsert.collection, RefusedInsert.key(key)) != nil
    }
}

/// A delete that only children which it covers stand against (rule I7.4): tried again when these change.
struct WaitingDelete {
    static let collection = "waiting-delete"

    var key: RecordKey
    var writer: Writer
    var clock: VectorClock

    static func prefix(_ key: RecordKey) -> String { "\(key.table)/\(key.record)/" }
    var documentKey: String { Self.prefix(key) + writer.commit.description }

    var bytes: [UInt8] {
        var out = ByteWriter(capacity: 160)
        out.count(key.table)
        out.bits(key.record.bits)
        out.varint(UInt64(bitPattern: writer.position))
        out.bits(writer.epoch.bits)
        out.fixed(writer.dot.site.rawValue)
        out.varint(UInt64(bitPattern: writer.dot.seq))
        out.fixed(writer.stamp.rawValue)
        out.bits(writer.commit.bits)
        clock.encode(to: &out)
        return out.bytes
    }

    init(key: RecordKey, writer: Writer, clock: VectorClock) {
        self.key = key
        self.writer = writer
        self.clock = clock
    }

    init(decoding bytes: [UInt8]) throws(DecodeError) {
        var reader = ByteReader(bytes)
        let table = try reader.index()
        key = RecordKey(table: table, record: RecordID(bits: try reader.bits()))
        let position = try reader.natural()
        let epoch = Epoch(bits: try reader.bits())
        let site = SiteID(rawValue: try reader.fixed())
        let dot = Dot(site: site, seq: try reader.natural())
        let stamp = HLC(rawValue: try reader.fixed())
        writer = Writer(
            position: position, epoch: epoch, dot: dot, stamp: stamp, commit: CommitID(bits: try reader.bits()))
        clock = try VectorClock(from: &reader)
        try reader.finish()
    }
}

extension StoreReader {
    func waitingDeletes() throws -> [WaitingDelete] {
        try documents(WaitingDelete.collection, prefix: "").map { entry in
            do {
                return try WaitingDelete(decoding: entry.value)
            } catch {
                throw StoreError.corrupt("the waiting delete \(entry.key)")
            }
        }
    }
}
