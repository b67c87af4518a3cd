import PeykMerge
import PeykModel
import PeykServer
import PeykSession
import Synchronization
import Testing

@Suite("Rule A4: commits that crash the server")
struct CrashRuleTests {
    /// The server starts again on what the dead one left.
    private func restart(_ office: Office, _ store: DyingStore) throws -> Office {
        store.revive()
        return try Office(store: store, existing: office.keys)
    }

    private func devices(_ store: DyingStore) throws -> (Office, Device, RecordID) {
        let office = try Office(store: store)
        let ann = try office.device(try office.user(1, "Ann", .rep, [Office.north]))
        let customer = Sample.id(500)
        try ann.sync()
        ann.insert("customer", customer, ["name": "Acme", "territory_id": Value(Office.north)])
        try ann.sync()
        return (office, ann, customer)
    }

    @Test("a commit under way at two crashes is parked unmerged; what was pushed with it goes on (A4)")
    func poison() throws {
        let store = DyingStore()
        var (office, ann, customer) = try devices(store)
        let before = ann.set("customer", customer, ["phone": "1"])
        let poison = ann.insert(
            "customer", DyingStore.poison, ["name": "P", "territory_id": Value(Office.north)])
        let after = ann.set("customer", customer, ["name": "after"])
        for crash in 1...2 {
            ann.office = office
            try ann.connect()
            #expect(throws: DyingStore.Dead.self) { try ann.push() }
            office = try restart(office, store)
            let log = try office.log().map(\.commit)
            // The first time nobody knows which of the three it was; the second time they go apart.
            #expect(log.contains(before.id) == (crash == 2))
            #expect(!log.contains(poison.id) && !log.contains(after.id))
        }
        ann.office = office
        try ann.sync()
        #expect(ann.answers[poison.id]?.verdict == .refused)
        #expect(ann.answers[poison.id]?.notices.map(\.code) == [.failed])
        #expect(try office.record("customer", DyingStore.poison) == nil)
        #expect(try office.value("customer", customer, "phone") == "1")
        #expect(try office.value("customer", customer, "name") == "after")
        #expect(try ann.rows == ann.expected())
        for collection in ["underway", "crash"] {
            #expect(try store.read { try $0.documents(collection, prefix: "").isEmpty }, "\(collection)")
        }
        #expect(office.warnings.all.contains { $0.contains("two crashes") })
    }

    @Test(
        "I7.2: names told beside a commit that is under suspicion are kept, and before any commit of their site (A4)",
        arguments: [true, false])
    func namesBesideSuspect(inOnePush: Bool) throws {
        let store = DyingStore()
        var (office, ann, customer) = try devices(store)
        let poison = ann.insert(
            "customer", DyingStore.poison, ["name": "P", "territory_id": Value(Office.north)])
        try ann.connect()
        #expect(throws: DyingStore.Dead.self) { try ann.push() }
        office = try restart(office, store)
        store.poisonIsCured()
        ann.office = office
        // Ann's device comes from a history that is gone, or another one does while hers is under suspicion.
        let teller = inOnePush ? ann : try office.device(try office.user(2, "Ben", .rep, [Office.north]), key: 2)
        try ann.connect()
        if !inOnePush { try teller.connect() }
        let lost = Epoch(bits: UUIDBits(high: 0xD0, low: 1))
        let names = (1...3).map { number in
            Witness(epoch: lost, position: Position(number), commit: CommitID(bits: UUIDBits(high: 9, low: number)))
        }
        func document() throws -> SiteDocument {
            try #require(try store.read { try $0.document(SiteDocument.self, teller.site.description) })
        }
        var site = try document()
        site.owesNames = true
        try store.write { try $0.set(site) }
        let context = try #require(teller.context)
        let telling = PushRequest(
            context: context, commits: inOnePush ? ann.pending : [], names: names, endsNames: true)
        let pushing = PushRequest(context: try #require(ann.context), commits: ann.pending)
        let results = try office.workspace.commit(inOnePush ? [telling] : [telling, pushing])
        for result in results {
            guard case .acknowledge(let acknowledge) = result else {
                Issue.record("\(result)")
                continue
            }
            #expect(acknowledge.expect == nil)
        }
        for name in names {
            #expect(try store.read { try $0.document("name", name.commit.description) } != nil, "\(name)")
        }
        #expect(try !document().owesNames)
        try ann.sync()
        #expect(ann.answers[poison.id]?.isPlain == true)
        #expect(try office.value("customer", customer, "name") == "Acme")
        #expect(try office.value("customer", DyingStore.poison, "name") == "P")
    }

    @Test("one crash parks nothing (A4)")
    func oneCrash() throws {
        let store = DyingStore()
        var (office, ann, customer) = try devices(store)
        let poison = ann.insert(
            "customer", DyingStore.poison, ["name": "P", "territory_id": Value(Office.north)])
        try ann.connect()
        #expect(throws: DyingStore.Dead.self) { try ann.push() }
        office = try restart(office, store)
        store.poisonIsCured()
        ann.office = office
        ann.set("customer", customer, ["name": "after"])
        try ann.sync()
        #expect(ann.answers[poison.id]?.isPlain == true)
        #expect(try office.value("customer", DyingStore.poison, "name") == "P")
        #expect(try store.read { try $0.documents("crash", prefix: "").isEmpty })
    }

    @Test("a crash after the group was committed counts against nobody (A4)")
    func afterCommit() throws {
        let store = DyingStore()
        let (office, ann, customer) = try devices(store)
        let commit = ann.set("customer", customer, ["phone": "1"])
        try ann.connect()
        try ann.push()
        // As if the note had outlived its group.
        try store.write { try $0.setDocument("underway", "group", commit.id.bytes) }
        _ = try restart(office, store)
        #expect(try store.read { try $0.documents("crash", prefix: "").isEmpty })
        #expect(try store.read { try $0.document("underway", "group") } == nil)
    }

    @Test("a store that fails without a crash leaves no suspect (A4)")
    func failureIsNoCrash() throws {
        let store = DyingStore()
        let (office, ann, customer) = try devices(store)
        ann.set("customer", customer, ["phone": "1"])
        try ann.connect()
        store.failNextWrite()
        #expect(throws: TestFailure.self) { try ann.push() }
        _ = try restart(office, store)
        #expect(try store.read { try $0.documents("crash", prefix: "").isEmpty })
        try ann.sync()
        #expect(try office.value("customer", customer, "phone") == "1")
    }
}

/// A process that dies when it writes one record: from then on nothing works, and what was not committed is gone.
final class DyingStore: Store {
    struct Dead: Error {}
    static let poison = Sample.id(0xDEAD)
    private let store = MemoryStore()
    private let state = Mutex((isDead: false, isPoisonous: true, failsNext: false))

