import PeykModel
import PeykSession
import SeededRandom
import Testing

@testable import PeykWire

@Suite("Wire codec")
struct WireCodecTests {
    @Test("every kind of message comes back equal")
    func roundTrip() throws {
        for (name, message) in Samples.client {
            #expect(try WireCodec.decodeClient(WireCodec.encode(message)) == message, "\(name)")
        }
        for (name, message) in Samples.server {
            #expect(try WireCodec.decodeServer(WireCodec.encode(message)) == message, "\(name)")
        }
    }

    static let entrances: [Entrance] = [
        .resume, .widen(added: []), .snapshot(.first), .snapshot(.horizon), .snapshot(.restored), .snapshot(.asked),
    ]

    @Test("every way to go on, with every role and reason (W-4)", arguments: entrances)
    func variants(_ entrance: Entrance) throws {
        var welcome = Samples.welcome
        welcome.entrance = entrance
        for role in Role.allCases {
            for reason in [nil, NewSiteReason.copied, .restored, .newEpoch] {
                welcome.role = role
                welcome.newSiteReason = reason
                welcome.schema = reason == nil ? nil : ""
                let bytes = WireCodec.encode(.welcome(welcome))
                #expect(try WireCodec.decodeServer(bytes) == .welcome(welcome))
            }
        }
    }

    @Test("lineages are sent once a message, not once a commit")
    func lineageOnce() {
        let long = Lineage((1...50).map { Era(epoch: Samples.epoch($0), after: Int64($0)) })
        func push(_ count: Int) -> Int {
            let commits = (1...count).map { seq in
                SealedCommit(
                    id: Samples.commit(UInt64(seq)),
                    envelope: Envelope(
                        dot: Dot(site: Samples.site, seq: Int64(seq)), stamp: Samples.stamp,
                        clock: VectorClock(
                            lineage: long, anchor: 50, dots: [Dot(site: Samples.site, seq: Int64(seq - 1))])),
                    sealed: [])
            }
            return WireCodec.encode(.push(Push(commits: commits))).count
        }
        #expect((push(11) - push(1)) / 10 <= 56, "bytes a commit")
    }

