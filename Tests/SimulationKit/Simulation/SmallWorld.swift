import PeykModel
import PeykReplica
import PeykServer

/// Every short story of one record: three replicas and a server, one row, two fields, up to three operations, and
/// between them every order in which up to two replicas sync. Each story runs the real code to its end, in a world
/// that many stories share, with a record of its own.
public struct SmallWorld {
    /// What happens in a story. The third replica is a rep's of the first territory; the others are managers'.
    public enum Event: Hashable, Sendable, CustomStringConvertible {
        /// Also of a record that this replica knows and that is deleted: a re-insert.
        case insert(Int)
        case setA(Int)
        case setB(Int)
        case delete(Int)
        /// IT moves the record to where the third replica does not see it, or back.
        case scopeOut
        case scopeIn
        case sync(Int)

        public var description: String {
            switch self {
            case .insert(let replica): "insert@\(replica)"
            case .setA(let replica): "a@\(replica)"
            case .setB(let replica): "b@\(replica)"
            case .delete(let replica): "delete@\(replica)"
            case .scopeOut: "out"
            case .scopeIn: "in"
            case .sync(let replica): "sync \(replica)"
            }
        }
    }

    public struct Report: Sendable {
        public var stories = 0
        public var syncs = 0
        public var failures: [(story: [Event], finding: Finding)] = []
    }

    static let replicas = 3

    /// The syncs between two operations: none, one, or two different replicas in either order.
    static let pauses: [[Event]] = {
        var pauses: [[Event]] = [[]]
        for first in 0..<replicas {
            pauses.append([.sync(first)])
            for second in 0..<replicas where second != first { pauses.append([.sync(first), .sync(second)]) }
        }
        return pauses
    }()

    static let operations: [Event] = {
        var operations: [Event] = [.scopeOut, .scopeIn]
        for replica in 0..<replicas {
            operations += [.insert(replica), .setA(replica), .setB(replica), .delete(replica)]
        }
        return operations
    }()

    /// All stories of up to three operations that follow a first insert at the first replica or IT's own, which is
    /// known to all, or to nobody else yet. Numbered, so that a part of them can be run.
    ///
    /// The two managers are alike, so that the second writes only where the first has written before.
    public static var count: Int {
        let step = pauses.count * operations.count
        return beginnings.count * (step + step * step + step * step * step)
    }

    /// How the record came to be: not at all; by IT, and all have it; at the first replica, unsent.
    enum Beginning: Int, CaseIterable { case nothing, shared, unsent }
    static let beginnings = Beginning.allCases

    /// The story of a number below ``count``.
    static func story(_ number: Int) -> (beginning: Beginning, events: [Event]) {
        let step = pauses.count * operations.count
        var rest = number
        let beginning = beginnings[rest % beginnings.count]
        rest /= beginnings.count
        var length = 1
        var size = step
        while rest >= size, length < 3 {
            rest -= size
            length += 1
            size *= step
        }
        var events: [Event] = []
        for _ in 0..<length {
            let part = rest % step
            rest /= step
            events.append(operations[part % operations.count])
            events += pauses[part / operations.count]
        }
        return (beginning, events)
    }

    /// Whether the story says something that a smaller number does not: operations must be possible, and the second
    /// manager acts only in stories in which the first does.
    static func isTold(_ beginning: Beginning, _ events: [Event]) -> Bool {
        var hasFirstActed = beginning == .unsent
        var known = [Bool](repeating: beginning == .shared, count: replicas)
        if beginning == .unsent { known[0] = true }
        var isOnServer = beginning == .shared
        var isOut = false
        var isOpen = beginning == .unsent
        for event in events {
            switch event {
            case .insert(let replica), .setA(let replica), .setB(let replica), .delete(let replica):
                if replica == 1, !hasFirstActed { return false }
                if replica == 0 { hasFirstActed = true }
                if case .insert = event { known[replica] = true } else if !known[replica] { return false }
                isOpen = true
            case .scopeOut:
                if isOut || !isOnServer { return false }
                isOut = true
            case .scopeIn:
                if !isOut { return false }
                isOut = false
            case .sync(let replica):
                if known[replica] { isOnServer = isOnServer || isOpen }
                if isOnServer { known[replica] = true }
            }
        }
        return true
    }

