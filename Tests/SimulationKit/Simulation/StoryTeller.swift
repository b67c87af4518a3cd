import PeykModel
import PeykReplica
import PeykServer
import SeededRandom

/// A world in which stories are told, some side by side and those one after another.
final class StoryTeller {
    /// The log grows with each story, and what looks at all of it slows down.
    static let storiesMax = 250

    let world: SimulatedWorld
    private(set) var told = 0
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

    /// Tells stories that sync at the same moments.
    ///
    /// - Returns: how many syncs it took.
    func tell(_ stories: [SmallWorld.Story]) throws -> Int {
        guard let first = stories.first else { return 0 }
        syncs = 0
        let before = world.archive.head
        let made = Set(world.archive.made.keys)
        let keys = stories.map { _ in
            told += 1
            return RecordKey(table: table, record: TestSchema.id(60, told))
        }
        switch first.beginning {
        case .nothing: break
        case .shared:
            try byServer(
                keys.map { Change(table: table, record: $0.record, kind: .insert, cells: row(territory: 0)) })
            for client in world.clients { try sync(client) }
        case .unsent:
            for key in keys {
                try write(0, "INSERT INTO customer (id, name, territory_id) VALUES (?1, 'first', ?2)", key)
            }
        }
        for (index, pause) in first.pauses.enumerated() {
            for (story, key) in zip(stories, keys) { try perform(story.operations[index], key) }
            for event in pause { try perform(event, keys[0]) }
        }
        try settle(keys)
        try audit(keys, after: before, except: made)
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
        try byServer([Change(table: table, record: key.record, kind: .update, cells: [change])])
    }

    private func byServer(_ changes: [Change]) throws {
        try world.server.workspace.serverCommit(changes)
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

    /// All sync until each has everything; then all show the same, as far as each may see it (P1, P26).
    private func settle(_ keys: [RecordKey]) throws {
        var rounds = 0
        var rest = world.clients
        while !rest.isEmpty {
            rounds += 1
            guard rounds <= 6 else { throw Finding("P26", "no rest after 6 rounds") }
            for client in rest { try sync(client) }
            rest = try world.clients.filter { try !world.isDone($0) }
        }
        for client in world.clients { for key in keys { try compare(client, key) } }
    }

    private func compare(_ client: SimulatedClient, _ key: RecordKey) throws {
        guard let replica = client.replica else { return }
        let last = world.archive.version(of: key, at: world.archive.head)
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

    private func audit(_ keys: [RecordKey], after before: Position, except made: Set<CommitID>) throws {
        let archive = world.archive
        let written = archive.made.filter { !made.contains($0.key) }.values
        let entries = archive.entries.filter { $0.position > before }
        let findings = try world.server.workspace.store.read { reader in
            try Audit(
                reader,
                written: written.map { Audit.Written(author: $0.client, commit: $0.commit, body: $0.body) },
                hadSeen: archive.hadSeen, entries: entries
            ).findings()
        }
        if let first = findings.first { throw Finding("P2", first) }
        let writtenTo = Dictionary(grouping: written) { $0.body.changes.first?.record }
        var movedAt: [RecordKey: [Position]] = [:]
        for entry in entries where entry.kind == .server {
            for effect in entry.effects { movedAt[effect.key, default: []].append(entry.position) }
        }
        for key in keys {
            try checkDeletes(of: key, writtenTo[key.record] ?? [], moved: movedAt[key] ?? [])
        }
    }

    /// A delete that had seen every other write stands (P13).
    private func checkDeletes(of key: RecordKey, _ written: [Archive.Made], moved: [Position]) throws {
        let archive = world.archive
        guard archive.version(of: key, at: archive.head)?.row != nil else { return }
        for delete in written where delete.body.changes.contains(where: { $0.kind == .delete }) {
            let merged = archive.positions[delete.commit.id].flatMap { archive.entry(at: $0) }
            guard let merged, merged.answer.verdict == .merged, merged.answer.notices.isEmpty else { continue }
            guard !moved.contains(where: { $0 > delete.seen.position }),
                written.allSatisfy({ other in
                    other.commit.id == delete.commit.id || archive.hadSeen(delete.commit.id, other.commit.id)
                })
            else { continue }
            throw Finding("P13", "the record lives, though a delete had seen everything")
        }
    }
}
