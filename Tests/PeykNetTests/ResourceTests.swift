import Dispatch
import Foundation
import NIOCore
import NIOPosix
import PeykModel
import PeykReplica
import PeykSession
import PeykTransport
import Synchronization
import Testing

@testable import PeykNet
@testable import PeykServer
@testable import PeykSync

@Suite("Resources (P28)", .serialized, .timeLimit(.minutes(5)))
struct ResourceTests {
    private func failure(_ body: () async throws -> Void) async -> SyncFailure? {
        do {
            try await body()
            return nil
        } catch {
            return error as? SyncFailure
        }
    }

    @Test("sites take turns: one push waits for one group, whatever the volume of another (P28)")
    func turns() async throws {
        let office = try await Office()
        let queue = CommitQueue(office.workspace) {}
        let order = Mutex<[String]>([])
        func submit(_ name: String, _ site: SiteID, commits: Int) {
            let context = SessionContext.stub(site)
            let request = PushRequest(context: context, commits: (1...commits).map { .stub(site, $0) })
            queue.submit(
                CommitQueue.Waiting(request: request, bytes: Int64(commits) * 100) { _ in
                    order.withLock { $0.append(name) }
                })
        }
        let (big, small) = (SiteID(rawValue: 1), SiteID(rawValue: 2))
        // Nothing is taken before all of it waits.
        let gate = DispatchSemaphore(value: 0)
        queue.perform { _ in gate.wait() }
        for _ in 0..<200 { submit("big", big, commits: 250) }
        submit("small", small, commits: 1)
        gate.signal()
        await queue.drain()
        let place = try #require(order.withLock { $0.firstIndex(of: "small") })
        #expect(order.withLock { $0.count } == 201)
        // The group that was under way, and the small one's own.
        #expect(place <= 2 * CommitQueue.groupCommitsMax / 250 + 1)
        await office.close()
    }

    @Test("a peer that asks for all and reads nothing is cut at its deadline, and costs one reply (P28)")
    func slowReader() async throws {
        let office = try await Office {
            $0.stallSeconds = 0.5
            $0.idleSeconds = 60
        }
        let writer = try await office.join("writer")
        let reader = try await office.join("reader")
        for number in 0..<60 {
            _ = try writer.replica.write { write in
                _ = try write.insert(
                    into: "customer",
                    [
                        "name": .text("c\(number)"), "territory": Value(Office.north), "amount": .integer(1),
                        "note": .text(String(repeating: "x\(number)", count: 60_000)),
                    ])
            }
        }
        _ = try await writer.sync()
        let puppet = try Puppet(reader, office, isDeaf: true)
        try await puppet.connect(office)
        #expect(try await eventually { puppet.isWelcome })
        #expect(try await eventually { await office.server.status().sessions.isEmpty })
        #expect(await office.server.status().refused == 1)
        // The device itself goes on afterwards.
        #expect(try await reader.sync().pulled == 60)
        await office.close()
    }

    @Test("a peer that is gone without a word is noticed by a ping without reply (F-7)")
    func halfOpen() async throws {
        let office = try await Office { $0.idleSeconds = 0.4 }
        let sara = try await office.join("sara")
        let puppet = try Puppet(sara, office)
        try await puppet.connect(office)
        #expect(try await eventually { puppet.isWelcome })
        #expect(try await eventually { puppet.messages.contains(ServerMessage.ping(1)) })
        #expect(try await eventually { puppet.isEnded })
        #expect(await office.server.status().connections == 0)
        await office.close()
    }