    @Test("a body over the limit is refused before it is read")
    func limit() {
        let bytes = WireCodec.encode(ClientMessage.hello(Samples.hello))
        #expect(throws: WireError.tooLong(bytes: bytes.count, limit: bytes.count - 1)) {
            try WireCodec.decodeClient(bytes, limit: bytes.count - 1)
        }
        #expect(throws: Never.self) { try WireCodec.decodeClient(bytes, limit: bytes.count) }
    }

    @Test("messages of a later version are refused by name, their unknown fields are passed over (F-6)")
    func unknown() throws {
        // Field 99 of the frame, with an empty message.
        #expect(throws: WireError.unknownMessage) { try WireCodec.decodeClient([0x9A, 0x06, 0x00]) }
        #expect(throws: WireError.unknownMessage) { try WireCodec.decodeServer([]) }
        let ping = WireCodec.encode(ClientMessage.ping(4))
        #expect(try WireCodec.decodeClient(ping + [0x9A, 0x06, 0x01, 0x00]) == .ping(4))
    }

    @Test("a frame of millions of empty parts is refused before memory is taken (P28, F-5)")
    func parts() {
        // A push of empty commits: field 3, then field 2 of length 0, again and again.
        let many = FrameShape.messagesMax + 1
        var bytes = ByteWriter()
        bytes.byte(0x1A)
        bytes.count(many * 2)
        for _ in 0..<many { bytes.bytes += [0x12, 0x00] }
        #expect(throws: WireError.tooManyParts(limit: FrameShape.messagesMax)) {
            try WireCodec.decodeClient(bytes.bytes)
        }
        // Fields that nobody knows.
        let fields = Array(repeating: [0x78, 0x00] as [UInt8], count: FrameShape.fieldsMax + 1).flatMap { $0 }
        #expect(throws: WireError.tooManyParts(limit: FrameShape.fieldsMax)) { try WireCodec.decodeClient(fields) }
    }

    static let broken: [(name: String, change: @Sendable (inout ProtoHello) -> Void)] = [
        ("a negative cursor", { $0.cursor = -1 }),
        ("an epoch of 15 bytes", { $0.lineage.eras[0].epoch = $0.lineage.eras[0].epoch.dropLast() }),
        ("a long nonce", { $0.nonce = [UInt8](repeating: 0, count: 65).data }),
        ("a long certificate", { $0.certificate = [UInt8](repeating: 0, count: 4_097).data }),
        ("a table over 2^31", { $0.backfill.table = .max }),
        ("a long program", { $0.program = String(repeating: "x", count: 1_025) }),
        ("a negative credit", { $0.credit = -1 }),
    ]

    @Test("a field out of its bounds is a typed error", arguments: broken.indices)
    func bounds(_ index: Int) throws {
        var frame = ProtoClientFrame(.hello(Samples.hello))
        Self.broken[index].change(&frame.hello)
        let bytes = WireCodec.bytes(of: frame)
        #expect(throws: WireError.self, "\(Self.broken[index].name)") { try WireCodec.decodeClient(bytes) }
    }

    @Test("more records at once than allowed are refused (W-9)")
    func fetchLimit() throws {
        let keys = (0...SessionLimits.fetchKeys).map { RecordKey(table: 1, record: Samples.record(UInt64($0))) }
        #expect(throws: WireError.self) { try WireCodec.decodeClient(WireCodec.encode(.fetch(keys))) }
        #expect(try WireCodec.decodeClient(WireCodec.encode(.fetch(Array(keys.dropLast())))) == .fetch(keys.dropLast()))
    }

    @Test("a clock of a lineage that was not sent is refused")
    func lineageIndex() throws {
        var frame = ProtoClientFrame(.push(Samples.push))
        frame.push.lineages.removeLast()
        let bytes = WireCodec.bytes(of: frame)
        #expect(throws: WireError.self) { try WireCodec.decodeClient(bytes) }
    }

    @Test("errors say what is wrong in words")
    func words() {
        #expect("\(WireError.tooLong(bytes: 5, limit: 4))" == "a message of 5 bytes is over the limit of 4")
        #expect("\(WireError.malformed(.truncated))" == "a message cannot be read: the data ends too early")
    }
}

@Suite("Wire fuzz (P29)")
struct WireFuzzTests {
    static let vectors: [[UInt8]] =
        Samples.client.map { WireCodec.encode($0.message) } + Samples.server.map { WireCodec.encode($0.message) }

    static func mutated(_ random: inout SplitMix64) -> [UInt8] {
        var bytes = vectors[random.draw(vectors.count)]
        switch random.draw(5) {
        case 0: return (0..<random.draw(300)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        case 1: bytes.removeLast(random.draw(bytes.count + 1))
        case 2:
            let other = vectors[random.draw(vectors.count)]
            bytes = Array(bytes.prefix(random.draw(bytes.count + 1)) + other.suffix(random.draw(other.count + 1)))
        case 3:
            let place = random.draw(bytes.count + 1)
            bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
        default:
            for _ in 0...random.draw(5) where !bytes.isEmpty {
                bytes[random.draw(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
            }
        }
        return bytes
    }

    @Test("any bytes give a message that encodes again, or a typed error", arguments: UInt64(1)...10)
    func anyBytes(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for round in 0..<5_000 {
            let bytes = Self.mutated(&random)
            if let message = try? WireCodec.decodeClient(bytes) {
                #expect(try WireCodec.decodeClient(WireCodec.encode(message)) == message, "seed \(seed) round \(round)")
            }
            if let message = try? WireCodec.decodeServer(bytes) {
                #expect(try WireCodec.decodeServer(WireCodec.encode(message)) == message, "seed \(seed) round \(round)")
            }
        }
    }
}