    func revive() { state.withLock { $0.isDead = false } }
    func poisonIsCured() { state.withLock { $0.isPoisonous = false } }
    func failNextWrite() { state.withLock { $0.failsNext = true } }

    func write<Result>(_ body: (any StoreTransaction) throws -> Result) throws -> Result {
        try check()
        return try store.write { transaction in
            let result = try body(Watching(base: transaction) { self.wrote($0) })
            try check()
            let fails = state.withLock { state in
                defer { state.failsNext = false }
                return state.failsNext
            }
            if fails { throw TestFailure("the disk says no") }
            return result
        }
    }

    /// Notes never fail by themselves here.
    func note(_ body: (any StoreTransaction) throws -> Void) throws {
        try check()
        try store.write(body)
    }

    func read<Result>(_ body: (any StoreReader) throws -> Result) throws -> Result {
        try check()
        return try store.read(body)
    }

    func query(_ sql: String, _ values: [Value]) throws -> [[Value]] { try store.query(sql, values) }
    func checkpoint() throws {}

    private func check() throws { if state.withLock({ $0.isDead }) { throw Dead() } }

    private func wrote(_ key: RecordKey) {
        state.withLock { state in
            if state.isPoisonous, key.record == Self.poison { state.isDead = true }
        }
    }
}

/// Everything goes to the store below; `wrote` hears of each record.
private struct Watching: StoreTransaction {
    let base: any StoreTransaction
    let wrote: (RecordKey) -> Void
    var schema: Schema { base.schema }
    func head() throws -> Position { try base.head() }
    func record(_ key: RecordKey) throws -> StoredRecord? { try base.record(key) }
    func tombstones(upTo: Position, _ body: (RecordKey, StoredRecord) throws -> Bool) throws {
        try base.tombstones(upTo: upTo, body)
    }
    func tombstoneCount() throws -> Int64 { try base.tombstoneCount() }
    func records(of table: Int, after: RecordID?, _ body: (RecordID, StoredRecord) throws -> Bool) throws {
        try base.records(of: table, after: after, body)
    }
    func count(of table: Int) throws -> Int64 { try base.count(of: table) }
    func referrers(table: Int, field: Int, to record: RecordID) throws -> [RecordID] {
        try base.referrers(table: table, field: field, to: record)
    }
    func ledgerEntries(of key: RecordKey) throws -> [RecordID] { try base.ledgerEntries(of: key) }
    func records(of table: Int, matching fields: [Int], _ values: [Value]) throws -> [RecordID] {
        try base.records(of: table, matching: fields, values)
    }
    func log(after: Position, upTo: Position, _ body: (LogEntry) throws -> Bool) throws {
        try base.log(after: after, upTo: upTo, body)
    }
    func positions(of key: RecordKey) throws -> [Position] { try base.positions(of: key) }
    func origin(of commit: CommitID) throws -> CommitOrigin? { try base.origin(of: commit) }
    func firstPosition() throws -> Position? { try base.firstPosition() }
    func document(_ collection: String, _ key: String) throws -> [UInt8]? { try base.document(collection, key) }
    func documents(_ collection: String, prefix: String) throws -> [(key: String, value: [UInt8])] {
        try base.documents(collection, prefix: prefix)
    }
    func put(_ record: StoredRecord, at key: RecordKey) throws {
        wrote(key)
        try base.put(record, at: key)
    }
    func drop(_ key: RecordKey) throws { try base.drop(key) }
    func append(_ entry: LogEntry) throws { try base.append(entry) }
    func trimLog(upTo: Position) throws { try base.trimLog(upTo: upTo) }
    func adopt(_ schema: Schema) throws { try base.adopt(schema) }
    func setDocument(_ collection: String, _ key: String, _ value: [UInt8]?) throws {
        try base.setDocument(collection, key, value)
    }
    func savepoint<Result>(_ body: () throws -> Result) throws -> Result { try base.savepoint(body) }
}
