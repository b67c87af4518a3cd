import PeykModel
import SimDisk

/// A fault of a kind that the product must not have, put in on purpose: the simulation has to find it.
public enum Plant: String, Sendable, CaseIterable {
    /// The server's disk answers syncs without doing them, so acknowledged commits can vanish (P16).
    case lyingDisk
    /// The client claims to have seen all that it was sent, though it has not applied it (P10).
    case falseAnchor
}

public enum Simulation {
    /// For a process that does nothing but simulate, before anything else: a third of its time would be allocations.
    public static func beginProcess() { SimulatedDisk.poolMemory() }
}

/// What one run gave.
public struct SimulationOutcome: Sendable {
    public var finding: Finding?
    /// Equal for equal schedules, on any machine.
    public var trace: UInt64
    public var steps: Int
    public var frames: Int
    public var sessions: Int
    public var commits: Int
    public var positions: Int64
    public var stops: Int
    public var lostWrites: Int64
    public var faults: UInt64
    public var checks: Int
    public var collected: Int64
    public var expired: Int
    /// Undone commits, settled conflicts and issues.
    public var settled: Int
    public var backups: Int
    public var restores: Int
    /// Versions of the schema that came.
    public var schemas: Int
}

extension Schedule {
    /// Runs the schedule in a world of its own, to the end or to the first finding.
    ///
    /// - Parameter tell: takes a line for each thing that happens.
    public func run(plant: Plant? = nil, tell: ((String) -> Void)? = nil) -> SimulationOutcome {
        var finding: Finding?
        var world: SimulatedWorld?
        do {
            let made = try SimulatedWorld(self, plant: plant)
            world = made
            made.tell = tell
            try made.run()
            try made.heal()
        } catch let found as Finding {
            finding = found
            // Who reads wants the positions up to it, too; what they break besides is not the question.
            if tell != nil { try? world?.look() }
        } catch {
            finding = Finding("error", "\(error)")
        }
        world?.shutDown()
        let statistics = world?.statistics ?? SimulatedWorld.Statistics()
        return SimulationOutcome(
            finding: finding, trace: world?.trace.hash ?? 0, steps: statistics.steps, frames: statistics.frames,
            sessions: statistics.sessions, commits: statistics.commits, positions: world?.archive.head ?? 0,
            stops: statistics.stops, lostWrites: statistics.lostWrites, faults: statistics.faults,
            checks: statistics.checks, collected: statistics.collected, expired: statistics.expired,
            settled: statistics.settled, backups: statistics.backups, restores: statistics.restores,
            schemas: statistics.schemas)
    }

    /// Leaves out steps for as long as the run still breaks the same property.
    ///
    /// - Parameter runsMax: a bound on the work.
    public func shrunk(property: String, plant: Plant? = nil, runsMax: Int = 250) -> Schedule {
        var best = self
        var runs = 0
        func stillFails(_ candidate: Schedule) -> Bool {
            runs += 1
            return candidate.run(plant: plant).finding?.property == property
        }
        var size = max(1, best.steps.count / 2)
        while size > 0, runs < runsMax {
            var index = 0
            var hasShrunk = false
            while index < best.steps.count, runs < runsMax {
                var candidate = best
                candidate.steps.removeSubrange(index..<min(index + size, best.steps.count))
                if stillFails(candidate) {
                    best = candidate
                    hasShrunk = true
                } else {
                    index += size
                }
            }
            if size == 1, !hasShrunk { break }
            size = size == 1 ? 1 : size / 2
        }
        while best.shape.clients > 2, runs < runsMax {
            var candidate = best
            candidate.shape.clients -= 1
            guard stillFails(candidate) else { break }
            best = candidate
        }
        return best
    }
}
