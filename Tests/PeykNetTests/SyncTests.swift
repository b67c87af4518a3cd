import Foundation
import PeykModel
import PeykNet
import PeykReplica
import PeykServer
import PeykSession
import PeykSync
import PeykTransport
import Testing

@Suite("Sync over TLS", .timeLimit(.minutes(2)))
struct SyncTests {
    @Test("two devices join, write, sync, and have the same rows")
    func converge() async throws {
        let office = try await Office()
        let sara = try await office.join("sara")
        let reza = try await office.join("reza")
        try sara.add("Alpha")
        try reza.add("Beta")
        #expect(try await sara.sync().pushed == 1)
        let summary = try await reza.sync()
        #expect(summary.pushed == 1)
        #expect(summary.pulled >= 1)
        _ = try await sara.sync()
        #expect(try sara.names() == ["Alpha", "Beta"])
        #expect(try reza.names() == ["Alpha", "Beta"])
        await office.close()
    }

    @Test("a first sync of many rows comes as pages, with progress, into an empty replica")
    func firstSync() async throws {
        let office = try await Office()
        let sara = try await office.join("sara")
        for part in 0..<5 {
            _ = try sara.replica.write { write in
                for number in 0..<1_000 {
                    _ = try write.insert(
                        into: "customer",
                        ["name": .text("C\(part)-\(number)"), "territory": Value(Office.north), "note": .text("نمونه")])
                }
            }
        }
        #expect(try await sara.sync().pushed == 5)
        let seen = Recorded<SyncProgress>()
        let invite = try await office.invite(office.newUser("reza"))
        let (reza, summary) = try await SyncClient.join(home: office.home("reza"), invite: invite, deviceName: "r") {
            progress in seen.add(progress)
        }
        #expect(summary.pulled >= 5_000)
        #expect(try reza.names().count == 5_000)
        let steps = seen.all
        #expect(steps.contains { $0.phase == .loading && $0.rows > 0 && $0.rowsTotal >= 5_000 })
        #expect(steps.last?.phase == .done)
        let bytesPerRow = Double(summary.bytesIn) / 5_000
        #expect(bytesPerRow < 60, "\(bytesPerRow) bytes a row")
        await office.close()
    }

    @Test("a sync with nothing to do takes at most 2 round trips and 2 KB (P26)")
    func quiet() async throws {
        let office = try await Office()
        let sara = try await office.join("sara")
        try sara.add("Alpha")
        _ = try await sara.sync()
        _ = try await sara.sync()
        let summary = try await sara.sync()
        #expect(summary.roundTrips <= 2)
        #expect(summary.bytesIn + summary.bytesOut <= 2_048, "\(summary.bytesIn) in, \(summary.bytesOut) out")
        #expect(summary.pushed == 0 && summary.pulled == 0)
        await office.close()
    }

    @Test("a sync beside a watching client is let in, and the watch connects again (K5)")
    func besideWatch() async throws {
        let office = try await Office()
        let sara = try await office.join("sara")
        let connected = Counter()
        let watching = Task { try await sara.watch { if case .connected = $0 { connected.add() } } }
        #expect(try await eventually { connected.value == 1 })
        let other = try SyncClient(
            replica: try Replica.open(sara.replica.home), options: SyncOptions(lockSeconds: 8))
        let start = ContinuousClock.now
        _ = try await other.sync()
        #expect(ContinuousClock.now - start < .seconds(7))
        #expect(try await eventually { connected.value == 2 })
        watching.cancel()
        _ = await watching.result
        await office.close()
    }

