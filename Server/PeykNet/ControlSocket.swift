import NIOCore
import NIOPosix
public import PeykModel
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A unix-domain socket (0600) by which IT's command line talks to the running server: one line of JSON for the
/// request, one for the reply, then the connection ends.
public final class ControlSocket: Sendable {
    /// Limit of a request or reply.
    static let bytesMax = 64 << 20

    private let path: String
    private let channel: any Channel

    public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        public var description: String
    }

    private init(path: String, channel: any Channel) {
        self.path = path
        self.channel = channel
    }

    /// Listens at `path`; a socket that a killed server left there is replaced.
    ///
    /// - Parameter handler: gives the reply; runs as a task, so it must not block for long.
    /// - Throws: ``Failure`` where another server answers there, or the path cannot be used.
    public static func serve(
        path: String, handler: @escaping @Sendable (JSON) async -> JSON
    ) async throws -> ControlSocket {
        if let file = try? UnixSocket.connect(path, timeoutSeconds: 5) {
            UnixSocket.close(file)
            throw Failure(description: "Another server runs on this data directory (\(path) answers).")
        }
        // Made beside its place and moved when only its owner may use it.
        let draft = "\(path).\(getpid())"
        unlink(draft)
        let bootstrap = ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(ControlHandler(handler))
                }
            }
        let channel: any Channel
        do {
            channel = try await bootstrap.bind(unixDomainSocketPath: draft).get()
        } catch {
            throw Failure(description: "The control socket \(path) cannot be made: \(error).")
        }
        guard chmod(draft, 0o600) == 0, rename(draft, path) == 0 else {
            let reason = String(cString: strerror(errno))
            try? await channel.close().get()
            unlink(draft)
            throw Failure(description: "The control socket \(path) cannot be made: \(reason).")
        }
        return ControlSocket(path: path, channel: channel)
    }

    /// Stops listening and removes the socket.
    public func close() async {
        unlink(path)
        try? await channel.close().get()
    }

    /// Asks the server at `path`. Blocks.
    ///
    /// - Returns: nil where no server listens.
    /// - Throws: ``Failure`` where there is one and it does not answer as it should.
    public static func request(path: String, _ json: JSON, timeoutSeconds: Double = 30) throws -> JSON? {
        guard let file = try UnixSocket.connect(path, timeoutSeconds: timeoutSeconds) else { return nil }
        defer { UnixSocket.close(file) }
        try UnixSocket.write(file, Array((json.text + "\n").utf8))
        var reply = try UnixSocket.readLine(file, limit: bytesMax)
        if reply.last == 0x0A { reply.removeLast() }
        guard let answer = try? JSON(parsing: reply) else {
            throw Failure(description: "The server's answer cannot be read. Are both of one version?")
        }
        return answer
    }
}

/// Reads one line, answers it, and closes.
private final class ControlHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let handler: @Sendable (JSON) async -> JSON
    private var line: [UInt8] = []
    private var isAnswered = false

    init(_ handler: @escaping @Sendable (JSON) async -> JSON) { self.handler = handler }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isAnswered else { return }
        let part = unwrapInboundIn(data).readableBytesView
        guard line.count + part.count <= ControlSocket.bytesMax else {
            context.close(promise: nil)
            return
        }
        let end = part.firstIndex(of: 0x0A)
        line.append(contentsOf: part[part.startIndex..<(end ?? part.endIndex)])
        guard end != nil else { return }
        isAnswered = true
        let request = try? JSON(parsing: line)
        line = []
        Self.answer(request, on: context.channel, handler)
    }

    private static func answer(
        _ request: JSON?, on channel: any Channel, _ handler: @escaping @Sendable (JSON) async -> JSON
    ) {
        Task {
            let reply = await reply(to: request, handler)
            channel.writeAndFlush(ByteBuffer(string: reply.text + "\n")).whenComplete { _ in channel.close(promise: nil)
            }
        }
    }

    private static func reply(to request: JSON?, _ handler: @Sendable (JSON) async -> JSON) async -> JSON {
        guard let request else { return unreadable }
        return await handler(request)
    }

    private static let unreadable: JSON = ["error": .string("The request is not JSON.")]

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// Blocking calls on a unix-domain socket.
enum UnixSocket {
    /// Nil where nobody listens at `path`.
    static func connect(_ path: String, timeoutSeconds: Double) throws -> Int32? {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8) + [0]
        guard bytes.count <= MemoryLayout.size(ofValue: address.sun_path) else {
            throw ControlSocket.Failure(description: "The path \(path) is too long for a socket; use a shorter one.")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        #if canImport(Glibc)
            let kind = Int32(SOCK_STREAM.rawValue)
        #else
            let kind = Int32(SOCK_STREAM)
        #endif
        let file = socket(AF_UNIX, kind, 0)
        guard file >= 0 else { throw failure() }
        var limit = timeval()
        limit.tv_sec = .init(timeoutSeconds)
        limit.tv_usec = .init((timeoutSeconds - timeoutSeconds.rounded(.down)) * 1_000_000)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(file, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connectSocket(file, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result != 0 else { return file }
        let code = errno
        close(file)
        if code == ENOENT || code == ECONNREFUSED { return nil }
        throw failure(code)
    }

    static func write(_ file: Int32, _ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                buffer.baseAddress.map { send(file, $0 + sent, buffer.count - sent, Int32(MSG_NOSIGNAL)) } ?? 0
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure() }
            sent += count
        }
    }

    /// Bytes up to a newline or the end.
    static func readLine(_ file: Int32, limit: Int) throws -> [UInt8] {
        var line: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 1 << 16)
        while line.last != 0x0A {
            let count = part.withUnsafeMutableBytes { recv(file, $0.baseAddress, $0.count, 0) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure() }
            if count == 0 { break }
            line.append(contentsOf: part[..<count])
            guard line.count <= limit else { throw ControlSocket.Failure(description: "The answer is too long.") }
        }
        return line
    }

    static func close(_ file: Int32) {
        #if canImport(Glibc)
            Glibc.close(file)
        #elseif canImport(Musl)
            Musl.close(file)
        #else
            Darwin.close(file)
        #endif
    }

    private static func connectSocket(_ file: Int32, _ address: UnsafePointer<sockaddr>, _ length: socklen_t) -> Int32 {
        #if canImport(Glibc)
            Glibc.connect(file, address, length)
        #elseif canImport(Musl)
            Musl.connect(file, address, length)
        #else
            Darwin.connect(file, address, length)
        #endif
    }

    private static func failure(_ code: Int32 = errno) -> ControlSocket.Failure {
        let reason = code == EAGAIN || code == EWOULDBLOCK ? "no answer in time" : String(cString: strerror(code))
        return ControlSocket.Failure(description: "The running server could not be asked (\(reason)).")
    }
}
