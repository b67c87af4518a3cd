import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import Testing

/// Somebody who connects and does not speak Peyk.
package struct Stranger {
    package struct Reply: Sendable {
        package var bytes: Int
        /// The other side hung up before we did.
        package var wasClosed: Bool
    }

    private let host: String
    private let port: Int

    package init(address: String?) throws {
        let parts = try #require(address).split(separator: ":")
        host = try #require(parts.first.map(String.init))
        port = try #require(parts.last.flatMap { Int($0) })
    }

    /// Connects, sends `bytes` as they are, and listens until the other side hangs up or `seconds` have passed.
    package func say(_ bytes: [UInt8], overTLS: Bool, seconds: Int64 = 15) async throws -> Reply {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        configuration.applicationProtocols = ["peyk/1"]
        let context = try NIOSSLContext(configuration: configuration)
        let seen = Seen()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(.seconds(5))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if overTLS {
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLClientHandler(context: context, serverHostname: nil))
                    }
                    try channel.pipeline.syncOperations.addHandler(Listener(greeting: bytes, seen: seen))
                }
            }
            .connect(host: host, port: port).get()
        let timeout = channel.eventLoop.scheduleTask(in: .seconds(seconds)) {
            seen.gaveUp.store(true, ordering: .relaxed)
            channel.close(promise: nil)
        }
        try? await channel.closeFuture.get()
        timeout.cancel()
        return Reply(
            bytes: seen.bytes.load(ordering: .relaxed), wasClosed: !seen.gaveUp.load(ordering: .relaxed))
    }

    private final class Seen: Sendable {
        let bytes = Atomic(0)
        let gaveUp = Atomic(false)
    }

    private final class Listener: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let greeting: [UInt8]
        private let seen: Seen

        init(greeting: [UInt8], seen: Seen) {
            self.greeting = greeting
            self.seen = seen
        }

        /// Over TLS this waits for the handshake by itself.
        func channelActive(context: ChannelHandlerContext) {
            guard !greeting.isEmpty else { return }
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: greeting)), promise: nil)
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            seen.bytes.add(unwrapInboundIn(data).readableBytes, ordering: .relaxed)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
