import Crypto
import PeykModel
import PeykServer
import PeykSession
import Testing

@Suite("Rules I: identity, copies, restores")
struct IdentityRuleTests {
    private func key(_ seed: UInt8) throws -> Curve25519.Signing.PrivateKey {
        try Curve25519.Signing.PrivateKey(rawRepresentation: Array(repeating: seed, count: 32))
    }

    private func enrol(_ office: Office, _ code: String, _ seed: UInt8) throws -> Enrolled {
        let challenge = office.workspace.challenge()
        return try office.workspace.enrol(
            try Device.enrol(code, try key(seed), challenge, office.fingerprint), challenge: challenge,
            fingerprint: office.fingerprint)
    }

    @Test("I1: an invite is redeemed once; the same device gets the same enrolment again")
    func invite() throws {
        let office = try Office()
        let user = try office.user(1, "Ann", .rep)
        let invite = try office.workspace.invite(user: user, lifetimeSeconds: 60)
        let first = try enrol(office, invite.code, 1)
        #expect(try enrol(office, invite.code, 1) == first)
        let reused = try #require(throws: Refusal.self) { try enrol(office, invite.code, 2) }
        #expect(reused.code == .invite && reused.message.contains("another device"))
        let wrong = try #require(throws: Refusal.self) { try enrol(office, "AAAA", 1) }
        #expect(wrong.code == .invite && wrong.message.contains("not known"))
        let second = try office.workspace.invite(user: user, lifetimeSeconds: 60)
        office.time.advance(60_000)
        let expired = try #require(throws: Refusal.self) { try enrol(office, second.code, 1) }
        #expect(expired.code == .invite && expired.message.contains("expired"))
        let keys = try office.store.read { try $0.documents("invite", prefix: "").map(\.key) }
        #expect(!keys.contains(invite.code) && keys.count == 2, "only hashes are kept")
    }

