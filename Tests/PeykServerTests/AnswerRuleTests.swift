import PeykMerge
import PeykModel
import PeykSession
import Testing

@testable import PeykServer

@Suite("Rules A: answers")
struct AnswerRuleTests {
    private func items(_ result: PushResult) throws -> [Acknowledge.Item] {
        guard case .acknowledge(let acknowledge) = result else { throw TestFailure("refused: \(result)") }
        return acknowledge.items
    }

    @Test("A1: every commit takes a position, also one refused whole and a known id; the dot again changes nothing")
    func positions() throws {
        let team = try Team()
        try team.ann.connect()
        let good = team.ann.set("customer", team.customer, ["phone": "1"])
        let bad = team.ann.insert("customer", Sample.id(700), ["phone": "5"])
        let first = try items(try team.ann.push())
        #expect(first.map(\.commit) == [good.id, bad.id])
        #expect(first[1].position == first[0].position + 1)
        let head = try team.office.workspace.head()
        #expect(try items(try team.ann.push()) == first, "the same answer, the same receipts")
        #expect(try team.office.workspace.head() == head)
        try team.ann.pull()
        let again = team.ann.commit([Sample.update("customer", team.customer, ["phone": "1"], on: nil)], id: good.id)
        let known = try items(try team.ann.push([again]))
        #expect(known[0].position == head + 1)
        #expect(try items(try team.ann.push([again])) == known)
        #expect(try team.office.log().last?.kind == .known)
        #expect(try team.office.log().last?.effects.isEmpty == true)
        try team.ann.pull()
        #expect(team.ann.answers[good.id]?.verdict == .known)
    }

    @Test("A1: a receipt is bound to commit, dot, position and answer (W-28)")
    func receipts() throws {
        let team = try Team()
        try team.ann.connect()
        team.ann.set("customer", team.customer, ["phone": "1"])
        team.ann.set("customer", team.customer, ["phone": "2"])
        let both = try items(try team.ann.push())
        #expect(both[0].receipt.count == 16 && both[0].receipt != both[1].receipt)
        let epoch = try #require(try team.office.store.read { try $0.workspaceDocument().lineage.epoch })
        let other = Epoch(bits: UUIDBits(high: 1, low: 1))
        let dot = Dot(site: team.ann.site, seq: both[0].seq)
        func receipt(
            _ commit: CommitID = both[0].commit, _ dot: Dot = dot, _ epoch: Epoch = epoch,
            _ position: Position = both[0].position, _ verdict: Answer.Verdict = .merged
        ) -> [UInt8] {
            team.office.keys.receipt(commit: commit, dot: dot, epoch: epoch, position: position, verdict: verdict)
        }
        let all = [
            receipt(), receipt(both[1].commit), receipt(both[0].commit, Dot(site: team.ann.site, seq: 99)),
            receipt(both[0].commit, Dot(site: team.ben.site, seq: dot.seq)), receipt(both[0].commit, dot, other),
            receipt(both[0].commit, dot, epoch, both[0].position + 1),
            receipt(both[0].commit, dot, epoch, both[0].position, .known),
        ]
        #expect(all[0] == both[0].receipt)
        #expect(Set(all).count == all.count)
    }

    @Test("A2: answers are kept until the device has applied them, and ride on the next welcome")
    func openAnswers() throws {
        let team = try Team()
        try team.ann.connect()
        let bad = team.ann.insert("customer", Sample.id(700), ["phone": "5"])
        let item = try #require(try items(try team.ann.push()).first)
        let welcome = try team.ann.connect()
        #expect(welcome.openAnswers.map(\.commit) == [bad.id])
        #expect(welcome.openAnswers[0].seq == item.seq && welcome.openAnswers[0].position == item.position)
        #expect(welcome.lastMerged == item.seq)
        try team.ann.sync()
        #expect(try team.ann.connect().openAnswers.isEmpty)
    }

    @Test("A2: the answer to a known id repeats its first answer")
    func repeatedAnswer() throws {
        let team = try Team()
        let bad = team.ann.insert("customer", Sample.id(700), ["phone": "5"])
        try team.ann.sync()
        let first = try #require(team.ann.answers[bad.id])
        team.ann.commit([Sample.insert("customer", Sample.id(700), ["phone": "5"])], id: bad.id)
        try team.ann.sync()
        #expect(team.ann.answers[bad.id]?.verdict == .known)
        #expect(team.ann.answers[bad.id]?.notices == first.notices)
    }

