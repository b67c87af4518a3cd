import Crypto
import PeykModel
import PeykServer
import PeykSession
import Testing

@Suite("Rule I3: a key of its own for a copy")
struct CopyRuleTests {
    private func copied() throws -> (team: Team, copy: Device) {
        let team = try Team()
        let copy = Device(copying: team.ann)
        try team.ann.sync()
        try team.ann.sync()
        try copy.sync()
        #expect(copy.welcome?.newSiteReason == .copied)
        return (team, copy)
    }

    private func rekey(_ device: Device, _ seed: UInt8, signedBy other: UInt8? = nil) throws -> Rekeyed {
        let key = try Curve25519.Signing.PrivateKey(rawRepresentation: Array(repeating: seed, count: 32))
        let signer = try Curve25519.Signing.PrivateKey(rawRepresentation: Array(repeating: other ?? seed, count: 32))
        let challenge = try #require(device.challenge)
        let context = try #require(device.context)
        let publicKey = Array(key.publicKey.rawRepresentation)
        let signed = Rekey.signedBytes(
            challenge: challenge.nonce, fingerprint: device.office.fingerprint, site: device.site, deviceKey: publicKey)
        return try device.office.workspace.rekey(
            Rekey(deviceKey: publicKey, signature: Array(try signer.signature(for: signed))), challenge: challenge,
            fingerprint: device.office.fingerprint, for: context)
    }

    private func use(_ rekeyed: Rekeyed, _ seed: UInt8, _ device: Device) throws {
        device.enrolled.certificate = rekeyed.certificate
        device.key = try Curve25519.Signing.PrivateKey(rawRepresentation: Array(repeating: seed, count: 32))
    }

    @Test("the copy is asked for a key, the original is not; both keys hold until the new one is used")
    func twoSteps() throws {
        let (team, copy) = try copied()
        #expect(copy.welcome?.wantsRekey == true)
        #expect(team.ann.welcome?.wantsRekey == false)
        let rekeyed = try rekey(copy, 77)
        #expect(try rekey(copy, 77).deviceKey == rekeyed.deviceKey, "the answer may have been lost")
        // The old key is good, and the copy is asked again.
        let site = copy.site
        #expect(try copy.connect().wantsRekey)
        #expect(copy.site == site)
        let image = Device(copying: copy)
        _ = try rekey(copy, 77)
        try use(rekeyed, 77, copy)
        #expect(try !copy.connect().wantsRekey)
        #expect(copy.site == site)
        try copy.sync()
        // An image from before the new key is another replica now.
        image.nonce = copy.nonce
        image.helloNumber = copy.helloNumber + 5
        #expect(try image.connect().newSiteReason == .copied)
        #expect(image.welcome?.wantsRekey == true, "it has the original's key")
        let sites = try team.office.store.read { try $0.documents(SiteDocument.self) }
        #expect(Set(sites.filter { $0.user == team.ann.user }.map(\.family)).count == 1, "listed under its origin")
        #expect(Set(try team.office.workspace.revoke(team.ann.site)).isSuperset(of: [copy.site, image.site]))
    }

    @Test("a key that did not sign, and a key that another replica has, are refused (W-15)")
    func refused() throws {
        let (team, copy) = try copied()
        #expect(try #require(throws: Refusal.self) { try rekey(copy, 77, signedBy: 78) }.code == .authentication)
        let twin = Device(copying: copy)
        let rekeyed = try rekey(copy, 77)
        try use(rekeyed, 77, copy)
        try copy.sync()
        try twin.sync()
        #expect(try #require(throws: Refusal.self) { try rekey(twin, 77) }.code == .authentication)
        _ = team
    }

    @Test("a replica that asks for a new identity gets it, once, and keeps its key (m20)")
    func renewal() throws {
        let team = try Team()
        try team.ann.sync()
        let former = team.ann.site
        team.ann.renew = true
        let welcome = try team.ann.connect()
        #expect(welcome.newSiteReason == .restored && welcome.site != former)
        #expect(!welcome.wantsRekey)
        team.ann.renew = false
        #expect(try team.ann.connect().site == welcome.site)
        let sites = try team.office.store.read { try $0.document(SiteDocument.self, former.description) }
        #expect(sites?.replacedBy == welcome.site)
    }

    @Test("an original that was taken for replaced goes on as it was, and then the copy is asked for a key")
    func bothLive() throws {
        let team = try Team()
        try team.ann.sync()
        let copy = Device(copying: team.ann)
        copy.renew = true
        #expect(try copy.connect().newSiteReason == .restored)
        copy.renew = false
        #expect(copy.welcome?.wantsRekey == false)
        try copy.sync()
        try team.ann.sync()
        #expect(team.ann.welcome?.newSiteReason == nil)
        try copy.sync()
        #expect(copy.welcome?.wantsRekey == true)
    }
}
