import Foundation
import PeykModel
import PeykSQLite
import PeykSession
import Synchronization
import Testing

@testable import PeykReplica

private typealias F = ApplyFixture

/// Rules C2 to C4 at a replica: whatever its clock does, stamps rise, and nothing else hangs on it.
@Suite("A replica's clock") struct ClockRuleTests {
    /// A wall clock that a person may set, and a boot clock that only runs.
    private final class Clocks: Sendable {
        private let state: Mutex<(wall: Int64, boot: Int64)>
        /// Of the replica that has these clocks; it goes with them.
        let home = NSTemporaryDirectory() + "peyk-clock-\(UUID().uuidString)"
        deinit { try? FileManager.default.removeItem(atPath: home) }
        init(wall: Int64) { state = Mutex((wall, 50_000)) }
        var wall: Int64 { state.withLock { $0.wall } }
        var boot: Int64 { state.withLock { $0.boot } }
        func pass(_ milliseconds: Int64) { state.withLock { $0 = ($0.wall + milliseconds, $0.boot + milliseconds) } }
        func set(wall: Int64) { state.withLock { $0.wall = wall } }
        func reboot() { state.withLock { $0.boot = 0 } }
    }

    private static let serverTime: Int64 = 1_700_000_000_500

    private func replica(_ clocks: Clocks) throws -> Replica {
        let facts = WorkspaceFacts(
            workspace: "test", site: F.site, user: F.user, userName: "Sara", role: .rep)
        let counter = Atomic<UInt64>(1)
        let replica = try Replica.create(
            at: clocks.home, facts: facts, schema: F.schema,
            environment: ReplicaEnvironment(
                now: { clocks.wall }, uptime: { clocks.boot },
                random: { counter.add(1, ordering: .relaxed).newValue &* 0x9E37_79B9_7F4A_7C15 }))
        _ = try replica.adopt(F.welcome(.snapshot(.first)))
        try replica.store(F.page(F.customer, [], at: 0, endsBackfill: true))
        _ = try replica.apply(F.batch(0, 0, [], isWhole: true))
        return replica
    }

    /// Stamps the next write, in milliseconds.
    private func stamp(_ replica: Replica) throws -> HLC {
        try replica.write { try $0.insert(into: "customer", ["name": .text("x")]) }
        return try #require(try replica.outbox(after: 0, bytesMax: 1 << 30).commits.last).envelope.stamp
    }

    private static let year: Int64 = 365 * 86_400_000

    @Test(
        "stamps follow the server's clock, however wrong the device's is (C4)",
        arguments: [-50 * year, -1, 0, 1, 50 * year, Int64.min / 4, Int64.max / 4])
    func offset(skew: Int64) throws {
        let clocks = Clocks(wall: Self.serverTime &+ skew)
        let replica = try replica(clocks)
        clocks.pass(10_000)
        #expect(try stamp(replica).milliseconds == Self.serverTime + 10_000)
        #expect(try replica.status().clockOffset == -skew)
        try replica.close()
    }

    @Test("an offset is good while wall and boot clock agree; a clock that was set loses it (C4)")
    func jump() throws {
        let clocks = Clocks(wall: Self.serverTime - 3 * Self.year)
        let replica = try replica(clocks)
        let first = try stamp(replica)
        #expect(first.milliseconds == Self.serverTime)
        // Set to the right time by hand: what it says now is taken as it is.
        clocks.set(wall: Self.serverTime + 7_000)
        #expect(try stamp(replica).milliseconds == Self.serverTime + 7_000)
        // Set back by years: stamps go on rising, by one.
        clocks.set(wall: Self.serverTime - 40 * Self.year)
        let low = try stamp(replica)
        let lower = try stamp(replica)
        #expect(low.milliseconds == Self.serverTime + 7_000 && lower == low.successor)
        // The next welcome measures it again.
        _ = try replica.adopt(F.welcome(.resume))
        clocks.pass(60_000)
        #expect(try stamp(replica).milliseconds == Self.serverTime + 60_000)
    }

