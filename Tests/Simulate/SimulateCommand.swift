import Foundation
import PeykModel
import SimulationKit

/// `peyk-simulate [--seeds N] [--start N] [--stride N] [--operations N] [--minutes N] [--plant NAME] [--keep FOLDER]
/// [--stop N] [--tell] [--with KINDS] [--without KINDS] [FILE…]`
///
/// Runs seeds, or the schedules of files, and prints what was found. One process runs one seed at a time; start
/// several with other starts to use more cores.
struct SimulateCommand {
    var seeds: UInt64 = 100
    var start: UInt64 = 1
    var operations = 300
    var plant: Plant?
    var folder: String?
    var stopAfter = 5
    var without: Set<Schedule.Kind> = []
    /// Only seeds that have steps of these kinds.
    var with: Set<Schedule.Kind> = []
    var isTracing = false
    /// Each step of each seed, with every position and what it did.
    var isTelling = false
    var files: [String] = []
    /// Stories of the small world instead of seeds: how many.
    var stories: Int?
    /// Each how-manieth seed or story.
    var stride = 1
    /// No seed begins after so many minutes; 0 for no limit.
    var minutes = 0
    var problem: String?

    init(arguments: [String]) {
        var rest = arguments[...]
        while let word = rest.popFirst() {
            switch word {
            case "--seeds": seeds = number(&rest, word)
            case "--start": start = number(&rest, word)
            case "--operations": operations = Int(number(&rest, word))
            case "--stop": stopAfter = Int(number(&rest, word))
            case "--small": stories = Int(number(&rest, word))
            case "--minutes": minutes = Int(number(&rest, word))
            case "--stride": stride = max(1, Int(number(&rest, word)))
            case "--trace": isTracing = true
            case "--tell": isTelling = true
            case "--keep": folder = rest.popFirst()
            case "--plant":
                plant = rest.popFirst().flatMap { Plant(rawValue: $0) }
                if plant == nil {
                    problem = "--plant takes one of " + Plant.allCases.map(\.rawValue).joined(separator: ", ")
                }
            case "--without": without = kinds(&rest)
            case "--with": with = kinds(&rest)
            default:
                if word.hasPrefix("-") { problem = "unknown option \(word)" } else { files.append(word) }
            }
        }
    }

    private mutating func number(_ rest: inout ArraySlice<String>, _ option: String) -> UInt64 {
        guard let value = rest.popFirst().flatMap({ UInt64($0) }) else {
            problem = "\(option) takes a number"
            return 1
        }
        return value
    }

    private func kinds(_ rest: inout ArraySlice<String>) -> Set<Schedule.Kind> {
        Set((rest.popFirst() ?? "").split(separator: ",").compactMap { Schedule.Kind(rawValue: String($0)) })
    }

    func run() -> Int32 {
        if let problem {
            print("peyk-simulate: \(problem)")
            return 64
        }
        guard start > 0, stride > 0 else {
            print("peyk-simulate: --start and --stride count from 1")
            return 64
        }
        if let stories { return runStories(stories) }
        return files.isEmpty ? runSeeds() : runFiles()
    }

    private func runStories(_ count: Int) -> Int32 {
        let began = Date()
        do {
            let report = try SmallWorld.run(first: Int(start) - 1, stride: stride, limit: count, stopAfter: stopAfter)
            for failure in report.failures { print(failure) }
            print(
                """
                small world: \(report.stories) stories of \(SmallWorld.count) numbers, each \(stride)th from \(start), \
                \(report.syncs) syncs, \(report.failures.count) failing, in \(Int(Date().timeIntervalSince(began))) s
                """)
            return report.failures.isEmpty ? 0 : 1
        } catch {
            print("small world: \(error)")
            return 70
        }
    }

