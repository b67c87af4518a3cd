import Foundation
import Testing

@testable import PeykBenchmarks

/// `make bench` is run by hand and says how fast; this says that it still runs.
@Suite("Benchmarks")
struct BenchmarkTests {
    @Test("each measure runs on a small workload and prints its line", .timeLimit(.minutes(5)))
    func runs() async throws {
        var settings = try Settings(arguments: ["PeykBenchmarks", "1000"])
        settings.count = 100
        defer { try? FileManager.default.removeItem(at: settings.folder) }
        var results = Results()
        try LocalMeasure(settings: settings).run(into: &results)
        try await SyncMeasure(settings: settings).run(into: &results)
        for measure in [
            "W1 insert", "W2 update, 1,000", "W2 update, 1 a", "W3 first sync", "W3 bytes", "push of all rows",
            "file, unsynced", "file, after a first sync", "file, after its own push", "file, after a backup of that",
        ] {
            #expect(results.table.contains("\n" + measure), "\(measure) is missing")
        }
    }

    @Test("wrong arguments are told", arguments: ["999", "many", "-5"])
    func arguments(count: String) {
        #expect(throws: Settings.Failure.self) { try Settings(arguments: ["PeykBenchmarks", count]) }
    }
}
