import Foundation
import PeykModel
import PeykSQLite
import PeykSession
import SeededRandom
import Testing

@testable import PeykReplica

private typealias F = ApplyFixture

/// Commits that stay until a backup covers them (rule I10), and how they lie in the file (decision 0020).
@Suite("Commits that are kept") struct KeptCommitTests {
    /// Whether the server's answer came before the commit came back in the stream.
    enum Way: CaseIterable { case acknowledged, streamed, both }

    private static let count: UInt64 = 40

    private static func write(_ replica: TemporaryReplica, from first: UInt64 = 1) throws {
        try replica.replica.write { write in
            for number in first..<first + count {
                try write.insert(
                    into: "customer", id: F.id(number),
                    [
                        "name": .text("customer \(number) of the harbour"),
                        "memo": .text("call back after the quarter, when the budget is approved"),
                    ])
            }
        }
    }

    private static func rows(_ replica: TemporaryReplica) throws -> [(RecordKey, Row?)] {
        try (1...count).map { (F.key(F.customer, $0), try replica.shown(F.key(F.customer, $0))) }
    }

    /// A replica whose one commit of 40 customers was taken in at position 1.
    private static func kept(_ way: Way) throws -> (replica: TemporaryReplica, own: SealedCommit) {
        let replica = try F.replica()
        try replica.begin()
        try write(replica)
        let own = try #require(try replica.outbox().first)
        if way != .streamed {
            try replica.replica.acknowledge(
                Acknowledge(items: [.init(seq: 1, commit: own.id, position: 1, receipt: [7])], credit: 0))
        }
        if way != .acknowledged {
            try replica.apply(0, [F.yours(1, own, digest: digest(try rows(replica)))])
        }
        return (replica, own)
    }

    private static func stored(_ replica: TemporaryReplica, _ seq: Sequence64 = 1) throws -> [UInt8] {
        let value = try replica.replica.reading {
            try $0.value("SELECT sealed FROM peyk_commit WHERE seq = ?1", [.integer(seq)])
        }
        guard case .blob(let bytes)? = value else { return [] }
        return bytes
    }

