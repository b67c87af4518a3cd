public import PeykModel

/// A device key of its own, for a copy that still has the original's (rule I3).
///
/// In two steps, so that no crash leaves a replica without a key that the server takes: the replica writes the new key
/// beside the old one before it sends it; the server takes both until a hello came with the new certificate.
public struct Rekey: Hashable, Sendable {
    /// Ed25519, 32 bytes.
    public var deviceKey: [UInt8]
    /// Over ``signedBytes(challenge:fingerprint:site:deviceKey:)``, by the new key.
    public var signature: [UInt8]

    public init(deviceKey: [UInt8], signature: [UInt8]) {
        self.deviceKey = deviceKey
        self.signature = signature
    }

    /// What the new key signs: a fixed label, the challenge of this connection, the fingerprint that the client saw,
    /// its site and the key itself.
    public static func signedBytes(
        challenge: [UInt8], fingerprint: [UInt8], site: SiteID, deviceKey: [UInt8]
    ) -> [UInt8] {
        var writer = ByteWriter()
        writer.text("peyk rekey 1")
        writer.blob(challenge)
        writer.blob(fingerprint)
        writer.fixed(site.rawValue)
        writer.blob(deviceKey)
        return writer.bytes
    }
}

public struct Rekeyed: Hashable, Sendable {
    /// The key that the certificate is for.
    public var deviceKey: [UInt8]
    /// As in ``Enrolled``.
    public var certificate: [UInt8]

    public init(deviceKey: [UInt8], certificate: [UInt8]) {
        self.deviceKey = deviceKey
        self.certificate = certificate
    }
}
