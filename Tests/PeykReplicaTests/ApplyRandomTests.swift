import PeykMerge
import PeykModel
import PeykSQLite
import PeykSession
import SeededRandom
import Testing

@testable import PeykReplica

private typealias F = ApplyFixture

/// A server of a few lines: a table of rows, and a log of what each position did for one session.
private struct TinyServer {
    var rows: [RecordKey: Row] = [:]
    var log: [Batch.Entry] = []
    /// The rows as of each position.
    var states: [[RecordKey: Row]] = [[:]]
    var known: Set<CommitID> = []
    var head: Position { Position(log.count) }

    func children(_ key: RecordKey) -> [RecordKey] {
        rows.filter { item in
            item.key.table == F.contact && key.table == F.customer && item.value[0].recordID == key.record
        }.map(\.key)
    }

    mutating func append(_ entry: Batch.Entry) {
        log.append(entry)
        states.append(rows)
    }

    /// Somebody else's commit: a few valid changes.
    mutating func others(_ random: inout SplitMix64) {
        var effects: [RecordKey: Effect] = [:]
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let number = UInt64.random(in: 1...8, using: &random)
            let customer = F.key(F.customer, number % 4 + 1)
            let contact = F.key(F.contact, 10 + number)
            switch Int.random(in: 0..<6, using: &random) {
            case 0, 1:
                guard effects[customer] == nil else { continue }
                if rows[customer] == nil {
                    let row = F.customerRow("c\(number)", visits: 1, memo: "a\nb\nc")
                    rows[customer] = row
                    effects[customer] = Effect(key: customer, kind: .full(row, writers: []))
                } else {
                    rows[customer]?[3] = .integer(Int64.random(in: 0...50, using: &random))
                    rows[customer]?[0] = .text("s\(random.next() % 100)")
                    rows[customer]?[5] = .text("a\n\(random.next() % 10)\nc")
                    let fields = [0, 3, 5].map { FieldValue(field: $0, value: rows[customer]?[$0] ?? .null) }
                    effects[customer] = Effect(key: customer, kind: .delta(fields))
                }
            case 2, 3:
                guard rows[customer] != nil, effects[contact] == nil else { continue }
                let row = F.contactRow(of: number % 4 + 1, "p\(random.next() % 100)", visits: 3)
                rows[contact] = row
                effects[contact] = Effect(key: contact, kind: .full(row, writers: []))
            case 4:
                guard rows[contact] != nil, effects[contact] == nil else { continue }
                rows[contact] = nil
                effects[contact] = Effect(key: contact, kind: .delete)
            default:
                // A whole tree leaves the scope, or is deleted.
                guard rows[customer] != nil, effects.isEmpty else { continue }
                let below = children(customer)
                for key in below { rows[key] = nil }
                rows[customer] = nil
                if random.next() % 2 == 0 {
                    effects[customer] = Effect(key: customer, kind: .evict(.moved))
                } else {
                    for key in below + [customer] { effects[key] = Effect(key: key, kind: .delete) }
                }
            }
        }
        append(F.entry(head + 1, effects.values.sorted { $0.key < $1.key }))
    }

    /// Merges an own commit in some way or other, and says by corrections what became of it.
    mutating func push(_ commit: SealedCommit, _ random: inout SplitMix64) throws {
        guard known.insert(commit.id).inserted else { return }
        let body = try CommitBody(decoding: commit.sealed)
        var answer = Answer()
        var effects: [Effect] = []
        if random.next() % 5 == 0 {
            answer = Answer(verdict: .refused, notices: [Answer.Notice(change: -1, code: .invalid)])
        } else {
            for (index, change) in body.changes.enumerated() {
                let key = RecordKey(table: change.table, record: change.record)
                let table = F.schema.tables[change.table]
                let before = rows[key]
                let plain = plainEffect(of: change, on: before, in: table)
                var after = plain
                let parent = after.flatMap { change.table == F.contact ? $0[0].recordID : nil }
                if let parent, rows[RecordKey(table: F.customer, record: parent)] == nil {
                    after = before
                    answer.notices.append(Answer.Notice(change: index, code: .unknownParent))
                } else if after == nil, !children(key).isEmpty {
                    after = before
                    answer.notices.append(Answer.Notice(change: index, code: .deleteLost))
                } else if let row = before, var changed = after, random.next() % 4 == 0 {
                    // Somebody else's name won.
                    changed[0] = row[0]
                    after = changed
                }
                rows[key] = after
                guard after != plain else { continue }
                switch (plain, after) {
                case (_, nil): effects.append(Effect(key: key, kind: .delete))
                case (nil, let after?): effects.append(Effect(key: key, kind: .full(after, writers: [])))
                case (let plain?, let after?):
                    effects.append(Effect(key: key, kind: .delta(difference(from: plain, to: after, in: table))))
                }
            }
        }
        let named = body.changes.map { RecordKey(table: $0.table, record: $0.record) }
        append(
            F.yours(
                head + 1, commit, answer: answer, effects: effects, digest: digest(named.map { ($0, rows[$0]) })))
    }
}

