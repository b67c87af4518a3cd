#if DEBUG
    import Foundation
    import Synchronization
#endif

/// Named places in the programs where a test may kill, stop or break them. Nothing in a release build.
///
/// A debug build reads `PEYK_FAILPOINT` once: `NAME=ACTION[@N]`, several with commas. NAME may end in `*`. ACTION is
/// `kill` (SIGKILL to itself), `pause` (SIGSTOP to itself, until somebody sends SIGCONT) or `throw`; it is done at the
/// N-th passage, the first where no N is given. `PEYK_FAILPOINT_LOG` names a file to which each passage appends a
/// line with its name: so tests know which places a command passes, and how often.
///
/// Names are `part.step.moment`, such as `replica.apply.before-commit`, and stand for one place in the code each.
public enum Failpoint {
    /// What `throw` throws.
    public struct Injected: Error, Hashable, Sendable, CustomStringConvertible {
        public var name: String
        public var description: String { "a test broke this at \(name)" }
    }

    #if DEBUG
        /// Passes the place `name`; `throw` does nothing here.
        public static func hit(_ name: StaticString) {
            guard let plan else { return }
            _ = plan.pass(name.description)
        }

        /// Passes the place `name`.
        /// - Throws: ``Injected`` where the environment asks for it.
        public static func hitOrThrow(_ name: StaticString) throws {
            guard let plan else { return }
            if plan.pass(name.description) { throw Injected(name: name.description) }
        }

        private static let plan = Plan(ProcessInfo.processInfo.environment)
    #else
        @inlinable
        @inline(__always)
        public static func hit(_ name: StaticString) {}

        @inlinable
        @inline(__always)
        public static func hitOrThrow(_ name: StaticString) throws {}
    #endif
}

#if DEBUG
    /// What the environment asks for.
    private final class Plan: Sendable {
        private enum Action: String {
            case kill
            case pause
            case `throw`
        }

        private struct Order {
            var pattern: String
            var action: Action
            /// Passages left before it is done.
            var left: Int

            func matches(_ name: String) -> Bool {
                pattern.hasSuffix("*") ? name.hasPrefix(pattern.dropLast()) : name == pattern
            }
        }

        private let orders: Mutex<[Order]>
        private let log: Int32

        init?(_ environment: [String: String]) {
            let text = environment["PEYK_FAILPOINT"]
            let path = environment["PEYK_FAILPOINT_LOG"]
            guard text != nil || path != nil else { return nil }
            orders = Mutex((text ?? "").split(separator: ",").compactMap(Self.order))
            log = path.map { open($0, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600) } ?? -1
        }

        private static func order(_ text: Substring) -> Order? {
            let parts = text.split(separator: "=")
            guard parts.count == 2 else { return nil }
            let deed = parts[1].split(separator: "@")
            guard let action = deed.first.flatMap({ Action(rawValue: String($0)) }) else { return nil }
            let count = deed.count > 1 ? Int(deed[1]) ?? 1 : 1
            return Order(pattern: String(parts[0]), action: action, left: max(1, count))
        }

        /// True where the caller must throw.
        func pass(_ name: String) -> Bool {
            if log >= 0 {
                let line = Array((name + "\n").utf8)
                // One write, so that lines of several threads do not mix. A lost line only makes a test fail.
                _ = line.withUnsafeBytes { write(log, $0.baseAddress, $0.count) }
            }
            let due = orders.withLock { orders -> Action? in
                for index in orders.indices where orders[index].left > 0 && orders[index].matches(name) {
                    orders[index].left -= 1
                    if orders[index].left == 0 { return orders[index].action }
                }
                return nil
            }
            // To this thread, so that it does not run on while another one takes the signal.
            switch due {
            case .kill: raise(SIGKILL)
            case .pause: raise(SIGSTOP)
            case .throw: return true
            case nil: break
            }
            return false
        }
    }
#endif
