import PeykModel
import PeykServer
import PeykSession
import Testing

@Suite("Rules C: sealed bytes")
struct SealedBytesTests {
    @Test("C1: sealed bytes of another id than their envelope's are refused whole, and answered")
    func foreignID() throws {
        let team = try Team()
        try team.ann.connect()
        var commit = team.ann.set("customer", team.customer, ["phone": "1"])
        commit.id = CommitID(bits: UUIDBits(high: 9, low: 9))
        guard case .acknowledge(let acknowledge) = try team.ann.push([commit]) else {
            throw TestFailure("the session must go on")
        }
        #expect(acknowledge.items.map(\.commit) == [commit.id])
        let entry = try #require(try team.office.log().last)
        #expect(entry.answer.verdict == .refused)
        #expect(entry.answer.notices.map(\.code) == [.invalid])
        #expect(entry.effects.isEmpty)
        #expect(try team.office.value("customer", team.customer, "phone") == .null)
    }

    @Test("I3: a known commit under a dot that another one has is no answer to either: the session ends")
    func knownUnderTakenDot() throws {
        let team = try Team()
        try team.ann.connect()
        team.ann.set("customer", team.customer, ["phone": "1"])
        team.ann.set("customer", team.customer, ["phone": "2"])
        try team.ann.push()
        var twisted = team.ann.pending[0]
        twisted.envelope.dot = team.ann.pending[1].envelope.dot
        guard case .refuse(let refusal) = try team.ann.push([twisted]) else {
            Issue.record("a dot names one commit for ever (P18)")
            return
        }
        #expect(refusal.code == .overtaken, "\(refusal)")
        try team.ann.sync()
        #expect(team.ann.welcome?.newSiteReason == .restored)
        #expect(try team.office.value("customer", team.customer, "phone") == "2")
    }
}