    @Test("A3: what needs a refused insert is refused with it, also in later commits; the rest goes through")
    func dependants() throws {
        let team = try Team()
        let parent = Sample.id(700)
        team.ann.insert("customer", parent, ["phone": "5"])
        let child = team.ann.insert("contact", Sample.id(701), ["name": "C", "customer_id": Value(parent)])
        let update = team.ann.set("customer", parent, ["phone": "6"])
        let fine = team.ann.set("customer", team.customer, ["phone": "7"])
        try team.syncAll()
        #expect(team.ann.answers[child.id]?.notices.map(\.code) == [.unknownParent])
        #expect(team.ann.answers[update.id]?.notices.map(\.code) == [.unknownRecord])
        #expect(team.ann.answers[fine.id]?.isPlain == true)
        #expect(team.ben.value("customer", team.customer, "phone") == "7")
        try team.check()
    }

    @Test("A4: a commit that fails is undone alone, parked and answered; its group goes on")
    func savepoint() throws {
        let store = FailingStore(MemoryStore())
        let team = try Team(try Office(store: store))
        for device in [team.ann, team.ben] { try device.connect() }
        let before = team.ann.set("customer", team.customer, ["phone": "1"])
        let poison = team.ann.commit([
            Sample.update("customer", team.customer, ["phone": "2"], on: nil),
            Sample.insert("customer", FailingStore.poison, ["name": "P", "territory_id": Value(Office.north)]),
        ])
        let after = team.ann.set("customer", team.customer, ["name": "after"])
        let other = team.ben.set("customer", team.customer, ["city": "B"])
        let results = try team.office.workspace.commit([
            PushRequest(context: try #require(team.ann.context), commits: [before, poison, after]),
            PushRequest(context: try #require(team.ben.context), commits: [other]),
        ])
        #expect(try items(results[0]).count == 3)
        #expect(try items(results[1]).count == 1)
        try team.syncAll()
        #expect(team.ann.answers[poison.id]?.verdict == .refused)
        #expect(team.ann.answers[poison.id]?.notices.map(\.code) == [.failed])
        #expect(try team.office.value("customer", team.customer, "phone") == "1", "nothing of it stayed")
        #expect(try team.office.value("customer", team.customer, "name") == "after")
        #expect(team.office.warnings.all.count == 1)
        try team.check()
    }
}

/// Fails to write one record; everything else goes to the store below.
final class FailingStore: Store {
    static let poison = Sample.id(0xDEAD)
    private let store: MemoryStore

    init(_ store: MemoryStore) { self.store = store }

    func write<Result>(_ body: (any StoreTransaction) throws -> Result) throws -> Result {
        try store.write { try body(FailingTransaction(base: $0)) }
    }
    func read<Result>(_ body: (any StoreReader) throws -> Result) throws -> Result { try store.read(body) }
    func query(_ sql: String, _ values: [Value]) throws -> [[Value]] { try store.query(sql, values) }
    func checkpoint() throws { try store.checkpoint() }
}

private struct FailingTransaction: StoreTransaction {
    let base: any StoreTransaction
    var schema: Schema { base.schema }
    func head() throws -> Position { try base.head() }
    func record(_ key: RecordKey) throws -> StoredRecord? { try base.record(key) }
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
    func tombstones(upTo: Position, _ body: (RecordKey, StoredRecord) throws -> Bool) throws {
        try base.tombstones(upTo: upTo, body)
    }
    func tombstoneCount() throws -> Int64 { try base.tombstoneCount() }
    func trimLog(upTo: Position) throws { try base.trimLog(upTo: upTo) }
    func document(_ collection: String, _ key: String) throws -> [UInt8]? { try base.document(collection, key) }
    func documents(_ collection: String, prefix: String) throws -> [(key: String, value: [UInt8])] {
        try base.documents(collection, prefix: prefix)
    }
    func put(_ record: StoredRecord, at key: RecordKey) throws {
        guard key.record != FailingStore.poison else { throw TestFailure("the disk says no") }
        try base.put(record, at: key)
    }
    func drop(_ key: RecordKey) throws { try base.drop(key) }
    func append(_ entry: LogEntry) throws { try base.append(entry) }
    func adopt(_ schema: Schema) throws { try base.adopt(schema) }
    func setDocument(_ collection: String, _ key: String, _ value: [UInt8]?) throws {
        try base.setDocument(collection, key, value)
    }
    func savepoint<Result>(_ body: () throws -> Result) throws -> Result { try base.savepoint(body) }
}
