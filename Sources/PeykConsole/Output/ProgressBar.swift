import Foundation
import PeykCRM
import Synchronization

/// A bar on standard error, drawn only on a terminal and only once a second has passed.
public final class ProgressBar: Sendable {
    private struct State {
        var drawnAt: ContinuousClock.Instant
        var isDrawn = false
    }

    private let label: String
    private let started = ContinuousClock.now
    private let isShown: Bool
    private let state: Mutex<State>

    public init(_ label: String) {
        self.label = label
        isShown = Terminal.isTerminal(.error)
        state = Mutex(State(drawnAt: .now))
    }

    /// - Parameter total: nil where it is not known.
    public func update(_ done: Int64, of total: Int64?) {
        guard isShown else { return }
        let now = ContinuousClock.now
        guard now - started > .seconds(1) else { return }
        state.withLock { state in
            guard !state.isDrawn || now - state.drawnAt > .milliseconds(100) else { return }
            state.isDrawn = true
            state.drawnAt = now
            Terminal.write(
                "\r\u{1B}[K" + Self.line(label, done, total, width: Terminal.width(.error) ?? 80), to: .error)
        }
    }

    /// Takes the bar away.
    public func finish() {
        state.withLock { state in
            if state.isDrawn { Terminal.write("\r\u{1B}[K", to: .error) }
            state.isDrawn = false
        }
    }

    static func line(_ label: String, _ done: Int64, _ total: Int64?, width: Int) -> String {
        guard let total, total > 0 else { return "\(label)  \(done)" }
        let part = min(1, max(0, Double(done) / Double(total)))
        let figures = "  \(done)/\(total)  \(Int(part * 100))%"
        let room = max(5, min(40, width - DisplayWidth.of(label) - figures.count - 5))
        let full = Int(part * Double(room))
        return label + "  " + String(repeating: "█", count: full) + String(repeating: "░", count: room - full) + figures
    }
}