@Suite struct ApplyRandomTests {
    @Test(
        "P1, P11, P17, P22: whatever comes, confirmed rows are the server's, and shown rows are the overlay's",
        arguments: 1...60)
    func converges(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let replica = try F.replica()
        try replica.begin()
        var server = TinyServer()
        var cursor: Position = 0
        for step in 0..<60 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0...2: server.others(&random)
            case 3...6: try edit(replica, &random)
            case 7:
                for commit in try replica.outbox().prefix(2) { try server.push(commit, &random) }
            default:
                let to = min(server.head, cursor + Int64.random(in: 1...4, using: &random))
                let from = max(0, cursor - Int64.random(in: 0...1, using: &random))
                let entries = server.log.filter { $0.position > from && $0.position <= to }
                let applied = try replica.replica.apply(F.batch(from, to, entries))
                cursor = max(cursor, to)
                #expect(applied.cursor == cursor)
                #expect(applied.fetch.isEmpty, "seed \(seed), step \(step)")
                try check(replica, server, cursor, "seed \(seed), step \(step)")
            }
        }
        for commit in try replica.outbox() { try server.push(commit, &random) }
        let rest = server.log.filter { $0.position > cursor }
        let end = try replica.replica.apply(F.batch(cursor, server.head, rest))
        #expect(end.fetch.isEmpty, "seed \(seed)")
        try check(replica, server, server.head, "seed \(seed), end")
        #expect(try replica.all(confirmed: false) == server.rows, "seed \(seed)")
        #expect(try replica.replica.reading { try $0.rows("SELECT * FROM peyk_base").count } == 0)
        let tables = try replica.replica.digests(DigestRequest())
        #expect(try replica.replica.compare(tables, to: DigestRequest()) == DigestDescent.Finding())
    }

    private func edit(_ replica: TemporaryReplica, _ random: inout SplitMix64) throws {
        let shown = try replica.all(confirmed: false).keys.sorted()
        try replica.replica.write { write in
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let number = random.next() % 4 + 1
                switch Int.random(in: 0..<6, using: &random) {
                case 0:
                    try write.insert(
                        into: "customer", ["name": .text("new\(number)"), "memo": .text("x\ny")])
                case 1:
                    guard let parent = shown.filter({ $0.table == F.customer }).randomElement(using: &random),
                        try write.row("customer", parent.record) != nil
                    else { continue }
                    try write.insert(
                        into: "contact", ["customer": Value(parent.record), "name": .text("mine\(number)")])
                case 2, 3:
                    guard let key = shown.filter({ $0.table == F.customer }).randomElement(using: &random),
                        let row = try write.row("customer", key.record)
                    else { continue }
                    let memo = "a\nb\nmine\(random.next() % 10)"
                    try write.update(
                        "customer", key.record,
                        [
                            "name": .text("edit\(random.next() % 100)"),
                            "visits": .integer((row[3].integerValue ?? 0) + 1), "memo": .text(memo),
                        ])
                case 4:
                    guard let key = shown.filter({ $0.table == F.contact }).randomElement(using: &random),
                        let parent = shown.filter({ $0.table == F.customer }).randomElement(using: &random),
                        try write.row("contact", key.record) != nil, try write.row("customer", parent.record) != nil
                    else { continue }
                    try write.update(
                        "contact", key.record, ["customer": Value(parent.record), "name": .text("moved")])
                default:
                    guard let key = shown.randomElement(using: &random), key.table != F.stage else { continue }
                    let name = F.schema.tables[key.table].name
                    guard try write.row(name, key.record) != nil else { continue }
                    try write.delete(name, key.record)
                }
            }
        }
    }

    private func check(_ replica: TemporaryReplica, _ server: TinyServer, _ cursor: Position, _ place: String) throws {
        let want = server.states[Int(cursor)]
        let confirmed = try replica.all(confirmed: true)
        try #require(confirmed == want, "confirmed rows, \(place): \(Self.difference(confirmed, want))")
        #expect(try replica.foreignKeyProblems() == 0, "foreign keys, \(place)")
        let shown = try replica.all(confirmed: false)
        let view = try Self.view(replica, want)
        try #require(shown == view, "shown rows, \(place): \(Self.difference(shown, view))")
    }

    private static func difference(_ left: [RecordKey: Row], _ right: [RecordKey: Row]) -> [String] {
        Set(left.keys).union(right.keys).sorted().filter { left[$0] != right[$0] }.map { key in
            func text(_ row: Row?) -> String { row.map { JSON.array($0.values.map { JSON($0) }).text } ?? "none" }
            return "\(key.table)/\(key.record): \(text(left[key])) but wanted \(text(right[key]))"
        }
    }

    /// The oracle of what a person sees: the rules' text, without regard to cost (the model's `view`).
    static func view(_ replica: TemporaryReplica, _ confirmed: [RecordKey: Row]) throws -> [RecordKey: Row] {
        var rows = confirmed
        var gone: Set<RecordKey> = []
        // The same as if no delete counted: what is shown of a record whose delete will lose.
        var kept = confirmed
        let pending = try replica.replica.reading { connection in
            try connection.rows("SELECT sealed FROM peyk_commit WHERE state <> 2 AND seq > 0 ORDER BY seq")
        }
        for values in pending {
            guard case .blob(let sealed)? = values.first else { continue }
            for change in try CommitBody(decoding: sealed).changes {
                let key = RecordKey(table: change.table, record: change.record)
                let before = rows[key]
                rows[key] = forecast(change, on: before, in: F.schema.tables[change.table])
                if change.kind == .delete {
                    gone.insert(key)
                } else {
                    kept[key] = forecast(change, on: kept[key], in: F.schema.tables[change.table])
                }
            }
        }
        for (key, row) in rows where key.table == F.contact {
            guard let record = row[0].recordID else { continue }
            let parent = RecordKey(table: F.customer, record: record)
            guard rows[parent] == nil else { continue }
            if gone.contains(parent), confirmed[parent] != nil {
                rows[parent] = kept[parent]
            } else if let former = confirmed[key], let place = former[0].recordID {
                // Back to where it is confirmed, until its place here can be.
                let place = RecordKey(table: F.customer, record: place)
                if rows[place] == nil { rows[place] = kept[place] }
                rows[key]?[0] = former[0]
            } else {
                rows[key] = nil
            }
        }
        return rows
    }
}
