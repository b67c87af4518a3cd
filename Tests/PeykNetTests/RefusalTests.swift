import Foundation
import NIOCore
import NIOPosix
import PeykModel
import PeykNet
import PeykReplica
import PeykServer
import PeykSession
import PeykSync
import PeykTransport
import Testing

@Suite("Refusals", .timeLimit(.minutes(2)))
struct RefusalTests {
    private func failure(_ body: () async throws -> Void) async -> SyncFailure? {
        do {
            try await body()
            return nil
        } catch {
            return error as? SyncFailure
        }
    }

    @Test("a wrong, a used and a foreign invite let nobody in, and the server stays up")
    func invites() async throws {
        let office = try await Office()
        let good = try await office.invite(office.newUser("sara"))
        var wrong = good
        wrong.code = Base64URL.encode([UInt8](repeating: 7, count: 16))
        let first = await failure {
            _ = try await SyncClient.join(home: office.home("a"), invite: wrong, deviceName: "a")
        }
        #expect(first?.refusal == .invite && first?.exitCode == 77)
        #expect(!FileManager.default.fileExists(atPath: Replica.databasePath(office.home("a"))))
        _ = try await SyncClient.join(home: office.home("a"), invite: good, deviceName: "a")
        let used = await failure {
            _ = try await SyncClient.join(home: office.home("b"), invite: good, deviceName: "b")
        }
        #expect(used?.refusal == .invite)
        var foreign = good
        foreign.fingerprint = Fingerprint(certificateDER: [1])
        let other = await failure {
            _ = try await SyncClient.join(home: office.home("c"), invite: foreign, deviceName: "c")
        }
        #expect(other?.exitCode == 76)
        #expect(other?.description.contains("certificate") == true)
        var elsewhere = try await office.invite(office.newUser("reza"))
        elsewhere.workspace = "umbrella"
        let workspace = await failure {
            _ = try await SyncClient.join(home: office.home("d"), invite: elsewhere, deviceName: "d")
        }
        #expect(workspace?.exitCode == 78)
        _ = try await office.join("last")
        await office.close()
    }

