import Foundation
import PeykMerge
import PeykModel
import PeykServer
import PeykSession
import SeededRandom
import Testing

/// Random offline edits by four devices over few records, with moves, copies of pushes and poisoned commits.
@Suite("Properties")
struct PropertyTests {
    /// `PEYK_SEEDS=500 make test` runs more of them.
    static let seeds = 1...max(1, ProcessInfo.processInfo.environment["PEYK_SEEDS"].flatMap { Int($0) } ?? 8)

    struct World {
        var random: SplitMix64
        let office: Office
        var devices: [Device]
        let customers = (0..<6).map { Sample.id(2_000 + UInt64($0)) }
        let contacts = (0..<8).map { Sample.id(3_000 + UInt64($0)) }
        let deals = (0..<8).map { Sample.id(4_000 + UInt64($0)) }
        var nextID: UInt64 = 5_000
        var repeated = 0

        init(seed: UInt64) throws {
            random = SplitMix64(seed: seed)
            office = try Office(store: FailingStore(MemoryStore()), seed: seed)
            devices = [
                try office.device(try office.user(1, "Ann", .rep, [Office.north]), key: 1),
                try office.device(try office.user(2, "Ben", .rep, [Office.north, Office.south]), key: 2),
                try office.device(try office.user(3, "Sam", .rep, [Office.south]), key: 3),
                try office.device(try office.user(4, "Mona", .manager), key: 4),
            ]
            for device in devices { try device.sync() }
        }

        mutating func step() throws {
            let device = random.pick(devices)
            office.time.advance(Int64(random.draw(1_000)))
            if random.chance(25) {
                try sync(device)
            } else {
                device.commit(try changes(device), operations(device))
            }
        }

        /// IT at work: territories given and taken, a laptop cloned.
        mutating func disturb() throws {
            if random.chance(50) {
                let rep = random.pick(Array(devices.prefix(3)))
                let territories = [[], [Office.north], [Office.south], [Office.north, Office.south]]
                try office.workspace.setUser(
                    rep.user, name: "rep", role: random.chance(90) ? .rep : .viewer,
                    territories: random.pick(territories).map(\.description))
            } else if devices.count < 6 {
                devices.append(Device(copying: random.pick(devices)))
            }
        }

        private func revive(_ table: String, _ record: RecordID) -> PeykModel.Operation {
            PeykModel.Operation(kind: .revive, table: Sample.table(table), record: record)
        }

        private mutating func operations(_ device: Device) -> [PeykModel.Operation] {
            switch random.draw(20) {
            case 0: return [PeykModel.Operation(kind: .whole)]
            case 1:
                return [revive("customer", random.pick(customers))]
            case 2: return [revive("contact", random.pick(contacts))]
            case 3:
                let entries = device.rows.keys.filter { $0.table == Schema.ledgerIndex }.sorted()
                return entries.isEmpty ? [] : [PeykModel.Operation(kind: .settle, record: random.pick(entries).record)]
            case 4:
                guard let former = device.heard.last?.commit else { return [] }
                return [PeykModel.Operation(kind: .undo, argument: former.description)]
            case 5: return [PeykModel.Operation(kind: .reopen)]
            default: return []
            }
        }

        mutating func sync(_ device: Device) throws {
            try device.connect()
            if random.chance(80), !device.pending.isEmpty {
                let part = Array(device.pending.prefix(1 + random.draw(device.pending.count)))
                let first = try device.push(part)
                if random.chance(30) {
                    let head = try office.workspace.head()
                    #expect(try device.push(part) == first, "P4: a repeated push has the same answer")
                    #expect(try office.workspace.head() == head, "P4: and no effect")
                    repeated += 1
                }
            }
            if random.chance(80) { try device.pull() }
        }

        private mutating func changes(_ device: Device) throws -> [Change] {
            var changes: [Change] = []
            for _ in 0..<(1 + random.draw(3)) {
                let change = change(device)
                if !changes.contains(where: { $0.record == change.record }) { changes.append(change) }
            }
            if random.chance(3) {
                changes.append(
                    Sample.insert("customer", FailingStore.poison, ["name": "P", "territory_id": Value(Office.north)]))
            }
            return changes
        }

