import Foundation
import PeykModel
import PeykReplica

/// `make bench`: the first speed measure, each figure as a ratio to plain SQLite at the same N in the same run.
@main
enum Benchmark {
    static func main() async {
        do {
            try await run()
        } catch {
            print("The measure was not finished: \(error)")
            exit(1)
        }
    }

    private static func run() async throws {
        let settings = try Settings(arguments: CommandLine.arguments)
        defer { try? FileManager.default.removeItem(at: settings.folder) }
        print(settings.description)
        print(
            "SQLite \(Replica.sqliteVersion), \(ProcessInfo.processInfo.activeProcessorCount) cores, \(Self.processor)\n"
        )
        var results = Results()
        try LocalMeasure(settings: settings).run(into: &results)
        try await SyncMeasure(settings: settings).run(into: &results)
        print(results.table)
    }

    private static var processor: String {
        let info = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let line = info.split(separator: "\n").first { $0.hasPrefix("model name") } ?? ""
        return line.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) } ?? "unknown processor"
    }
}

/// How much to do, and where.
struct Settings: CustomStringConvertible {
    /// Rows of each of the two tables.
    var count = 100_000
    var folder: URL
    private let place: String

    struct Failure: Error, CustomStringConvertible { var description: String }

    /// - Parameter arguments: `[N] [FOLDER]` after the program's name.
    init(arguments: [String]) throws {
        if arguments.count > 1 {
            guard let number = Int(arguments[1]), number >= 1_000 else {
                throw Failure(description: "usage: PeykBenchmarks [rows of each table, at least 1000] [folder]")
            }
            count = number
        }
        // In memory, where there is such a place: both sides run with synchronous=FULL, and the time of a disk's
        // fsync would hide what is measured here.
        let memory = "/dev/shm"
        place =
            arguments.count > 2
            ? arguments[2]
            : FileManager.default.isWritableFile(atPath: memory) ? memory : FileManager.default.temporaryDirectory.path
        folder = URL(fileURLWithPath: place).appendingPathComponent("peyk-bench-\(getpid())", isDirectory: true)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

    var description: String {
        "Workload: \(count) customers and \(count) opportunities of 9 fields; WAL, synchronous=FULL; files in \(place)."
    }
}

/// Measures and what they should reach.
struct Results {
    struct Line {
        var name: String
        var plain: String
        var ours: String
        var ratio: String
        var target: String
    }

    private var lines: [Line] = []

    /// Compares processor time; says the wall clock's ratio beside it. At most `target` is wanted.
    mutating func add(_ name: String, rows: Int, plain: Measure, ours: Measure, target: Double) {
        func each(_ measure: Measure) -> String {
            String(format: "%.2f µs (%.2f)", measure.processor / Double(rows) * 1e6, measure.wall / Double(rows) * 1e6)
        }
        let ratio = ours.processor / plain.processor
        lines.append(
            Line(
                name: name, plain: each(plain), ours: each(ours),
                ratio: String(format: "%.2f× (%.2f×)", ratio, ours.wall / plain.wall),
                target: Self.verdict(ratio, target, isMost: true)))
    }

    mutating func add(_ name: String, plain: String, ours: String, ratio: Double, target: Double, isMost: Bool) {
        lines.append(
            Line(
                name: name, plain: plain, ours: ours, ratio: String(format: "%.2f", ratio),
                target: Self.verdict(ratio, target, isMost: isMost)))
    }

    mutating func note(_ name: String, _ value: String) {
        lines.append(Line(name: name, plain: "", ours: value, ratio: "", target: ""))
    }

    private static func verdict(_ ratio: Double, _ target: Double, isMost: Bool) -> String {
        let isMet = isMost ? ratio <= target : ratio >= target
        return (isMost ? "≤ " : "≥ ") + String(format: "%g", target) + (isMet ? "  reached" : "  NOT reached")
    }

    var table: String {
        let rows =
            [["measure", "plain SQLite", "Peyk", "ratio", "target"]]
            + lines.map { [$0.name, $0.plain, $0.ours, $0.ratio, $0.target] }
        let widths = (0..<5).map { column in rows.map { $0[column].count }.max() ?? 0 }
        let text = rows.map { row in
            zip(row, widths).map { $0.padding(toLength: max($1, $0.count), withPad: " ", startingAt: 0) }
                .joined(separator: "  ")
        }
        return text.joined(separator: "\n")
            + "\n\nTimes are of the processor per row, in brackets of the wall clock; ratios likewise."
    }
}
