import PeykMerge
import PeykModel
import PeykServer
import PeykSession
import SeededRandom
import Synchronization

/// A workspace in memory with a clock and random bytes of its own, and IT's side of it.
final class Office {
    private(set) var store: any Store
    let keys: WorkspaceKeys
    private(set) var workspace: Workspace
    private let environment: ServerEnvironment
    private let journal: (any AdminJournal)?
    let time: ManualTime
    let warnings = Warnings()
    let fingerprint: [UInt8] = Array(repeating: 9, count: 32)

    static let north = Sample.id(1)
    static let south = Sample.id(2)

    convenience init(seed: UInt64 = 1, journal: (any AdminJournal)? = nil) throws {
        try self.init(store: MemoryStore(), seed: seed, journal: journal)
    }

    init(store: any Store, seed: UInt64 = 1, existing: WorkspaceKeys? = nil, journal: (any AdminJournal)? = nil) throws
    {
        self.journal = journal
        let time = ManualTime()
        let random = SeededBytes(seed: seed)
        let warnings = self.warnings
        let environment = ServerEnvironment(
            now: { time.now }, random: { random.bytes($0) }, warn: { warnings.append($0) })
        self.store = store
        self.time = time
        self.environment = environment
        if let existing {
            keys = existing
            workspace = try Workspace(store: store, keys: existing, environment: environment, journal: journal)
            return
        }
        keys = try WorkspaceKeys.generate { random.bytes($0) }
        workspace = try Workspace.create(
            name: "sales", schema: Sample.schema, store: store, keys: keys, environment: environment)
        if let journal {
            workspace = try Workspace(store: store, keys: keys, environment: environment, journal: journal)
        }
        try insertReferenceData()
    }

    /// The workspace as it stands, for ``restore(_:)``.
    func backup() throws -> MemoryStore {
        guard let store = store as? MemoryStore else { throw TestFailure("not in memory") }
        return MemoryStore(copying: store)
    }

    /// Puts a backup in place of the workspace and begins a new epoch, as `peykd restore` does.
    func restore(_ backup: MemoryStore) throws {
        let lost = try store.read { try $0.workspaceDocument().lineage.eras.map(\.epoch) }
        try replace(with: MemoryStore(copying: backup))
        try workspace.beginEpoch(superseding: lost)
    }

    /// Puts a copy of the data in place and tells nobody.
    func replace(with copy: MemoryStore) throws {
        store = copy
        workspace = try Workspace(store: copy, keys: keys, environment: environment, journal: journal)
    }

    private func insertReferenceData() throws {
        var changes = [
            Sample.insert("territory", Self.north, ["name": "North"]),
            Sample.insert("territory", Self.south, ["name": "South"]),
        ]
        for (index, stage) in ["Lead", "Offer", "Won", "Lost"].enumerated() {
            let kind = stage == "Won" ? "won" : stage == "Lost" ? "lost" : "open"
            changes.append(
                Sample.insert(
                    "stage", Sample.stage(stage),
                    ["name": .text(stage), "place": .integer(Int64(index)), "kind": .text(kind)]))
        }
        try act(changes)
    }

    /// The server's own writes; all must be taken.
    @discardableResult
    func act(_ changes: [Change]) throws -> ServerOutcome {
        let outcome = try workspace.serverCommit(changes)
        guard outcome.answer.verdict == .merged, outcome.answer.notices.isEmpty else {
            throw TestFailure("the server's act was refused: \(outcome.answer)")
        }
        return outcome
    }

    @discardableResult
    func user(_ number: UInt64, _ name: String, _ role: Role, _ territories: [RecordID] = []) throws -> RecordID {
        let id = Sample.id(1_000 + number)
        if try record("user", id) == nil { try act([Sample.insert("user", id, ["name": .text(name)])]) }
        try workspace.setUser(id, name: name, role: role, territories: territories.map(\.description))
        return id
    }

    /// Serves for so long by the office's clock, noting it every minute as a server does (rule T1).
    func serve(minutes: Int64) throws {
        workspace.beginServing()
        for _ in 0..<minutes {
            time.advance(Workspace.noteServedMilliseconds)
            try workspace.noteServed()
        }
    }

    func device(_ user: RecordID, key: UInt8 = 1) throws -> Device {
        let invite = try workspace.invite(user: user, lifetimeSeconds: 3_600)
        return try Device(self, user: user, code: invite.code, key: key)
    }

    // MARK: - Looking at the store

    func record(_ table: String, _ id: RecordID) throws -> StoredRecord? {
        try store.read { try $0.record(Sample.key(table, id)) }
    }

    func row(_ table: String, _ id: RecordID) throws -> Row? {
        try record(table, id).flatMap { $0.state.isAlive ? $0.state.row : nil }
    }

    func value(_ table: String, _ id: RecordID, _ field: String) throws -> Value? {
        try row(table, id)?[Sample.field(table, field)]
    }

    /// Living ledger rows, as name → value.
    func ledger() throws -> [[String: Value]] {
        var rows: [[String: Value]] = []
        try store.read { reader throws in
            try reader.records(of: Schema.ledgerIndex, after: nil) { _, record in
                var row: [String: Value] = [:]
                for (index, field) in Schema.ledger.fields.enumerated() { row[field.name] = record.state.row[index] }
                rows.append(row)
                return true
            }
        }
        return rows
    }

    /// What a holder of the grant must see: every living row in its buckets.
    func rows(for grant: Grant) throws -> [RecordKey: Row] {
        var found: [RecordKey: Row] = [:]
        try store.read { reader throws in
            for table in reader.schema.tables.indices {
                try reader.records(of: table, after: nil) { id, record in
                    if grant.reads(record.audience) { found[RecordKey(table: table, record: id)] = record.state.row }
                    return true
                }
            }
        }
        return found
    }

    func log() throws -> [LogEntry] {
        var entries: [LogEntry] = []
        try store.read { reader throws in
            try reader.log(after: 0, upTo: .max) { entry in
                entries.append(entry)
                return true
            }
        }
        return entries
    }
}

struct TestFailure: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

/// Unix milliseconds that only the test moves.
final class ManualTime: Sendable {
    private let value = Mutex<Int64>(1_750_000_000_000)
    var now: Int64 { value.withLock { $0 } }
    func advance(_ milliseconds: Int64) { value.withLock { $0 += milliseconds } }
}

final class SeededBytes: Sendable {
    private let generator: Mutex<SplitMix64>
    init(seed: UInt64) { generator = Mutex(SplitMix64(seed: seed)) }
    func bytes(_ count: Int) -> [UInt8] {
        generator.withLock { generator in
            (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next() >> 32) }
        }
    }
}

final class Warnings: Sendable {
    private let lines = Mutex<[String]>([])
    func append(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
}
