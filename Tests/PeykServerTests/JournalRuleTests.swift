import PeykModel
import PeykServer
import PeykSession
import Synchronization
import Testing

/// A store whose transactions fail at their end, as on a full disk.
private final class StoreThatFails: Store {
    let fails = Atomic(false)
    private let store: MemoryStore

    init(_ store: MemoryStore) { self.store = store }

    func write<Result>(_ body: (any StoreTransaction) throws -> Result) throws -> Result {
        try store.write { transaction in
            let result = try body(transaction)
            if fails.load(ordering: .relaxed) { throw TestFailure("disk full") }
            return result
        }
    }

    func read<Result>(_ body: (any StoreReader) throws -> Result) throws -> Result { try store.read(body) }
    func query(_ sql: String, _ values: [Value]) throws -> [[Value]] { try store.query(sql, values) }
    func checkpoint() throws {}
}

@Suite("Rules I9, I10: the journal and the backup horizon")
struct JournalRuleTests {
    @Test("I9: acts of IT after the backup come back from the journal, in order and once")
    func replays() throws {
        let journal = MemoryJournal()
        let office = try Office(journal: journal)
        let ann = try office.user(1, "Ann", .rep, [Office.north])
        let backup = try office.backup()
        let known = try office.workspace.store.read { try $0.journalNumber() }
        let bob = try office.user(2, "Bob", .manager)
        let device = try office.device(bob, key: 2)
        try device.sync()
        try office.workspace.setUser(ann, name: "Ann", role: .rep, territories: [Office.south.description])
        let open = try office.workspace.invite(user: ann, lifetimeSeconds: 3_600)
        let gone = try office.device(ann, key: 3)
        try office.workspace.revoke(gone.site)
        var next = Sample.schema
        next.version = 2
        try office.workspace.adopt(next)
        #expect(try journal.lines().count > 6)
        try office.restore(backup)
        #expect(try office.store.read { try $0.journalNumber() } > known + 6, "the new epoch is an act, too")
        try office.store.read { reader throws in
            #expect(try reader.document(UserDocument.self, bob.description)?.role == .manager)
            #expect(try reader.document(UserDocument.self, ann.description)?.territories == [Office.south.description])
            #expect(try reader.document(SiteDocument.self, gone.site.description)?.isRevoked == true)
            #expect(reader.schema.version == 2)
        }
        #expect(try office.row("user", bob) != nil, "the server's own commits, which no device offers again")
        #expect(try office.workspace.refillStatus()?.awaited.map(\.site) == [device.site])
        #expect(throws: Never.self) { try device.sync() }
        #expect(throws: Never.self) { try Device(office, user: ann, code: open.code, key: 4) }
        #expect(try office.workspace.replayJournal() == 0)
    }

    @Test("I6, I9: acts that come back from the journal belong to the new epoch, under the server's new site")
    func replaysInTheNewEpoch() throws {
        let office = try Office(journal: MemoryJournal())
        let ann = try office.device(try office.user(1, "Ann", .manager), key: 1)
        try ann.sync()
        let backup = try office.backup()
        let fork = try office.workspace.head()
        // At these positions the restored server has something else.
        ann.insert(
            "customer", Sample.id(50), ["name": "Acme", "territory_id": .text(Office.north.description)])
        try ann.sync()
        let territory = Sample.id(3)
        let former = try office.act([Sample.insert("territory", territory, ["name": "West"])])
        try ann.sync()
        try office.restore(backup)
        try office.store.read { reader throws in
            let identity = try reader.workspaceDocument()
            #expect(identity.lineage.eras.last?.after == fork)
            var entries: [LogEntry] = []
            try reader.log(after: fork, upTo: try reader.head()) { entry in
                entries.append(entry)
                return true
            }
            #expect(entries.map(\.kind) == [.server] && entries.map(\.dot.site) == [identity.serverSite])
            #expect(entries[0].position < former.position)
        }
        #expect(try ann.connect().entrance == .snapshot(.restored), "it had another history beyond the fork")
        for _ in 0..<3 { try ann.sync() }
        #expect(try ann.rows == ann.expected() && ann.digestFaults == 0)
        #expect(try office.row("territory", territory) != nil)
        #expect(try office.row("customer", Sample.id(50)) != nil)
    }

