import Foundation
import PeykModel
import PeykReplica
import PeykSession
import SimDisk
import SimulationKit
import Testing

/// Exactly as many as fit in a message, one less, one more, and twice as many.
@Suite("Batch sizes", .serialized)
struct BatchSizeTests {
    private static func around(_ size: Int) -> [Int] { [0, 1, size - 1, size, size + 1, 2 * size] }

    private static func with(_ body: (Shop.Open) throws -> Void) throws {
        // In memory where the machine has that: thousands of commits, each with its sync.
        let folder = SimulatedDisk.root + "/peyk-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let shop = try Shop(seed: 3)
        try shop.make(in: folder)
        let open = try Shop.Open(shop, folder)
        defer { open.close() }
        try body(open)
    }

    /// A session that must end by itself, and one after it that must have nothing to do.
    private static func sync(_ open: Shop.Open, _ name: String) throws {
        let replica = name == "anna" ? try open.annas : open.babak
        for round in 0..<2 {
            let link = try LocalLink(
                replica: replica, home: open.folder + "/" + name, environment: open.shop.time.replica(skew: 0),
                workspace: open.workspace, keySeed: open.shop.keySeed(of: name))
            let report = try link.run(cutAfter: 30_000)
            #expect(!report.isCut && report.failure == nil, "the session does not end: \(report.messages) messages")
            if round == 1 { #expect(report.messages <= 8, "\(report.messages) messages with nothing to do") }
        }
    }

    private static func commits(_ count: Int, on replica: Replica) throws {
        for _ in 0..<count {
            _ = try replica.write { write in
                try write.execute(
                    "UPDATE customer SET visits = visits + 1 WHERE id = ?1", [Value(TestSchema.customer(2))])
            }
        }
    }

    @Test("F006: a sync ends when as many are sent as fit in a batch, a push or a page (P26)", .timeLimit(.minutes(20)))
    func sizes() throws {
        var sizes: [Int] = []
        try Self.with { open in
            // How many small commits fill one push: a commit is counted with 256 bytes beside its own.
            try Self.commits(1, on: open.babak)
            let slice = try open.babak.outbox(after: 0, bytesMax: 1 << 20)
            let bytes = try #require(slice.commits.last).sealed.count + 256
            sizes = [SessionLimits.pushBytes / bytes, SessionLimits.batchEntries]
        }
        var made = 0
        try Self.with { open in
            for size in Set(sizes).sorted() {
                for count in Self.around(size) {
                    try Self.commits(count, on: open.babak)
                    made += count
                    try Self.sync(open, "babak")
                    try Self.sync(open, "anna")
                    for replica in [try open.annas, open.babak] {
                        let visits = try replica.read {
                            try $0.rows("SELECT visits FROM customer WHERE id = '\(TestSchema.customer(2))'")
                        }
                        #expect(visits == [[.integer(Int64(made))]], "\(count) of \(size)")
                    }
                }
            }
        }
    }

    @Test("a first sync ends when a table has as many rows as fit in a page (P26)", .timeLimit(.minutes(20)))
    func pages() throws {
        for count in Self.around(SessionLimits.pageRows) where count > Shop.customers {
            try Self.with { open in
                _ = try open.babak.write { write in
                    for index in Shop.customers..<count {
                        try write.insert(
                            into: "customer", id: TestSchema.id(4, 10_000 + index),
                            ["name": .text("n"), "territory_id": Value(TestSchema.territory(0))])
                    }
                }
                try open.sync("babak")
                let present = try Shop.lines(of: open.babak).filter { $0.hasPrefix("customer ") }.count
                try open.join("cyrus")
                let cyrus = try Replica.open(open.folder + "/cyrus")
                defer { try? cyrus.close() }
                #expect(
                    try Shop.lines(of: cyrus).filter { $0.hasPrefix("customer ") }.count == present, "\(count) rows")
            }
        }
    }
}
