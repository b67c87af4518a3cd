import PeykModel
import PeykServer
import PeykSession
import PeykWire
import PropertyKit
import Testing

@Suite("Properties of what the server takes and says")
struct StreamProperties {
    /// What somebody does to records that Ann must hear nothing of; also what will be refused.
    private enum Deed { case insert(Int), phone(Int, String), delete(Int), child(Int, Int), steal(Int), task(Int) }

    private static func deed(_ choices: inout Choices) -> Deed {
        let record = choices.below(3)
        switch choices.below(6) {
        case 0: return .insert(record)
        case 1: return .phone(record, choices.pick(["1", "2", "3"]))
        case 2: return .delete(record)
        case 3: return .child(record, choices.below(3))
        case 4: return .steal(choices.below(2))
        default: return .task(record)
        }
    }

    private static func change(_ deed: Deed, by sam: Device) -> Change {
        func id(_ number: Int) -> RecordID { Sample.id(UInt64(700 + number)) }
        switch deed {
        case .insert(let record):
            return Sample.insert("customer", id(record), ["name": "S", "territory_id": Value(Office.south)])
        case .phone(let record, let phone):
            return Sample.update("customer", id(record), ["phone": .text(phone)], on: sam.shown("customer", id(record)))
        case .delete(let record): return Sample.delete("customer", id(record))
        case .child(let parent, let record):
            return Sample.insert("contact", id(10 + record), ["name": "C", "customer_id": Value(id(parent))])
        // A record of the north, and one that is in no scope of his at all.
        case .steal(let record):
            return Sample.update("customer", Sample.id(UInt64(500 + record)), ["name": "mine"], on: nil)
        case .task(let record):
            return Sample.insert("task", id(20 + record), ["subject": "t", "owner_id": Value(sam.user)])
        }
    }

    /// Welcome, stream and digests for Ann of the north, in bytes, while Sam of the south does these things.
    private func heard(_ deeds: [Deed]) throws -> [[UInt8]] {
        let border = try ScopeRuleTests.Border()
        var heard: [[UInt8]] = []
        for deed in deeds {
            border.sam.commit([Self.change(deed, by: border.sam)])
            try border.sam.sync()
            border.office.time.advance(1_000)
            border.manager.set("customer", border.customer, ["visits": 1])
            try border.manager.sync()
            var welcome = try border.ann.connect()
            welcome.nonce = []
            let context = try #require(border.ann.context)
            var batch = try border.office.workspace.batch(for: context, from: border.ann.cursor)
            batch.anchorToken = []
            let digest = try border.office.workspace.digest(DigestRequest(), for: context)
            heard += [.welcome(welcome), .batch(batch), .digest(digest)].map { WireCodec.encode($0) }
            try border.ann.pull()
            try border.ann.confirm()
        }
        return heard
    }

    @Test("whatever is done outside a scope, and tried within it without the right, is not heard there (P20, S5)")
    func noInterference() throws {
        Property(cases: 12) { choices in
            choices.list(upTo: 5, usual: 3) { Self.deed(&$0) }
        }.holds { deeds in
            let quiet = try heard(deeds.map { _ in .task(0) })
            let told = try heard(deeds)
            let first = zip(quiet, told).enumerated().first { $0.element.0 != $0.element.1 }?.offset
            try ensure(told == quiet, "message \(first ?? -1) tells of it")
        }
    }

    @Test("pushes cut anywhere, and sent again, make one log and one state (P4, P5, I4)")
    func batching() throws {
        Property(cases: 15) { choices in
            let writes = choices.list(upTo: 9, usual: 6) { choices in
                (field: choices.below(4), text: choices.pick(["a", "b", "c"]))
            }
            // How many go at a time, and from how far back they are sent again.
            let cuts = choices.list(upTo: 12, usual: 6) { ($0.within(1...4), $0.below(3)) }
            return (writes, cuts)
        }.holds { writes, cuts in
            func run(_ cuts: [(Int, Int)]) throws -> ([LogEntry], [RecordKey: Row]) {
                let team = try Team()
                for write in writes {
                    let text = write.text
                    switch write.field {
                    case 0: team.ann.set("customer", team.customer, ["phone": .text(text)])
                    case 1: team.ann.set("customer", team.customer, ["visits": 1])
                    case 2: team.ann.set("customer", team.customer, ["tags": .text("[\"\(text)\"]")])
                    default:
                        team.ann.set(
                            "opportunity", team.deal, ["amount": 5, "currency": .text(text == "a" ? "EUR" : "x")])
                    }
                }
                let all = team.ann.pending
                try team.ann.connect()
                var sent = 0
                for (count, back) in cuts + [(all.count, 0)] {
                    let start = max(0, sent - back)
                    let end = min(all.count, max(sent, start + count))
                    if start < end { try team.ann.push(Array(all[start..<end])) }
                    sent = max(sent, end)
                }
                try team.ann.pull()
                try ensure(team.ann.pending.isEmpty && team.ann.digestFaults == 0)
                return (try team.office.log(), team.ann.rows)
            }
            let (log, rows) = try run(cuts)
            let (expected, expectedRows) = try run([])
            try same(log, expected, "the log")
            try same(rows, expectedRows, "the rows")
        }
    }

    @Test(
        "stamps of any clock are taken in their order, rise, and are at most a minute ahead; honest ones stay (C3, P8, P9)"
    )
    func stamps() throws {
        Property(cases: 25) { choices in
            choices.list(upTo: 8, usual: 5) { choices -> Int64 in
                switch choices.below(4) {
                case 0: Int64(choices.below(50_000))
                case 1: 60_000 + Int64(choices.below(5)) - 1
                case 2: -Int64(choices.below(1 << 40))
                default: Int64(choices.below(1 << 42))
                }
            }
        }.holds { skews in
            let team = try Team()
            var sent: [CommitID: HLC] = [:]
            for (number, skew) in skews.enumerated() {
                // Each as if the laptop's clock had just been set, and nobody had told it of the others.
                team.ann.hybrid.lower(to: .zero)
                team.ann.skew = skew
                let commit = team.ann.set("customer", team.customer, ["phone": .text("\(number)")])
                sent[commit.id] = commit.envelope.stamp
            }
            let ids = team.ann.pending.map(\.id)
            try team.ann.sync()
            let log = try team.office.log().filter { ids.contains($0.commit) }
            try same(log.map(\.commit), ids, "in order, none dropped")
            let former = try present(
                try team.office.log().last { $0.dot.site == team.ann.site && !ids.contains($0.commit) })
            var last = former.stamp
            for entry in log {
                let own = try present(sent[entry.commit])
                try ensure(entry.stamp > last, "\(entry.stamp) after \(last)")
                try ensure(entry.stamp.milliseconds <= team.office.time.now + 60_000, "\(entry.stamp) is ahead")
                let isHonest = own.milliseconds <= team.office.time.now + 60_000 && own > last
                if isHonest { try same(entry.stamp, own, "an honest stamp is changed") }
                last = entry.stamp
            }
        }
    }
}
