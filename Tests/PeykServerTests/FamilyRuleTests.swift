import PeykModel
import PeykServer
import PeykSession
import Testing

@Suite("Rules I3, I7: which devices there are")
struct FamilyRuleTests {
    private func devices(_ office: Office) throws -> [JSON] {
        guard case .done(let list) = Admin(office.workspace).run(.listDevices) else {
            throw TestFailure("the devices are not listed")
        }
        return list.arrayValue ?? []
    }

    private func live(_ office: Office) throws -> [JSON] {
        try devices(office).filter { $0["state"]?.stringValue == "live" }
    }

    @Test("I3: a copy is listed under the replica that it is a copy of, also once both have further sites")
    func listedUnderOrigin() throws {
        let team = try Team()
        try team.ann.sync()
        let copy = Device(copying: team.ann)
        try team.ann.sync()
        try copy.sync()
        func expect(_ original: Device, _ copy: Device, _ comment: Comment) throws {
            let listed = try live(team.office)
            let place = try #require(listed.firstIndex { $0["site"]?.stringValue == copy.site.description }, comment)
            #expect(listed[place]["copy_of"]?.stringValue == original.site.description, comment)
            #expect(place > 0 && listed[place - 1]["site"]?.stringValue == original.site.description, comment)
            #expect(listed[place - 1]["copy_of"] == .null, comment)
        }
        try expect(team.ann, copy, "a copy")
        let backup = try team.office.backup()
        team.ann.insert("customer", Sample.id(60), ["name": "Acme"])
        try team.ann.sync()
        try team.office.restore(backup)
        for device in [copy, team.ann, copy, team.ann] { try device.sync() }
        try expect(team.ann, copy, "after a restore, where the copy came first")
        #expect(try live(team.office).count { $0["copy_of"] != .null } == 1)
    }

    @Test("I3: of two that come with one site after a restore the second is listed under the first")
    func copiedBeforeRestore() throws {
        let team = try Team()
        try team.ann.sync()
        try team.office.restore(try team.office.backup())
        let copy = Device(copying: team.ann)
        try team.ann.sync()
        try team.ann.sync()
        try copy.sync()
        let found = try live(team.office).first { $0["site"]?.stringValue == copy.site.description }
        #expect(found?["copy_of"]?.stringValue == team.ann.site.description)
    }

    @Test("I7: a site whose welcome was lost is no device, and nobody waits for it", arguments: [1, 3])
    func lostWelcome(times: Int) throws {
        let team = try Team()
        try team.syncAll()
        try team.office.restore(try team.office.backup())
        let before = try live(team.office).count
        for _ in 0..<times {
            let (hello, challenge) = try team.ann.hello()
            _ = try team.office.workspace.admit(hello, challenge: challenge, fingerprint: team.office.fingerprint)
        }
        try team.syncAll()
        #expect(try live(team.office).count == before)
        #expect(try team.office.workspace.refillStatus()?.isOpen == false)
    }

    @Test("I3: a replica that comes under a site that was given up goes on with it")
    func givenUpComesBack() throws {
        let team = try Team()
        try team.ann.sync()
        try team.office.restore(try team.office.backup())
        let other = Device(copying: team.ann)
        // Ann has stored her welcome, and was killed before she could say anything under it.
        try team.ann.connect()
        try other.sync()
        try other.sync()
        let site = team.ann.site
        try team.ann.sync()
        #expect(team.ann.site == site)
        let listed = try live(team.office)
        #expect(listed.contains { $0["site"]?.stringValue == site.description })
        #expect(listed.contains { $0["site"]?.stringValue == other.site.description })
    }
}
