import Foundation
import PeykModel
import PeykServer
import SeededRandom
import SimulationKit
import Testing

/// Seeds to run: 1 to 12, or `PEYK_SEEDS=100-140`, or one seed to replay a failure.
enum Seeds {
    static var range: ClosedRange<UInt64> {
        let text = ProcessInfo.processInfo.environment["PEYK_SEEDS"] ?? "1-12"
        let bounds = text.split(separator: "-").compactMap { UInt64($0) }
        return (bounds.first ?? 1)...max(bounds.first ?? 1, bounds.last ?? 12)
    }
}

@Suite("Convergence")
struct ConvergenceTests {
    /// Edits and syncs in random order, some sessions cut at a random message; then all settle.
    func run(seed: UInt64, shape: World.Shape, steps: Int, cuts: Bool, regrants: Bool = false) throws -> World {
        let world = try World(seed: seed, shape: shape, store: MemoryStore())
        for _ in 0..<steps {
            guard let rep = world.random.pickIfAny(world.reps) else { continue }
            if regrants, world.random.chance(4) {
                try world.regrant(rep, territories: shape.territories)
            } else if world.random.chance(80) {
                try world.edit(rep)
            } else {
                try world.sync(rep, cutAfter: cuts && world.random.chance(40) ? world.random.draw(12) : nil)
            }
        }
        try world.settle()
        return world
    }

    func compare(_ name: String, _ found: [String], with expected: [String], seed: UInt64) {
        guard found != expected else { return }
        let surplus = found.filter { !expected.contains($0) }.prefix(4)
        let missing = expected.filter { !found.contains($0) }.prefix(4)
        Issue.record(
            """
            \(name) differs from the server; replay with PEYK_SEEDS=\(seed)
            only there: \(surplus.joined(separator: "\n            "))
            only on the server: \(missing.joined(separator: "\n            "))
            """)
    }

    /// Each replica shows what the server has for its user.
    func agree(_ world: World, seed: UInt64) throws {
        for rep in world.reps {
            compare(
                "replica \(rep.number)", try world.dump(rep), with: try world.serverDump(as: rep.user), seed: seed)
        }
    }

    @Test("replicas of one scope are equal to each other and to the server (P1)", arguments: Seeds.range)
    func managersConverge(seed: UInt64) throws {
        let world = try run(seed: seed, shape: World.Shape(reps: 3), steps: 150, cuts: seed % 2 == 0)
        try agree(world, seed: seed)
        let findings = try world.auditFindings()
        #expect(findings.isEmpty, "P2, replay with PEYK_SEEDS=\(seed): \(findings.prefix(5).joined(separator: "\n"))")
    }

    @Test("a rep's replica is exactly its territory, while records move between them (P1, P21)", arguments: Seeds.range)
    func territoriesConverge(seed: UInt64) throws {
        let world = try run(
            seed: seed, shape: World.Shape(reps: 4, territories: 2, role: .rep), steps: 150, cuts: seed % 2 == 1)
        try agree(world, seed: seed)
        let findings = try world.auditFindings()
        #expect(findings.isEmpty, "P2, replay with PEYK_SEEDS=\(seed): \(findings.prefix(5).joined(separator: "\n"))")
    }

    @Test(
        "territories are taken and given while reps are offline, and nothing is lost (S1, S4, P21)",
        arguments: Seeds.range)
    func regrantsConverge(seed: UInt64) throws {
        let world = try run(
            seed: seed, shape: World.Shape(reps: 3, territories: 3, role: .rep), steps: 120, cuts: seed % 3 == 0,
            regrants: true)
        try agree(world, seed: seed)
        let findings = try world.auditFindings()
        #expect(findings.isEmpty, "P2, replay with PEYK_SEEDS=\(seed): \(findings.prefix(5).joined(separator: "\n"))")
    }

    @Test("the audit reports a write that nobody can account for")
    func auditCanFail() throws {
        let world = try run(seed: 3, shape: World.Shape(reps: 2), steps: 60, cuts: false)
        #expect(try world.auditFindings().isEmpty)
        let forged = world.written.compactMap { write -> Audit.Written? in
            guard let cell = write.body.changes.first?.cells.first, case .assign = cell.write else { return nil }
            var forged = write
            forged.body.changes[0].cells[0].write = .assign([.text("nobody wrote this")])
            return forged
        }
        #expect(try !forged.isEmpty && !world.auditFindings(of: forged).isEmpty)
    }

    @Test("a converged sync moves nothing, in one round trip and under 2 KB (P26)")
    func idle() throws {
        let world = try run(seed: 5, shape: World.Shape(reps: 2), steps: 60, cuts: false)
        let rep = try #require(world.reps.first)
        let report = try world.sync(rep)
        #expect(report.failure == nil)
        #expect(report.roundTrips <= 2)
        #expect(report.bytesUp + report.bytesDown <= 2_048, "\(report.bytesUp) up, \(report.bytesDown) down")
    }
}
