import Crypto
import PeykModel
import Synchronization

/// The workspace's secrets: what signs certificates, and what proves that the server said something.
/// Kept in a file of mode 0600 beside the store, never in it.
public struct WorkspaceKeys: Sendable {
    /// Ed25519 seed, 32 bytes.
    public let signing: [UInt8]
    /// 32 bytes.
    public let mac: [UInt8]
    /// Kept, since each greeting asks for it and computing it costs as much as a signature.
    public let publicKey: [UInt8]
    private let certificates = Certificates()

    public struct Invalid: Error, CustomStringConvertible {
        public var description: String { "The workspace's key file is damaged. Nothing was changed; restore it." }
    }

    /// - Throws: ``Invalid`` where the bytes are no keys.
    public init(signing: [UInt8], mac: [UInt8]) throws {
        guard mac.count == 32, let key = try? Curve25519.Signing.PrivateKey(rawRepresentation: signing) else {
            throw Invalid()
        }
        self.signing = signing
        self.mac = mac
        publicKey = Array(key.publicKey.rawRepresentation)
    }

    public static func generate(random: (Int) -> [UInt8]) throws -> WorkspaceKeys {
        try WorkspaceKeys(signing: random(32), mac: random(32))
    }

    // MARK: - Certificates (rule I1)

    /// (user, device key, site family), signed by the workspace.
    struct Certificate: Hashable {
        var user: RecordID
        var deviceKey: [UInt8]
        var family: SiteID

        var signedBytes: [UInt8] {
            var writer = ByteWriter()
            writer.text("peyk certificate 1")
            writer.bits(user.bits)
            writer.blob(deviceKey)
            writer.fixed(family.rawValue)
            return writer.bytes
        }
    }

    func certify(_ certificate: Certificate) throws -> [UInt8] {
        let key = try Curve25519.Signing.PrivateKey(rawRepresentation: signing)
        var writer = ByteWriter()
        writer.blob(certificate.signedBytes)
        writer.blob(Array(try key.signature(for: certificate.signedBytes)))
        return writer.bytes
    }

    /// The certificate in `bytes`, if this workspace signed it. The signature of the same bytes is checked once: a
    /// device comes with them to each greeting, and the check costs as much as all the rest of one.
    func certificate(_ bytes: [UInt8]) -> Certificate? {
        if let known = certificates.known(bytes) { return known }
        guard let made = checkedCertificate(bytes) else { return nil }
        certificates.note(made, bytes)
        return made
    }

    private func checkedCertificate(_ bytes: [UInt8]) -> Certificate? {
        var reader = ByteReader(bytes)
        guard let signed = try? reader.blob(), let signature = try? reader.blob(), reader.isAtEnd,
            Self.isValid(signature, for: signed, by: publicKey)
        else { return nil }
        var parts = ByteReader(signed)
        guard (try? parts.text()) == "peyk certificate 1", let user = try? parts.bits(),
            let deviceKey = try? parts.blob(), let family = try? parts.fixed(), parts.isAtEnd
        else { return nil }
        return Certificate(user: RecordID(bits: user), deviceKey: deviceKey, family: SiteID(rawValue: family))
    }

    static func isValid(_ signature: [UInt8], for bytes: [UInt8], by key: [UInt8]) -> Bool {
        guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: key) else { return false }
        return key.isValidSignature(signature, for: bytes)
    }

    // MARK: - Proofs (rules A1, I5)

    /// HMAC-SHA256, cut to 16 bytes.
    func seal(_ label: String, _ bytes: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        writer.text(label)
        writer.blob(bytes)
        let code = HMAC<SHA256>.authenticationCode(for: writer.bytes, using: SymmetricKey(data: mac))
        return Array(Array(code).prefix(16))
    }

    func receipt(commit: CommitID, dot: Dot, epoch: Epoch, position: Position, verdict: Answer.Verdict) -> [UInt8] {
        var writer = ByteWriter()
        writer.bits(commit.bits)
        writer.fixed(dot.site.rawValue)
        writer.varint(UInt64(bitPattern: dot.seq))
        writer.bits(epoch.bits)
        writer.varint(UInt64(bitPattern: position))
        writer.byte(verdict.rawValue)
        return seal("receipt", writer.bytes)
    }

    /// Position, epoch, chain hash, MAC: opaque to the replica.
    func token(_ token: AnchorToken) -> [UInt8] {
        token.bytes + seal("anchor", token.bytes)
    }

    func anchorToken(_ bytes: [UInt8]) -> AnchorToken? {
        guard bytes.count > 16, seal("anchor", Array(bytes.dropLast(16))) == Array(bytes.suffix(16)) else { return nil }
        return AnchorToken(bytes: Array(bytes.dropLast(16)))
    }

    // MARK: - Hashes

    static func sha256(_ bytes: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: bytes)) }

    static func codeHash(_ code: String) -> String { sha256(Array(code.utf8)).hex }

    /// The chain hash after one more position.
    static func chain(_ before: UUIDBits, epoch: Epoch, position: Position, commit: CommitID, dot: Dot) -> UUIDBits {
        var writer = ByteWriter(capacity: 72)
        writer.bits(before)
        writer.bits(epoch.bits)
        writer.fixed(UInt64(bitPattern: position))
        writer.bits(commit.bits)
        writer.fixed(dot.site.rawValue)
        writer.fixed(UInt64(bitPattern: dot.seq))
        return UUIDBits(bytes: sha256(writer.bytes).prefix(16)) ?? before
    }
}

/// Certificates that these keys have signed, by their bytes.
private final class Certificates: Sendable {
    private let certificates = Mutex<[[UInt8]: WorkspaceKeys.Certificate]>([:])

    /// Beyond this all are forgotten. Only what carries the workspace's signature is kept, so nobody else can fill it.
    private static let countMax = 10_000

    func known(_ bytes: [UInt8]) -> WorkspaceKeys.Certificate? { certificates.withLock { $0[bytes] } }

    func note(_ certificate: WorkspaceKeys.Certificate, _ bytes: [UInt8]) {
        certificates.withLock { certificates in
            if certificates.count >= Self.countMax { certificates = [:] }
            certificates[bytes] = certificate
        }
    }
}

/// Says that the server's log had this hash at this position of this epoch.
struct AnchorToken: Hashable {
    var position: Position
    var epoch: Epoch
    var chain: UUIDBits

    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 40)
        writer.fixed(UInt64(bitPattern: position))
        writer.bits(epoch.bits)
        writer.bits(chain)
        return writer.bytes
    }
}

extension AnchorToken {
    init?(bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard let raw = try? reader.fixed(), let position = Int64(exactly: raw), let epoch = try? reader.bits(),
            let chain = try? reader.bits(), reader.isAtEnd
        else { return nil }
        self.init(position: position, epoch: Epoch(bits: epoch), chain: chain)
    }
}
