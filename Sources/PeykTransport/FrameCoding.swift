import NIOCore
import Synchronization

/// Takes frames out of the stream: 4 bytes of length (big-endian, without themselves), then the body.
///
/// The length is checked against the limit of the moment before a byte of the body is kept.
final class FrameDecoder: ByteToMessageDecoder {
    typealias InboundOut = [UInt8]

    private let meter: FrameMeter

    init(_ meter: FrameMeter) { self.meter = meter }

    func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
        meter.moved()
        guard let length = buffer.getInteger(at: buffer.readerIndex, as: UInt32.self) else { return .needMoreData }
        let limit = meter.limit
        guard length <= UInt32(clamping: limit) else {
            throw TransportError.frameTooLong(bytes: Int(length), limit: limit)
        }
        let size = Int(length)
        guard buffer.readableBytes >= 4 + size else { return .needMoreData }
        buffer.moveReaderIndex(forwardBy: 4)
        guard let body = buffer.readBytes(length: size) else { return .needMoreData }
        meter.received(4 + size)
        context.fireChannelRead(wrapInboundOut(body))
        return .continue
    }

    /// What is left at the end is a cut frame; the close says enough.
    func decodeLast(
        context: ChannelHandlerContext, buffer: inout ByteBuffer, seenEOF: Bool
    ) throws -> DecodingState { try decode(context: context, buffer: &buffer) }
}

/// A frame's bytes, ready to be written.
func framed(_ body: [UInt8], _ allocator: ByteBufferAllocator) -> ByteBuffer {
    var buffer = allocator.buffer(capacity: 4 + body.count)
    buffer.writeInteger(UInt32(clamping: body.count))
    buffer.writeBytes(body)
    return buffer
}

/// Bytes and frames that went over one connection, above TLS, lengths included.
public struct ByteCounts: Hashable, Sendable {
    public var received: Int64 = 0
    public var sent: Int64 = 0
    public var framesReceived: Int64 = 0
    public var framesSent: Int64 = 0

    public init(received: Int64 = 0, sent: Int64 = 0, framesReceived: Int64 = 0, framesSent: Int64 = 0) {
        self.received = received
        self.sent = sent
        self.framesReceived = framesReceived
        self.framesSent = framesSent
    }
}

/// Counts what goes over one connection, and holds the limit of its frames. Any thread.
final class FrameMeter: Sendable {
    private let counters = Mutex(ByteCounts())
    private let limitStore: Atomic<Int>
    private let movements = Atomic(0)

    init(limit: Int) { limitStore = Atomic(limit) }

    /// Rises while anything moves in either direction, parts of frames included.
    var progress: Int { movements.load(ordering: .relaxed) }

    func moved() { movements.wrappingAdd(1, ordering: .relaxed) }

    var limit: Int {
        get { limitStore.load(ordering: .relaxed) }
        set { limitStore.store(newValue, ordering: .relaxed) }
    }

    var counts: ByteCounts { counters.withLock { $0 } }

    func received(_ bytes: Int) {
        counters.withLock {
            $0.received += Int64(bytes)
            $0.framesReceived += 1
        }
    }

    func sent(_ bytes: Int) {
        counters.withLock {
            $0.sent += Int64(bytes)
            $0.framesSent += 1
        }
    }
}
