import Foundation
import ProgramKit
import SeededRandom
import Testing

/// Strangers on the port, and replicas that are told a wrong story. Each is refused; the server stays up.
@Suite("Hostile connections", .serialized)
struct HostileTests {
    /// After whatever happened, the server must still serve a rep, and have written a line about it.
    private func stillServes(_ world: World, logs words: [String]) async throws {
        let replica = try await world.join("Witness-\(UUID().uuidString.prefix(4))")
        try await replica.sync()
        let log = await world.server.log
        #expect(words.contains { log.lowercased().contains($0) }, "the log has one of \(words):\n\(log)")
    }

    /// An invite with other parts than IT printed.
    private func invite(_ url: String, code: String? = nil, port: String? = nil) throws -> String {
        let match = try #require(url.firstMatch(of: /^peyk:\/\/([^:]+):(\d+)\/([^#]+)#([^.]+)\.(.+)$/))
        let parts = match.output
        return "peyk://\(parts.1):\(port ?? String(parts.2))/\(parts.3)#\(code ?? String(parts.4)).\(parts.5)"
    }

    @Test("a wrong invite is refused (F-9)", .timeLimit(.minutes(5)))
    func wrongInvite() async throws {
        try await World.with { world in
            try await world.server.peykd("user", "add", "Anna")
            let url = try invite(await world.server.invite("Anna"), code: "AAAAAAAAAAAAAAAAAAAAAA")
            let output = try await world.replica("anna").peyk("join", url, status: 77)
            #expect(output.err.lowercased().contains("invite"), "\(output)")
            #expect(!output.err.contains("AAAAAAAA"), "no secret in an error: \(output)")
            try await stillServes(world, logs: ["invite"])
        }
    }

    @Test("an expired invite is refused", .timeLimit(.minutes(5)))
    func expiredInvite() async throws {
        try await World.with { world in
            try await world.server.peykd("user", "add", "Anna")
            let url = try await world.server.invite("Anna", "--ttl", "1s")
            try await Task.sleep(for: .milliseconds(1_500))
            let output = try await world.replica("anna").peyk("join", url, status: 77)
            #expect(output.err.lowercased().contains("invite"), "\(output)")
            try await stillServes(world, logs: ["invite"])
        }
    }

    @Test("an invite works for one device (I1)", .timeLimit(.minutes(5)))
    func reusedInvite() async throws {
        try await World.with { world in
            try await world.server.peykd("user", "add", "Anna")
            let url = try await world.server.invite("Anna")
            try await world.replica("first").peyk("join", url)
            let output = try await world.replica("second").peyk("join", url, status: 77)
            #expect(output.err.lowercased().contains("invite"), "\(output)")
            try await stillServes(world, logs: ["invite"])
        }
    }

    @Test("a server with another key is not spoken to (F-2)", .timeLimit(.minutes(5)))
    func otherKey() async throws {
        try await World.with { world in
            try await World.with { impostor in
                for server in [world.server, impostor.server] { try await server.peykd("user", "add", "Anna") }
                let address = try #require(await impostor.server.address)
                let port = try #require(address.split(separator: ":").last.map(String.init))
                let url = try invite(await world.server.invite("Anna"), port: port)
                let output = try await world.replica("anna").peyk(["join", url], status: 76)
                #expect(output.err.lowercased().contains("key") || output.err.lowercased().contains("certificate"))
                try await stillServes(impostor, logs: ["tls", "handshake", "certificate"])
            }
        }
    }

    @Test("plaintext is refused on an address that is not loopback (F-1)", .timeLimit(.minutes(5)))
    func plaintext() async throws {
        try await World.with(serving: false) { world in
            let output = try await Program.peykd.run(
                ["serve", "--listen", "0.0.0.0:0", "--plaintext"], environment: ["PEYKD_DATA": world.server.data.path],
                seconds: 20)
            #expect([64, 77, 78].contains(output.status), "\(output)")
            #expect(output.err.lowercased().contains("loopback"), "\(output)")
        }
    }

    @Test(
        "random bytes on the port end that connection alone (P29)", .timeLimit(.minutes(5)),
        arguments: [UInt64(1), 2, 3])
    func randomBytes(seed: UInt64) async throws {
        try await World.with { world in
            var random = SplitMix64(seed: seed)
            let bytes = (0..<4_096).map { _ in UInt8(truncatingIfNeeded: random.next() >> 32) }
            let reply = try await Stranger(address: world.server.address).say(bytes, overTLS: false)
            #expect(reply.wasClosed, "the server hangs up")
            try await stillServes(world, logs: ["tls", "handshake"])
        }
    }

    @Test("a frame of 4 GB is refused by its length alone (F-4)", .timeLimit(.minutes(5)))
    func hugeFrame() async throws {
        try await World.with { world in
            let reply = try await Stranger(address: world.server.address).say(
                [0xFF, 0xFF, 0xFF, 0xFF, 0x0A], overTLS: true)
            #expect(reply.wasClosed, "the server hangs up")
            try await stillServes(world, logs: ["limit", "frame"])
        }
    }

    @Test(
        "random frames over TLS end that connection alone (P29)", .timeLimit(.minutes(5)), arguments: [UInt64(1), 2, 3])
    func randomFrames(seed: UInt64) async throws {
        try await World.with { world in
            var random = SplitMix64(seed: seed)
            let body = (0..<200).map { _ in UInt8(truncatingIfNeeded: random.next() >> 32) }
            let reply = try await Stranger(address: world.server.address).say([0, 0, 0, 200] + body, overTLS: true)
            #expect(reply.wasClosed, "the server hangs up")
            try await stillServes(world, logs: ["protocol", "message", "read"])
        }
    }

    @Test("a stranger who says nothing is hung up on (F-7)", .timeLimit(.minutes(5)))
    func silence() async throws {
        try await World.with { world in
            let reply = try await Stranger(address: world.server.address).say([], overTLS: true, seconds: 25)
            #expect(reply.wasClosed, "the deadline of the greeting holds")
            try await stillServes(world, logs: ["no complete greeting"])
        }
    }
}
