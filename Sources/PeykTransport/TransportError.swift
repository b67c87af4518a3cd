/// Why bytes could not go between the two sides.
public enum TransportError: Error, Hashable, Sendable {
    /// The peer announced a frame over the limit that holds now; nothing was allocated for it.
    case frameTooLong(bytes: Int, limit: Int)
    /// No connection: wrong name, closed port, no network.
    case unreachable(host: String, port: Int, reason: String)
    /// The server showed another certificate than the invite names.
    case wrongServer(expected: Fingerprint, found: Fingerprint)
    case tls(reason: String)
    /// The peer's TLS does not speak `peyk/1`.
    case noProtocol
    /// Plaintext is for tests on one machine.
    case plaintextNotLoopback(host: String)
    case cannotListen(host: String, port: Int, reason: String)
    /// A page whose compression does not fit what it says of itself.
    case page(reason: String)
    /// The peer announced a long message and did not send it in time.
    case tooSlow
    case connection(reason: String)
}

extension TransportError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .frameTooLong(let bytes, let limit):
            "The other side announced a message of \(bytes) bytes, over the limit of \(limit). The connection was closed; "
                + "nothing is lost."
        case .unreachable(let host, let port, let reason):
            "The server \(host):\(port) is out of reach (\(reason)). Your work is safe here; sync again when there is "
                + "a connection."
        case .wrongServer(let expected, let found):
            "The server's certificate is not the one of the invite (expected \(expected), found \(found)). Nothing was "
                + "sent. Somebody may stand between you and the server, or IT has renewed its key: ask for a new invite."
        case .tls(let reason):
            "No secure connection could be made (\(reason)). Nothing was sent; check the address and sync again."
        case .noProtocol: "The other side does not speak Peyk's protocol (peyk/1). Nothing was sent; check the address."
        case .plaintextNotLoopback(let host):
            "Plaintext is allowed on loopback only, and \(host) is not. Nothing was sent; use TLS."
        case .cannotListen(let host, let port, let reason):
            "Cannot listen on \(host):\(port) (\(reason)). Choose another address, or end the program that uses it."
        case .page(let reason): "A page of records is damaged (\(reason)). Nothing of it was stored; sync again."
        case .tooSlow:
            "A long message did not arrive in time. The connection was closed; what was not acknowledged is kept."
        case .connection(let reason):
            "The connection broke (\(reason)). What was not acknowledged is kept; sync again."
        }
    }

    /// Stable, for logs.
    public var code: String {
        switch self {
        case .frameTooLong: "transport.frame-too-long"
        case .unreachable: "transport.unreachable"
        case .wrongServer: "transport.wrong-server"
        case .tls: "transport.tls"
        case .noProtocol: "transport.no-protocol"
        case .plaintextNotLoopback: "transport.plaintext"
        case .cannotListen: "transport.listen"
        case .page: "transport.page"
        case .tooSlow: "transport.too-slow"
        case .connection: "transport.connection"
        }
    }
}
