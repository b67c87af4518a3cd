import NIOCore
import NIOPosix
import PeykSession

/// Connects to a server.
public enum FrameConnector {
    /// Returns when the connection is made or has failed; TLS goes on after that, and
    /// ``FrameReceiver/opened(_:)`` says when it is done.
    /// - Returns: the connection, so that the caller can end it while TLS is not done.
    /// - Throws: ``TransportError``
    @discardableResult
    public static func connect(
        host: String, port: Int, security: TransportSecurity, receiver: any FrameReceiver, timeoutSeconds: Double = 10
    ) async throws(TransportError) -> FrameConnection {
        let meter = FrameMeter(limit: SessionLimits.frameBytes)
        let bootstrap = ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connectTimeout(.milliseconds(Int64(timeoutSeconds * 1_000)))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try addHandlers(to: channel, meter, security, .client, nil) { _ in receiver }
                }
            }
        do {
            return FrameConnection(try await bootstrap.connect(host: host, port: port).get(), meter)
        } catch {
            throw Self.failure(error, host: host, port: port)
        }
    }

    private static func failure(_ error: any Error, host: String, port: Int) -> TransportError {
        if let error = error as? TransportError { return error }
        var reason = "\(error)"
        switch error {
        case let error as IOError: reason = error.shortReason
        case let error as NIOConnectionError:
            if error.dnsAError != nil, error.dnsAAAAError != nil {
                reason = "its name is not known"
            } else if let first = error.connectionErrors.first?.error {
                reason = (first as? IOError)?.shortReason ?? "no answer in time"
            } else {
                reason = "no answer in time"
            }
        case ChannelError.connectTimeout: reason = "no answer in time"
        default: break
        }
        return .unreachable(host: host, port: port, reason: reason)
    }
}

/// Listens for clients.
public final class FrameListener: Sendable {
    private let channel: any Channel

    private init(_ channel: any Channel) { self.channel = channel }

    /// - Parameters:
    ///   - port: 0 for any free one; see ``port``.
    ///   - budget: for long frames of all connections together; nil for no limit.
    ///   - makeReceiver: called on the new connection's event loop; nil closes it at once.
    /// - Throws: ``TransportError``
    public static func listen(
        host: String, port: Int, security: TransportSecurity, backlog: Int32 = 256, budget: FrameBudget? = nil,
        makeReceiver: @escaping @Sendable (FrameConnection) -> (any FrameReceiver)?
    ) async throws(TransportError) -> FrameListener {
        let bootstrap = ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.backlog, value: backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(
                .writeBufferWaterMark, value: ChannelOptions.Types.WriteBufferWaterMark(low: 64 << 10, high: 256 << 10)
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let meter = FrameMeter(limit: SessionLimits.greetingBytes)
                    try addHandlers(to: channel, meter, security, .server, budget, makeReceiver)
                }
            }
        let listener: FrameListener
        do {
            listener = FrameListener(try await bootstrap.bind(host: host, port: port).get())
        } catch {
            let reason = (error as? IOError)?.shortReason ?? "\(error)"
            throw .cannotListen(host: host, port: port, reason: reason)
        }
        if security.isPlaintext, listener.channel.localAddress?.isLoopback != true {
            await listener.close()
            throw .plaintextNotLoopback(host: host)
        }
        return listener
    }

    public var host: String { channel.localAddress?.ipAddress ?? "" }
    public var port: Int { channel.localAddress?.port ?? 0 }

    /// Takes no more connections; those that are open stay.
    public func close() async { try? await channel.close().get() }
}

private func addHandlers(
    to channel: any Channel, _ meter: FrameMeter, _ security: TransportSecurity, _ side: FrameHandler.Side,
    _ budget: FrameBudget?, _ makeReceiver: @escaping (FrameConnection) -> (any FrameReceiver)?
) throws {
    let pipeline = channel.pipeline.syncOperations
    if let tls = try security.makeHandler() { try pipeline.addHandler(tls) }
    try pipeline.addHandler(ByteToMessageHandler(FrameDecoder(meter, budget: budget)))
    try pipeline.addHandler(FrameHandler(meter, security: security, side: side, makeReceiver: makeReceiver))
}
