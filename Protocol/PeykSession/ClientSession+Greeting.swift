// What the shell has prepared: who the device is.
extension ClientSession {
    public mutating func prepared(_ enrol: Enrol) -> [Directive] {
        guard case .enrolling = state else { return [] }
        return [.send(.enrol(enrol))]
    }

    /// The same challenge serves the hello that follows.
    public mutating func enrolmentStored() -> [Directive] {
        guard case .enrolling(let challenge) = state else { return [] }
        state = .greeting
        return [.prepareHello(challenge)]
    }

    public mutating func prepared(_ hello: Hello) -> [Directive] {
        guard state == .greeting else { return [] }
        reported = hello.applied
        return [.send(.hello(hello))]
    }

    public mutating func prepared(_ rekey: Rekey) -> [Directive] {
        guard case .open(let open) = state, open.isRekeying else { return [] }
        return [.send(.rekey(rekey))]
    }
}
