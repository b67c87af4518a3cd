import NIOCore
import NIOPosix
import PeykSession
import Synchronization
import Testing

@testable import PeykTransport

@Suite("Memory of frames (P28)", .timeLimit(.minutes(1)))
struct BudgetTests {
    private func frame(_ bytes: Int, sending: Int? = nil) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeInteger(UInt32(bytes))
        buffer.writeRepeatingByte(7, count: sending ?? bytes)
        return buffer
    }

    private func connect(_ port: Int) async throws -> any Channel {
        try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup).connect(host: "127.0.0.1", port: port)
            .get()
    }

    @Test("who announces a long frame waits until there is room for it; short ones pass; all is given back (F-8)")
    func line() async throws {
        let size = 1 << 20
        let budget = FrameBudget(bytes: size + 100)
        let server = try await TestServer(.plaintext, budget: budget)
        let first = try await connect(server.listener.port)
        let one = try #require(await server.nextReceiver())
        let second = try await connect(server.listener.port)
        let two = try #require(await server.nextReceiver())
        for side in [one, two] {
            #expect(await side.next(1) == [.opened])
            side.connection?.frameLimit = SessionLimits.frameBytes
        }
        // The first holds the room with a frame that does not end.
        try await first.writeAndFlush(frame(size, sending: size / 2))
        while budget.inUse == 0 { try await Task.sleep(for: .milliseconds(5)) }
        #expect(budget.inUse == size)
        try await second.writeAndFlush(frame(10))
        #expect(await two.next(1) == [.received([UInt8](repeating: 7, count: 10))])
        let waiting = Task { try await second.writeAndFlush(self.frame(size)) }
        try await Task.sleep(for: .milliseconds(200))
        #expect(two.connection?.counts.framesReceived == 1, "it waits")
        #expect(budget.inUse == size)
        try await first.writeAndFlush(ByteBuffer(repeating: 7, count: size / 2))
        guard case .received(let body)? = await one.next(1).first else { return #expect(Bool(false), "no frame") }
        #expect(body.count == size)
        guard case .received(let other)? = await two.next(1).first else { return #expect(Bool(false), "no frame") }
        #expect(other.count == size)
        try await waiting.value
        while budget.inUse > 0 { try await Task.sleep(for: .milliseconds(5)) }
        // A connection that ends in the middle gives its room back, held or waited for.
        try await first.writeAndFlush(frame(size, sending: 100_000))
        while budget.inUse == 0 { try await Task.sleep(for: .milliseconds(5)) }
        try await second.writeAndFlush(frame(size, sending: 100_000))
        try await second.close()
        try await first.close()
        while budget.inUse > 0 { try await Task.sleep(for: .milliseconds(5)) }
        await server.listener.close()
    }

    @Test("places are given in order, and those who leave the line are passed over")
    func order() {
        let budget = FrameBudget(bytes: 10)
        #expect(budget.reserve(10) {} == nil)
        let given = Recorded()
        let first = budget.reserve(6) { given.add(1) }
        let second = budget.reserve(6) { given.add(2) }
        let third = budget.reserve(4) { given.add(3) }
        #expect(first != nil && second != nil && third != nil)
        #expect(budget.leave(first ?? 0))
        budget.release(10)
        #expect(given.all == [2, 3])
        #expect(budget.inUse == 10)
        #expect(!budget.leave(second ?? 0), "it was given")
        budget.release(6)
        budget.release(4)
        #expect(budget.inUse == 0)
    }

    @Test(
        "a page may hold what the limit says and not a byte more, and may not grow beyond the ratio (F120)",
        arguments: [-1, 0, 1])
    func limit(over: Int) {
        let limit = 1 << 20
        let raw = Page(
            table: 0, rowCount: 0, payload: [UInt8](repeating: 0, count: limit + over), position: 0, last: nil,
            endsTable: false, endsBackfill: false, remaining: 0)
        let packed = PageCompression.compress(raw)
        #expect(packed.payload.count < 1_000)
        let result = Result { try PageCompression.decompress(packed, limit: limit) }
        #expect((try? result.get())?.payload.count == (over <= 0 ? limit + over : nil))
    }

    @Test("beyond 4 MiB a page that shrinks too well is sent as it is, and one that claims to is refused (F120)")
    func ratio() throws {
        var page = Page(
            table: 0, rowCount: 0, payload: [UInt8](repeating: 0, count: PageCompression.freeBytes + 1), position: 0,
            last: nil, endsTable: false, endsBackfill: false, remaining: 0)
        #expect(PageCompression.compress(page).rawBytes == 0)
        page.payload = [UInt8](repeating: 0, count: PageCompression.freeBytes)
        var bomb = PageCompression.compress(page)
        #expect(bomb.rawBytes == PageCompression.freeBytes)
        #expect(try PageCompression.decompress(bomb).payload.count == PageCompression.freeBytes)
        bomb.rawBytes = 1 << 30
        #expect(throws: TransportError.self) { try PageCompression.decompress(bomb) }
    }

    @Test(
        "an address counts with its network",
        arguments: [
            ("10.1.2.3", "10.1.2.3"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2"), ("::1", "0:0:0:0"),
            ("2001:db8::7", "2001:db8:0:0"),
        ])
    func network(ip: String, network: String) {
        #expect(FrameConnection.network(of: ip) == network)
    }
}

private final class Recorded: Sendable {
    private let list = Mutex<[Int]>([])
    var all: [Int] { list.withLock { $0 } }
    func add(_ number: Int) { list.withLock { $0.append(number) } }
}