    private static func isPacked(_ bytes: [UInt8]) -> Bool { bytes.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) }

    @Test(
        "lie packed once the server has them; what is hashed and sent are the bytes as sealed (C1)",
        arguments: Way.allCases)
    func packed(_ way: Way) throws {
        let (replica, own) = try Self.kept(way)
        let stored = try Self.stored(replica)
        #expect(Self.isPacked(stored) && stored.count * 2 < own.sealed.count)
        #expect(try replica.outbox().map(\.sealed) == [own.sealed])
        #expect(try stored.withUnsafeBytes { try CommitPacking.unpacked($0) } == own.sealed)
    }

    @Test("a write is sealed without packing; what is short stays as it is")
    func notPacked() throws {
        let replica = try F.replica()
        try replica.begin()
        try Self.write(replica)
        try replica.replica.write { try $0.update("customer", F.id(1), ["visits": .integer(2)]) }
        #expect(try !Self.isPacked(Self.stored(replica)))
        let own = try replica.outbox()
        try replica.replica.acknowledge(
            Acknowledge(
                items: own.enumerated().map {
                    .init(
                        seq: $0.element.envelope.dot.seq, commit: $0.element.id, position: Int64($0.offset) + 1,
                        receipt: [])
                }, credit: 0))
        #expect(try Self.isPacked(Self.stored(replica)))
        #expect(try Self.stored(replica, 2) == own[1].sealed)
    }

    @Test("can be undone, with what they replaced, as before", arguments: Way.allCases)
    func undone(_ way: Way) throws {
        let (replica, own) = try Self.kept(way)
        try replica.replica.undo(own.id)
        #expect(try Self.rows(replica).allSatisfy { $0.1 == nil })
        #expect(try replica.replica.pendingCommits().last?.changes.count == Int(Self.count))
    }

    @Test("a deletion goes back to the whole former rows")
    func deletion() throws {
        let (replica, _) = try Self.kept(.both)
        let before = try Self.rows(replica).map(\.1)
        // Not so many at once that the commit is held (D7).
        let result = try replica.replica.write { write in
            for number in 1...UInt64(7) { try write.delete("customer", F.id(number)) }
        }
        let commit = try #require(try replica.outbox().last)
        try replica.apply(1, [F.yours(2, commit, digest: 0)])
        let former = try replica.replica.reading {
            try $0.value("SELECT before FROM peyk_commit WHERE seq = 2")
        }
        guard case .blob(let bytes)? = former else { throw ReplicaError.damaged("no former values") }
        #expect(Self.isPacked(bytes))
        try replica.replica.undo(result.commit)
        #expect(try Self.rows(replica).map(\.1) == before)
    }

    @Test(
        "are offered again, byte for byte, to a restored server that lacks them, and show once (I8)",
        arguments: Way.allCases, [false, true])
    func offeredAgain(_ way: Way, isReopened: Bool) throws {
        let (replica, own) = try Self.kept(way)
        let before = try Self.rows(replica).map(\.1)
        var used = replica.replica
        if isReopened {
            try replica.replica.close()
            used = try Replica.open(replica.home, environment: replica.replica.environment)
        }
        _ = try used.adopt(
            F.welcome(
                .snapshot(.restored), site: SiteID(rawValue: 0xD1), head: 0,
                lineage: RestoredServerTests.lineage(after: 0), reason: .newEpoch))
        let again = try #require(try used.outbox(after: 0, bytesMax: 1 << 30).commits.first)
        #expect(again.id == own.id && again.sealed == own.sealed)
        #expect(again.envelope.dot == Dot(site: SiteID(rawValue: 0xD1), seq: 1))
        try used.store(F.page(F.customer, [], at: 0, endsBackfill: true))
        _ = try used.apply(F.batch(0, 0, [], isWhole: true))
        func shown() throws -> [Row?] {
            try (1...Self.count).map { number in try used.read { try $0.row("customer", F.id(number)) } }
        }
        #expect(try shown() == before, "they lie over the new rows")
        var entry = F.yours(1, again, digest: 0)
        entry.dot = again.envelope.dot
        _ = try used.apply(F.batch(0, 1, [entry]))
        #expect(try shown() == before)
        #expect(try used.status().pending == 0)
    }

    @Test("in a copied file they are the same")
    func copied() throws {
        let (replica, own) = try Self.kept(.both)
        let home = NSTemporaryDirectory() + "peyk-copy-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: home) }
        try replica.replica.close()
        try FileManager.default.copyItem(atPath: replica.home, toPath: home)
        let copy = try Replica.open(home, environment: replica.replica.environment)
        _ = try copy.adopt(F.welcome(site: SiteID(rawValue: 0xC7), head: 1, reason: .copied))
        #expect(try copy.pendingCommits().isEmpty)
        let found = try copy.reading { try OutboxCommit.find(own.id, $0) }
        #expect(found?.sealed == own.sealed && found?.seq ?? 0 < 0)
        try copy.close()
    }

    @Test("a damaged frame is an error where its bytes are needed, and takes nothing else with it")
    func damaged() throws {
        let (replica, own) = try Self.kept(.both)
        try replica.replica.write { try $0.update("customer", F.id(1), ["visits": .integer(2)]) }
        let whole = try Self.stored(replica)
        try replica.replica.database.write {
            try $0.run(
                "UPDATE peyk_commit SET sealed = ?1 WHERE seq = 1", [.blob(Array(whole.prefix(whole.count / 2)))])
        }
        #expect(throws: ReplicaError.self) { try replica.replica.undo(own.id) }
        #expect(throws: ReplicaError.self) { try replica.outbox() }
        // What does not need it goes on.
        #expect(try replica.replica.outbox(after: 1, bytesMax: 1 << 20).commits.count == 1)
        #expect(try replica.replica.pendingCommits().count == 1)
        try replica.apply(1, [F.entry(2, [F.full(F.customer, 99, F.customerRow("another’s"))])])
        #expect(try replica.shown(F.key(F.customer, 99)) != nil)
        #expect(try Self.stored(replica).count == whole.count / 2, "and is left for whoever can mend it")
    }

    @Test("no frame makes the replica hold more than the limit, nor trap")
    func hostileFrames() throws {
        let magic: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD]
        // A single segment whose size is given in eight bytes: 2^40, and 2^63.
        for high in [[0, 0, 0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0x80]] as [[UInt8]] {
            let bytes = magic + [0xE0] + high
            #expect(throws: ReplicaError.self) { try bytes.withUnsafeBytes { try CommitPacking.unpacked($0) } }
        }
        let body = [UInt8](repeating: 3, count: 4_000)
        let frame = try #require(body.withUnsafeBytes { CommitPacking.frame($0) })
        for count in 4..<frame.count {
            let cut = Array(frame.prefix(count))
            #expect(throws: ReplicaError.self) { try cut.withUnsafeBytes { try CommitPacking.unpacked($0) } }
        }
        for index in frame.indices.dropFirst(4) {
            var bent = frame
            bent[index] ^= 0x41
            let result = try? bent.withUnsafeBytes { try CommitPacking.unpacked($0) }
            #expect(result?.count ?? 0 <= CommitPacking.bytesMax)
        }
        #expect(frame.withUnsafeBytes { CommitPacking.frame($0) } == nil, "a frame is not packed again")
        #expect(body.prefix(CommitPacking.bytesMin - 1).withUnsafeBytes { CommitPacking.frame($0) } == nil)
    }

    @Test("the file gives back what they took when a backup covers them (I10)")
    func givenBack() throws {
        let replica = try F.replica()
        try replica.begin()
        var generator = SplitMix64(seed: 7)
        // Texts that do not pack: 8 commits of 512 KB.
        for number in 1...UInt64(8) {
            let memo = String(decoding: (0..<1 << 19).map { _ in UInt8(0x21 + generator.next() % 90) }, as: UTF8.self)
            try replica.replica.write {
                try $0.insert(into: "customer", id: F.id(number), ["name": .text("a"), "memo": .text(memo)])
            }
        }
        let own = try replica.outbox()
        try replica.replica.acknowledge(
            Acknowledge(
                items: own.enumerated().map {
                    .init(seq: Int64($0.offset) + 1, commit: $0.element.id, position: Int64($0.offset) + 1, receipt: [])
                }, credit: 0))
        let digests = try own.indices.map { index in
            let key = F.key(F.customer, UInt64(index) + 1)
            return digest([(key, try replica.shown(key))])
        }
        try replica.apply(
            0, own.enumerated().map { F.yours(Int64($0.offset) + 1, $0.element, digest: digests[$0.offset]) })
        func size() throws -> Int {
            try replica.replica.finishSession(wasConverged: true)
            try replica.replica.database.checkpoint(truncate: true)
            let facts = try FileManager.default.attributesOfItem(atPath: Replica.databasePath(replica.home))
            return (facts[.size] as? NSNumber)?.intValue ?? 0
        }
        let before = try size()
        // Nothing new has come: only the welcome tells of the backup.
        var welcome = F.welcome(head: 8, lastMerged: 8)
        welcome.backupHorizon = 8
        _ = try replica.replica.adopt(welcome)
        let after = try size()
        #expect(try replica.replica.reading { try $0.value("SELECT 1 FROM peyk_commit") } == nil)
        #expect(before - after > 3 << 20, "\(before) bytes, then \(after)")
        #expect(try replica.replica.reading { try $0.value("PRAGMA integrity_check") } == .text("ok"))
    }

    @Test("little that is free stays for the next writes")
    func policy() {
        #expect(!FreePages.areMany(free: 255, all: 1_000))
        #expect(FreePages.areMany(free: 256, all: 1_000))
        #expect(!FreePages.areMany(free: 256, all: 10_000))
        #expect(FreePages.areMany(free: 5_000, all: 10_000))
    }
}
