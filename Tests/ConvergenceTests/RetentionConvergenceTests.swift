import PeykMerge
import PeykModel
import PeykServer
import SeededRandom
import SimulationKit
import Testing

/// Real replicas, random schedules, and collection between any two steps (P14).
@Suite("Retention under random schedules")
struct RetentionConvergenceTests {
    /// - Parameter collects: whether tombstones are collected on the way; nothing else depends on it.
    private func run(seed: UInt64, collects: Bool, steps: Int = 150) throws -> World {
        let world = try World(
            seed: seed, shape: World.Shape(reps: 3, customers: 12, opportunities: 12), store: MemoryStore())
        try world.workspace.setRetention(tombstones: 0)
        try quiet(world)
        var draw = SplitMix64(seed: seed ^ 0xC0_11EC7)
        for _ in 0..<steps {
            guard let rep = world.random.pickIfAny(world.reps) else { continue }
            if world.random.chance(70) {
                try world.edit(rep)
            } else {
                try world.sync(rep, cutAfter: world.random.chance(40) ? world.random.draw(12) : nil)
            }
            if draw.chance(50), collects { try world.workspace.collectAll() }
        }
        try world.settle()
        if collects { try world.workspace.collectAll() }
        return world
    }

    /// Without the ids of commits, and of ledger entries, which are made of them: what other programs write gets its id
    /// from SQLite's own random numbers (decision 0018).
    private func nameless(_ dump: [String]) -> [String] {
        dump.map { line in
            guard line.hasPrefix("peyk_ledger ") else { return line }
            let rest = line.split(separator: " ", maxSplits: 2).last.map(String.init) ?? ""
            return "peyk_ledger " + rest.replacing(/\\"commit\\":\\"[0-9a-f-]{36}/, with: "")
        }
        .sorted()
    }

    /// The ledger is not swept: its acts would take positions that the other run lacks.
    private func quiet(_ world: World) throws {
        try world.workspace.store.write { transaction in
            var collection = try transaction.collection()
            collection.sweptAt = .max / 2
            try transaction.set(collection)
        }
    }

    @Test(
        "as long as no lease ends, collection at any moment changes no outcome (P14, m13, F44, F46)",
        arguments: Seeds.range)
    func collectionChangesNothing(seed: UInt64) throws {
        let collected = try run(seed: seed, collects: true)
        let plain = try run(seed: seed, collects: false)
        ConvergenceTests().compare(
            "what was collected", nameless(try collected.serverDump()), with: nameless(try plain.serverDump()),
            seed: seed)
        #expect(try collected.workspace.head() == plain.workspace.head(), "replay with PEYK_SEEDS=\(seed)")
        for rep in collected.reps {
            #expect(
                try collected.dump(rep) == collected.serverDump(as: rep.user),
                "replica \(rep.number), replay with PEYK_SEEDS=\(seed)")
        }
        let findings = try collected.auditFindings()
        #expect(findings.isEmpty, "P2, replay with PEYK_SEEDS=\(seed): \(findings.prefix(5).joined(separator: "\n"))")
        #expect(
            try collected.workspace.store.read { try $0.tombstoneCount() } == 0,
            "all have passed all, replay with PEYK_SEEDS=\(seed)")
    }

    @Test(
        "leases end, the log is cut, devices come back with edits: all converge, and nothing deleted lives again (P13, P14, F42)",
        arguments: Seeds.range)
    func zeroResurrections(seed: UInt64) throws {
        let world = try World(
            seed: seed, shape: World.Shape(reps: 4, customers: 12, opportunities: 12), store: MemoryStore())
        let workspace = world.workspace
        try workspace.setRetention(lease: 86_400, tombstones: 0)
        var gone: [RecordKey: Position] = [:]
        func tombstones() throws -> [RecordKey: Position] {
            try workspace.store.read { reader in
                var found: [RecordKey: Position] = [:]
                try reader.tombstones(upTo: .max) { key, record in
                    found[key] = record.position
                    return true
                }
                return found
            }
        }
        for step in 0..<160 {
            guard let rep = world.random.pickIfAny(world.reps) else { continue }
            switch world.random.draw(100) {
            case 0..<65: try world.edit(rep)
            case 65..<90: try world.sync(rep, cutAfter: world.random.chance(30) ? world.random.draw(12) : nil)
            case 90..<94:
                // A day and more of service: the leases of all end that do not sync now.
                workspace.beginServing()
                for _ in 0..<721 {
                    world.time.advance(2 * Workspace.noteServedMilliseconds)
                    try workspace.noteServed()
                }
                if let other = world.random.pickIfAny(world.reps) { try world.sync(other) }
            case 94 where step > 40: world.time.advance(401 * 86_400_000)
            default:
                let before = try tombstones()
                try workspace.collectAll()
                let after = try tombstones()
                for (key, position) in before where after[key] == nil { gone[key] = position }
            }
        }
        try world.settle()
        for rep in world.reps {
            #expect(
                try world.dump(rep) == world.serverDump(as: rep.user),
                "replica \(rep.number), replay with PEYK_SEEDS=\(seed)")
        }
        let inserts = Set(
            world.written.flatMap { write in
                write.body.changes.filter { $0.kind == .insert }
                    .map { Insert(commit: write.commit.id, key: RecordKey(table: $0.table, record: $0.record)) }
            })
        try workspace.store.read { reader in
            for (key, position) in gone {
                guard let record = try reader.record(key), record.state.isAlive else { continue }
                let anew = record.state.clock.created.contains {
                    $0.position > position && inserts.contains(Insert(commit: $0.commit, key: key))
                }
                #expect(anew, "\(key) lives again although nobody made it anew, replay with PEYK_SEEDS=\(seed)")
            }
        }
    }

    @Test("pages of added buckets that a cut left unfinished are no part of a resync (B1, T1)", arguments: 0...14)
    func widenThenResync(cut: Int) throws {
        let world = try World(seed: 9, shape: World.Shape(reps: 2, role: .rep), store: MemoryStore())
        let workspace = world.workspace
        let rep = world.reps[0]
        try workspace.setRetention(lease: 86_400, tombstones: 0)
        workspace.beginServing()
        try world.settle()
        try workspace.setUser(rep.user, name: "user0", role: .manager, territories: [])
        try world.sync(rep, cutAfter: cut)
        // The lease ends: whatever the device holds, it must load everything anew.
        for _ in 0..<721 {
            world.time.advance(2 * Workspace.noteServedMilliseconds)
            try workspace.noteServed()
        }
        try workspace.collectAll()
        try world.edit(world.reps[1])
        try world.settle()
        #expect(try world.dump(rep) == world.serverDump(as: rep.user), "cut after \(cut)")
    }

    private struct Insert: Hashable {
        var commit: CommitID
        var key: RecordKey
    }
}
