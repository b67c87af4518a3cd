import Dispatch
import Foundation
import PeykMerge
import PeykModel
import PeykNet
import PeykReplica
import PeykServer
import PeykSession
import PeykSync
import Testing

/// Devices and users that are shut out (S4, P30).
@Suite("Revocation", .timeLimit(.minutes(2)))
struct RevocationTests {
    private func failure(_ body: () async throws -> Void) async -> SyncFailure? {
        do {
            try await body()
            return nil
        } catch {
            return error as? SyncFailure
        }
    }

    private func quarantined(_ office: Office) throws -> [QuarantineDocument] {
        try office.workspace.store.read { try $0.documents(QuarantineDocument.self) }
    }

    private func serverNames(_ office: Office) throws -> [String] {
        try office.workspace.store.read { reader in
            var names: [String] = []
            try reader.records(of: Office.customer, after: nil) { _, record in
                names.append(record.state.row[0].textValue ?? "")
                return true
            }
            return names.sorted()
        }
    }

    @Test(
        "a revoked device is cut in its stream; what waits for the committer is kept and not merged (P30, S4)"
    )
    func whileStreaming() async throws {
        let office = try await Office()
        let sara = try await office.join("sara")
        let site = try sara.replica.status().site
        let connected = Counter()
        let watching = Task {
            await failure { try await sara.watch { if $0 == .connected { connected.add() } } }
        }
        #expect(try await eventually { connected.value > 0 })
        let head = try office.workspace.head()
        // Her pushes come while the committer is busy with the revocation.
        let gate = DispatchSemaphore(value: 0)
        let revoking = Task {
            try await office.server.perform { workspace in
                gate.wait()
                _ = try workspace.revoke(site)
            }
        }
        for number in 0..<300 { try sara.add("edit \(number)") }
        // She looks for her own changes three times a second.
        try await Task.sleep(for: .seconds(2))
        gate.signal()
        try await revoking.value
        let start = ContinuousClock.now
        let ended = await watching.value
        #expect(ended?.refusal == .revoked && ended?.exitCode == 77)
        #expect(ContinuousClock.now - start < .seconds(5))
        #expect(try await eventually { try !quarantined(office).isEmpty }, "what was under way is with IT")
        // The rest is handed in with the next attempt; nothing of it is merged, all of it is still on the device.
        let again = await failure { _ = try await sara.sync() }
        #expect(again?.refusal == .revoked)
        #expect(try quarantined(office).map(\.dot.seq) == (1...300).map { Int64($0) })
        #expect(try office.workspace.head() == head)
        #expect(try sara.names().count == 300 && sara.replica.status().pending == 300)
        await office.close()
    }

    @Test("what a revoked device had not sent is handed in once, kept on both sides, and released or discarded by IT")
    func handsIn() async throws {
        let office = try await Office()
        let sara = try await office.join("sara")
        let boss = try await office.join("boss", .manager)
        try sara.add("First")
        _ = try await sara.sync()
        let site = try sara.replica.status().site
        _ = try await office.server.perform { try $0.revoke(site) }
        for name in ["Second", "Third", "Fourth"] { try sara.add(name) }
        for _ in 0..<2 {
            let refused = await failure { _ = try await sara.sync() }
            #expect(refused?.exitCode == 77)
        }
        let kept = try quarantined(office)
        #expect(kept.map(\.dot.seq) == [2, 3, 4] && kept.allSatisfy { $0.state == .waiting })
        #expect(try sara.replica.status().pending == 3)
        _ = try await boss.sync()
        #expect(try boss.names() == ["First"])

        // IT drops the third and releases the fourth, and with it the second.
        _ = try await office.server.perform { try $0.decide(.discarded, site: site, commit: kept[1].commit) }
        let decided = try await office.server.perform { try $0.decide(.released, site: site, commit: kept[2].commit) }
        #expect(decided.map(\.state) == [.released, .discarded, .released])
        _ = try await boss.sync()
        #expect(try boss.names() == ["First", "Fourth", "Second"])
        // A device that is allowed again finds each of its commits answered, and nothing twice.
        _ = try await office.server.perform { try $0.allow(site) }
        _ = try await sara.sync()
        #expect(try sara.replica.status().pending == 0)
        #expect(try sara.replica.status().parked == 1)
        #expect(try sara.names() == ["First", "Fourth", "Second"])
        #expect(try serverNames(office) == ["First", "Fourth", "Second"])
        await office.close()
    }

    @Test("a disabled user's edits wait as well, and go up by themselves when she is enabled again (F114)")
    func disabledUser() async throws {
        let office = try await Office()
        let user = try await office.newUser("sara")
        let sara = try await SyncClient.join(
            home: office.home("sara"), invite: office.invite(user), deviceName: "s"
        ).client
        let watching = Task { await failure { try await sara.watch { _ in } } }
        #expect(try await eventually { await office.server.status().sessions.count == 1 })
        let start = ContinuousClock.now
        try await office.server.perform { try $0.setDisabled(user, true) }
        #expect(await watching.value?.exitCode == 77)
        #expect(ContinuousClock.now - start < .seconds(5))
        for number in 0..<100 { try sara.add("pending \(number)") }
        let refused = await failure { _ = try await sara.sync() }
        #expect(refused?.exitCode == 77)
        #expect(refused?.description.contains("(100 commits) was handed in") == true)
        #expect(try quarantined(office).count == 100)
        #expect(try serverNames(office).isEmpty)
        try await office.server.perform { try $0.setDisabled(user, false) }
        #expect(try await sara.sync().pushed == 100)
        #expect(try serverNames(office).count == 100)
        #expect(try quarantined(office).allSatisfy { $0.state == .released })
        await office.close()
    }

    @Test("what lies in quarantine is bounded, and the rest stays on the device (P28)")
    func bounded() async throws {
        let office = try await Office()
        let sara = try await office.join("sara")
        let site = try sara.replica.status().site
        _ = try await office.server.perform { try $0.revoke(site) }
        let text = String(repeating: "x", count: 1_000_000)
        for number in 0..<3 {
            _ = try sara.replica.write { write in
                for part in 0..<28 {
                    _ = try write.insert(
                        into: "customer",
                        [
                            "name": .text("big \(number).\(part)"), "territory": Value(Office.north),
                            "amount": .integer(1), "note": .text(text),
                        ])
                }
            }
        }
        let refused = await failure { _ = try await sara.sync() }
        #expect(refused?.exitCode == 77 && refused?.description.contains("handed in") == false)
        #expect(try quarantined(office).count == 2)
        #expect(try sara.replica.status().pending == 3)
        await office.close()
    }
}
