import NIOCore
import NIOPosix
import NIOSSL
import PeykSession
import PeykTransport
import Testing

@Suite("Connections", .timeLimit(.minutes(1)))
struct ConnectionTests {
    @Test("frames of any size go both ways over TLS, in order, and are counted above it")
    func echo() async throws {
        let identity = try TLSTestIdentity()
        let server = try await TestServer(identity.security(), echoes: true)
        let client = try await server.connect(.client(pinned: identity.fingerprint))
        #expect(await client.next(1) == [.opened])
        let side = try #require(await server.nextReceiver())
        #expect(await side.next(1) == [.opened])
        side.connection?.frameLimit = SessionLimits.frameBytes
        let connection = try #require(client.connection)
        let sizes = [0, 1, 3, 4, 65_535, 65_536, 3 << 20]
        for size in sizes { try await connection.send([UInt8](repeating: UInt8(size & 0xFF), count: size)) }
        #expect(
            await client.next(sizes.count) == sizes.map { .received([UInt8](repeating: UInt8($0 & 0xFF), count: $0)) })
        let total = Int64(sizes.reduce(0) { $0 + $1 + 4 })
        let counts = ByteCounts(received: total, sent: total, framesReceived: 7, framesSent: 7)
        #expect(connection.counts == counts)
        connection.close()
        #expect(await client.next(1) == [.closed(nil)])
        #expect(await side.next(sizes.count + 1).last == .closed(nil))
        await server.listener.close()
    }

    @Test("the certificate's dates are not looked at (C4), another certificate is refused by its fingerprint")
    func pinning() async throws {
        let identity = try TLSTestIdentity()
        let other = try TLSTestIdentity()
        let server = try await TestServer(identity.security())
        let client = try await server.connect(.client(pinned: other.fingerprint))
        let expected = TransportError.wrongServer(expected: other.fingerprint, found: identity.fingerprint)
        #expect(await client.next(2) == [.closed(expected)])
        let side = try #require(await server.nextReceiver())
        let events = await side.next(2)
        #expect(events.count == 1, "it never opened")
        await server.listener.close()
    }

    @Test("a peer without the protocol's name is refused")
    func noProtocolName() async throws {
        let identity = try TLSTestIdentity()
        let server = try await TestServer(identity.security())
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        let context = try NIOSSLContext(configuration: configuration)
        let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        NIOSSLClientHandler(context: context, serverHostname: nil))
                }
            }
            .connect(host: "127.0.0.1", port: server.listener.port).get()
        let side = try #require(await server.nextReceiver())
        #expect(await side.next(1) == [.closed(.noProtocol)])
        try? await channel.close()
        await server.listener.close()
    }

    /// A plain socket to the port, for peers that break the rules.
    private func rawSocket(_ port: Int, _ bytes: [UInt8]) async throws -> any Channel {
        let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connect(host: "127.0.0.1", port: port).get()
        try await channel.writeAndFlush(ByteBuffer(bytes: bytes))
        return channel
    }

    @Test("a frame is a length of four bytes, big-endian, that does not count itself, and the body (F-3)")
    func layout() async throws {
        let server = try await TestServer(.plaintext)
        let body = (0..<258).map { UInt8(truncatingIfNeeded: $0) }
        let raw = try await rawSocket(server.listener.port, [0, 0, 1, 2] + body + [0, 0, 0, 1, 7, 0, 0])
        let side = try #require(await server.nextReceiver())
        #expect(await side.next(3) == [.opened, .received(body), .received([7])])
        try await raw.writeAndFlush(ByteBuffer(bytes: [0, 0] as [UInt8]))
        #expect(await side.next(1) == [.received([])], "however it is cut")
        try? await raw.close()
        await server.listener.close()
    }

    @Test("a frame of 4 GB is refused by its length alone, and ends the connection")
    func hugeFrame() async throws {
        let server = try await TestServer(.plaintext)
        let raw = try await rawSocket(server.listener.port, [0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3])
        let side = try #require(await server.nextReceiver())
        let error = TransportError.frameTooLong(bytes: 0xFFFF_FFFF, limit: SessionLimits.greetingBytes)
        #expect(await side.next(2) == [.opened, .closed(error)])
        try? await raw.close()
        await server.listener.close()
    }

    @Test("the limit of greetings is exact, and rises when the owner says so (F-4)")
    func limit() async throws {
        let server = try await TestServer(.plaintext)
        let client = try await server.connect(.plaintext)
        #expect(await client.next(1) == [.opened])
        let connection = try #require(client.connection)
        let side = try #require(await server.nextReceiver())
        connection.enqueue([UInt8](repeating: 1, count: SessionLimits.greetingBytes))
        #expect(await side.next(2).count == 2)
        side.connection?.frameLimit = SessionLimits.greetingBytes + 1
        connection.enqueue([UInt8](repeating: 1, count: SessionLimits.greetingBytes + 1))
        #expect(await side.next(1) == [.received([UInt8](repeating: 1, count: SessionLimits.greetingBytes + 1))])
        connection.enqueue([UInt8](repeating: 1, count: SessionLimits.greetingBytes + 2))
        let error = TransportError.frameTooLong(
            bytes: SessionLimits.greetingBytes + 2, limit: SessionLimits.greetingBytes + 1)
        #expect(await side.next(1) == [.closed(error)])
        await server.listener.close()
    }

    @Test("random bytes on the TLS port are refused, and the next client is served")
    func randomBytes() async throws {
        let identity = try TLSTestIdentity()
        let server = try await TestServer(identity.security())
        let raw = try await rawSocket(server.listener.port, (0..<512).map { UInt8(truncatingIfNeeded: $0 &* 167) })
        let side = try #require(await server.nextReceiver())
        guard case .closed(.tls?)? = await side.next(1).first else {
            Issue.record("not refused")
            return
        }
        try? await raw.close()
        let client = try await server.connect(.client(pinned: identity.fingerprint))
        #expect(await client.next(1) == [.opened])
        await server.listener.close()
    }

    @Test("a plaintext server listens on loopback only")
    func plaintextServer() async throws {
        await #expect(throws: TransportError.plaintextNotLoopback(host: "0.0.0.0")) {
            _ = try await FrameListener.listen(host: "0.0.0.0", port: 0, security: .plaintext) { _ in nil }
        }
    }

    @Test("a closed port is out of reach, with a reason")
    func closedPort() async throws {
        let server = try await TestServer(.plaintext)
        let port = server.listener.port
        await server.listener.close()
        await #expect(
            throws: TransportError.unreachable(host: "127.0.0.1", port: port, reason: "Connection refused")
        ) {
            try await FrameConnector.connect(host: "127.0.0.1", port: port, security: .plaintext, receiver: Recorder())
        }
    }

    @Test("a port in use cannot be listened on again")
    func portInUse() async throws {
        let server = try await TestServer(.plaintext)
        await #expect(throws: TransportError.self) {
            _ = try await FrameListener.listen(host: "127.0.0.1", port: server.listener.port, security: .plaintext) {
                _ in nil
            }
        }
        await server.listener.close()
    }
}
