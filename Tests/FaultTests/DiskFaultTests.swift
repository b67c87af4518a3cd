import Foundation
import PeykModel
import PeykReplica
import PeykSQLite
import PeykServer
import PeykStoreSQLite
import SimDisk
import SimulationKit
import Testing

/// The n-th write, sync, open, truncation or deletion fails, for n = 1, 2, … until the step comes through: with EIO,
/// ENOSPC or a short write, once or from then on. Real replicas, real committer, real store, a disk under SQLite that
/// fails on purpose.
///
/// `PEYK_FAULT_STEP` is the distance between the n that are tried: 1 tries all.
@Suite("Disk faults", .serialized)
struct DiskFaultTests {
    static let kinds: [(name: String, operations: SimulatedDisk.Operations)] = [
        ("write", .write), ("sync", .sync), ("open", .open), ("truncate", .truncate), ("delete", .delete),
    ]

    @Test(
        "leave the state before or the state after, and lose nothing that was promised (P12, P15, P16, K1)",
        .timeLimit(.minutes(60)), arguments: Step.allCases)
    func failing(step: Step) throws {
        let root = SimulatedDisk.root + "/peyk-faults-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: root) }
        let shop = try Shop(seed: 7)
        try shop.make(in: root + "/template")
        try step.prepare(shop, in: root + "/template", prepared: root + "/prepared")
        var run = try FaultRun(shop: shop, step: step, root: root)
        let stride = Swift.max(1, FaultRun.setting("PEYK_FAULT_STEP", 40))
        for kind in Self.kinds {
            for failure in [SimulatedDisk.Failure.deviceError, .full, .shortWrite] {
                // What is no write has one way to fail.
                if kind.name != "write", failure != .deviceError { continue }
                for isSticky in [false, true] {
                    var nth: UInt64 = 1
                    while try run.case(kind.operations, nth: nth, failure, isSticky: isSticky, kind.name) {
                        nth += UInt64(nth < 4 ? 1 : stride)
                    }
                }
            }
        }
        #expect(run.findings.isEmpty, "\(run.findings.prefix(12).joined(separator: "\n"))")
        #expect(run.failed > 5, "only \(run.failed) faults were met")
        print("disk faults: \(step): \(run.cases) cases, \(run.failed) with a fault met")
    }
}

/// What the disk fails under.
enum Step: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case write, foreignWrite, push, pull, firstSync, widen, migrate, serverSchema, grant, serverCheckpoint, collect,
        reopen

    var testDescription: String { rawValue }

    static let edited = TestSchema.customer(2)
    static let added = TestSchema.id(4, 900)

    private static func edit(_ replica: Replica, _ word: String) throws {
        try replica.write { write in
            try write.update("customer", edited, ["phone": .text(word), "city": .text(word), "street": .text(word)])
            try write.insert(
                into: "customer", id: added,
                ["name": .text(word), "territory_id": Value(TestSchema.territory(0))])
            try write.insert(
                into: "contact", id: TestSchema.id(6, 900), ["customer_id": Value(added), "name": .text(word)])
        }
    }

    /// The template with what the step needs.
    func prepare(_ shop: Shop, in template: String, prepared: String) throws {
        try FileManager.default.copyItem(atPath: template, toPath: prepared)
        let open = try Shop.Open(shop, prepared)
        defer { open.close() }
        switch self {
        case .write, .foreignWrite, .firstSync, .serverSchema, .grant: break
        case .push, .reopen, .serverCheckpoint: try Self.edit(open.annas, "pushed")
        case .pull:
            try Self.edit(open.babak, "pulled")
            try open.sync("babak")
        case .collect:
            try Self.edit(open.annas, "to be forgotten")
            for name in ["anna", "babak"] { try open.sync(name) }
            try open.annas.write { try $0.delete("contact", TestSchema.id(6, 900)) }
            try open.babak.write { try $0.update("customer", Self.edited, ["phone": .text("kept")]) }
            for name in ["anna", "babak", "anna", "babak"] { try open.sync(name) }
        case .widen:
            _ = try open.workspace.setUser(
                TestSchema.user(0), name: "anna", role: .rep,
                territories: [TestSchema.territory(0).description, TestSchema.territory(1).description])
        case .migrate:
            try Self.edit(open.annas, "before the change")
            try open.workspace.adopt(Self.next)
        }
    }

    /// The next version of the schema.
    static let next = Schema(
        version: 2,
        tables: TestSchema.schema.ownTables.map { table in
            guard table.name == "customer" else { return table }
            return Table(
                table.name, table.kind, fields: table.fields + [Field("rating", .integer, .lww)], unique: table.unique)
        })

    func perform(_ open: Shop.Open) throws {
        switch self {
        case .write: try Self.edit(open.annas, "written")
        case .foreignWrite:
            let home = open.folder + "/anna"
            let other = try Database(
                path: Replica.databasePath(home), lockPath: Replica.lockPath(home), busySeconds: 0.2)
            defer { try? other.close() }
            try other.write { connection in
                try connection.run(
                    "UPDATE customer SET phone = 'foreign', city = 'foreign', street = 'foreign' WHERE id = ?1",
                    [Value(Self.edited)])
                try connection.run("DELETE FROM customer WHERE id = ?1", [Value(TestSchema.customer(30))])
            }
            try open.annas.seal()
        case .push, .pull, .widen, .migrate: try open.sync("anna")
        case .firstSync: try open.join("cyrus")
        case .collect: _ = try open.workspace.collectAll()
        case .serverSchema: try open.workspace.adopt(Self.next)
        case .grant:
            _ = try open.workspace.setUser(
                TestSchema.user(0), name: "anna", role: .rep, territories: [TestSchema.territory(1).description])
        case .serverCheckpoint:
            try open.sync("anna")
            try open.store.checkpoint()
        case .reopen:
            open.close()
            let again = try Shop.Open(open.shop, open.folder)
            defer { again.close() }
            guard again.anna != nil else { throw CocoaError(.fileReadUnknown) }
        }
    }

    /// What was answered with success must be there; before that either is right.
    var isOneAct: Bool {
        switch self {
        case .write, .foreignWrite, .serverSchema, .grant: true
        default: false
        }
    }
}

