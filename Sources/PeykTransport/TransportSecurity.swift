import NIOCore
import NIOSSL
import Synchronization

/// How a connection is secured: TLS 1.3 with the server's key pinned, or nothing at all on loopback.
public final class TransportSecurity: Sendable {
    /// The protocol's name in TLS (ALPN).
    public static let applicationProtocol = "peyk/1"

    private enum Mode: Sendable {
        case plaintext
        case client(NIOSSLContext, Fingerprint)
        case server(NIOSSLContext)
    }

    private let mode: Mode
    /// The certificate that a server showed instead of the pinned one.
    private let found = Mutex<Fingerprint?>(nil)

    private init(_ mode: Mode) { self.mode = mode }

    /// Nothing is encrypted and nobody is authenticated. Refused beyond loopback, on both sides.
    public static let plaintext = TransportSecurity(.plaintext)

    /// A client that accepts exactly the server with this certificate. Names and dates are not looked at: a
    /// rep's clock may be anything (rule C4).
    public static func client(pinned fingerprint: Fingerprint) throws(TransportError) -> TransportSecurity {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv13
        configuration.applicationProtocols = [applicationProtocol]
        // The callback below decides; it is asked only while verification is not off.
        configuration.certificateVerification = .noHostnameVerification
        configuration.trustRoots = .certificates([])
        do {
            return TransportSecurity(.client(try NIOSSLContext(configuration: configuration), fingerprint))
        } catch {
            throw .tls(reason: "\(error)")
        }
    }

    /// A server that shows this certificate.
    /// - Parameters:
    ///   - der: the certificate.
    ///   - keyPEM: its private key, PKCS #8 in PEM.
    public static func server(certificateDER der: [UInt8], keyPEM: String) throws(TransportError) -> TransportSecurity {
        do {
            let certificate = try NIOSSLCertificate(bytes: der, format: .der)
            let key = try NIOSSLPrivateKey(bytes: Array(keyPEM.utf8), format: .pem)
            var configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: [.certificate(certificate)], privateKey: .privateKey(key))
            configuration.minimumTLSVersion = .tlsv13
            configuration.applicationProtocols = [applicationProtocol]
            return TransportSecurity(.server(try NIOSSLContext(configuration: configuration)))
        } catch {
            throw .tls(reason: "the server's certificate and key cannot be used: \(error)")
        }
    }

    var isPlaintext: Bool { if case .plaintext = mode { true } else { false } }

    /// Set once a server showed the wrong certificate.
    var mismatch: TransportError? {
        guard case .client(_, let expected) = mode, let found = found.withLock({ $0 }) else { return nil }
        return .wrongServer(expected: expected, found: found)
    }

    /// The TLS handler for one connection; nil in the plain.
    func makeHandler() throws -> (any ChannelHandler)? {
        switch mode {
        case .plaintext: return nil
        case .server(let context): return NIOSSLServerHandler(context: context)
        case .client(let context, let expected):
            return try NIOSSLClientHandler(context: context, serverHostname: nil) { [self] chain, promise in
                guard let leaf = chain.first, let der = try? leaf.toDERBytes() else {
                    promise.succeed(.failed)
                    return
                }
                let shown = Fingerprint(certificateDER: der)
                if shown == expected {
                    promise.succeed(.certificateVerified)
                } else {
                    found.withLock { $0 = shown }
                    promise.succeed(.failed)
                }
            }
        }
    }
}

extension SocketAddress {
    /// Whether both ends are on this machine.
    var isLoopback: Bool {
        switch self {
        case .unixDomainSocket: true
        case .v4: ipAddress?.hasPrefix("127.") == true
        case .v6: ipAddress == "::1" || ipAddress?.hasPrefix("::ffff:127.") == true
        }
    }
}