    private func runFiles() -> Int32 {
        var failures: Int32 = 0
        for file in files {
            guard let data = FileManager.default.contents(atPath: file),
                let json = try? JSON(parsing: String(decoding: data, as: UTF8.self)),
                let schedule = Schedule(json: json)
            else {
                print("\(file): not a schedule")
                return 65
            }
            let outcome = schedule.run(plant: plant, tell: isTracing ? { print($0) } : nil)
            print("\(file): \(outcome.finding?.description ?? "holds") (\(schedule.steps.count) steps)")
            if outcome.finding != nil { failures = 1 }
        }
        return failures
    }

    private func runSeeds() -> Int32 {
        let began = Date()
        var totals = Totals()
        var found: [String: Int] = [:]
        for number in 0..<seeds {
            if minutes > 0, Date().timeIntervalSince(began) > Double(minutes) * 60 { break }
            let seed = start + number * UInt64(stride)
            let schedule = Schedule(seed: seed, count: operations, without: without)
            guard with.isEmpty || with.isSubset(of: Set(schedule.steps.map(\.kind))) else { continue }
            let outcome = schedule.run(plant: plant, tell: isTelling ? { print($0) } : nil)
            totals.add(outcome)
            if isTracing { print("seed \(seed) trace \(String(outcome.trace, radix: 16))") }
            guard let finding = outcome.finding else { continue }
            found[finding.property, default: 0] += 1
            print("seed \(seed) breaks \(finding)")
            if let folder { keep(schedule, finding, in: folder) }
            if totals.failing >= stopAfter { break }
        }
        let seconds = Date().timeIntervalSince(began)
        print(totals.summary(seconds: seconds, start: start))
        for (property, count) in found.sorted(by: { $0.key < $1.key }) { print("  \(property): \(count) seeds") }
        return totals.failing == 0 ? 0 : 1
    }

    private func keep(_ schedule: Schedule, _ finding: Finding, in folder: String) {
        let shrunk = schedule.shrunk(property: finding.property, plant: plant)
        let path = "\(folder)/\(schedule.seed).json"
        do {
            try Data((shrunk.json.text + "\n").utf8).write(to: URL(fileURLWithPath: path))
            let again = shrunk.run(plant: plant).finding?.description ?? "holds"
            print("  shrunk to \(shrunk.steps.count) steps, in \(path): \(again)")
            print("  " + shrunk.steps.map { "\($0.kind.rawValue) \($0.seed)" }.joined(separator: ", "))
        } catch {
            print("  could not be kept: \(error)")
        }
    }
}

private struct Totals {
    var runs = 0
    var failing = 0
    var steps = 0
    var frames = 0
    var sessions = 0
    var commits = 0
    var positions: Int64 = 0
    var stops = 0
    var lost: Int64 = 0
    var faults: UInt64 = 0
    var checks = 0
    var collected: Int64 = 0
    var expired = 0
    var settled = 0
    var backups = 0
    var restores = 0
    var schemas = 0

    mutating func add(_ outcome: SimulationOutcome) {
        runs += 1
        if outcome.finding != nil { failing += 1 }
        steps += outcome.steps
        frames += outcome.frames
        sessions += outcome.sessions
        commits += outcome.commits
        positions += outcome.positions
        stops += outcome.stops
        lost += outcome.lostWrites
        faults += outcome.faults
        checks += outcome.checks
        collected += outcome.collected
        expired += outcome.expired
        settled += outcome.settled
        backups += outcome.backups
        restores += outcome.restores
        schemas += outcome.schemas
    }

    func summary(seconds: Double, start: UInt64) -> String {
        """
        simulation: \(runs) seeds from \(start), \(failing) failing, in \(Int(seconds)) s \
        (\(String(format: "%.3f", seconds / Double(max(1, runs)))) s a seed)
          \(steps) operations, \(sessions) sessions, \(frames) frames, \(commits) commits, \(positions) positions, \
        \(stops) stops with \(lost) writes lost, \(faults) disk faults, \(expired) leases run out, \
        \(collected) tombstones collected, \(settled) undone or settled, \
        \(backups) backups, \(restores) restores, \(schemas) schemas, \(checks) comparisons with the server
        """
    }
}
