public import PeykModel
import PeykSession

/// What `verify` found, and mended (rule T5).
public struct Verification: Hashable, Sendable {
    /// The position of the last comparison.
    public var position: Position = 0
    /// Records that differed from the server's, in order.
    public var records: [RecordKey] = []
    /// Those that still differ after a repair; all where none was asked for.
    public var left: [RecordKey] = []
    /// Digest questions that it took.
    public var questions = 0
    /// More differ than are named.
    public var isPartial = false
    /// Above TLS, of the comparison and the repair.
    public var bytesIn: Int64 = 0
    public var bytesOut: Int64 = 0

    public var isEqual: Bool { left.isEmpty && !isPartial }
}

/// Finds what differs, has it fetched again, and looks once more. A pure value.
struct SyncVerifier {
    enum Step {
        case ask(DigestRequest)
        case fetch([RecordKey])
        case end
    }

    /// The question that the next reply answers.
    private(set) var request = DigestRequest()
    private(set) var result = Verification()
    /// The records that differ are being fetched.
    private(set) var isRepairing = false
    private let repairs: Bool
    private var hasRepaired = false
    private var descent = DigestDescent()

    init(repairs: Bool) {
        self.repairs = repairs
        // The first question is the session's own.
        _ = descent.next()
    }

    mutating func compared(_ finding: DigestDescent.Finding, at position: Position) -> Step {
        result.position = position
        descent.found(finding)
        if let next = descent.next() {
            request = next
            return .ask(next)
        }
        result.questions += descent.questions
        result.left = descent.records.sorted()
        result.isPartial = descent.isPartial
        if !hasRepaired { result.records = result.left }
        guard repairs, !hasRepaired, !result.records.isEmpty else { return .end }
        hasRepaired = true
        isRepairing = true
        return .fetch(result.records)
    }

    /// Everything that was fetched is stored: looks once more.
    mutating func repaired() -> Step {
        isRepairing = false
        descent = DigestDescent()
        request = descent.next() ?? DigestRequest()
        return .ask(request)
    }
}
