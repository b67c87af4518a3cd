import Crypto
import Foundation
import PeykTransport
import SwiftASN1
import X509

/// A self-signed certificate for tests that ran out long ago, so that a client which looks at dates fails.
struct TLSTestIdentity {
    let certificateDER: [UInt8]
    let keyPEM: String

    var fingerprint: Fingerprint { Fingerprint(certificateDER: certificateDER) }
    func security() throws -> TransportSecurity {
        try TransportSecurity.server(certificateDER: certificateDER, keyPEM: keyPEM)
    }

    init() throws {
        let key = P256.Signing.PrivateKey()
        let name = try DistinguishedName { CommonName("peyk test") }
        let certificate = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: .init(key.publicKey),
            notValidBefore: Date(timeIntervalSince1970: 1_000_000_000),
            notValidAfter: Date(timeIntervalSince1970: 1_000_086_400), issuer: name, subject: name,
            signatureAlgorithm: .ecdsaWithSHA256, extensions: Certificate.Extensions(), issuerPrivateKey: .init(key))
        var serializer = DER.Serializer()
        try certificate.serialize(into: &serializer)
        certificateDER = serializer.serializedBytes
        keyPEM = key.pemRepresentation
    }
}
