import Foundation
import PeykModel
import SimulationKit
import Testing

@Suite("Simulation", .serialized)
struct SimulationTests {
    /// Files of schedules that failed once.
    static let kept: [String] = {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("seeds/simulation")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return names.filter { $0.hasSuffix(".json") }.sorted().map { folder.appendingPathComponent($0).path }
    }()

    @Test("schedules that failed once hold now", arguments: kept)
    func keptSchedules(path: String) throws {
        let data = try #require(FileManager.default.contents(atPath: path))
        let schedule = try #require(Schedule(json: JSON(parsing: String(decoding: data, as: UTF8.self))))
        let outcome = schedule.run()
        #expect(outcome.finding == nil, "replay with: make replay FILE=\(path)")
    }

    @Test("the real replica, session, committer and store hold P1 to P28 under faults", arguments: UInt64(1)...8)
    func someSeeds(seed: UInt64) {
        let outcome = Schedule(seed: seed, count: 150).run()
        #expect(outcome.finding == nil, "replay with: make simulate SEEDS=1 START=\(seed) OPERATIONS=150")
    }

    @Test("the same seed gives the same trace", arguments: [UInt64(3), 11])
    func deterministic(seed: UInt64) {
        let schedule = Schedule(seed: seed, count: 120)
        #expect(schedule.run().trace == schedule.run().trace)
    }

    @Test("a planted fault is found, and its schedule shrinks", arguments: Plant.allCases)
    func plants(plant: Plant) throws {
        var found: Finding?
        var schedule = Schedule(seed: 1, count: 150)
        for seed in UInt64(1)...60 where found == nil {
            schedule = Schedule(seed: seed, count: 150)
            found = schedule.run(plant: plant).finding
        }
        let finding = try #require(found, "no seed of 60 found it")
        let shrunk = schedule.shrunk(property: finding.property, plant: plant, runsMax: 60)
        #expect(shrunk.steps.count < schedule.steps.count)
        #expect(shrunk.run(plant: plant).finding?.property == finding.property)
        #expect(shrunk.run().finding == nil)
    }

    @Test("the shortest stories of one record end alike everywhere, with nothing lost (P1, P2, P13)")
    func shortStories() throws {
        let report = try SmallWorld.run(first: 0, stride: 7, limit: 150)
        #expect(report.stories == 150)
        for failure in report.failures { Issue.record("\(failure)") }
    }

    @Test("a schedule is the same after writing and reading it")
    func schedules() throws {
        let schedule = Schedule(seed: 7, count: 50)
        #expect(try Schedule(json: JSON(parsing: schedule.json.text)) == schedule)
        #expect(Schedule(json: ["seed": "x"]) == nil)
        #expect(Schedule(json: ["seed": "1", "clients": 3, "steps": ["dance 4"]]) == nil)
    }
}