    @Test("beyond the first syncs that a server bears a device is told when to come, and comes by itself (P28)")
    func firstSyncs() async throws {
        let office = try await Office {
            $0.loadingMax = 1
            $0.retryAfterSeconds = 1
            $0.stallSeconds = 60
        }
        let writer = try await office.join("writer")
        for number in 0..<50 { try writer.add("c\(number)") }
        _ = try await writer.sync()
        let user = try await office.newUser("slow")
        let invite = try await office.invite(user)
        let slow = try await SyncClient.join(home: office.home("slow"), invite: invite, deviceName: "slow").client
        // A device whose first sync does not end: it gives no credit.
        let fresh = try Puppet(slow, office, credit: 0, isFresh: true)
        try await fresh.connect(office)
        #expect(try await eventually { await office.server.status().loading == 1 })
        let second = try await office.invite(office.newUser("second"))
        let refused = await failure {
            _ = try await SyncClient.join(
                home: office.home("second"), invite: second, deviceName: "b", options: SyncOptions(totalSeconds: 0.9))
        }
        #expect(refused?.refusal == .busy && refused?.retryAfter == 1 && refused?.exitCode == 75)
        #expect(refused?.description.contains("Try again in 1 s") == true)
        // Enrolled it is: a sync waits as long as it was asked to, and once.
        let replica = try Replica.open(office.home("second"))
        let client = try SyncClient(replica: replica)
        let waits = Counter()
        Task {
            try await Task.sleep(for: .milliseconds(300))
            fresh.hangUp()
        }
        let summary = try await client.sync { if $0.phase == .waiting { waits.add() } }
        #expect(summary.pulled >= 50)
        #expect(waits.value <= 1)
        await office.close()
    }

    @Test("sessions beyond the limit are told when to come; those that are open stay (P28)")
    func sessions() async throws {
        let office = try await Office {
            $0.sessionsMax = 1
            $0.retryAfterSeconds = 7
        }
        let sara = try await office.join("sara")
        let reza = try await office.join("reza")
        let puppet = try Puppet(sara, office)
        try await puppet.connect(office)
        #expect(try await eventually { await office.server.status().sessions.count == 1 })
        let refused = await failure {
            _ = try await SyncClient(replica: reza.replica, options: SyncOptions(totalSeconds: 1)).sync()
        }
        #expect(refused?.retryAfter == 7)
        #expect(await office.server.status().sessions.count == 1)
        // The device itself may come again: its earlier session makes room.
        _ = try await sara.sync()
        await office.close()
    }

    @Test("pauses grow, are spread, and are never shorter than the server asked for", arguments: [0.0, 0.5, 0.999])
    func backoff(spread: Double) {
        var backoff = Backoff()
        let gone = SyncFailure(.unreachable, "")
        let pauses = (0..<10).map { _ in backoff.next(gone, spread: spread) }
        #expect(pauses[0] >= 0.5 && pauses[0] <= 1)
        for (earlier, later) in zip(pauses, pauses.dropFirst()) { #expect(later >= earlier) }
        #expect(pauses.allSatisfy { $0 <= Backoff.secondsMax })
        #expect(backoff.next(SyncFailure(.busy, "", refusal: .busy, retryAfter: 200), spread: spread) >= 200)
    }

    @Test("a full disk puts pushes off, reading goes on, and all goes up when there is room again (F82)")
    func fullDisk() async throws {
        let free = Atomic<Int>(1 << 30)
        let office = try await Office {
            $0.reserveBytes = 1 << 20
            $0.retryAfterSeconds = 1
            $0.freeBytes = { Int64(free.load(ordering: .relaxed)) }
        }
        let sara = try await office.join("sara")
        let reza = try await office.join("reza")
        try sara.add("Before")
        _ = try await sara.sync()
        free.store(1_000, ordering: .relaxed)
        #expect(try await eventually { await office.server.status().isFull })
        try reza.add("Waiting")
        let options = SyncOptions(totalSeconds: 0.9)
        let refused = await failure { _ = try await SyncClient(replica: reza.replica, options: options).sync() }
        #expect(refused?.exitCode == 75 && refused?.retryAfter == 1)
        // What others wrote has come, what was written here is kept.
        #expect(try reza.names() == ["Before", "Waiting"])
        #expect(try reza.replica.status().pending == 1)
        let events = Recorded<WatchEvent>()
        let watching = Task { try await reza.watch { events.add($0) } }
        #expect(
            try await eventually { events.all.contains { if case .postponed = $0 { true } else { false } } })
        free.store(1 << 30, ordering: .relaxed)
        #expect(try await eventually { try reza.replica.status().pending == 0 })
        watching.cancel()
        _ = try? await watching.value
        #expect(try await sara.sync().pulled == 1)
        await office.close()
    }

