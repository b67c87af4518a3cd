/// What is fuzzed: each takes any bytes, and must come to an end without a trap (P29) and keep what it promises.
///
/// `Tests/PeykFuzz` gives them libFuzzer's inputs, `FuzzReplayTests` those that are kept in `seeds/fuzz`.
public enum FuzzTarget: String, CaseIterable, Sendable {
    /// A stream of frames in pieces: `FrameDecoder`.
    case frame
    /// One message in a frame's body, each way.
    case client, server
    /// A whole connection from its first byte: greeting, enrolment, pushes, questions, against a small workspace.
    case session
    /// Sealed bytes: read, validated, merged into a small state, read again.
    case commit
    /// The clocks of a stored record.
    case clock
    /// A page of rows, compressed or not.
    case page
    case schema, invite, csv

    /// - Complexity: bounded by the size of the input; inputs of 64 KB take less than a second in a debug build.
    public func run(_ bytes: [UInt8]) {
        switch self {
        case .frame: FrameBody.run(bytes)
        case .client: MessageBody.runClient(bytes)
        case .server: MessageBody.runServer(bytes)
        case .session: SessionBody.run(bytes)
        case .commit: CommitFuzz.run(bytes)
        case .clock: CommitFuzz.runClock(bytes)
        case .page: MessageBody.runPage(bytes)
        case .schema: TextBody.runSchema(bytes)
        case .invite: TextBody.runInvite(bytes)
        case .csv: TextBody.runCSV(bytes)
        }
    }
}

/// What must hold on any input; a failure is a crash, which the fuzzer keeps.
func must(_ holds: @autoclosure () -> Bool, _ rule: String) {
    if !holds() { preconditionFailure("broken on this input: \(rule)") }
}

/// Takes an input apart from its start; gives zeros after its end.
struct InputReader {
    private(set) var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { rest = bytes[...] }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }

    mutating func take(_ count: Int) -> [UInt8] {
        let part = rest.prefix(count)
        rest = rest.dropFirst(count)
        return Array(part)
    }

    /// A piece whose length stands before it in two bytes.
    mutating func piece() -> [UInt8] { take(Int(byte()) << 8 | Int(byte())) }
}

extension FuzzTarget {
    /// Ends the process as a broken rule does.
    public static func checkThatFails() { must(false, "a check that fails") }
}
