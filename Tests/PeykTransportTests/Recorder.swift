import PeykTransport
import Synchronization

/// What a connection told its owner, as a stream.
final class Recorder: FrameReceiver {
    enum Event: Equatable, Sendable {
        case opened
        case received([UInt8])
        case closed(TransportError?)
    }

    private let opened = Mutex<FrameConnection?>(nil)
    /// Nil before ``opened(_:)``.
    var connection: FrameConnection? { opened.withLock { $0 } }
    let events: AsyncStream<Event>
    private let sink: AsyncStream<Event>.Continuation
    private let echoes: Bool

    init(echoes: Bool = false) {
        self.echoes = echoes
        (events, sink) = AsyncStream.makeStream()
    }

    func opened(_ connection: FrameConnection) {
        opened.withLock { $0 = connection }
        sink.yield(.opened)
    }

    func received(_ body: [UInt8], from connection: FrameConnection) {
        if echoes { connection.enqueue(body) }
        sink.yield(.received(body))
    }

    func writabilityChanged(_ isWritable: Bool, of connection: FrameConnection) {}

    func closed(_ error: TransportError?, _ connection: FrameConnection) {
        sink.yield(.closed(error))
        sink.finish()
    }

    /// The next `count` events, or as many as come before the end.
    func next(_ count: Int) async -> [Event] {
        var list: [Event] = []
        for await event in events {
            list.append(event)
            if list.count == count { break }
        }
        return list
    }
}

/// A listener whose connections are recorded, in the order in which they came.
final class TestServer: Sendable {
    let listener: FrameListener
    let receivers: AsyncStream<Recorder>

    init(_ security: TransportSecurity, echoes: Bool = false, budget: FrameBudget? = nil) async throws {
        let (stream, sink) = AsyncStream<Recorder>.makeStream()
        receivers = stream
        listener = try await FrameListener.listen(
            host: "127.0.0.1", port: 0, security: security, budget: budget
        ) { _ in
            let recorder = Recorder(echoes: echoes)
            sink.yield(recorder)
            return recorder
        }
    }

    func nextReceiver() async -> Recorder? {
        for await receiver in receivers { return receiver }
        return nil
    }

    func connect(_ security: TransportSecurity) async throws -> Recorder {
        let recorder = Recorder()
        try await FrameConnector.connect(host: "127.0.0.1", port: listener.port, security: security, receiver: recorder)
        return recorder
    }
}
