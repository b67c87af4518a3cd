import NIOCore
import Synchronization

/// Takes frames out of the stream: 4 bytes of length (big-endian, without themselves), then the body.
///
/// The length is checked against the limit of the moment before a byte of the body is kept, and a long body is read on
/// only when the budget has room for it.
final class FrameDecoder: ByteToMessageDecoder {
    typealias InboundOut = [UInt8]

    private let meter: FrameMeter
    private let budget: FrameBudget?
    private var place = Place.none
    /// Rises with each frame, so that a word that comes too late is known.
    private var frames = 0
    private var deadline: Scheduled<Void>?

    /// Where the frame that is coming in stands with the budget.
    private enum Place {
        case none
        case waiting(UInt64)
        case held(Int)
    }

    init(_ meter: FrameMeter, budget: FrameBudget? = nil) {
        self.meter = meter
        self.budget = budget
    }

    func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
        meter.arrived()
        guard let length = buffer.getInteger(at: buffer.readerIndex, as: UInt32.self) else { return .needMoreData }
        let limit = meter.limit
        guard length <= UInt32(clamping: limit) else {
            throw TransportError.frameTooLong(bytes: Int(length), limit: limit)
        }
        let size = Int(length)
        guard buffer.readableBytes >= 4 + size else {
            if size > FrameBudget.smallBytes { reserve(size, context) }
            return .needMoreData
        }
        buffer.moveReaderIndex(forwardBy: 4)
        guard let body = buffer.readBytes(length: size) else { return .needMoreData }
        meter.received(4 + size)
        meter.hold = takeHold(context)
        context.fireChannelRead(wrapInboundOut(body))
        // Whoever works on the frame later has claimed it by now.
        meter.claimHold().release()
        return .continue
    }

    /// What is left at the end is a cut frame; the close says enough.
    func decodeLast(
        context: ChannelHandlerContext, buffer: inout ByteBuffer, seenEOF: Bool
    ) throws -> DecodingState { try decode(context: context, buffer: &buffer) }

    func decoderRemoved(context: ChannelHandlerContext) { takeHold(context).release() }

    private func reserve(_ size: Int, _ context: ChannelHandlerContext) {
        guard let budget, case .none = place else { return }
        let loop = context.eventLoop
        let bound = NIOLoopBound(self, eventLoop: loop)
        let pipeline = NIOLoopBound(context, eventLoop: loop)
        let frame = frames
        let number = budget.reserve(size) {
            loop.execute { bound.value.granted(size, frame, pipeline.value) }
        }
        if let number {
            place = .waiting(number)
            meter.setPaused(true, for: .budget, context.channel)
        } else {
            hold(size, context)
        }
    }

    private func granted(_ size: Int, _ frame: Int, _ context: ChannelHandlerContext) {
        guard frame == frames, case .waiting = place else {
            // The frame came whole, or the connection ended, while the word was on its way.
            budget?.release(size)
            return
        }
        hold(size, context)
        meter.setPaused(false, for: .budget, context.channel)
    }

    /// Room that is held must be used: the frame has to come at 16 KiB a second, or within half a minute.
    private func hold(_ size: Int, _ context: ChannelHandlerContext) {
        place = .held(size)
        let channel = context.channel
        let pipeline = channel.pipeline
        deadline = context.eventLoop.scheduleTask(in: .seconds(Int64(max(30, size >> 14)))) {
            pipeline.fireErrorCaught(TransportError.tooSlow)
            channel.close(promise: nil)
        }
    }

    private func takeHold(_ context: ChannelHandlerContext) -> FrameHold {
        frames += 1
        deadline?.cancel()
        deadline = nil
        defer { place = .none }
        switch place {
        case .none: return .none
        case .held(let bytes): return FrameHold(bytes: bytes, budget: budget)
        case .waiting(let number):
            // It came whole although it waits, or the connection ends. If it was given meanwhile, that word releases.
            _ = budget?.leave(number)
            meter.setPaused(false, for: .budget, context.channel)
            return .none
        }
    }
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
    private let arrivalCount = Atomic(0)
    private let flow = Mutex(Flow())

    private struct Flow {
        var pauses: Set<PauseReason> = []
        var hold = FrameHold.none
    }

    /// Why nothing is read from the peer; it is read on when none is left.
    enum PauseReason: Hashable, Sendable {
        /// Its owner has enough to do.
        case owner
        /// The peer does not read itself.
        case writing
        /// There is no room for the frame that it announced.
        case budget
    }

    init(limit: Int) { limitStore = Atomic(limit) }

    func setPaused(_ isPaused: Bool, for reason: PauseReason, _ channel: any Channel) {
        let hasChanged = flow.withLock { flow in
            let before = flow.pauses.isEmpty
            if isPaused { flow.pauses.insert(reason) } else { flow.pauses.remove(reason) }
            return flow.pauses.isEmpty != before
        }
        guard hasChanged else { return }
        // What holds at that moment is carried out, so that the last change wins, whoever made it.
        if channel.eventLoop.inEventLoop {
            applyPauses(channel)
        } else {
            channel.eventLoop.execute { self.applyPauses(channel) }
        }
    }

    private func applyPauses(_ channel: any Channel) {
        let reads = flow.withLock { $0.pauses.isEmpty }
        channel.setOption(ChannelOptions.autoRead, value: reads).whenSuccess { _ in
            if reads { channel.read() }
        }
    }

    /// Of the frame that is being delivered.
    var hold: FrameHold {
        get { flow.withLock { $0.hold } }
        set { flow.withLock { $0.hold = newValue } }
    }

    func claimHold() -> FrameHold {
        flow.withLock { flow in
            defer { flow.hold = .none }
            return flow.hold
        }
    }

    /// Rises while anything moves in either direction, parts of frames included.
    var progress: Int { movements.load(ordering: .relaxed) }

    func moved() { movements.wrappingAdd(1, ordering: .relaxed) }

    /// Rises while anything comes in, parts of frames included.
    var arrivals: Int { arrivalCount.load(ordering: .relaxed) }

    func arrived() {
        arrivalCount.wrappingAdd(1, ordering: .relaxed)
        moved()
    }

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