    /// Runs the stories from `first` on, each `stride`-th, until `limit` were told.
    ///
    /// - Parameter stopAfter: so many failures end the run.
    public static func run(first: Int, stride: Int, limit: Int, stopAfter: Int = 5) throws -> Report {
        var report = Report()
        var number = first
        var teller: StoryTeller?
        defer { teller?.shutDown() }
        while number < count, report.stories < limit, report.failures.count < stopAfter {
            let (beginning, events) = story(number)
            number += stride
            guard isTold(beginning, events) else { continue }
            if report.stories % StoryTeller.storiesMax == 0 || teller == nil {
                teller?.shutDown()
                teller = try StoryTeller()
            }
            report.stories += 1
            do {
                report.syncs += try teller?.tell(beginning, events) ?? 0
            } catch let finding as Finding {
                report.failures.append((events, finding))
                teller?.shutDown()
                teller = nil
            }
        }
        return report
    }
}

/// A world in which stories are told one after another.
private final class StoryTeller {
    /// The log grows with each story, and what looks at all of it slows down.
    static let storiesMax = 150

    let world: SimulatedWorld
    private var told = 0
    private var random = SplitMix64(seed: 5)
    private var syncs = 0
    private let table: Int
    private let customer: Table

    init() throws {
        world = try SimulatedWorld(Schedule(seed: 1, shape: Schedule.Shape(clients: 3, isOpen: true), steps: []))
        world.isHealing = true
        guard let index = world.archive.schema.tableIndex("customer"), let table = world.archive.schema.table(at: index)
        else { throw Finding("harness", "no table customer") }
        self.table = index
        customer = table
        try world.server.workspace.setUser(
            TestSchema.user(2), name: "user2", role: .rep, territories: [TestSchema.territory(0).description])
        world.rights[2]?.append((try world.server.workspace.head() - 1, try world.grant(of: 2)))
        for _ in 0..<3 { for client in world.clients { try world.sync(client, &random) } }
        try world.look()
    }

    func shutDown() { world.shutDown() }

    /// - Returns: how many syncs it took.
    func tell(_ beginning: SmallWorld.Beginning, _ events: [SmallWorld.Event]) throws -> Int {
        told += 1
        syncs = 0
        let key = RecordKey(table: table, record: TestSchema.id(60, told))
        let before = world.archive.head
        let made = Set(world.archive.made.keys)
        switch beginning {
        case .nothing: break
        case .shared:
            try byServer(Change(table: table, record: key.record, kind: .insert, cells: row(territory: 0)))
            for client in world.clients { try sync(client) }
        case .unsent: try write(0, "INSERT INTO customer (id, name, territory_id) VALUES (?1, 'first', ?2)", key)
        }
        for event in events { try perform(event, key) }
        try settle(key, after: before)
        try audit(key, after: before, except: made, events)
        return syncs
    }

    private func perform(_ event: SmallWorld.Event, _ key: RecordKey) throws {
        world.time.advance(1_000)
        switch event {
        case .insert(let replica):
            try write(
                replica, "INSERT OR IGNORE INTO customer (id, name, territory_id) VALUES (?1, 'new\(replica)', ?2)", key
            )
        case .setA(let replica):
            try write(replica, "UPDATE customer SET name = 'a\(replica)-\(world.time.now)' WHERE id = ?1", key)
        case .setB(let replica):
            try write(replica, "UPDATE customer SET phone = 'b\(replica)-\(world.time.now)' WHERE id = ?1", key)
        case .delete(let replica): try write(replica, "DELETE FROM customer WHERE id = ?1", key)
        case .scopeOut: try move(key, to: 1)
        case .scopeIn: try move(key, to: 0)
        case .sync(let replica): try sync(world.clients[replica])
        }
    }