    @Test("I10: a restore keeps the horizon that devices went by, so an older backup stays refused")
    func horizonOutlivesARestore() throws {
        let office = try Office()
        func item(_ number: Int) throws -> BackupsDocument.Item {
            try office.store.read { reader in
                BackupsDocument.Item(
                    path: "/b\(number)", position: try reader.head(),
                    epoch: try #require(try reader.workspaceDocument().lineage.epoch), time: office.time.now, bytes: 1)
            }
        }
        var items: [BackupsDocument.Item] = []
        var lineages: [Lineage] = []
        var copies: [MemoryStore] = []
        for number in 0..<4 {
            try office.act([Sample.insert("territory", Sample.id(UInt64(70 + number)), ["name": "West"])])
            copies.append(try office.backup())
            items.append(try item(number))
            lineages.append(try office.store.read { try $0.workspaceDocument().lineage })
            try office.workspace.note(try #require(items.last))
        }
        func mayRestore(_ number: Int) throws -> Bool {
            try office.store.read {
                try ReplacedHistory($0).isCovered(by: items[number].position, of: lineages[number])
            }
        }
        #expect(try (0..<4).map(mayRestore) == [false, true, true, true], "three are kept")
        let replaced = try office.store.read { try ReplacedHistory($0) }
        try office.replace(with: MemoryStore(copying: copies[1]))
        try office.workspace.restored(from: items[1], replacing: replaced)
        #expect(try office.store.read { try $0.clockDocument().backupHorizon } == items[1].position)
        #expect(try !mayRestore(0), "devices have dropped what it lacks")
        #expect(try mayRestore(1))
    }

    @Test("I9: an act whose line cannot be written is not carried out")
    func lineFirst() throws {
        final class Full: AdminJournal {
            func append(_ line: [UInt8]) throws { throw TestFailure("disk full") }
            func takeBack(_ line: [UInt8]) throws {}
            func lines() throws -> [[UInt8]] { [] }
        }
        let first = try Office()
        let store = try first.backup()
        let office = try Office(store: store, existing: first.keys, journal: Full())
        #expect(throws: TestFailure.self) {
            try office.workspace.setUser(Sample.id(1_009), name: "Zoe", role: .rep, territories: [])
        }
        #expect(try office.store.read { try $0.documents(UserDocument.self) }.isEmpty)
    }

    @Test("I9: an act that fails after its line was written leaves no line, and the next one takes its number")
    func takenBack() throws {
        let journal = MemoryJournal()
        let first = try Office()
        let store = StoreThatFails(try first.backup())
        let office = try Office(store: store, existing: first.keys, journal: journal)
        func add(_ number: UInt64, _ name: String) throws {
            try office.workspace.setUser(Sample.id(number), name: name, role: .rep, territories: [])
        }
        try add(1_009, "Zoe")
        let lines = try journal.lines()
        store.fails.store(true, ordering: .relaxed)
        #expect(throws: TestFailure.self) { try add(1_010, "Yan") }
        store.fails.store(false, ordering: .relaxed)
        #expect(try journal.lines() == lines, "who was told that nothing was done must be told the truth")
        #expect(try office.workspace.replayJournal() == 0)
        try add(1_011, "Xia")
        let numbers = try journal.lines().compactMap { JournalLine($0)?.number }
        #expect(numbers == Array(1...Int64(numbers.count)))
        #expect(try office.store.read { try $0.documents(UserDocument.self) }.map(\.name).sorted() == ["Xia", "Zoe"])
    }

    @Test("I10: the horizon is the oldest of the backups that are kept, and never moves back")
    func horizon() throws {
        let office = try Office()
        let epoch = try #require(try office.store.read { try $0.workspaceDocument().lineage.epoch })
        func backup(_ position: Position, keep: Int = 3) throws -> Position {
            try office.workspace.note(
                BackupsDocument.Item(
                    path: "/b\(position)", position: position, epoch: epoch, time: office.time.now, bytes: 1),
                keep: keep)
            return try office.store.read { try $0.clockDocument().backupHorizon }
        }
        #expect(try backup(1) == 1)
        #expect(try backup(3) == 1)
        #expect(try backup(5) == 1)
        #expect(try backup(6) == 3, "the first is no longer one of three")
        #expect(try backup(7, keep: 10) == 3)
        #expect(try backup(8, keep: 1) == 8)
        #expect(try office.store.read { try $0.backups().items.map(\.position) } == [8])
    }

    @Test("I10: without a backup for 30 days the horizon moves by age, to what is older than 400 days")
    func age() throws {
        let office = try Office()
        let day: Int64 = 86_400_000
        let first = try office.workspace.head()
        office.time.advance(200 * day)
        try office.act([Sample.insert("territory", Sample.id(77), ["name": "East"])])
        office.time.advance(190 * day)
        try office.workspace.moveBackupHorizonByAge()
        #expect(try office.store.read { try $0.clockDocument().backupHorizon } == 0)
        office.time.advance(20 * day)
        try office.workspace.moveBackupHorizonByAge()
        #expect(try office.store.read { try $0.clockDocument().backupHorizon } == first)
    }
}