    @Test(
        "I1: a hello signed for another challenge, server, site or number, and a forged certificate, are refused (W-3)")
    func proof() throws {
        let office = try Office()
        let ann = try office.device(try office.user(1, "Ann", .rep))
        var (hello, challenge) = try ann.hello()
        let other = office.workspace.challenge()
        let stale = try #require(throws: Refusal.self) {
            try office.workspace.admit(hello, challenge: other, fingerprint: office.fingerprint)
        }
        #expect(stale.code == .authentication)
        let relayed = try #require(throws: Refusal.self) {
            try office.workspace.admit(hello, challenge: challenge, fingerprint: Array(repeating: 1, count: 32))
        }
        #expect(relayed.code == .authentication, "another server's fingerprint")
        // What is signed beside the challenge and the fingerprint.
        for change in [{ $0.number += 1 }, { $0.site = SiteID(rawValue: 77) }] as [(inout Hello) -> Void] {
            var altered = hello
            change(&altered)
            let refusal = try #require(throws: Refusal.self) {
                try office.workspace.admit(altered, challenge: challenge, fingerprint: office.fingerprint)
            }
            #expect(refusal.code == .authentication)
        }
        hello.certificate[20] ^= 1
        let forged = try #require(throws: Refusal.self) {
            try office.workspace.admit(hello, challenge: challenge, fingerprint: office.fingerprint)
        }
        #expect(forged.code == .foreign)
    }

    @Test("I2: an open session hears nothing that a later one of its site pushed, which it would take for its own")
    func laterSession() throws {
        let office = try Office()
        let ann = try office.device(try office.user(1, "Ann", .manager))
        try ann.sync()
        let copy = Device(copying: ann)
        try ann.connect()
        copy.insert("customer", Sample.id(600), ["name": "of the copy"])
        // The nonce of both is still in use; one number was lost on the way.
        _ = try copy.hello()
        try copy.connect()
        #expect(copy.site == ann.site)
        try copy.push()
        let refusal = try #require(throws: Refusal.self) { try ann.pull() }
        #expect(refusal.code == .overtaken)
        #expect(!ann.heard.contains { $0.yours != nil })
    }

    @Test("I2: a hello that is not above the last changes nothing; a new one ends the earlier session")
    func numberedHello() throws {
        let office = try Office()
        let ann = try office.device(try office.user(1, "Ann", .rep, [Office.north]))
        let delayed = try ann.hello()
        office.time.advance(10)
        try ann.connect()
        let first = try #require(ann.context)
        try ann.connect()
        #expect(try office.workspace.standing(of: first)?.code == .overtaken)
        let old = PushRequest(context: first, commits: [])
        guard case .refuse(let refusal) = try office.workspace.commit([old])[0] else {
            Issue.record("an overtaken session was heard")
            return
        }
        #expect(refusal.code == .overtaken)
        let sites = try office.store.read { try $0.documents(SiteDocument.self) }
        let error = try #require(throws: Refusal.self) {
            try office.workspace.admit(delayed.0, challenge: delayed.1, fingerprint: office.fingerprint)
        }
        #expect(error.code == .overtaken)
        #expect(try office.store.read { try $0.documents(SiteDocument.self) } == sites)
    }

    @Test("I2: the nonce in use and the one offered are both good; the offered one comes into use with a message")
    func nonces() throws {
        let office = try Office()
        let ann = try office.device(try office.user(1, "Ann", .rep, [Office.north]))
        let site = ann.site
        let enrolledNonce = ann.nonce
        try ann.connect()
        ann.nonce = enrolledNonce
        #expect(try ann.connect().newSiteReason == nil, "the welcome may have been lost")
        let offered = ann.nonce
        try office.workspace.confirmNonce(of: try #require(ann.context))
        try ann.connect()
        #expect(ann.site == site)
        ann.nonce = offered
        #expect(try ann.connect().newSiteReason == nil, "in use until a message under the next one")
        try ann.sync()
        ann.nonce = enrolledNonce
        #expect(try ann.connect().newSiteReason == .copied)
    }

    @Test("I3: a copy gets a new site; kept commits go under new dots and are taken once")
    func copied() throws {
        let team = try Team()
        team.ann.set("customer", team.customer, ["visits": 1])
        let copy = Device(copying: team.ann)
        try team.ann.sync()
        try team.ann.sync()
        try copy.sync()
        #expect(copy.site != team.ann.site && copy.welcome?.newSiteReason == .copied)
        #expect(copy.pending.isEmpty)
        try team.syncAll()
        #expect(try team.office.value("customer", team.customer, "visits") == 1)
        #expect(try copy.rows == copy.expected())
        let sites = try team.office.store.read { try $0.documents(SiteDocument.self) }
        let families = Set(sites.filter { $0.user == team.ann.user }.map(\.family))
        #expect(families.count == 1)
        let revoked = try team.office.workspace.revoke(copy.site)
        #expect(Set(revoked) == [copy.site, team.ann.site], "the family goes together")
    }

    @Test("I3: a restored image shows by its sealed seq or by what it had applied")
    func restored() throws {
        let team = try Team()
        let image = Device(copying: team.ann)
        team.ann.set("customer", team.customer, ["phone": "1"])
        try team.ann.connect()
        try team.ann.push()
        try expectRestored(image, team)
    }

    /// Its nonce and number look fine, as if nothing had been confirmed after the image.
    private func expectRestored(_ image: Device, _ team: Team) throws {
        let site = try team.office.store.read { try $0.document(SiteDocument.self, image.site.description) }
        image.nonce = try #require(site).nonce
        image.helloNumber = 100
        #expect(try image.connect().newSiteReason == .restored)
    }

    @Test("I3: a restored image that has sealed all of it shows by what it had applied")
    func restoredReader() throws {
        let team = try Team()
        let image = Device(copying: team.ann)
        team.ben.set("customer", team.customer, ["phone": "1"])
        try team.ben.sync()
        try team.ann.sync()
        try expectRestored(image, team)
    }

    @Test("I3: another commit under a taken dot is refused, and the next hello gives a new site")
    func takenDot() throws {
        let team = try Team()
        try team.ann.connect()
        team.ann.set("customer", team.customer, ["phone": "1"])
        try team.ann.push()
        var twin = team.ann.pending[0]
        let body = CommitBody(
            id: CommitID(bits: UUIDBits(high: 1, low: 2)), schemaVersion: 1,
            changes: [Sample.update("customer", team.customer, ["phone": "2"], on: nil)])
        twin.id = body.id
        twin.envelope.stamp = twin.envelope.stamp.successor
        twin.sealed = body.encoded()
        guard case .refuse = try team.ann.push([twin]) else {
            Issue.record("two commits under one dot")
            return
        }
        team.ann.pending = [twin]
        try team.ann.sync()
        #expect(team.ann.welcome?.newSiteReason == .restored)
        try team.syncAll()
        #expect(try team.office.value("customer", team.customer, "phone") == "2")
    }

    @Test("I4: commits are taken in seq order; a gap is answered with what must come (W-5)")
    func gap() throws {
        let team = try Team()
        try team.ann.connect()
        for number in 0..<3 { team.ann.set("customer", team.customer, ["phone": .text("\(number)")]) }
        guard case .acknowledge(let acknowledge) = try team.ann.push(Array(team.ann.pending.dropFirst())) else {
            Issue.record("refused")
            return
        }
        #expect(acknowledge.items.isEmpty && acknowledge.expect == team.ann.pending[0].envelope.dot.seq)
        guard case .acknowledge(let all) = try team.ann.push() else { return }
        #expect(all.items.count == 3 && all.expect == nil)
    }

    @Test("I5: a server behind what it had sent takes nothing")
    func rolledBack() throws {
        let store = MemoryStore()
        let team = try Team(try Office(store: store))
        let backup = MemoryStore(copying: store)
        team.ann.set("customer", team.customer, ["phone": "1"])
        try team.syncAll()
        let old = try Office(store: backup, seed: 2, existing: team.office.keys)
        let (hello, challenge) = try team.ann.hello()
        let error = try #require(throws: Refusal.self) {
            try old.workspace.admit(hello, challenge: challenge, fingerprint: old.fingerprint)
        }
        #expect(error.code == .rolledBack)
        // It goes on by itself to another history of the same length: the token tells.
        for number in 0..<20 {
            try old.act([Sample.update("stage", Sample.stage("Won"), ["name": .text("\(number)")], on: nil)])
        }
        let again = try #require(throws: Refusal.self) {
            try old.workspace.admit(hello, challenge: challenge, fingerprint: old.fingerprint)
        }
        #expect(again.code == .rolledBack)
    }

    @Test("I6: another history is a fork or a foreign server, never merged")
    func lineages() throws {
        let team = try Team()
        let era = team.ann.lineage.eras[0]
        let unknown = Era(epoch: Epoch(bits: UUIDBits(high: 5, low: 5)), after: 2)
        team.ann.lineage = Lineage([unknown])
        #expect(try #require(throws: Refusal.self) { try team.ann.connect() }.code == .foreign)
        team.ann.lineage = Lineage([era, unknown])
        #expect(try #require(throws: Refusal.self) { try team.ann.connect() }.code == .rolledBack)
    }
}
