import PeykModel
import PeykReplica
import PeykServer
import PeykSession
import SeededRandom
import SimulationKit
import Testing

/// Copies and restored images of laptops, in any order with edits, syncs and cuts: every commit of either lives, none
/// counts twice (rules I2 to I4; findings m15 to m21).
@Suite("Copies and restored images")
struct CopyTests {
    private func settled(_ world: World, seed: UInt64) throws {
        try world.settle(rounds: 8)
        try ConvergenceTests().agree(world, seed: seed)
        for rep in world.reps {
            let status = try rep.replica.status()
            #expect(status.pending == status.held, "PEYK_SEEDS=\(seed), replica \(rep.number)")
        }
        let findings = try world.auditFindings()
        #expect(findings.isEmpty, "P2, replay with PEYK_SEEDS=\(seed): \(findings.prefix(5).joined(separator: "\n"))")
        let sites = try Set(world.reps.map { try $0.replica.status().site })
        #expect(sites.count == world.reps.count, "two replicas under one site, PEYK_SEEDS=\(seed)")
        let keys = try world.sitesInUse().filter { sites.contains($0.site) }.map(\.key)
        #expect(Set(keys).count == keys.count, "two replicas with one key, PEYK_SEEDS=\(seed)")
    }

    @Test(
        "copies are found out, get an identity and a key of their own, and nothing is lost or doubled",
        arguments: Seeds.range)
    func clones(seed: UInt64) throws {
        let world = try World(seed: seed, shape: World.Shape(reps: 2), store: MemoryStore())
        for step in 0..<120 {
            guard let rep = world.random.pickIfAny(world.reps) else { continue }
            if step % 30 == 17 {
                try world.clone(rep)
            } else if world.random.chance(75) {
                try world.edit(rep)
            } else {
                try world.sync(rep, cutAfter: world.random.chance(40) ? world.random.draw(12) : nil)
            }
        }
        try settled(world, seed: seed)
    }

    @Test("images of every age are put back, and what any disk still holds arrives once", arguments: Seeds.range)
    func images(seed: UInt64) throws {
        let world = try World(seed: seed, shape: World.Shape(reps: 3), store: MemoryStore())
        var images: [(rep: World.Rep, image: String)] = []
        for _ in 0..<150 {
            guard let rep = world.random.pickIfAny(world.reps) else { continue }
            if world.random.chance(6) {
                images.append((rep, try world.image(of: rep)))
            } else if world.random.chance(4), let old = world.random.pickIfAny(images) {
                try world.restore(old.rep, image: old.image)
            } else if world.random.chance(70) {
                try world.edit(rep)
            } else {
                try world.sync(rep, cutAfter: world.random.chance(50) ? world.random.draw(12) : nil)
            }
        }
        try settled(world, seed: seed)
    }

    /// One counter tells whether a commit was taken twice, or not at all.
    private func visits(_ world: World) throws -> Int64? {
        let table = TestSchema.schema.tableIndex("customer") ?? 0
        let field = TestSchema.schema.tables[table].fieldIndex("visits") ?? 0
        return try world.serverRow(RecordKey(table: table, record: TestSchema.customer(0)))?[field].integerValue
    }

    private func visit(_ rep: World.Rep) throws {
        _ = try rep.replica.write {
            try $0.execute(
                "UPDATE customer SET visits = visits + 1 WHERE id = ?", [Value(TestSchema.customer(0))])
        }
    }

    private func sync(_ world: World, _ rep: World.Rep, cutAfter: Int? = nil) throws {
        let report = try world.sync(rep, cutAfter: cutAfter)
        if report.failure?.isPassing == true { try world.sync(rep) }
    }

    @Test(
        "image at seq 10, the original goes to 15, the image is put back and goes to 16: no commit is taken for known")
    func tenFifteenSixteen() throws {
        let world = try World(seed: 1, shape: World.Shape(reps: 1), store: MemoryStore())
        let rep = world.reps[0]
        for _ in 0..<10 { try visit(rep) }
        try sync(world, rep)
        let image = try world.image(of: rep)
        for _ in 0..<5 { try visit(rep) }
        try sync(world, rep)
        #expect(try visits(world) == 15)
        try world.restore(rep, image: image)
        for _ in 0..<6 { try visit(rep) }
        try sync(world, rep)
        #expect(try visits(world) == 21)
        try settled(world, seed: 1)
    }

    @Test(
        "image of the session under way, then another edit under the same seq: both edits count (m20)",
        arguments: 0...14)
    func sameSession(cut: Int) throws {
        let world = try World(seed: 2, shape: World.Shape(reps: 1), store: MemoryStore())
        let rep = world.reps[0]
        try sync(world, rep)
        // The welcome is stored, nothing of this session was sent yet.
        try world.sync(rep, cutAfter: 3)
        let image = try world.image(of: rep)
        try visit(rep)
        try world.sync(rep, cutAfter: cut)
        let taken = try visits(world) ?? 0
        try world.restore(rep, image: image)
        try visit(rep)
        try sync(world, rep)
        #expect(try visits(world) == taken + 1, "cut after \(cut)")
        try settled(world, seed: 2)
    }

    @Test(
        "a copy that syncs before the original, after it, and by turns",
        arguments: [[1, 0], [0, 1], [0, 1, 0, 1], [1, 0, 1, 0]])
    func turns(order: [Int]) throws {
        let world = try World(seed: 3, shape: World.Shape(reps: 1), store: MemoryStore())
        try sync(world, world.reps[0])
        for _ in 0..<3 { try visit(world.reps[0]) }
        let twin = try world.clone(world.reps[0])
        try visit(world.reps[0])
        try visit(twin)
        try visit(twin)
        for turn in order {
            try sync(world, world.reps[turn])
            try visit(world.reps[turn])
        }
        try settled(world, seed: 3)
        #expect(try visits(world) == 6 + Int64(order.count))
    }
}
