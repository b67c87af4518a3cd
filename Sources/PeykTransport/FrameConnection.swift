public import NIOCore
import PeykSession

/// What a connection tells its owner. All calls come on the connection's event loop and must not block.
public protocol FrameReceiver: AnyObject, Sendable {
    /// The connection is up (with TLS: the handshake is done); frames may be sent.
    func opened(_ connection: FrameConnection)
    /// A whole frame's body arrived.
    func received(_ body: [UInt8], from connection: FrameConnection)
    /// The peer reads again, or does not keep up with what was sent.
    func writabilityChanged(_ isWritable: Bool, of connection: FrameConnection)
    /// The peer broke a limit, and the connection is about to close: the last chance to tell it why.
    func failing(_ error: TransportError, _ connection: FrameConnection)
    /// The connection is over; nothing follows. Nil: the peer or we closed it in order.
    func closed(_ error: TransportError?, _ connection: FrameConnection)
}

extension FrameReceiver {
    public func failing(_ error: TransportError, _ connection: FrameConnection) {}
}

/// One connection that carries frames, over TLS or, on loopback, in the plain.
///
/// Usable from any thread. What it reads waits in the kernel's buffers while reading is paused, and a server's
/// connection pauses by itself while its peer does not read, so a peer cannot fill our memory (P28).
public final class FrameConnection: Sendable {
    private let channel: any Channel
    private let meter: FrameMeter

    init(_ channel: any Channel, _ meter: FrameMeter) {
        self.channel = channel
        self.meter = meter
    }

    /// Where the receiver's calls come from; its state may be confined to it.
    public var eventLoop: any EventLoop { channel.eventLoop }
    public var isWritable: Bool { channel.isWritable }
    public var counts: ByteCounts { meter.counts }

    /// Rises while bytes move in either direction, parts of frames included: a peer on a slow line is not idle.
    public var progress: Int { meter.progress }

    /// Rises while bytes come in, parts of frames included.
    public var arrivals: Int { meter.arrivals }

    /// The network that the peer comes from: its IPv4 address, or the first half of its IPv6 address.
    public var peerNetwork: String {
        guard let ip = channel.remoteAddress?.ipAddress else { return "local" }
        return Self.network(of: ip)
    }

    /// An IPv4 address as it is; of an IPv6 address its first four groups.
    static func network(of ip: String) -> String {
        guard ip.contains(":"), !ip.contains(".") else { return ip }
        let halves = ip.split(separator: ":", omittingEmptySubsequences: false)
        let groups = halves.prefix { !$0.isEmpty }.prefix(4)
        // What “::” leaves out is 0.
        return (groups.map(String.init) + Array(repeating: "0", count: 4 - groups.count)).joined(separator: ":")
    }

    /// The peer's address, for logs.
    public var peer: String {
        guard let address = channel.remoteAddress else { return "unknown" }
        guard let ip = address.ipAddress, let port = address.port else { return "local" }
        return address.protocol == .inet6 ? "[\(ip)]:\(port)" : "\(ip):\(port)"
    }

    /// The limit of frames that the peer sends: ``SessionLimits/greetingBytes`` at first on the server.
    public var frameLimit: Int {
        get { meter.limit }
        set { meter.limit = newValue }
    }

    /// Puts a frame into the line; order is kept. What cannot be written any more ends in
    /// ``FrameReceiver/closed(_:_:)``, not here.
    public func enqueue(_ body: [UInt8]) {
        meter.sent(4 + body.count)
        channel.writeAndFlush(framed(body, channel.allocator)).whenSuccess { [meter] in meter.moved() }
    }

    /// Sends a frame and returns when it is with the kernel, so a slow peer holds up the caller.
    /// - Throws: ``TransportError``
    public func send(_ body: [UInt8]) async throws {
        meter.sent(4 + body.count)
        do {
            try await channel.writeAndFlush(framed(body, channel.allocator)).get()
        } catch {
            throw TransportError(error)
        }
    }

    /// Takes no more from the peer, or takes again. What was read already still comes.
    public func setReading(_ isReading: Bool) { meter.setPaused(!isReading, for: .owner, channel) }

    /// Within ``FrameReceiver/received(_:from:)``: keeps the memory of this frame counted until it is released.
    public func claimHold() -> FrameHold { meter.claimHold() }

    /// Bytes in the line that the kernel has not taken yet. On the event loop only.
    public var unsentBytes: Int { (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0 }

    /// Closes after everything in the line is written, or after `seconds` at the latest.
    public func close(flushingFor seconds: Double = 5) {
        let channel = channel
        let deadline = channel.eventLoop.scheduleTask(in: .milliseconds(Int64(seconds * 1_000))) {
            channel.close(promise: nil)
        }
        channel.writeAndFlush(ByteBuffer()).whenComplete { _ in channel.close(promise: nil) }
        channel.closeFuture.whenComplete { _ in deadline.cancel() }
    }

    /// Returns when what is in the line is with the kernel, or cannot get there any more.
    public func flushed() async { try? await channel.writeAndFlush(ByteBuffer()).get() }

    /// Closes at once.
    public func abort() { channel.close(promise: nil) }

    /// Runs `body` on the event loop after `seconds`, unless cancelled or the loop ends.
    public func schedule(seconds: Double, _ body: @escaping @Sendable () -> Void) -> Scheduled<Void> {
        channel.eventLoop.scheduleTask(in: .milliseconds(Int64(seconds * 1_000))) { body() }
    }
}
