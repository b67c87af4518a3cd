import Foundation
import ProgramKit
import Testing

@Suite("Demo")
struct DemoTests {
    /// The root of the repository, from where this file was compiled.
    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    @Test("runs from end to end, and takes away what it made", .timeLimit(.minutes(10)))
    func demo() async throws {
        let script = Program(url: Self.root.appendingPathComponent("seeds/demo/run.sh"))
        let scratch = try Scratch.folder("demo")
        defer { try? FileManager.default.removeItem(at: scratch) }
        let output = try await script.run(
            [Program.folder.path], environment: ["TMPDIR": scratch.path], seconds: 500)
        #expect(output.status == 0, "\(output)")
        #expect(output.out.contains("byte for byte"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path) == [])
    }
}
