import Synchronization

/// Memory for long frames, shared by all connections of a listener: whoever announces one waits, unread, until there is
/// room for it. So a thousand peers cannot make us hold a thousand of the longest frames (P28).
///
/// Frames up to ``smallBytes`` are free. Places are given in the order in which they were asked for.
public final class FrameBudget: Sendable {
    public static let smallBytes = 64 << 10

    private struct Waiting {
        var number: UInt64
        var bytes: Int
        var granted: @Sendable () -> Void
    }

    private struct State {
        var free: Int
        var count: UInt64 = 0
        var line: [Waiting] = []
    }

    /// All of it, in bytes.
    public let bytes: Int
    private let state: Mutex<State>

    /// - Parameter bytes: at least one longest frame, or nobody could ever send one.
    public init(bytes: Int) {
        self.bytes = bytes
        state = Mutex(State(free: bytes))
    }

    public var inUse: Int { bytes - state.withLock { $0.free } }

    /// Nil where it was given at once; else the number of a place in the line, and `granted` is called when it is
    /// given.
    func reserve(_ bytes: Int, granted: @escaping @Sendable () -> Void) -> UInt64? {
        state.withLock { state in
            if state.line.isEmpty, state.free >= bytes {
                state.free -= bytes
                return nil
            }
            state.count += 1
            state.line.append(Waiting(number: state.count, bytes: bytes, granted: granted))
            return state.count
        }
    }

    func release(_ bytes: Int) {
        guard bytes > 0 else { return }
        serve { $0.free += bytes }
    }

    /// Leaves the line. False where the place was given meanwhile: then it must be released.
    func leave(_ number: UInt64) -> Bool {
        var wasThere = false
        serve { state in
            guard let index = state.line.firstIndex(where: { $0.number == number }) else { return }
            state.line.remove(at: index)
            wasThere = true
        }
        return wasThere
    }

    private func serve(_ change: (inout State) -> Void) {
        let served = state.withLock { state -> [Waiting] in
            change(&state)
            var served: [Waiting] = []
            while let first = state.line.first, first.bytes <= state.free {
                state.free -= first.bytes
                served.append(state.line.removeFirst())
            }
            return served
        }
        for waiting in served { waiting.granted() }
    }
}

/// Memory that one frame takes from a ``FrameBudget``, until it is worked off.
public struct FrameHold: Sendable {
    public let bytes: Int
    private let budget: FrameBudget?

    public static let none = FrameHold(bytes: 0, budget: nil)

    init(bytes: Int, budget: FrameBudget?) {
        self.bytes = bytes
        self.budget = budget
    }

    /// Call it once.
    public func release() { budget?.release(bytes) }
}
