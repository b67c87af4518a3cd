import PeykModel
import PeykServer
import PeykSession
import Testing

@Suite("Rules C: commits and clocks")
struct ClockRuleTests {
    @Test("C2: welcome and batch carry a stamp at or above every accepted one")
    func serverStamp() throws {
        let office = try Office()
        let rep = try office.device(try office.user(1, "Ann", .rep, [Office.north]))
        try rep.sync()
        rep.skew = 30_000
        rep.insert("customer", Sample.id(10), ["name": "A", "territory_id": Value(Office.north)])
        let stamp = rep.pending[0].envelope.stamp
        try rep.sync()
        let context = try #require(rep.context)
        #expect(try office.workspace.batch(for: context, from: rep.cursor).stamp >= stamp)
        #expect(try rep.connect().stamp >= stamp)
    }

    @Test("C3: stamps of the future are capped one by one, order kept, honest ones stay")
    func futureStamps() throws {
        let office = try Office()
        let rep = try office.device(try office.user(1, "Ann", .rep, [Office.north]))
        try rep.sync()
        var honest: [HLC] = []
        for number in 0..<3 {
            rep.insert("customer", Sample.id(10 + UInt64(number)), ["name": "A", "territory_id": Value(Office.north)])
            honest.append(rep.pending[number].envelope.stamp)
            office.time.advance(10)
        }
        rep.skew = 5 * 365 * 86_400_000
        for number in 3..<5 {
            rep.insert("customer", Sample.id(10 + UInt64(number)), ["name": "B", "territory_id": Value(Office.north)])
        }
        let ids = rep.pending.map(\.id)
        try rep.sync()
        let log = try office.log().filter { ids.contains($0.commit) }
        #expect(log.prefix(3).map(\.stamp) == honest)
        #expect(zip(log, log.dropFirst()).allSatisfy { $0.stamp < $1.stamp })
        for entry in log.suffix(2) {
            #expect(entry.stamp.milliseconds <= office.time.now + 60_000)
            #expect(rep.answers[entry.commit]?.restamped == entry.stamp)
        }
    }

    @Test("C3: no stamp is accepted at or below the site's last one")
    func floor() throws {
        let office = try Office()
        let rep = try office.device(try office.user(1, "Ann", .rep, [Office.north]))
        try rep.sync()
        rep.insert("customer", Sample.id(10), ["name": "A", "territory_id": Value(Office.north)])
        rep.hybrid = HybridClock()
        rep.skew = -86_400_000
        rep.set("customer", Sample.id(10), ["name": "B"])
        let ids = rep.pending.map(\.id)
        try rep.sync()
        let log = try office.log().filter { ids.contains($0.commit) }
        #expect(log[1].stamp == log[0].stamp.successor)
    }

    struct Lie: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var anchor: Position
        var dots: [Dot]
    }

    static let lies = [
        Lie(testDescription: "an anchor beyond what was sent", anchor: 1_000_000_000, dots: []),
        Lie(testDescription: "an anchor below the former commit's", anchor: 0, dots: []),
        Lie(
            testDescription: "a dot of somebody else's site", anchor: -1,
            dots: [Dot(site: SiteID(rawValue: 77), seq: 5)]),
    ]

    @Test("C6: a false claim refuses the commit whole", arguments: lies)
    func falseClaims(_ lie: Lie) throws {
        let office = try Office()
        let rep = try office.device(try office.user(1, "Ann", .rep, [Office.north]))
        try rep.sync()
        rep.insert("customer", Sample.id(10), ["name": "A", "territory_id": Value(Office.north)])
        try rep.sync()
        var commit = rep.set("customer", Sample.id(10), ["name": "B"])
        let clock = commit.envelope.clock
        commit.envelope.clock = VectorClock(
            lineage: clock.lineage, anchor: lie.anchor < 0 ? clock.anchor : lie.anchor, dots: clock.dots + lie.dots)
        rep.pending = [commit]
        try rep.sync()
        let answer = try #require(rep.answers[commit.id])
        #expect(answer.verdict == .refused && answer.notices.map(\.code) == [.falseClaim])
        #expect(try office.value("customer", Sample.id(10), "name") == "A")
        rep.set("customer", Sample.id(10), ["name": "C"])
        try rep.sync()
        #expect(try office.value("customer", Sample.id(10), "name") == "C", "an honest commit after it is taken")
    }
}