    @Test("a device that was started again knows no offset until the next welcome (C4)")
    func reboot() throws {
        let clocks = Clocks(wall: Self.serverTime + 3_600_000)
        let replica = try replica(clocks)
        #expect(try stamp(replica).milliseconds == Self.serverTime)
        clocks.pass(1_000)
        clocks.reboot()
        #expect(try stamp(replica).milliseconds == Self.serverTime + 3_600_000 + 1_000)
    }

    @Test("times below 0 count as 0, and stamps rise all the same (C4)")
    func belowZero() throws {
        let clocks = Clocks(wall: -5_000)
        let counter = Atomic<UInt64>(1)
        let replica = try Replica.create(
            at: clocks.home,
            facts: WorkspaceFacts(workspace: "test", site: F.site, user: F.user, userName: "Sara", role: .rep),
            schema: F.schema,
            environment: ReplicaEnvironment(
                now: { clocks.wall }, uptime: { clocks.boot },
                random: { counter.add(1, ordering: .relaxed).newValue &* 0x9E37_79B9_7F4A_7C15 }))
        let first = try stamp(replica)
        #expect(first.milliseconds == 0)
        #expect(try stamp(replica) == first.successor)
    }

    @Test("a clock that stands still: the counter carries into the milliseconds, and nothing stops (C4, F54)")
    func frozen() throws {
        let clocks = Clocks(wall: Self.serverTime)
        let replica = try replica(clocks)
        try replica.database.write { connection in
            try Meta(connection: connection).set(hlc: HLC(milliseconds: Self.serverTime, counter: .max - 1))
        }
        replica.state.forget()
        let stamps = try (0..<4).map { _ in try stamp(replica) }
        #expect(stamps[0] == HLC(milliseconds: Self.serverTime, counter: .max))
        #expect(stamps[1] == HLC(milliseconds: Self.serverTime + 1, counter: 0))
        #expect(zip(stamps, stamps.dropFirst()).allSatisfy { $0 < $1 })
    }

    @Test("200,000 stamps in one tick rise strictly (C4, F54)")
    func manyInOneTick() {
        var clock = HybridClock()
        var last = HLC.zero
        for _ in 0..<200_000 {
            let stamp = clock.tick(milliseconds: Self.serverTime)
            #expect(stamp > last)
            last = stamp
        }
        #expect(last.milliseconds == Self.serverTime + 200_000 / 65_536)
    }

    @Test("the server's stamps raise the replica's clock, in welcome and in batches (C2)")
    func learns() throws {
        let clocks = Clocks(wall: Self.serverTime)
        let replica = try replica(clocks)
        let ahead = HLC(milliseconds: Self.serverTime + 30_000, counter: 9)
        _ = try replica.apply(F.batch(0, 1, [F.entry(1, [])], stamp: ahead))
        #expect(try stamp(replica) == ahead.successor)
    }

    @Test("a clock that ran ahead goes back once no unmerged commit carries a later stamp, not before (C3)")
    func lowers() throws {
        let clocks = Clocks(wall: Self.serverTime)
        let replica = try replica(clocks)
        clocks.set(wall: Self.serverTime + 5 * Self.year)
        _ = try stamp(replica)
        _ = try stamp(replica)
        let commits = try replica.outbox(after: 0, bytesMax: 1 << 30).commits
        clocks.set(wall: Self.serverTime)
        let server = HLC(milliseconds: Self.serverTime + 100)
        let answer = Answer(restamped: server)
        _ = try replica.apply(
            F.batch(0, 1, [F.yours(1, commits[0], answer: answer, digest: 0)], stamp: server))
        #expect(try stamp(replica) > commits[1].envelope.stamp, "one of the two is still under way")
        let third = try #require(try replica.outbox(after: 0, bytesMax: 1 << 30).commits.last)
        _ = try replica.apply(
            F.batch(
                1, 3,
                [F.yours(2, commits[1], answer: answer, digest: 0), F.yours(3, third, answer: answer, digest: 0)],
                stamp: server))
        #expect(try stamp(replica) == server.successor)
    }
}
