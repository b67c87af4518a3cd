import Crypto
import Foundation
import PeykModel
import PeykReplica
import PeykSQLite
import PeykServer
import PeykSession
import PeykWire
import SeededRandom
import SimDisk

/// A laptop: its disk, its clock, its key, and while it runs its replica and its half of a connection.
final class SimulatedClient {
    let number: Int
    let user: Int
    let disk: SimulatedDisk
    let clock: DeviceClock
    let keySeed: [UInt8]
    /// The key that the device enrolled with, and those that its replicas made for themselves (rule I3), by their
    /// public halves: files beside the database, synced before they are used.
    private var keys: [[UInt8]: Curve25519.Signing.PrivateKey] = [:]
    let key: Curve25519.Signing.PrivateKey
    /// The first device that has this key: copies of it are revoked with it.
    let family: Int
    let plant: Plant?
    /// Nil before the device has joined.
    private(set) var replica: Replica?
    /// Another process on the same files.
    private(set) var second: Replica?
    /// A program that knows nothing of us, with the file open; now and then it starts anew.
    private var other: Database?
    private var othersWrites = 0
    /// The other program has written since the outbox was looked at.
    var hasOthersWrites = false
    /// ``SimulatedDisk/changes`` as of the last look, and as of the last comparison with the server.
    var lookedAt: UInt64?
    var comparedAt: UInt64?
    var link: Link?
    /// The invite's code, until it is redeemed.
    var code: String?
    /// How far the replica had applied the log at the last look.
    var seen = Archive.Standing(position: 0)
    /// The replica's lineage as it is stored, and its last epoch.
    var lineage: (eras: Value?, epoch: Epoch?) = (nil, nil)
    /// The last commit that its author made here, and the seq up to which the outbox was looked at.
    var former: CommitID?
    var noted: Sequence64 = 0
    var site: SiteID? {
        didSet { if enrolled == nil { enrolled = site } }
    }
    /// The first site of the device, or of the one that it is a copy of.
    var enrolled: SiteID?
    /// There are or were other images of its disk in use.
    var isCopied = false
    /// Commits that only an image of its disk held which was overwritten.
    var forgotten: Set<CommitID> = []
    /// Its access was taken away.
    var isRevoked = false
    var image: Image?

    /// What a copy of the disk holds, and what the copy's owner had seen.
    struct Image {
        var files: [String: [UInt8]]
        var keys: [[UInt8]: Curve25519.Signing.PrivateKey]
        var seen: Archive.Standing
        var former: CommitID?
        var noted: Sequence64
        var site: SiteID?
    }

    var home: String { disk.folder }
    var hasJoined: Bool { replica != nil }

    init(
        number: Int, family: Int? = nil, user: Int, keySeed: [UInt8], files: [String: [UInt8]]?, time: SimulatedTime,
        plant: Plant?
    ) throws {
        self.number = number
        self.family = family ?? number
        self.user = user
        self.plant = plant
        disk = try SimulatedDisk(isInMemory: true)
        clock = DeviceClock(time)
        self.keySeed = keySeed
        key = try Curve25519.Signing.PrivateKey(rawRepresentation: keySeed)
        if let files {
            try disk.replace(with: files)
            try open()
        }
    }

    private func open() throws {
        replica = try Replica.open(home, environment: clock.environment)
    }

    /// The one that writes: the first process, or now and then the second.
    func writer(_ random: inout SplitMix64) -> Replica? {
        if let second, random.chance(50) { return second }
        return replica
    }

    func openSecond() throws {
        if second == nil { second = try Replica.open(home, environment: clock.environment) }
    }

    private func closeOther() {
        try? other?.close()
        other = nil
    }

    func closeSecond() {
        try? second?.close()
        second = nil
    }

    /// The replica's process or machine stops, and starts again.
    func restart(losing loss: SimulatedDisk.Loss) throws -> Int64 {
        disk.stop()
        link?.clientClosed = true
        link = nil
        closeSecond()
        closeOther()
        let had = replica != nil || FileManager.default.fileExists(atPath: Replica.databasePath(home))
        try? replica?.close()
        replica = nil
        lookedAt = nil
        comparedAt = nil
        guard disk.openHandles == 0 else { throw Finding("harness", "the replica's files are still open") }
        let lost = try disk.start(losing: loss)
        if case .unsynced = loss { clock.reboot() }
        if had { try open() }
        return lost
    }

    func takeImage() throws -> Image {
        Image(files: try disk.files(), keys: keys, seen: seen, former: former, noted: noted, site: site)
    }

    /// The disk becomes what it was when the image was taken.
    func restore(_ image: Image) throws {
        link?.clientClosed = true
        link = nil
        closeSecond()
        closeOther()
        disk.stop()
        try? replica?.close()
        replica = nil
        lookedAt = nil
        comparedAt = nil
        try disk.start(losing: .nothing)
        try disk.replace(with: image.files)
        keys = image.keys
        seen = image.seen
        former = image.former
        noted = image.noted
        site = image.site
        try open()
    }

    func shutDown() {
        disk.stop()
        closeSecond()
        closeOther()
        try? replica?.close()
        replica = nil
        lookedAt = nil
        comparedAt = nil
        disk.remove()
    }

    /// One transaction of a program that knows nothing of us. Refused like any other by SQLite's own checks.
    func writeAsOtherProgram(_ statements: [Statement]) throws {
        do {
            othersWrites += 1
            if othersWrites % 8 == 0 { closeOther() }
            let other = try other ?? Database(path: Replica.databasePath(home), lockPath: Replica.lockPath(home))
            self.other = other
            hasOthersWrites = true
            try other.write { connection in
                for statement in statements { try connection.run(statement.sql, statement.values) }
            }
        } catch let error as SQLiteError {
            throw ReplicaError.sqlite(error)
        }
    }

