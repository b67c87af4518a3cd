import Foundation
import ProgramKit
import SeededRandom

/// Who makes life hard: the weather on the line, kills and stops of the server, an administrator at work.
struct Nemesis: Sendable {
    let world: World
    let line: FaultyLine
    let chaos: Chaos
    let seed: UInt64
    let homes: [ReplicaProcess]

    func work(until end: ContinuousClock.Instant) async throws -> [String] {
        var random = SplitMix64(seed: seed ^ 0xC4A05)
        var findings: [String] = []
        var number = 0
        while ContinuousClock.now < end {
            try await Task.sleep(for: .milliseconds(500 + random.draw(2_500)))
            number += 1
            switch random.draw(12) {
            case 0, 1: await weather(&random)
            case 2: line.cutAll()
            case 3, 4, 5: findings += try await killServer(&random)
            case 6: try await pauseServer(&random)
            case 7: try await restartServer()
            case 8: try await addField(number)
            case 9: try await revoke(number)
            default: break
            }
        }
        if await !world.server.isUp { try await world.server.start() }
        return findings
    }

    private func weather(_ random: inout SplitMix64) async {
        var weather = FaultyLine.Weather.storm
        if random.draw(3) == 0 { weather = .fair }
        weather.cutChance = random.draw(70)
        weather.delayMilliseconds = random.draw(200)
        if random.draw(4) == 0 { weather.swallowRepliesAfter = 500 + random.draw(8_000) }
        line.weather = weather
        await chaos.did("change of weather")
    }

    /// After a power cut everything that anybody was told to be durable is there (P16).
    private func killServer(_ random: inout SplitMix64) async throws -> [String] {
        await world.server.kill()
        await chaos.did("server killed")
        await chaos.journal.note("server killed")
        let found = try await world.serverFindings(homes)
        if random.draw(3) == 0 { try await Task.sleep(for: .milliseconds(random.draw(2_000))) }
        try await world.server.start()
        return found
    }

    private func pauseServer(_ random: inout SplitMix64) async throws {
        await world.server.signal(SIGSTOP)
        try await Task.sleep(for: .milliseconds(200 + random.draw(2_500)))
        await world.server.signal(SIGCONT)
        await chaos.did("server stopped for a while")
    }

    private func restartServer() async throws {
        let output = try await world.server.stop()
        if let output, output.status != 0 { throw Program.Failure(description: "SIGTERM: \(output)") }
        try await world.server.start()
        await chaos.did("server restarted")
    }

    private func addField(_ number: Int) async throws {
        try await world.server.peykd(
            ["schema", "apply", "-"],
            input: #"{"add": {"fields": {"contact": [{"name": "chaos_\#(number)", "type": "text"}]}}}"#)
        await chaos.did("field added")
    }

    /// A device of its own is let in and cut off: it must be told so, and nobody else.
    private func revoke(_ number: Int) async throws {
        let replica = world.replica("revoked-\(number)")
        let address = await world.server.address ?? ""
        try await replica.peyk("join", try await world.server.invite("Anna", "--public", address))
        let site = try await replica.peyk("status", "--format", "json").json()["site"].text ?? ""
        try await world.server.peykd("device", "revoke", site)
        try await replica.peyk(["sync"], status: 77)
        try FileManager.default.removeItem(at: replica.home)
        await chaos.did("device revoked")
    }
}
