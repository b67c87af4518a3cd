import Crypto

/// SHA-256 of a server certificate's DER form: what an invite pins and what a device signs.
public struct Fingerprint: Hashable, Sendable, CustomStringConvertible {
    /// 32 bytes.
    public let bytes: [UInt8]

    public init(certificateDER der: [UInt8]) { bytes = Array(SHA256.hash(data: der)) }

    /// Nil unless there are 32 bytes.
    public init?(bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    /// Reads ``description``; nil for anything else.
    public init?(_ text: some StringProtocol) {
        guard let bytes = Base64URL.decode(text) else { return nil }
        self.init(bytes: bytes)
    }

    private init(zeros: Void) { bytes = Array(repeating: 0, count: 32) }

    /// What both sides sign where there is no certificate: plaintext on loopback.
    public static let plaintext = Fingerprint(zeros: ())

    /// 43 characters of base64 for URLs.
    public var description: String { Base64URL.encode(bytes) }
}
