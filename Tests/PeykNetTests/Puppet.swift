import Foundation
import PeykModel
import PeykNet
import PeykReplica
import PeykSession
import PeykSync
import PeykTransport
import PeykWire
import Synchronization
import Testing

/// A device that proves who it is and then behaves as badly as the test wants: it answers nothing by itself.
final class Puppet: FrameReceiver {
    private let replica: Replica
    private let key: DeviceKey
    private let fingerprint: Fingerprint
    private let credit: Int64
    /// Stops reading as soon as it is welcome.
    private let isDeaf: Bool
    /// Says that it holds nothing, and so is sent everything.
    private let isFresh: Bool
    private let connection = Mutex<FrameConnection?>(nil)
    private let heard = Mutex<[ServerMessage]>([])
    private let ended = Atomic(false)

    init(_ client: SyncClient, _ office: Office, credit: Int64 = 1 << 30, isDeaf: Bool = false, isFresh: Bool = false)
        throws
    {
        replica = client.replica
        key = try DeviceKey(contentsOf: Replica.deviceKeyPath(client.replica.home))
        fingerprint = office.identity?.fingerprint ?? .plaintext
        self.credit = credit
        self.isDeaf = isDeaf
        self.isFresh = isFresh
    }

    func connect(_ office: Office) async throws {
        let security = try office.identity.map { try TransportSecurity.client(pinned: $0.fingerprint) }
        let made = try await FrameConnector.connect(
            host: "127.0.0.1", port: office.server.port, security: security ?? .plaintext, receiver: self)
        connection.withLock { $0 = made }
    }

    func say(_ message: ClientMessage) { connection.withLock { $0?.enqueue(WireCodec.encode(message)) } }
    func hangUp() { connection.withLock { $0?.abort() } }
    var messages: [ServerMessage] { heard.withLock { $0 } }
    var isEnded: Bool { ended.load(ordering: .relaxed) }
    var isWelcome: Bool { messages.contains { if case .welcome = $0 { true } else { false } } }

    func opened(_ connection: FrameConnection) {}

    func received(_ body: [UInt8], from connection: FrameConnection) {
        guard let message = try? WireCodec.decodeServer(body) else { return }
        heard.withLock { $0.append(message) }
        switch message {
        case .challenge(let challenge):
            guard var hello = try? replica.hello(program: "puppet", wallTime: 0) else { return }
            hello.credit = credit
            if isFresh {
                hello.cursor = 0
                hello.applied = 0
                hello.anchorToken = []
                hello.scope = .empty
            }
            let bytes = hello.signedBytes(challenge: challenge.nonce, fingerprint: fingerprint.bytes)
            hello.signature = (try? key.sign(bytes)) ?? []
            connection.enqueue(WireCodec.encode(ClientMessage.hello(hello)))
        case .welcome where isDeaf: connection.setReading(false)
        default: break
        }
    }

    func writabilityChanged(_ isWritable: Bool, of connection: FrameConnection) {}
    func closed(_ error: TransportError?, _ connection: FrameConnection) { ended.store(true, ordering: .relaxed) }
}

/// What this process holds.
enum OwnResources {
    static var openFiles: Int { (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd"))?.count ?? 0 }

    /// Resident bytes.
    static var memory: Int64 {
        let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
        let pages = text.split(separator: " ").dropFirst().first.flatMap { Int64($0) } ?? 0
        return pages * Int64(getpagesize())
    }
}
