import PeykModel
import PeykSQLite
import Synchronization

/// Where a replica keeps its ``OverlayIndex`` between transactions; nil when it must be built anew: at first, and
/// after a transaction that failed.
final class OverlayCache: Sendable {
    let index = Mutex<OverlayIndex?>(nil)
    init() {}
}

/// Which records have commits that are not merged yet, and what these do (rule K6).
///
/// Built once from `peyk_commit` and extended as new commits are sealed. Keeps two words a change; the commits'
/// bodies are read again when they are needed, a few at a time.
struct OverlayIndex {
    /// One change of one pending commit.
    struct Item: Hashable {
        var seq: Sequence64
        /// Index in the commit's changes.
        var change: Int32
    }

    private struct Opened {
        var body: CommitBody
        var before: [BeforeImage]
    }

    struct Pending {
        var id: CommitID
        var stamp: HLC
    }

    private(set) var commits: [Sequence64: Pending] = [:]
    private(set) var items: [RecordKey: [Item]] = [:]
    /// Records whose forecast is not shown, or not whole, since a record that it needs is not here.
    var hidden: Set<RecordKey> = []
    /// Records whose pending delete is not shown, since a living child is here.
    var revealed: Set<RecordKey> = []
    private var numbers: [CommitID: Sequence64] = [:]
    private var opened: [Sequence64: Opened] = [:]
    private var openedOrder: [Sequence64] = []
    private var openedChanges = 0
    private var lastSeen: Sequence64 = 0
    private var stored: [String: Set<RecordKey>] = ["overlay_hidden": [], "overlay_revealed": []]

    private static let openedChangesMax = 50_000

    var isEmpty: Bool { items.isEmpty }

    init() {}

    /// An empty index with the overlay's notes of the last transaction; ``catchUp(_:)`` fills it.
    init(restoring connection: Connection) throws {
        for (name, path) in [("overlay_hidden", \OverlayIndex.hidden), ("overlay_revealed", \.revealed)] {
            guard case .blob(let bytes)? = try connection.value(Self.noteSQL, [.text(name)]) else { continue }
            var reader = ByteReader(bytes)
            var keys: Set<RecordKey> = []
            do {
                for _ in 0..<(try reader.count()) {
                    let table = try reader.index()
                    keys.insert(RecordKey(table: table, record: RecordID(bits: try reader.bits())))
                }
            } catch { throw ReplicaError.damaged("peyk_meta, \(name): \(error)") }
            self[keyPath: path] = keys
            stored[name] = keys
        }
    }

    private static let noteSQL = "SELECT value FROM peyk_meta WHERE key = ?1"

    /// Writes what the next process must know: both sets are nearly always empty.
    mutating func store(_ connection: Connection) throws {
        for (name, keys) in [("overlay_hidden", hidden), ("overlay_revealed", revealed)] where stored[name] != keys {
            stored[name] = keys
            guard !keys.isEmpty else {
                try connection.run("DELETE FROM peyk_meta WHERE key = ?1", [.text(name)])
                continue
            }
            var writer = ByteWriter()
            writer.count(keys.count)
            for key in keys.sorted() {
                writer.count(key.table)
                writer.bits(key.record.bits)
            }
            try connection.run(
                """
                INSERT INTO peyk_meta(key, value) VALUES (?1, ?2)
                ON CONFLICT(key) DO UPDATE SET value = excluded.value
                """, [.text(name), .blob(writer.bytes)])
        }
    }

    /// Reads the commits sealed since the last call.
    /// - Complexity: O(their bytes).
    mutating func catchUp(_ connection: Connection) throws {
        let statement = try connection.statement(
            """
            SELECT seq, id, stamp, sealed, answer FROM peyk_commit WHERE seq > ?1 AND state NOT IN (2, 5) ORDER BY seq
            """)
        try statement.bind(1, int64: lastSeen)
        var held: Set<Sequence64> = []
        while try statement.step() {
            let seq = statement.int64(0)
            if seq >= OutboxCommit.heldBase { held.insert(seq) }
            guard commits[seq] == nil else { continue }
            try add(seq, statement)
        }
        statement.reset()
        // A held commit that was released by another process has another number now.
        guard commits.keys.allSatisfy({ $0 < OutboxCommit.heldBase || held.contains($0) }) else {
            self = try OverlayIndex(restoring: connection)
            return try catchUp(connection)
        }
    }

    private mutating func add(_ seq: Sequence64, _ statement: Statement) throws {
        guard let id = CommitID(bytes: statement.blob(1)) else { throw ReplicaError.damaged("a commit has no id") }
        let body: CommitBody
        do { body = try CommitBody(decoding: try statement.unpacked(3)) } catch {
            throw ReplicaError.damaged("peyk_commit, seq \(seq): \(error)")
        }
        let answer = statement.isNull(4) ? nil : try? Answer(stored: statement.blob(4))
        add(
            seq, Pending(id: id, stamp: HLC(rawValue: UInt64(bitPattern: statement.int64(2)))),
            body.leavingOut(what: answer))
    }