/// All cases of one step.
struct FaultRun {
    let shop: Shop
    let step: Step
    let root: String
    private let disk: SimulatedDisk
    private var number = 0
    private(set) var cases = 0
    private(set) var failed = 0
    private(set) var findings: [String] = []
    private var before = State()
    private var after = State()
    private var end = State()
    private var endWithout = State()

    struct State: Equatable {
        var anna: [String] = []
        var server: [String] = []
    }

    static func setting(_ name: String, _ standard: Int) -> Int {
        ProcessInfo.processInfo.environment[name].flatMap { Int($0) } ?? standard
    }

    init(shop: Shop, step: Step, root: String) throws {
        self.shop = shop
        self.step = step
        self.root = root
        disk = try SimulatedDisk(folder: root + "/disk")
        // What an undisturbed step does, and what comes of it, and what would have come without it.
        let folder = try fresh()
        let open = try Shop.Open(shop, folder)
        before = try Self.state(open)
        try step.perform(open)
        open.close()
        let again = try Shop.Open(shop, folder)
        after = try Self.state(again)
        try again.settle()
        end = try Self.state(again)
        again.close()
        let without = try Shop.Open(shop, try fresh())
        try without.settle()
        endWithout = try Self.state(without)
        without.close()
    }

    private static func state(_ open: Shop.Open) throws -> State {
        State(anna: try Shop.lines(of: try open.annas), server: try Shop.lines(of: open.workspace))
    }

    private mutating func fresh() throws -> String {
        number += 1
        let folder = disk.folder + "/\(number)"
        try FileManager.default.copyItem(atPath: root + "/prepared", toPath: folder)
        return folder
    }

    /// One case. False where the step came through without meeting the fault: there are no more.
    mutating func `case`(
        _ operations: SimulatedDisk.Operations, nth: UInt64, _ failure: SimulatedDisk.Failure, isSticky: Bool,
        _ name: String
    ) throws -> Bool {
        let place = "\(step) \(name) \(nth) \(failure)\(isSticky ? " from then on" : "")"
        let folder = try fresh()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        cases += 1
        var isDone = false
        do {
            let open = try Shop.Open(shop, folder)
            disk.fail(operations, nth: nth, failure, sticky: isSticky)
            do {
                try step.perform(open)
                isDone = true
            } catch {}
            open.close()
        }
        let wasMet = disk.failed > 0
        disk.heal()
        if wasMet { failed += 1 }
        do {
            try look(folder, place, isDone: isDone)
        } catch {
            findings.append("\(place): \(error)")
        }
        return wasMet && nth < 2_000
    }

    /// After the fault everything opens, is whole, is as before or as after, and goes on to the same end.
    private mutating func look(_ folder: String, _ place: String, isDone: Bool) throws {
        for path in [Shop.storePath(folder), folder + "/anna/replica.sqlite"] where try !Shop.isWhole(path) {
            findings.append("\(place): \(path) is damaged")
        }
        let open = try Shop.Open(shop, folder)
        defer { open.close() }
        let state = try Self.state(open)
        if state.anna != before.anna, state.anna != after.anna {
            findings.append("\(place): the replica is between: \(Self.difference(state.anna, before.anna, after.anna))")
        }
        if state.server != before.server, state.server != after.server {
            findings.append(
                "\(place): the server is between: \(Self.difference(state.server, before.server, after.server))")
        }
        if isDone, step.isOneAct, state != after { findings.append("\(place): said done, and it is not there") }
        if step == .firstSync { try open.join("cyrus") }
        try open.settle()
        let last = try Self.state(open)
        let wasTaken = !step.isOneAct || state == after
        if last != (wasTaken ? end : endWithout) {
            let expected = wasTaken ? end : endWithout
            findings.append(
                "\(place): ends elsewhere: \(Self.difference(last.anna + last.server, expected.anna + expected.server, []))"
            )
        }
    }

    private static func difference(_ lines: [String], _ a: [String], _ b: [String]) -> String {
        let known = Set(a + b)
        let present = Set(lines)
        return
            (lines.filter { !known.contains($0) }.prefix(3).map { "+ \($0)" }
            + a.filter { !present.contains($0) }.prefix(3).map { "− \($0)" }).joined(separator: "\n")
    }
}
