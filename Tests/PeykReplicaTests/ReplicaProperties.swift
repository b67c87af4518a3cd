import PeykModel
import PeykSQLite
import PeykSession
import PropertyKit
import Testing

@testable import PeykReplica

private typealias F = ApplyFixture

extension Choices {
    /// Values of the sandbox's customer that a person may write.
    fileprivate mutating func customer() -> [String: Value] {
        var values: [String: Value] = [:]
        if chance(50) { values["name"] = .text("n" + text(upTo: 6)) }
        if chance(30) { values["phone"] = optional { .text($0.text(upTo: 4)) } ?? .null }
        if chance(30) { (values["city"], values["street"]) = (.text(text(upTo: 3)), value(of: .text)) }
        if chance(30) { values["notes"] = value(of: .text) }
        if chance(30) { values["tags"] = .text(ValueSet(list(upTo: 3, usual: 2) { $0.text(upTo: 2) }).json) }
        if chance(30) { values["visits"] = .integer(Int64(below(100)) - 50) }
        if chance(30) { values["rating"] = value(of: .double) }
        if chance(20) { values["since"] = value(of: .date) }
        if chance(20) { values["logo"] = value(of: .blob) }
        return values
    }
}

@Suite("Properties of a replica")
struct ReplicaProperties {
    private enum Edit { case insert(Int, [String: Value]), update(Int, [String: Value]), delete(Int), contact(Int) }

    private static func edit(_ choices: inout Choices) -> Edit {
        let record = choices.below(3)
        switch choices.below(5) {
        case 0: return .update(record, choices.customer())
        case 1: return .insert(record, choices.customer())
        case 2: return .delete(record)
        case 3: return .contact(record)
        default: return .update(record, choices.customer())
        }
    }

    private static func key(_ number: Int) -> RecordID {
        RecordID(bits: UUIDBits(high: 0x0190_0000_0000_7000, low: 0x8000_0000_0000_0100 + UInt64(number)))
    }

    /// What a person sees of all that is edited here.
    private static func state(_ replica: Replica) throws -> [[[Value]]] {
        try replica.read { reader in
            try ["customer", "contact"].map { try reader.rows("SELECT * FROM \($0) ORDER BY id") }
        }
    }

    @Test("a transaction that is undone leaves everything as it was, and undoing the undo brings it back (M8, D2)")
    func undo() throws {
        Property(cases: 16) { choices in
            (choices.list(upTo: 4, usual: 3) { Self.edit(&$0) }, choices.list(upTo: 4, usual: 3) { Self.edit(&$0) })
        }.holds { first, second in
            let sandbox = CaptureSandbox()
            let replica = try sandbox.create()
            var contacts = 0
            func make(_ edits: [Edit]) throws -> CommitID? {
                try replica.write { write in
                    for edit in edits {
                        let isThere = { (number: Int) in try write.row("customer", Self.key(number)) != nil }
                        switch edit {
                        case .insert(let number, let values):
                            if try !isThere(number) {
                                try write.insert(
                                    into: "customer", id: Self.key(number), ["name": .text("a")].merging(values) { $1 })
                            }
                        case .update(let number, let values):
                            if try isThere(number), !values.isEmpty {
                                try write.update("customer", Self.key(number), values)
                            }
                        case .delete(let number):
                            if try isThere(number) { try write.delete("customer", Self.key(number)) }
                        case .contact(let number):
                            contacts += 1
                            if try isThere(number) {
                                try write.insert(
                                    into: "contact", id: Self.key(1_000 + contacts),
                                    ["name": .text("c"), "customer_id": Value(Self.key(number))])
                            }
                        }
                    }
                }.commit
            }
            // Unique phones are not what this is about.
            do { _ = try make(first) } catch is ReplicaError { return }
            let before = try Self.state(replica)
            let commit: CommitID?
            do { commit = try make(second) } catch is ReplicaError { return try same(Self.state(replica), before) }
            let after = try Self.state(replica)
            guard let commit else { return try same(after, before, "nothing was written") }
            let undone = try replica.undo(commit)
            try same(Self.emptySets(try Self.state(replica)), Self.emptySets(before), "after the undo")
            guard let again = undone.commit else { return }
            try replica.undo(again)
            try same(Self.emptySets(try Self.state(replica)), Self.emptySets(after), "after the undo of the undo")
            try replica.close()
        }
    }

