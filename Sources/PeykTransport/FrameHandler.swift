import NIOCore
import NIOSSL
import NIOTLS

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The last handler of a connection: turns its events into calls of the receiver.
final class FrameHandler: ChannelInboundHandler {
    typealias InboundIn = [UInt8]

    private let meter: FrameMeter
    private let security: TransportSecurity
    private let side: Side
    private var connection: FrameConnection?
    private var receiver: (any FrameReceiver)?
    private let makeReceiver: (FrameConnection) -> (any FrameReceiver)?
    private var failure: TransportError?
    private var isOpen = false

    enum Side { case client, server }

    init(
        _ meter: FrameMeter, security: TransportSecurity, side: Side,
        makeReceiver: @escaping (FrameConnection) -> (any FrameReceiver)?
    ) {
        self.meter = meter
        self.security = security
        self.side = side
        self.makeReceiver = makeReceiver
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { begin(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelActive()
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard connection == nil else { return }
        let connection = FrameConnection(context.channel, meter)
        self.connection = connection
        if security.isPlaintext, context.channel.remoteAddress?.isLoopback != true {
            fail(.plaintextNotLoopback(host: connection.peer), context)
        }
        receiver = makeReceiver(connection)
        guard receiver != nil else {
            context.close(promise: nil)
            return
        }
        if security.isPlaintext { open() }
    }

    private func open() {
        guard !isOpen, failure == nil, let connection else { return }
        isOpen = true
        receiver?.opened(connection)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted(let negotiated)? = event as? TLSUserEvent {
            if negotiated == TransportSecurity.applicationProtocol {
                open()
            } else {
                fail(.noProtocol, context)
            }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard isOpen, failure == nil, let connection else { return }
        receiver?.received(unwrapInboundIn(data), from: connection)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if let connection {
            // A client reads on, or both sides could wait for each other.
            if side == .server { meter.setPaused(!context.channel.isWritable, for: .writing, context.channel) }
            receiver?.writabilityChanged(context.channel.isWritable, of: connection)
        }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        if let connection { receiver?.closed(failure ?? security.mismatch, connection) }
        receiver = nil
        connection = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let error = error as? NIOSSLError, case .uncleanShutdown = error {
            // The peer went without TLS's goodbye; frames carry their length, so nothing can be cut unseen.
            context.close(promise: nil)
            return
        }
        fail(security.mismatch ?? TransportError(error), context)
    }

    private func fail(_ error: TransportError, _ context: ChannelHandlerContext) {
        guard failure == nil else {
            context.close(promise: nil)
            return
        }
        failure = error
        if isOpen, case .frameTooLong = error, let connection {
            receiver?.failing(error, connection)
            connection.close(flushingFor: 1)
        } else {
            context.close(promise: nil)
        }
    }
}

extension TransportError {
    init(_ error: any Error) {
        switch error {
        case let error as TransportError: self = error
        case let error as NIOSSLError: self = .tls(reason: Self.reason(error))
        case let error as BoringSSLError: self = .tls(reason: "\(error)")
        case let error as IOError: self = .connection(reason: error.shortReason)
        case let error as ChannelError where error == .ioOnClosedChannel || error == .alreadyClosed:
            self = .connection(reason: "it is closed")
        default: self = .connection(reason: "\(error)")
        }
    }

    private static func reason(_ error: NIOSSLError) -> String {
        switch error {
        case .handshakeFailed: "the other side does not speak TLS 1.3 as Peyk does"
        default: "\(error)"
        }
    }
}

extension IOError {
    var shortReason: String { String(cString: strerror(errnoCode)) }
}