    @Test("connecting and leaving, again and again, leaves nothing behind (F124)")
    func cycles() async throws {
        let office = try await Office()
        let sara = try await office.join("sara")
        func cycle() async throws {
            let puppet = try Puppet(sara, office)
            try await puppet.connect(office)
            _ = try await eventually { puppet.isWelcome }
            puppet.hangUp()
        }
        for _ in 0..<40 { try await cycle() }
        #expect(try await eventually { await office.server.status().connections == 0 })
        try await Task.sleep(for: .milliseconds(300))
        let files = OwnResources.openFiles
        let memory = OwnResources.memory
        for _ in 0..<300 { try await cycle() }
        #expect(try await eventually { await office.server.status().connections == 0 })
        #expect(try await eventually { OwnResources.openFiles <= files + 2 })
        #expect(OwnResources.memory < memory + 24 << 20, "grew by \((OwnResources.memory - memory) >> 20) MiB")
        #expect(await office.server.status().frameBytes == 0)
        await office.close()
    }

    @Test("a thousand slow strangers are closed in time, and a device is served meanwhile (F126)")
    func slowStrangers() async throws {
        let office = try await Office { $0.greetingSeconds = 3 }
        let sara = try await office.join("sara")
        let group = MultiThreadedEventLoopGroup.singleton
        let closed = Counter()
        var channels: [any Channel] = []
        for number in 0..<1_000 {
            let source = try SocketAddress(ipAddress: "127.0.0.\(2 + number % 5)", port: 0)
            guard
                let channel = try? await ClientBootstrap(group: group).bind(to: source)
                    .connect(host: "127.0.0.1", port: office.server.port).get()
            else { continue }
            channel.closeFuture.whenComplete { _ in closed.add() }
            // A byte of TLS's first record now and then.
            channel.eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: .seconds(1)) { task in
                guard channel.isActive else { return task.cancel() }
                channel.writeAndFlush(ByteBuffer(bytes: [0x16]), promise: nil)
            }
            channels.append(channel)
        }
        let made = channels.count
        #expect(made > 900)
        let counts = await office.server.status()
        #expect(counts.connections <= 5 * 64 + 1)
        try sara.add("Served")
        let start = ContinuousClock.now
        #expect(try await sara.sync().pushed == 1)
        #expect(ContinuousClock.now - start < .seconds(3))
        #expect(try await eventually(8) { closed.value == made })
        #expect(await office.server.status().connections == 0)
        await office.close()
    }
}

extension SessionContext {
    /// A session that the workspace does not know: its pushes are refused, in their order.
    static func stub(_ site: SiteID) -> SessionContext {
        SessionContext(
            site: site, user: Office.north, grant: Grant(read: [Bucket](), write: [Bucket](), version: 0), kept: [],
            head: 0, schemaVersion: 1, number: 0, nonce: [], epoch: Epoch(bits: UUIDBits(high: 1, low: 1)), sent: 0)
    }
}

extension SealedCommit {
    static func stub(_ site: SiteID, _ seq: Int) -> SealedCommit {
        SealedCommit(
            id: CommitID(bits: UUIDBits(high: site.rawValue, low: UInt64(seq))),
            envelope: Envelope(
                dot: Dot(site: site, seq: Int64(seq)), stamp: .zero, clock: VectorClock(lineage: Lineage([]), anchor: 0)
            ),
            sealed: [])
    }
}
