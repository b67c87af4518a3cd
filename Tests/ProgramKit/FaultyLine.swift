import NIOCore
import NIOPosix
import SeededRandom
import Synchronization

/// A TCP proxy whose line is bad on purpose: it delays, cuts at any byte, swallows, throttles, doubles and, where asked
/// to, alters. What each connection suffers is drawn from one seed when it is made.
package final class FaultyLine: Sendable {
    /// How bad the line is. Chances are out of 100, for each connection.
    package struct Weather: Sendable {
        /// One way, drawn up to this.
        package var delayMilliseconds = 0
        /// Cut after a number of bytes drawn up to `cutBytes`, both directions counted together.
        package var cutChance = 0
        package var cutBytes = 20_000
        /// Nothing goes through any more after so many bytes, and nobody is told.
        package var holeChance = 0
        package var holeBytes = 20_000
        /// Bytes a second, each way.
        package var throttleChance = 0
        package var throttleBytes = 20_000
        /// A second connection to the server with the same first bytes, as a network that repeats packets makes one.
        package var doubleChance = 0
        /// One bit of one byte is turned.
        package var alterChance = 0
        /// What the server says is swallowed from this byte of it on, then the line is cut.
        package var swallowRepliesAfter: Int?

        package init() {}

        package static let fair = Weather()
        package static let storm: Weather = {
            var storm = Weather()
            storm.delayMilliseconds = 60
            storm.cutChance = 35
            storm.holeChance = 6
            storm.throttleChance = 15
            storm.doubleChance = 15
            return storm
        }()
    }

    /// What has happened on it.
    package struct Counts: Sendable {
        package var connections = 0
        package var cut = 0
        package var holes = 0
        package var throttled = 0
        package var doubled = 0
        package var altered = 0
    }

    private struct State {
        var weather: Weather
        var random: SplitMix64
        var counts = Counts()
        var open: [ObjectIdentifier: any Channel] = [:]
        var target: (host: String, port: Int)
    }

    private let state: Mutex<State>
    private let listener = Mutex<(any Channel)?>(nil)

    /// - Parameter address: `host:port` of the server; it may be down now and then.
    package init(to address: String, seed: UInt64, weather: Weather = .fair) async throws {
        let parts = address.split(separator: ":")
        guard parts.count == 2, let port = Int(parts[1]) else {
            throw Program.Failure(description: "\(address) is no address")
        }
        state = Mutex(
            State(weather: weather, random: SplitMix64(seed: seed), target: (String(parts[0]), port)))
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(ChannelOptions.autoRead, value: false)
            .childChannelInitializer { [self] child in
                child.eventLoop.makeSucceededFuture(()).flatMap { self.accept(child) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        listener.withLock { $0 = channel }
    }

    /// Where clients connect.
    package var address: String {
        "127.0.0.1:\(listener.withLock { $0?.localAddress?.port } ?? 0)"
    }

    package var weather: Weather {
        get { state.withLock { $0.weather } }
        set { state.withLock { $0.weather = newValue } }
    }

    package var counts: Counts { state.withLock { $0.counts } }

    /// Cuts every connection now.
    package func cutAll() {
        let open = state.withLock { state in
            state.counts.cut += state.open.count
            return Array(state.open.values)
        }
        for channel in open { channel.close(promise: nil) }
    }

    package func close() async {
        cutAll()
        try? await listener.withLock { $0 }?.close()
    }

    // MARK: Connections

    private func accept(_ client: any Channel) -> EventLoopFuture<Void> {
        let (fate, target) = state.withLock { state in
            state.counts.connections += 1
            state.open[ObjectIdentifier(client)] = client
            let fate = Fate(state.weather, &state.random, &state.counts)
            return (fate, state.target)
        }
        client.closeFuture.whenComplete { [self] _ in
            state.withLock { _ = $0.open.removeValue(forKey: ObjectIdentifier(client)) }
        }
        return ClientBootstrap(group: client.eventLoop)
            .channelOption(ChannelOptions.autoRead, value: false)
            .connectTimeout(.seconds(5))
            .connect(host: target.host, port: target.port)
            .flatMap { server in
                let line = Line(client: client, server: server, fate: fate)
                if fate.isDoubled { self.double(line, target) }
                return client.pipeline.addHandler(Relay(line, isFromClient: true)).flatMap {
                    server.pipeline.addHandler(Relay(line, isFromClient: false))
                }.flatMap {
                    // Makes them read, the accepted one as soon as it is registered.
                    server.setOption(ChannelOptions.autoRead, value: true)
                }.flatMap {
                    client.setOption(ChannelOptions.autoRead, value: true)
                }
            }
            .flatMapError { _ in client.close() }
    }

    /// A second connection gets what the first one sends first, and is left alone.
    private func double(_ line: Line, _ target: (host: String, port: Int)) {
        ClientBootstrap(group: line.client.eventLoop).connectTimeout(.seconds(5))
            .connect(host: target.host, port: target.port).whenSuccess { twin in
                line.twin = twin
                line.client.closeFuture.whenComplete { _ in twin.close(promise: nil) }
            }
    }

    /// What one connection will suffer.
    struct Fate: Sendable {
        var delay: Int64 = 0
        var cutAfter: Int?
        var holeAfter: Int?
        var bytesPerSecond: Int?
        var isDoubled = false
        var alterAt: Int?
        var swallowRepliesAfter: Int?

        fileprivate init(_ weather: Weather, _ random: inout SplitMix64, _ counts: inout Counts) {
            if weather.delayMilliseconds > 0 { delay = Int64(random.draw(weather.delayMilliseconds)) }
            if random.draw(100) < weather.cutChance {
                cutAfter = 1 + random.draw(weather.cutBytes)
                counts.cut += 1
            }
            if random.draw(100) < weather.holeChance {
                holeAfter = random.draw(weather.holeBytes)
                counts.holes += 1
            }
            if random.draw(100) < weather.throttleChance {
                bytesPerSecond = weather.throttleBytes
                counts.throttled += 1
            }
            if random.draw(100) < weather.doubleChance {
                isDoubled = true
                counts.doubled += 1
            }
            if random.draw(100) < weather.alterChance {
                alterAt = random.draw(4_000)
                counts.altered += 1
            }
            swallowRepliesAfter = weather.swallowRepliesAfter
        }
    }
}

/// The two ends of one connection and what is between them.
private final class Line: @unchecked Sendable {  // Confined to the event loop that both channels share.
    let client: any Channel
    let server: any Channel
    let fate: FaultyLine.Fate
    var twin: (any Channel)?
    private var passed = 0
    private var replied = 0
    private var isHole = false
    /// When the last bytes of each direction arrive: nothing overtakes.
    private var arrival: [NIODeadline] = [.now(), .now()]

    init(client: any Channel, server: any Channel, fate: FaultyLine.Fate) {
        self.client = client
        self.server = server
        self.fate = fate
    }

    func forward(_ buffer: ByteBuffer, fromClient: Bool) {
        var buffer = buffer
        if isHole { return }
        let start = passed
        passed += buffer.readableBytes
        if fromClient, start < 4_096, let twin { twin.writeAndFlush(buffer, promise: nil) }
        if let at = fate.alterAt, at >= start, at < passed {
            let index = buffer.readerIndex + at - start
            if let byte = buffer.getInteger(at: index, as: UInt8.self) { buffer.setInteger(byte ^ 0x10, at: index) }
        }
        var isEnd = false
        if let hole = fate.holeAfter, passed > hole {
            isHole = true
            buffer = buffer.getSlice(at: buffer.readerIndex, length: max(0, hole - start)) ?? buffer
        } else if let cut = fate.cutAfter, passed >= cut {
            isEnd = true
            buffer = buffer.getSlice(at: buffer.readerIndex, length: max(0, cut - start)) ?? buffer
        }
        if !fromClient, let limit = fate.swallowRepliesAfter {
            let before = replied
            replied += buffer.readableBytes
            if replied > limit {
                isHole = true
                isEnd = true
                buffer = buffer.getSlice(at: buffer.readerIndex, length: max(0, limit - before)) ?? buffer
            }
        }
        let (delivered, isLast) = (buffer, isEnd)
        deliver(delivered.readableBytes, fromClient: fromClient) { [self] in
            let channel = fromClient ? server : client
            if delivered.readableBytes > 0 { channel.writeAndFlush(delivered, promise: nil) }
            if isLast { cut() }
        }
    }

    /// One side hung up: what is under way arrives first.
    func ended(fromClient: Bool) {
        guard !isHole else { return }
        deliver(0, fromClient: fromClient) { [self] in cut() }
    }

    private func deliver(_ bytes: Int, fromClient: Bool, _ body: @escaping @Sendable () -> Void) {
        let side = fromClient ? 0 : 1
        guard fate.delay > 0 || fate.bytesPerSecond != nil || arrival[side] > .now() else { return body() }
        var time = max(arrival[side] + .nanoseconds(1), .now() + .milliseconds(fate.delay))
        if let rate = fate.bytesPerSecond { time = time + .nanoseconds(Int64(bytes) * 1_000_000_000 / Int64(rate)) }
        arrival[side] = time
        client.eventLoop.scheduleTask(deadline: time, body)
    }

    private func cut() {
        client.close(promise: nil)
        server.close(promise: nil)
    }
}

private final class Relay: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer

    private let line: Line
    private let isFromClient: Bool

    init(_ line: Line, isFromClient: Bool) {
        self.line = line
        self.isFromClient = isFromClient
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        line.forward(unwrapInboundIn(data), fromClient: isFromClient)
    }

    func channelInactive(context: ChannelHandlerContext) {
        line.ended(fromClient: isFromClient)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
