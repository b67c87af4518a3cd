import Foundation
import FuzzKit
import Testing

/// Inputs that a fuzzer began with, found its way by, or broke something with, kept for ever under `seeds/fuzz`.
/// `UPDATE_EXPECT=1` writes the first ones anew.
@Suite("Fuzzed inputs")
struct FuzzReplayTests {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "seeds")

    struct Input: Sendable, CustomTestStringConvertible {
        var target: FuzzTarget
        var name: String
        var testDescription: String { "\(target.rawValue)/\(name)" }
    }

    static let inputs: [Input] = FuzzTarget.allCases.flatMap { target in
        let names = try? FileManager.default.contentsOfDirectory(
            atPath: folder.appending(path: "fuzz/\(target.rawValue)").path)
        return (names ?? []).sorted().map { Input(target: target, name: $0) }
    }

    @Test("that are kept come to an end without a trap, and keep what they promise (P29)", arguments: inputs)
    func replays(_ input: Input) throws {
        let file = Self.folder.appending(path: "fuzz/\(input.target.rawValue)/\(input.name)")
        input.target.run(Array(try Data(contentsOf: file)))
    }

    @Test("to begin with do so too", arguments: FuzzTarget.allCases)
    func first(_ target: FuzzTarget) throws {
        let inputs = try Self.first(target)
        #expect(!inputs.isEmpty)
        for (_, bytes) in inputs { target.run(bytes) }
        guard ProcessInfo.processInfo.environment["UPDATE_EXPECT"] == "1" else { return }
        let folder = Self.folder.appending(path: "fuzz/\(target.rawValue)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for (name, bytes) in inputs { try Data(bytes).write(to: folder.appending(path: "first-\(name).bin")) }
    }

    @Test("end the process where a check fails")
    func canFail() async {
        await #expect(processExitsWith: .failure) { FuzzTarget.checkThatFails() }
    }

    // MARK: - First inputs

    private static func vector(_ name: String) throws -> [UInt8] {
        let text = try String(contentsOf: folder.appending(path: "wire/\(name).hex"), encoding: .utf8)
        let digits = Array(text.utf8.filter { $0 != 0x0A })
        return stride(from: 0, to: digits.count, by: 2).compactMap { index in
            UInt8(String(decoding: digits[index..<min(index + 2, digits.count)], as: UTF8.self), radix: 16)
        }
    }

    private static func vectors(_ prefix: String) throws -> [(name: String, bytes: [UInt8])] {
        try FileManager.default.contentsOfDirectory(atPath: folder.appending(path: "wire").path).sorted()
            .filter { $0.hasPrefix(prefix) && $0.hasSuffix(".hex") }.map { file in
                let name = String(file.dropLast(4))
                return (String(name.dropFirst(prefix.count)), try vector(name))
            }
    }

    private static func first(_ target: FuzzTarget) throws -> [(name: String, bytes: [UInt8])] {
        switch target {
        case .frame: return [("two", [2, 10, 0, 0, 0, 2, 1, 2, 0, 0, 0, 0]), ("long", [0, 1, 0, 0, 1, 0, 9])]
        case .client: return try vectors("client-")
        case .server: return try vectors("server-")
        case .page: return [("plain", [0] + (try vector("row-page")))]
        case .commit: return FirstInputs.commits
        case .clock: return FirstInputs.clocks
        case .schema: return FirstInputs.schemas
        case .invite: return FirstInputs.invites
        case .csv: return FirstInputs.files
        case .session:
            let hello = (choice: UInt8(1), bytes: try vector("client-hello"))
            let rest = try vectors("client-").filter { !["hello", "enrol", "bye"].contains($0.name) }
            let talk = rest.map { (choice: UInt8(1), bytes: $0.bytes) }
            let pushes = FirstInputs.commits.map { (choice: UInt8(4), bytes: $0.bytes) }
            return [
                ("greeting", FirstInputs.pieces([hello])),
                ("enrolment", FirstInputs.pieces([(1, try vector("client-enrol")), hello])),
                ("stranger", FirstInputs.pieces([(0, hello.bytes)])), ("talk", FirstInputs.pieces([hello] + talk)),
                ("pushes", FirstInputs.pieces([hello] + pushes)),
                ("bye", FirstInputs.pieces([hello, pushes[1], (0, try vector("client-bye"))])),
            ]
        }
    }
}