    private func planted(_ commit: SealedCommit, _ link: Link) -> SealedCommit {
        guard plant == .falseAnchor, let sent = link.context?.sent else { return commit }
        var commit = commit
        commit.envelope.clock.anchor = max(commit.envelope.clock.anchor, sent)
        return commit
    }

    // MARK: Keys

    /// The key that the replica's certificate is for.
    private func certified(_ replica: Replica) throws -> Curve25519.Signing.PrivateKey {
        guard let wanted = try replica.certifiedKey() else { return key }
        guard let own = keys[wanted] else { throw Finding("I3", "device \(number) has lost its own key") }
        return own
    }

    /// A device draws its key; here it follows from the first one and the site, so that a run follows from its seed.
    private func makeKey(of site: SiteID) throws -> Curve25519.Signing.PrivateKey {
        let seed = SHA256.hash(data: keySeed + withUnsafeBytes(of: site.rawValue.bigEndian) { Array($0) })
        let own = try Curve25519.Signing.PrivateKey(rawRepresentation: Array(seed))
        keys[Array(own.publicKey.rawRepresentation)] = own
        return own
    }

    // MARK: The shell of a session

    /// Carries out what the session wants, and what that leads to, in order.
    func carryOut(_ directives: [ClientSession.Directive], _ link: Link) throws {
        var line = directives
        while !line.isEmpty, !link.clientClosed { line += try carryOut(line.removeFirst(), link) }
    }

    private func carryOut(_ directive: ClientSession.Directive, _ link: Link) throws -> [ClientSession.Directive] {
        switch directive {
        case .prepareEnrol(let challenge):
            let code = code ?? ""
            let signed = Enrol.signedBytes(
                challenge: challenge.nonce, fingerprint: SimulatedServer.fingerprint, code: code)
            return link.session.prepared(
                Enrol(
                    code: code, deviceKey: Array(key.publicKey.rawRepresentation), deviceName: "device \(number)",
                    signature: Array(try key.signature(for: signed))))
        case .store(let enrolled):
            replica = try Replica.create(
                at: home,
                facts: WorkspaceFacts(
                    workspace: "simulated", fingerprint: SimulatedServer.fingerprint, site: enrolled.site,
                    user: enrolled.user, userName: enrolled.userName, role: enrolled.role,
                    deviceName: "device \(number)", nonce: enrolled.nonce, certificate: enrolled.certificate),
                environment: clock.environment)
            code = nil
            return link.session.enrolmentStored()
        case .deliver(let message):
            link.delivered.append(message)
            return link.session.endQuestions()
        case .send(let message):
            let frame = WireCodec.encode(message)
            link.bytes += frame.count + 4
            if !link.isUpDead { link.up.append(frame) }
            switch message {
            case .bye, .applied, .credit, .pong: break
            default: link.isAwaiting = true
            }
        case .fail(let error): throw error
        default:
            guard let replica else { return [] }
            return try carryOut(directive, link, replica)
        }
        return []
    }

    private func carryOut(
        _ directive: ClientSession.Directive, _ link: Link, _ replica: Replica
    ) throws -> [ClientSession.Directive] {
        switch directive {
        case .prepareHello(let challenge):
            var hello = try replica.hello(program: "simulation", wallTime: clock.now)
            let signed = hello.signedBytes(challenge: challenge.nonce, fingerprint: SimulatedServer.fingerprint)
            let key = try certified(replica)
            hello.signature = Array(try key.signature(for: signed))
            KnownSignatures.shared.note(
                hello.signature, of: signed, by: Array(key.publicKey.rawRepresentation))
            return link.session.prepared(hello)
        case .adopt(let welcome):
            let adoption = try replica.adopt(welcome)
            return link.session.adopted(
                cursor: adoption.cursor, isBackfilling: adoption.isBackfilling, rekeySite: adoption.rekeySite,
                mustRenew: adoption.mustRenew)
        case .prepareRekey(let challenge, let site):
            let own = try makeKey(of: site)
            let publicKey = Array(own.publicKey.rawRepresentation)
            let signed = Rekey.signedBytes(
                challenge: challenge.nonce, fingerprint: SimulatedServer.fingerprint, site: site, deviceKey: publicKey)
            return link.session.prepared(
                Rekey(deviceKey: publicKey, signature: Array(try own.signature(for: signed))))
        case .storeRekeyed(let rekeyed): try replica.store(rekeyed)
        case .loadNames(let skipping, let limit):
            let names = try replica.names(skipping: skipping, limit: limit)
            return link.session.loaded(names: names, isLast: names.count < limit)
        case .load(let after, let bytes):
            let slice = try replica.outbox(after: after, bytesMax: bytes)
            return link.session.loaded(slice.commits.map { planted($0, link) }, hasMore: slice.hasMore)
        case .record(let acknowledge): try replica.acknowledge(acknowledge)
        case .storePage(let page):
            try replica.store(page)
            return link.session.stored(page: page)
        case .apply(let batch):
            let applied = try replica.apply(batch)
            return link.session.applied(
                cursor: applied.cursor, report: applied.report, isBackfilling: applied.isBackfilling,
                fetch: applied.fetch)
        case .storeRecords(let records):
            _ = try replica.store(records)
            return link.session.recordsStored(records.effects.map(\.key))
        case .finish: try replica.finishSession(wasConverged: true)
        default: break
        }
        return []
    }
}