    /// A set that was written is never null again: it is empty (see ``CellWrite/make(cell:in:before:after:)``).
    private static func emptySets(_ state: [[[Value]]]) -> [[[Value]]] {
        state.map { $0.map { $0.map { $0 == .text("[]") ? .null : $0 } } }
    }

    @Test("digests name exactly the rows that differ, wherever they are and however many (T5)")
    func verify() throws {
        Property(cases: 12) { choices in
            let rows = Set(choices.list(upTo: 120, usual: 60) { UInt64($0.below(1_000)) }).sorted()
            let faults = choices.list(upTo: 6, usual: 3) { choices in
                (choices.chance(70) && !rows.isEmpty ? choices.pick(rows) : 500, choices.below(3))
            }
            return (rows, faults)
        }.holds { numbers, faults in
            func make(_ rows: [UInt64: Row]) throws -> TemporaryReplica {
                let replica = try F.replica()
                let page = F.page(
                    F.customer, rows.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, at: 3, endsBackfill: true)
                try replica.begin([page], head: 3)
                return replica
            }
            let good = Dictionary(uniqueKeysWithValues: numbers.map { ($0, F.customerRow("c\($0)", visits: 1)) })
            var bad = good
            for (number, kind) in faults {
                switch kind {
                case 0: bad[number]?[0] = .text("rot")
                case 1: bad[number] = nil
                default: bad[number] = bad[number] ?? F.customerRow("ghost")
                }
            }
            let differing = Set(good.keys).union(bad.keys).filter { good[$0] != bad[$0] }
            let (server, replica) = (try make(good), try make(bad))
            var descent = DigestDescent()
            while let request = descent.next() {
                descent.found(try replica.replica.compare(try server.replica.digests(request), to: request))
            }
            try same(descent.records, Set(differing.map { F.key(F.customer, $0) }))
        }
    }

    @Test("batches cut anywhere, and sent again from further back, give the same rows and cursor (P4, P5, P11, P17)")
    func batches() throws {
        Property(cases: 12) { choices in
            // Each position writes a customer whole, renames it or deletes it.
            let deeds = choices.list(upTo: 14, usual: 10) { ($0.below(3), $0.below(4), $0.text(upTo: 3)) }
            return (deeds, choices.list(upTo: 8, usual: 5) { ($0.within(1...5), $0.below(4)) })
        }.holds { deeds, cuts in
            var rows: [UInt64: Row] = [:]
            let log = deeds.enumerated().map { index, deed in
                let (number, kind, name) = (UInt64(deed.0 + 1), deed.1, deed.2)
                let key = F.key(F.customer, number)
                var effects: [Effect] = []
                if let row = rows[number], kind < 2 {
                    var changed = row
                    changed[0] = .text("n" + name)
                    changed[3] = .integer((row[3].integerValue ?? 0) + 1)
                    rows[number] = changed
                    effects = [
                        Effect(key: key, kind: .delta([0, 3].map { FieldValue(field: $0, value: changed[$0]) }))
                    ]
                } else if rows[number] != nil, kind == 2 {
                    rows[number] = nil
                    effects = [Effect(key: key, kind: .delete)]
                } else if rows[number] == nil {
                    let row = F.customerRow("n" + name, visits: 1)
                    rows[number] = row
                    effects = [F.full(F.customer, number, row)]
                }
                return F.entry(Position(index + 1), effects)
            }
            let replica = try F.replica()
            try replica.begin()
            var cursor: Position = 0
            for (count, back) in cuts + [(log.count, 0)] {
                let from = max(0, cursor - Position(back))
                let to = min(Position(log.count), from + Position(count))
                let entries = log.filter { $0.position > from && $0.position <= to }
                let applied = try replica.replica.apply(F.batch(from, to, entries))
                cursor = max(cursor, to)
                try same(applied.cursor, cursor, "it went back, or further than it was told")
                try ensure(applied.fetch.isEmpty, "\(applied.fetch)")
            }
            let expected = Dictionary(uniqueKeysWithValues: rows.map { (F.key(F.customer, $0.key), $0.value) })
            try same(try replica.all(confirmed: true), expected)
            try same(try replica.all(confirmed: false), expected)
        }
    }
}
