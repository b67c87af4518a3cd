import PeykModel

/// How a session ends: by another event than a message.
extension ServerSession {
    /// A later session of the same site, a revocation, a changed grant or a shutdown ends this one.
    public mutating func ended(_ reason: Refusal) -> [Directive] {
        guard state != .closed else { return [] }
        state = .closed
        return [.send(.bye(reason)), .close(reason)]
    }

    // MARK: Events from the clock

    /// ``SessionLimits/greetingSeconds`` passed before the session was open, or ``SessionLimits/idleSeconds``
    /// without a frame after.
    public mutating func timedOut() -> [Directive] {
        switch state {
        case .closed: return []
        case .open where !isPinging:
            isPinging = true
            return [.send(.ping(1))]
        case .open:
            state = .closed
            return [.close(Refusal(.protocolBroken, "The client did not answer a ping in time."))]
        default:
            return close(Refusal(.protocolBroken, "No complete greeting within \(SessionLimits.greetingSeconds) s."))
        }
    }

    public mutating func disconnected() -> [Directive] { closeQuietly() }
}