        private mutating func change(_ device: Device) -> Change {
            let customer = random.pick(customers)
            let deal = random.pick(deals)
            let contact = random.pick(contacts)
            let territory = Value(random.chance(50) ? Office.north : Office.south)
            let text = Value.text("v\(random.draw(50))")
            let shown = device.shown("customer", customer)
            switch random.draw(14) {
            case 0, 1:
                return Sample.insert("customer", customer, ["name": text, "territory_id": territory, "phone": text])
            case 2: return Sample.update("customer", customer, ["name": text, "visits": 1], on: shown)
            case 3: return Sample.update("customer", customer, ["territory_id": territory], on: shown)
            case 4:
                let tags = Value.text(ValueSet((0..<random.draw(3)).map { "t\($0)" }).json)
                return Sample.update("customer", customer, ["tags": tags, "notes": text], on: shown)
            case 5:
                return Sample.update("customer", customer, ["referrer_id": Value(random.pick(customers))], on: shown)
            case 6: return Sample.delete("customer", customer)
            case 7: return Sample.insert("contact", contact, ["name": text, "customer_id": Value(customer)])
            case 8:
                return Sample.update(
                    "contact", contact, random.chance(50) ? ["name": text] : ["customer_id": Value(customer)],
                    on: device.shown("contact", contact))
            case 9: return Sample.delete("contact", contact)
            case 10:
                return Sample.insert(
                    "opportunity", deal,
                    [
                        "name": text, "customer_id": Value(customer), "territory_id": territory,
                        "stage_id": Value(Sample.stage("Lead")),
                    ])
            case 11:
                let stage = Value(Sample.stage(random.pick(["Lead", "Offer", "Won", "Lost"])))
                return Sample.update("opportunity", deal, ["stage_id": stage], on: device.shown("opportunity", deal))
            case 12: return Sample.delete("opportunity", deal)
            default:
                nextID += 1
                return Sample.insert(
                    "activity", Sample.id(nextID),
                    random.chance(50) ? ["opportunity_id": Value(deal)] : ["customer_id": Value(customer)])
            }
        }

        func quiet() throws {
            for _ in 0..<3 { for device in devices { try device.sync() } }
        }
    }

    @Test(
        "after quiescence each device holds exactly its scope (P1, P21), and no digest ever differed", arguments: 1...12
    )
    func convergence(seed: Int) throws {
        var world = try World(seed: UInt64(seed))
        for _ in 0..<120 { try world.step() }
        try world.quiet()
        for device in world.devices {
            let expected = try device.expected()
            for key in Set(device.rows.keys).union(expected.keys).sorted() where device.rows[key] != expected[key] {
                Issue.record(
                    """
                    seed \(seed): \(device.user) \(key) has \(String(describing: device.rows[key])),
                    not \(String(describing: expected[key]))
                    """
                )
            }
            #expect(device.digestFaults == 0, "seed \(seed)")
            #expect(device.pending.isEmpty, "seed \(seed)")
        }
        #expect(world.repeated > 0, "the run repeats pushes")
    }

    @Test("also while grants change and laptops are cloned", arguments: seeds)
    func disturbedConvergence(seed: Int) throws {
        var world = try World(seed: UInt64(300 + seed))
        for round in 0..<120 {
            if round % 15 == 14 { try world.disturb() }
            do {
                try world.step()
            } catch let refusal as Refusal where refusal.code == .scopeChanged {
                continue
            }
        }
        try world.quiet()
        for device in world.devices {
            let expected = try device.expected()
            for key in Set(device.rows.keys).union(expected.keys).sorted() where device.rows[key] != expected[key] {
                Issue.record(
                    """
                    seed \(seed): \(device.user) at \(device.cursor) \(key) has \(String(describing: device.rows[key])),
                    not \(String(describing: expected[key]))
                    """)
            }
            #expect(device.digestFaults == 0 && device.pending.isEmpty, "seed \(seed)")
        }
    }

    @Test("nothing outside the scope is in any message (P20)", arguments: seeds)
    func scope(seed: Int) throws {
        var world = try World(seed: UInt64(100 + seed))
        for _ in 0..<120 { try world.step() }
        try world.quiet()
        let log = try world.office.log()
        for device in world.devices {
            let grant = try #require(device.welcome?.grant)
            for heard in device.heard {
                let entry = log[Int(heard.position) - 1]
                for effect in heard.effects {
                    let full = try #require(entry.effects.first { $0.key == effect.key })
                    let wasIn = full.audienceBefore.map { grant.reads($0) } ?? false
                    let isIn = full.audienceAfter.map { grant.reads($0) } ?? false
                    switch effect.kind {
                    case .full, .delta, .touched: #expect(isIn, "seed \(seed) position \(heard.position)")
                    case .evict: #expect(!isIn && (wasIn || heard.yours != nil), "seed \(seed)")
                    case .delete: #expect(wasIn || heard.yours != nil, "seed \(seed)")
                    }
                }
            }
        }
    }

    @Test(
        "foreign keys hold at the server after every commit (P22), and failing commits leave nothing", arguments: seeds)
    func foreignKeys(seed: Int) throws {
        var world = try World(seed: UInt64(200 + seed))
        for _ in 0..<100 { try world.step() }
        try world.quiet()
        let all = try world.office.rows(for: Grant(read: [.whole, .everyone], write: [Bucket](), version: 1))
        for (key, row) in all where key.table != Schema.ledgerIndex {
            for (index, field) in Sample.schema.tables[key.table].fields.enumerated() {
                guard case .reference(let name) = field.type, let target = row[index].recordID else { continue }
                #expect(all[Sample.key(name, target)] != nil, "seed \(seed): \(key) \(field.name)")
            }
        }
        #expect(try world.office.record("customer", FailingStore.poison) == nil)
    }

    @Test("equal runs give equal logs: no hash table's order reaches a decision")
    func deterministic() throws {
        func run() throws -> [LogEntry] {
            var world = try World(seed: 7)
            for _ in 0..<80 { try world.step() }
            try world.quiet()
            return try world.office.log()
        }
        #expect(try run() == run())
    }
}