    @Test("a copy of a replica's folder gets a site and a key of its own, and both go on (I3)")
    func copied() async throws {
        let office = try await Office()
        let sara = try await office.join("sara")
        try sara.add("before")
        let twinHome = office.home("twin")
        try FileManager.default.createDirectory(atPath: twinHome, withIntermediateDirectories: true)
        for name in try FileManager.default.contentsOfDirectory(atPath: sara.replica.home)
        where !name.hasSuffix("-shm") && !name.hasSuffix(".lock") {
            try FileManager.default.copyItem(atPath: sara.replica.home + "/" + name, toPath: twinHome + "/" + name)
        }
        let twin = try SyncClient(replica: try Replica.open(twinHome))
        try sara.add("first")
        try twin.add("second")
        #expect(try await sara.sync().newSite == nil)
        let summary = try await twin.sync()
        #expect(summary.newSite == .copied)
        _ = try await sara.sync()
        #expect(try sara.names() == ["before", "first", "second"])
        #expect(try twin.names() == ["before", "first", "second"])
        #expect(try sara.replica.certifiedKey() == nil)
        let own = try #require(try twin.replica.certifiedKey())
        // The new key is found again by a new process, and the server has left the old one behind.
        let again = try SyncClient(replica: try Replica.open(twinHome))
        #expect(try await again.sync().newSite == nil)
        let key = try DeviceKey(
            contentsOf: Replica.newDeviceKeyPath(twinHome, site: try twin.replica.status().site))
        #expect(key.publicKey == own)
        await office.close()
    }

    @Test("watching devices see each other's edits as they are made")
    func watch() async throws {
        let office = try await Office()
        let sara = try await office.join("sara")
        let reza = try await office.join("reza")
        let connected = Counter()
        let tasks = [sara, reza].map { client in
            Task {
                try await client.watch { event in
                    if event == .connected { connected.add() }
                }
            }
        }
        #expect(try await eventually { connected.value == 2 })
        try sara.add("Live")
        #expect(try await eventually { try reza.names() == ["Live"] })
        try reza.add("Back")
        #expect(try await eventually { try sara.names() == ["Back", "Live"] })
        let status = await office.server.status()
        #expect(status.sessions.count == 2)
        await #expect(throws: SyncFailure.self) {
            // Who waits at all is let in by the watch, sooner or later.
            let hurried = try SyncClient(replica: sara.replica, options: SyncOptions(lockSeconds: 0))
            _ = try await hurried.sync()
        }
        for task in tasks { task.cancel() }
        for task in tasks { try await task.value }
        #expect(try await eventually { await office.server.status().connections == 0 })
        _ = try await sara.sync()
        await office.close()
    }

    @Test("a plan says what would happen, and changes nothing")
    func plan() async throws {
        let office = try await Office()
        let sara = try await office.join("sara")
        let reza = try await office.join("reza")
        let id = try sara.add("Shared")
        _ = try await sara.sync()
        _ = try await reza.sync()
        try sara.add("Other")
        _ = try sara.replica.write { try $0.update("customer", id, ["amount": .integer(5)]) }
        _ = try await sara.sync()
        _ = try reza.replica.write { try $0.update("customer", id, ["amount": .integer(6)]) }
        let plan = try await reza.plan()
        #expect(plan.commitsUp == 1)
        #expect(plan.up == ["customer": 1])
        #expect(plan.down["customer"] == 2)
        #expect(plan.clashes == [RecordKey(table: Office.customer, record: id)])
        #expect(try await reza.plan().json == plan.json)
        #expect(try reza.names() == ["Shared"])
        #expect(try await reza.sync().pushed == 1)
        #expect(try reza.names() == ["Other", "Shared"])
        await office.close()
    }

    @Test("digests and histories are answered")
    func questions() async throws {
        let office = try await Office()
        let sara = try await office.join("sara")
        let id = try sara.add("Alpha")
        _ = try await sara.sync()
        let found = try await sara.verify()
        #expect(found.isEqual && found.questions == 1)
        let history = try await sara.history(RecordKey(table: Office.customer, record: id))
        #expect(history.entries.count == 1)
        _ = try await sara.fetch([RecordKey(table: Office.customer, record: id)])
        #expect(try sara.names() == ["Alpha"])
        await office.close()
    }

    @Test("many devices at once are committed in groups")
    func groups() async throws {
        let office = try await Office()
        var clients: [SyncClient] = []
        for number in 0..<6 { clients.append(try await office.join("rep\(number)")) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, client) in clients.enumerated() {
                group.addTask {
                    for round in 0..<5 {
                        try client.add("\(number)-\(round)")
                        _ = try await client.sync()
                    }
                }
            }
            try await group.waitForAll()
        }
        for client in clients { _ = try await client.sync() }
        let names = try clients.map { try $0.names() }
        #expect(names.allSatisfy { $0.count == 30 && $0 == names[0] })
        #expect(await office.server.status().commits == 30)
        await office.close()
    }
}
