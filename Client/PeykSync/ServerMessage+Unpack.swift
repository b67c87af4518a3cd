import PeykSession
import PeykTransport
import PeykWire

extension ServerMessage {
    /// Reads a frame's body; pages come out decompressed.
    /// - Throws: ``SyncFailure`` or ``TransportError``; nothing of such a message is used.
    init(unpacking body: [UInt8]) throws {
        do {
            self = try WireCodec.decodeServer(body)
        } catch {
            throw SyncFailure(
                .protocolBroken,
                "The server sent \(error). Nothing of it was stored; upgrade the older side and sync again.")
        }
        if case .page(let page) = self { self = .page(try PageCompression.decompress(page)) }
    }
}
