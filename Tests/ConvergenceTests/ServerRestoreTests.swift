import Foundation
import PeykModel
import PeykReplica
import PeykServer
import PeykSession
import SeededRandom
import SimulationKit
import Testing

/// The server is restored from backups of any age, while devices hold what it lacks: all of it comes back, once, and
/// nobody's own work leaves her view (rules I6 to I8).
@Suite("Restored servers")
struct ServerRestoreTests {
    private func settled(_ world: World, seed: UInt64) throws {
        try world.settle(rounds: 12)
        try ConvergenceTests().agree(world, seed: seed)
        for rep in world.reps {
            let status = try rep.replica.status()
            #expect(status.pending == status.held && status.waiting == 0, "PEYK_SEEDS=\(seed), replica \(rep.number)")
        }
    }

    private func visits(_ world: World, _ customer: Int) throws -> Int64? {
        let table = TestSchema.schema.tableIndex("customer") ?? 0
        let field = TestSchema.schema.tables[table].fieldIndex("visits") ?? 0
        return try world.serverRow(RecordKey(table: table, record: TestSchema.customer(customer)))?[field].integerValue
    }

    private func shown(_ rep: World.Rep, _ customer: Int) throws -> Int64? {
        try rep.replica.read {
            try $0.value("SELECT visits FROM customer WHERE id = ?", [Value(TestSchema.customer(customer))])?
                .integerValue
        }
    }

    @Test("every visit counts once, whatever backup is restored and wherever sessions are cut", arguments: Seeds.range)
    func visitsCountOnce(seed: UInt64) throws {
        let world = try World(seed: seed, shape: World.Shape(reps: 3, customers: 3), store: MemoryStore())
        var backups = [try world.backup()]
        var made: [Int64] = [0, 0, 0]
        var own: [[Int64]] = world.reps.map { _ in [0, 0, 0] }
        for step in 0..<160 {
            guard let rep = world.random.pickIfAny(world.reps) else { continue }
            if world.random.chance(5) {
                backups.append(try world.backup())
            } else if step % 50 == 40, let backup = world.random.pickIfAny(backups) {
                try world.restoreServer(from: backup)
            } else if world.random.chance(60) {
                let customer = world.random.draw(3)
                _ = try rep.replica.write {
                    try $0.execute(
                        "UPDATE customer SET visits = visits + 1 WHERE id = ?", [Value(TestSchema.customer(customer))])
                }
                made[customer] += 1
                own[rep.number][customer] += 1
            } else {
                try world.sync(rep, cutAfter: world.random.chance(50) ? world.random.draw(16) : nil)
            }
            for customer in 0..<3 {
                let seen = try shown(rep, customer) ?? 0
                #expect(
                    seen >= own[rep.number][customer] && seen <= made[customer],
                    "view: PEYK_SEEDS=\(seed), step \(step), replica \(rep.number), seen \(seen), made \(made[customer])"
                )
            }
        }
        try settled(world, seed: seed)
        for customer in 0..<3 {
            let found = try visits(world, customer)
            #expect(found == made[customer], "PEYK_SEEDS=\(seed), customer \(customer)")
        }
    }

    @Test("random edits converge after restores", arguments: Seeds.range)
    func edits(seed: UInt64) throws {
        let world = try World(seed: seed, shape: World.Shape(reps: 3), store: MemoryStore())
        var backups = [try world.backup()]
        for step in 0..<140 {
            guard let rep = world.random.pickIfAny(world.reps) else { continue }
            if world.random.chance(4) {
                backups.append(try world.backup())
            } else if step % 60 == 50, let backup = world.random.pickIfAny(backups) {
                try world.restoreServer(from: backup)
            } else if world.random.chance(75) {
                try world.edit(rep)
            } else {
                try world.sync(rep, cutAfter: world.random.chance(40) ? world.random.draw(16) : nil)
            }
        }
        try settled(world, seed: seed)
    }
}
