import Crypto
import Foundation
public import PeykTransport
import SwiftASN1
import X509

/// The server's self-signed certificate and key, kept in `server.crt` and `server.key` (both 0600).
///
/// Clients pin the certificate itself, so its names and dates say nothing to them (rule C4).
public struct TLSIdentity: Sendable {
    public let fingerprint: Fingerprint
    let certificateDER: [UInt8]
    let keyPEM: String

    private static let validDays = 36_500.0

    public enum Failure: Error, CustomStringConvertible {
        case file(SecretFile.Failure)
        case damaged(path: String)
        case cannotCreate(reason: String)

        public var description: String {
            switch self {
            case .file(let failure) where failure.exists:
                "There is a server key at \(failure.path) already; it was left as it is."
            case .file(let failure) where failure.isMissing:
                "The server has no key at \(failure.path). Restore it from the backup of the data directory: devices "
                    + "trust this key only."
            case .file(let failure): "The server's key cannot be used: \(failure)."
            case .damaged(let path):
                "The server's certificate at \(path) is damaged. Restore it from the backup: devices trust it only."
            case .cannotCreate(let reason): "No server certificate could be made: \(reason)."
            }
        }
    }

    /// Makes a new P-256 key and certificate in `directory`. Existing ones are never overwritten.
    public static func create(directory: String, workspace: String) throws(Failure) -> TLSIdentity {
        let made: (der: [UInt8], pem: String)
        do {
            made = try make(workspace)
        } catch {
            throw .cannotCreate(reason: "\(error)")
        }
        do {
            try SecretFile.create(directory + "/server.key", Array(made.pem.utf8))
            try SecretFile.create(directory + "/server.crt", Array(pem(certificate: made.der).utf8))
        } catch {
            throw .file(error)
        }
        return TLSIdentity(certificateDER: made.der, keyPEM: made.pem)
    }

    /// Reads what ``create(directory:workspace:)`` wrote.
    public init(directory: String) throws(Failure) {
        let path = directory + "/server.crt"
        let certificate: [UInt8]
        do {
            certificate = try SecretFile.read(path)
            keyPEM = String(decoding: try SecretFile.read(directory + "/server.key"), as: UTF8.self)
        } catch {
            throw .file(error)
        }
        guard let document = try? PEMDocument(pemString: String(decoding: certificate, as: UTF8.self)) else {
            throw .damaged(path: path)
        }
        certificateDER = document.derBytes
        fingerprint = Fingerprint(certificateDER: certificateDER)
        do { _ = try security() } catch { throw .damaged(path: path) }
    }

    private init(certificateDER: [UInt8], keyPEM: String) {
        self.certificateDER = certificateDER
        self.keyPEM = keyPEM
        fingerprint = Fingerprint(certificateDER: certificateDER)
    }

    func security() throws(TransportError) -> TransportSecurity {
        try TransportSecurity.server(certificateDER: certificateDER, keyPEM: keyPEM)
    }

    private static func make(_ workspace: String) throws -> (der: [UInt8], pem: String) {
        let key = P256.Signing.PrivateKey()
        let name = try DistinguishedName {
            CommonName("Peyk server")
            OrganizationName(String(workspace.prefix(64)))
        }
        let now = Date()
        let certificate = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: .init(key.publicKey),
            notValidBefore: now.addingTimeInterval(-86_400), notValidAfter: now.addingTimeInterval(validDays * 86_400),
            issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256, extensions: Certificate.Extensions(),
            issuerPrivateKey: .init(key))
        var serializer = DER.Serializer()
        try certificate.serialize(into: &serializer)
        return (serializer.serializedBytes, key.pemRepresentation)
    }

    private static func pem(certificate der: [UInt8]) -> String {
        PEMDocument(type: "CERTIFICATE", derBytes: der).pemString + "\n"
    }
}