    private func write(_ replica: Int, _ sql: String, _ key: RecordKey) throws {
        let client = world.clients[replica]
        let values = [Value(key.record)] + (sql.contains("?2") ? [Value(TestSchema.territory(0))] : [])
        _ = try client.replica?.write { try $0.execute(sql, values) }
        try world.note(client)
    }

    private func row(territory: Int) -> [CellChange] {
        var cells: [CellChange] = []
        if let name = customer.cell(named: "name") {
            cells.append(CellChange(cell: name.tag, write: .assign([.text("first")])))
        }
        if let cell = customer.cell(named: "territory_id") {
            cells.append(CellChange(cell: cell.tag, write: .assign([Value(TestSchema.territory(territory))])))
        }
        return cells.sorted { $0.cell < $1.cell }
    }

    private func move(_ key: RecordKey, to territory: Int) throws {
        guard let cell = customer.cell(named: "territory_id") else { return }
        let change = CellChange(cell: cell.tag, write: .assign([Value(TestSchema.territory(territory))]))
        try byServer(Change(table: table, record: key.record, kind: .update, cells: [change]))
    }

    private func byServer(_ change: Change) throws {
        try world.server.workspace.serverCommit([change])
        try world.look()
    }

    private func sync(_ client: SimulatedClient) throws {
        world.time.advance(1_000)
        syncs += 1
        try world.connect(client)
        guard let link = client.link else { return }
        while client.link === link, try world.advance(link, &random) {}
        world.server.disconnected(link)
        world.abandoned = []
        try world.look()
    }

    /// All sync until nothing moves; then all show the same, as far as each may see it (P1, P26).
    private func settle(_ key: RecordKey, after before: Position) throws {
        var rounds = 0
        var isAtRest = false
        while !isAtRest {
            rounds += 1
            guard rounds <= 6 else { throw Finding("P26", "no rest after 6 rounds") }
            let head = world.archive.head
            for client in world.clients { try sync(client) }
            isAtRest = world.archive.head == head
        }
        let last = world.archive.version(of: key, at: world.archive.head)
        for client in world.clients {
            guard let replica = client.replica else { continue }
            let shown = try replica.read { try $0.row("customer", key.record) }
            let isVisible = try last.map { try world.grant(of: client.user).reads($0.audience) } ?? false
            let expected = isVisible ? last?.row : nil
            guard (shown == nil) == (expected == nil),
                shown.map({ $0.differs(from: expected ?? $0, count: customer.fields.count).isEmpty }) ?? true
            else {
                let here = shown.map { "\($0.values)" } ?? "nothing"
                let there = expected.map { "\($0.values)" } ?? "nothing"
                throw Finding("P1", "replica \(client.number) shows \(here), the server \(there)")
            }
        }
    }

    private func audit(
        _ key: RecordKey, after before: Position, except made: Set<CommitID>, _ events: [SmallWorld.Event]
    ) throws {
        let archive = world.archive
        let written = archive.made.filter { !made.contains($0.key) }.values
        let findings = try world.server.workspace.store.read { reader in
            try Audit(
                reader,
                written: written.map { Audit.Written(author: $0.client, commit: $0.commit, body: $0.body) },
                hadSeen: archive.hadSeen, entries: archive.entries.filter { $0.position > before }
            ).findings()
        }
        if let first = findings.first { throw Finding("P2", first) }
        // A delete that had seen every other write stands (P13).
        guard archive.version(of: key, at: archive.head)?.row != nil else { return }
        for delete in written where delete.body.changes.contains(where: { $0.kind == .delete }) {
            let merged = archive.positions[delete.commit.id].flatMap { archive.entry(at: $0) }
            guard let merged, merged.answer.verdict == .merged, merged.answer.notices.isEmpty else { continue }
            let others = written.filter { $0.commit.id != delete.commit.id }
            let moved = archive.entries.contains { $0.position > max(before, delete.seen) && $0.kind == .server }
            guard !moved, others.allSatisfy({ archive.hadSeen(delete.commit.id, $0.commit.id) }) else { continue }
            throw Finding("P13", "the record lives, though a delete had seen everything")
        }
    }
}
