import Crypto

/// A device's own Ed25519 key: made on the device, never leaves it, proves who it is at every hello.
public struct DeviceKey: Sendable, CustomStringConvertible {
    private let key: Curve25519.Signing.PrivateKey
    /// 32 bytes.
    public let publicKey: [UInt8]

    private static let prefix = "peyk-device-key-1 "

    public enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        case file(SecretFile.Failure)
        case damaged(path: String)

        public var description: String {
            switch self {
            case .file(let failure) where failure.isMissing:
                "This device has no key at \(failure.path). Join the workspace with an invite first."
            case .file(let failure) where failure.exists:
                "There is a device key at \(failure.path) already; it was left as it is."
            case .file(let failure): "The device's key cannot be used: \(failure)."
            case .damaged(let path):
                "The device's key at \(path) is damaged. Your data is safe; ask IT for a new invite and join again."
            }
        }
    }

    /// A new key that is in no file yet.
    public static func generate() -> DeviceKey { DeviceKey(Curve25519.Signing.PrivateKey()) }

    /// A new key in a new file (0600); an existing file is never overwritten.
    public static func create(at path: String) throws(Failure) -> DeviceKey {
        let key = generate()
        do {
            try SecretFile.create(path, Array((prefix + Base64URL.encode(key.key.rawRepresentation) + "\n").utf8))
        } catch {
            throw .file(error)
        }
        return key
    }

    /// Reads what ``create(at:)`` wrote.
    public init(contentsOf path: String) throws(Failure) {
        let bytes: [UInt8]
        do { bytes = try SecretFile.read(path, limit: 256) } catch { throw .file(error) }
        let text = String(decoding: bytes, as: UTF8.self)
        guard text.hasPrefix(Self.prefix), text.hasSuffix("\n"),
            let seed = Base64URL.decode(text.dropFirst(Self.prefix.count).dropLast()),
            let key = try? Curve25519.Signing.PrivateKey(rawRepresentation: seed)
        else { throw .damaged(path: path) }
        self.init(key)
    }

    private init(_ key: Curve25519.Signing.PrivateKey) {
        self.key = key
        publicKey = Array(key.publicKey.rawRepresentation)
    }

    /// 64 bytes.
    public func sign(_ bytes: [UInt8]) throws -> [UInt8] {
        Array(try key.signature(for: bytes))
    }

    /// The public half: a printed key shows no secret.
    public var description: String { "device key \(Base64URL.encode(publicKey))" }
}