    /// Takes in one commit that was merged for the replica till now: the server has said that it waits (rule I7.5). The
    /// caller recomputes the records that it names.
    mutating func include(_ seq: Sequence64, _ connection: Connection) throws {
        guard commits[seq] == nil else { return }
        let statement = try connection.statement(
            "SELECT seq, id, stamp, sealed, answer FROM peyk_commit WHERE seq = ?1")
        try statement.bind(1, int64: seq)
        defer { statement.reset() }
        if try statement.step() { try add(seq, statement) }
        // In the order of sealing, wherever it comes in.
        for key in items.keys where items[key]?.last?.seq == seq { items[key]?.sort { $0.seq < $1.seq } }
    }

    private mutating func add(_ seq: Sequence64, _ pending: Pending, _ body: CommitBody) {
        commits[seq] = pending
        numbers[pending.id] = seq
        for (index, change) in body.changes.enumerated() {
            let key = RecordKey(table: change.table, record: change.record)
            items[key, default: []].append(Item(seq: seq, change: Int32(clamping: index)))
        }
        if seq < OutboxCommit.heldBase { lastSeen = max(lastSeen, seq) }
    }

    func seq(of commit: CommitID) -> Sequence64? { numbers[commit] }

    func isPending(_ key: RecordKey) -> Bool { items[key] != nil }

    /// The latest stamp among pending commits; nil if there are none.
    var lastStamp: HLC? { commits.values.map(\.stamp).max() }

    /// The pending changes of a record, oldest first, with what each replaced.
    mutating func changes(of key: RecordKey, _ connection: Connection) throws -> [(change: Change, before: BeforeImage)]
    {
        try (items[key] ?? []).compactMap { item in
            let opened = try open(item.seq, connection)
            let index = Int(item.change)
            guard opened.body.changes.indices.contains(index), opened.before.indices.contains(index) else { return nil }
            return (opened.body.changes[index], opened.before[index])
        }
    }

    /// The body of a commit in `peyk_commit`, pending or not.
    mutating func body(_ seq: Sequence64, _ connection: Connection) throws -> CommitBody {
        try open(seq, connection).body
    }

    private mutating func open(_ seq: Sequence64, _ connection: Connection) throws -> Opened {
        if let known = opened[seq] { return known }
        let statement = try connection.statement("SELECT sealed, before, answer FROM peyk_commit WHERE seq = ?1")
        try statement.bind(1, int64: seq)
        defer { statement.reset() }
        guard try statement.step() else { throw ReplicaError.damaged("the commit \(seq) is missing") }
        let commit: Opened
        do {
            let answer = statement.isNull(2) ? nil : try? Answer(stored: statement.blob(2))
            commit = Opened(
                body: try CommitBody(decoding: try statement.unpacked(0)).leavingOut(what: answer),
                before: try BeforeImage.list(decoding: try statement.unpacked(1)))
        } catch {
            throw ReplicaError.damaged("the commit \(seq) cannot be read: \(error)")
        }
        keep(seq, commit)
        return commit
    }

    private mutating func keep(_ seq: Sequence64, _ commit: Opened) {
        opened[seq] = commit
        openedOrder.append(seq)
        openedChanges += commit.body.changes.count
        while openedChanges > Self.openedChangesMax, openedOrder.count > 1 {
            let oldest = openedOrder.removeFirst()
            openedChanges -= opened.removeValue(forKey: oldest)?.body.changes.count ?? 0
        }
    }

    /// Takes a commit out of the overlay; the caller recomputes the records that it names.
    mutating func remove(_ seq: Sequence64, _ body: CommitBody) {
        guard let pending = commits.removeValue(forKey: seq) else { return }
        numbers[pending.id] = nil
        for change in body.changes {
            let key = RecordKey(table: change.table, record: change.record)
            guard var list = items[key] else { continue }
            list.removeAll { $0.seq == seq }
            items[key] = list.isEmpty ? nil : list
        }
    }
}

extension CommitBody {
    /// Without what the server refused of it, to its author's knowledge (rule I8): the refused parts keep their places
    /// and do nothing. The sealed bytes stay as they are (rule C1).
    func leavingOut(what answer: Answer?) -> CommitBody {
        guard let answer, answer.isRefusal else { return self }
        var body = self
        let isWhole = answer.verdict == .refused && !answer.notices.contains { $0.change >= 0 && $0.code.parks }
        for index in changes.indices {
            for notice in answer.notices where notice.code.parks && (notice.change == index || notice.change < 0) {
                if notice.cell < 0 || changes[index].kind != .update {
                    body.changes[index].kind = .update
                    body.changes[index].cells = []
                } else {
                    body.changes[index].cells.removeAll { $0.cell == notice.cell }
                }
            }
            guard isWhole else { continue }
            body.changes[index].kind = .update
            body.changes[index].cells = []
        }
        return body
    }
}

extension Answer {
    /// Whether it says that something did not enter, for good.
    var isRefusal: Bool { verdict == .refused || notices.contains { $0.code.parks } }
}
