import PeykMerge
import PeykModel
import PeykServer
import PeykSession
import Testing

@Suite("Clocks at their limits")
struct ClockLimitTests {
    private func rep(_ number: UInt64, _ office: Office) throws -> Device {
        let device = try office.device(try office.user(number, "R\(number)", .rep, [Office.north]), key: UInt8(number))
        try device.sync()
        return device
    }

    private func insert(_ device: Device, _ number: UInt64) -> SealedCommit {
        device.insert("customer", Sample.id(number), ["name": "A", "territory_id": Value(Office.north)])
    }

    @Test("C3, F52: the limit is 60 s beyond the server's time, to the millisecond", arguments: [-1, 0, 1] as [Int64])
    func limit(off: Int64) throws {
        let office = try Office()
        let device = try rep(1, office)
        // connect() moves the clock on by one millisecond before anything is pushed.
        device.skew = 60_000 + off + 1
        let commit = insert(device, 10)
        try device.sync()
        let accepted = try #require(try office.log().first { $0.commit == commit.id }?.stamp)
        if off <= 0 {
            #expect(accepted == commit.envelope.stamp)
            #expect(device.answers[commit.id]?.restamped == nil)
        } else {
            #expect(accepted < commit.envelope.stamp && accepted.milliseconds <= office.time.now + 60_000)
            #expect(device.answers[commit.id]?.restamped == accepted)
        }
    }

    @Test("F56: stamps of 60 days ago are taken as they are, and lose to later ones only where nobody has seen them")
    func past() throws {
        let office = try Office()
        let ann = try rep(1, office)
        let ben = try rep(2, office)
        let customer = insert(ann, 10)
        try ann.sync()
        try ben.sync()
        let old = ann.set("customer", Sample.id(10), ["name": "of long ago"])
        office.time.advance(60 * 86_400_000)
        ben.set("customer", Sample.id(10), ["phone": "1"])
        try ben.sync()
        try ann.sync()
        let log = try office.log()
        #expect(log.first { $0.commit == old.id }?.stamp == old.envelope.stamp)
        #expect(log.first { $0.commit == customer.id }?.stamp == customer.envelope.stamp)
        #expect(ann.answers[old.id]?.isPlain == true)
        #expect(try office.value("customer", Sample.id(10), "name") == "of long ago")
    }

    @Test("C3, P9: a clock of 2031 drags nobody else's: welcome, batch and later commits stay near the server's time")
    func nobodyIsDragged() throws {
        let office = try Office()
        let ann = try rep(1, office)
        let ben = try rep(2, office)
        ann.skew = 5 * 365 * 86_400_000
        for number in 0..<50 { _ = insert(ann, UInt64(10 + number)) }
        try ann.sync()
        let limit = office.time.now + 60_000
        let welcome = try ben.connect()
        #expect(welcome.stamp.milliseconds <= limit)
        try ben.pull()
        let commit = insert(ben, 100)
        #expect(commit.envelope.stamp.milliseconds <= limit)
        try ben.sync()
        #expect(try office.log().first { $0.commit == commit.id }?.stamp == commit.envelope.stamp)
        #expect(try office.store.read { try $0.clockDocument().last.milliseconds } <= limit)
    }

    @Test("F54: 70,000 commits of the future in one tick are stamped one by one, in order, and none is dropped")
    func manyInOneTick() throws {
        let office = try Office()
        let ann = try rep(1, office)
        let count = 70_000
        ann.skew = 365 * 86_400_000
        let commits = (0..<count).map { _ in ann.commit([]) }
        try ann.connect()
        let now = office.time.now
        for start in stride(from: 0, to: count, by: 10_000) { try ann.push(Array(commits[start..<start + 10_000])) }
        #expect(office.time.now == now, "one tick of the server's clock")
        var last = HLC.zero
        var found = 0
        try office.store.read { reader in
            try reader.log(after: 0, upTo: .max) { entry in
                guard entry.dot.site == ann.site else { return true }
                found += 1
                #expect(entry.stamp > last)
                last = entry.stamp
                return true
            }
        }
        #expect(found == count)
        #expect(last.milliseconds <= now + 2, "65,536 to a millisecond")
    }

    static let hour: Int64 = 3_600_000
    static let judged: [(Int64, ClockStanding)] = [
        (0, .fine), (hour, .fine), (hour + 1, .ahead), (-hour, .fine), (-hour - 1, .behind),
        (30 * 24 * hour, .ahead), (30 * 24 * hour + 1, .farAhead), (-400 * 24 * hour, .behind),
    ]

    @Test("C4: serve warns from an hour on, and asks from 30 days on", arguments: judged)
    func serving(off: Int64, expected: ClockStanding) throws {
        #expect(ClockStanding(now: 1_750_000_000_000 + off, last: 1_750_000_000_000) == expected)
    }

    @Test("C4: a workspace without commits has no clock to compare with")
    func nothingToCompare() { #expect(ClockStanding(now: 1_750_000_000_000, last: 0) == .fine) }
}