    @Test("an invite without a fingerprint is not used unless plaintext is allowed, and then on loopback only")
    func plaintext() async throws {
        let office = try await Office(plaintext: true)
        let invite = try await office.invite(office.newUser("sara"))
        let refused = await failure {
            _ = try await SyncClient.join(home: office.home("a"), invite: invite, deviceName: "a")
        }
        #expect(refused?.exitCode == 78)
        let options = SyncOptions(allowsPlaintext: true)
        let (client, _) = try await SyncClient.join(
            home: office.home("a"), invite: invite, deviceName: "a", options: options)
        try client.add("Alpha")
        #expect(try await client.sync().pushed == 1)
        await office.close()
        await #expect(throws: TransportError.self) {
            _ = try await Office(plaintext: true) { $0.host = "0.0.0.0" }
        }
    }

    @Test("a revoked device is cut off within 5 seconds, also while it is connected (P30)")
    func revoked() async throws {
        let office = try await Office()
        let sara = try await office.join("sara")
        let connected = Counter()
        let watching = Task {
            try await sara.watch { if $0 == .connected { connected.add() } }
        }
        #expect(try await eventually { connected.value > 0 })
        let site = try sara.replica.status().site
        let start = ContinuousClock.now
        _ = try await office.server.perform { try $0.revoke(site) }
        let ended = await failure { try await watching.value }
        #expect(ended?.refusal == .revoked && ended?.exitCode == 77)
        #expect(ContinuousClock.now - start < .seconds(5))
        try sara.add("Kept")
        let again = await failure { _ = try await sara.sync() }
        #expect(again?.refusal == .revoked)
        #expect(try sara.names() == ["Kept"])
        await office.close()
    }

    @Test("a changed territory ends a session, and the next brings the rows")
    func grant() async throws {
        let office = try await Office()
        let south = try await office.join("south", territories: [Office.south])
        try south.add("S", territory: Office.south)
        _ = try await south.sync()
        let user = try await office.newUser("sara", territories: [Office.north])
        let sara = try await SyncClient.join(
            home: office.home("sara"), invite: office.invite(user), deviceName: "s"
        ).client
        #expect(try sara.names() == [])
        let watching = Task { try await sara.watch { _ in } }
        #expect(try await eventually { await office.server.status().sessions.count == 1 })
        _ = try await office.server.perform {
            try $0.setUser(
                user, name: "sara", role: .rep, territories: [Office.north, Office.south].map(\.description))
        }
        #expect(try await eventually { try sara.names() == ["S"] })
        watching.cancel()
        _ = try? await watching.value
        await office.close()
    }

    static let garbage: [(name: String, bytes: [UInt8])] = [
        ("random bytes", (0..<2_000).map { UInt8(truncatingIfNeeded: $0 &* 131 &+ 7) }),
        ("a frame of 4 GB", [0xFF, 0xFF, 0xFF, 0xFF]),
        ("an HTTP request", Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8)),
        ("an empty frame", [0, 0, 0, 0]),
        ("a frame that is no message", [0, 0, 0, 2, 0xFF, 0xFF]),
    ]

    @Test("a peer that talks nonsense is closed and counted, with TLS and without", arguments: garbage.indices)
    func nonsense(_ index: Int) async throws {
        for plaintext in [true, false] {
            let office = try await Office(plaintext: plaintext)
            let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                .connect(host: "127.0.0.1", port: office.server.port).get()
            try await channel.writeAndFlush(ByteBuffer(bytes: Self.garbage[index].bytes))
            if !plaintext, index == 1 || index == 3 || index == 4 { try? await channel.close() }
            let isClosed = try await eventually {
                let status = await office.server.status()
                return status.accepted == 1 && status.connections == 0
            }
            #expect(isClosed, "\(Self.garbage[index].name)")
            try? await channel.close()
            let client = try? await SyncClient.join(
                home: office.home("a"), invite: office.invite(office.newUser("sara")), deviceName: "a",
                options: SyncOptions(allowsPlaintext: true))
            #expect(client != nil)
            await office.close()
        }
    }

    @Test("a peer that says nothing is closed after the greeting's deadline", arguments: [true, false])
    func silence(plaintext: Bool) async throws {
        let office = try await Office(plaintext: plaintext)
        let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connect(host: "127.0.0.1", port: office.server.port).get()
        let start = ContinuousClock.now
        // A part of a frame, or of TLS's first record, does not buy more time.
        try await channel.writeAndFlush(ByteBuffer(bytes: plaintext ? [0, 0] : [0x16, 0x03, 0x01]))
        try await channel.closeFuture.get()
        let elapsed = ContinuousClock.now - start
        #expect(elapsed > .seconds(SessionLimits.greetingSeconds - 2))
        #expect(elapsed < .seconds(SessionLimits.greetingSeconds + 10))
        await office.close()
    }

    @Test("beyond the limit connections are closed as they come")
    func connectionLimit() async throws {
        let office = try await Office(plaintext: true) { $0.connectionsMax = 2 }
        var channels: [any Channel] = []
        for _ in 0..<3 {
            channels.append(
                try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                    .connect(host: "127.0.0.1", port: office.server.port).get())
        }
        #expect(try await eventually { await office.server.status().refused == 1 })
        #expect(await office.server.status().connections == 2)
        for channel in channels { try? await channel.close() }
        await office.close()
    }

    @Test("a server that goes down says so, and clients know to come again")
    func shutdown() async throws {
        let office = try await Office()
        let sara = try await office.join("sara")
        let waits = Recorded<SyncFailure>()
        let watching = Task {
            try await sara.watch { event in
                if case .waiting(_, let failure) = event { waits.add(failure) }
            }
        }
        #expect(try await eventually { await office.server.status().sessions.count == 1 })
        await office.server.shutdown(graceSeconds: 2)
        #expect(try await eventually { waits.all.first?.refusal == .shutdown })
        watching.cancel()
        try await watching.value
        let down = await failure { _ = try await sara.sync() }
        #expect(down?.kind == .unreachable && down?.exitCode == 69)
        await office.close()
    }
}

@Suite("Control socket")
struct ControlSocketTests {
    @Test("one request, one reply, for the owner alone; nobody there is nil")
    func request() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "pk\(UInt32.random(in: 0...999_999))").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/control.sock"
        #expect(try ControlSocket.request(path: path, .null) == nil)
        let socket = try await ControlSocket.serve(path: path) { request in ["echo": request] }
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        let big = JSON.string(String(repeating: "پیک", count: 100_000))
        for request in [JSON.null, ["a": .integer(1)], big] {
            let reply = try await Task.detached { try ControlSocket.request(path: path, request) }.value
            #expect(reply == ["echo": request])
        }
        await #expect(throws: ControlSocket.Failure.self) { try await ControlSocket.serve(path: path) { $0 } }
        await socket.close()
        #expect(try ControlSocket.request(path: path, .null) == nil)
        let again = try await ControlSocket.serve(path: path) { $0 }
        await again.close()
    }

    @Test("a server's key is made once and read back")
    func identity() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "peyk-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let made = try TLSIdentity.create(directory: folder, workspace: "فروش")
        #expect(try TLSIdentity(directory: folder).fingerprint == made.fingerprint)
        #expect(throws: TLSIdentity.Failure.self) { try TLSIdentity.create(directory: folder, workspace: "x") }
        #expect(throws: TLSIdentity.Failure.self) { try TLSIdentity(directory: folder + "/none") }
    }
}
