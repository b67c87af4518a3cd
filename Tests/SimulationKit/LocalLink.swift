import Crypto
import Foundation
import PeykModel
public import PeykReplica
public import PeykServer
public import PeykSession
import PeykWire

/// One session between a replica and a workspace in one process and one thread: the real state machines, the
/// real codec, no socket. It can be cut after any message, on either side.
public final class LocalLink {
    public struct Report: Equatable, Sendable {
        public var messages = 0
        public var bytesUp = 0
        public var bytesDown = 0
        public var roundTrips = 0
        public var isCut = false
        public var failure: SessionError?
        public var delivered: [ServerMessage] = []
    }

    /// The replica; made by the enrolment where there was none.
    public private(set) var replica: Replica?
    let home: String
    let environment: ReplicaEnvironment
    let workspace: Workspace
    private let keySeed: [UInt8]
    /// Of the certificate that the replica has.
    private var key: Curve25519.Signing.PrivateKey
    private var ownKey: Curve25519.Signing.PrivateKey?
    private let fingerprint: [UInt8] = Array(repeating: 7, count: 32)
    private var toServer: [ClientMessage] = []
    private var toClient: [ServerMessage] = []
    private var client: ClientSession
    private var server = ServerSession()
    private var challenge: Challenge
    private var greeted: SiteID?
    private var context: SessionContext?
    private var report = Report()

    /// - Parameter replica: nil to enrol first and make one in `home`.
    public init(
        replica: Replica?, home: String, environment: ReplicaEnvironment, workspace: Workspace, keySeed: [UInt8],
        purpose: ClientSession.Purpose = .sync
    ) throws {
        self.replica = replica
        self.home = home
        self.environment = environment
        self.workspace = workspace
        self.keySeed = keySeed
        let first = try Curve25519.Signing.PrivateKey(rawRepresentation: keySeed)
        key = first
        if let replica, let wanted = try replica.certifiedKey(), wanted != Array(first.publicKey.rawRepresentation) {
            key = try Self.ownKey(wanted, home)
        }
        client = ClientSession(purpose: purpose, workspace: workspace.name, mustEnrol: replica == nil)
        challenge = workspace.challenge()
    }

    /// Runs the session to its end, or until `cutAfter` messages were delivered.
    @discardableResult
    public func run(code: String = "", cutAfter: Int? = nil) throws -> Report {
        toClient.append(.challenge(challenge))
        while !client.isClosed {
            if let cutAfter, report.messages >= cutAfter {
                report.isCut = true
                break
            }
            if !toClient.isEmpty {
                try deliver(toClient.removeFirst(), code: code)
            } else if !toServer.isEmpty {
                try deliver(toServer.removeFirst())
            } else {
                try carryOut(client.timedOut(), code: code)
            }
        }
        while !toServer.isEmpty, !report.isCut { try deliver(toServer.removeFirst()) }
        return report
    }

    private func deliver(_ message: ServerMessage, code: String) throws {
        let bytes = WireCodec.encode(message)
        report.messages += 1
        report.bytesDown += bytes.count + 4
        let decoded = try WireCodec.decodeServer(bytes, limit: SessionLimits.frameBytes)
        try carryOut(client.received(decoded, bytes: bytes.count), code: code)
    }

    private func deliver(_ message: ClientMessage) throws {
        let bytes = WireCodec.encode(message)
        report.messages += 1
        report.bytesUp += bytes.count + 4
        if case .hello = message { report.roundTrips += 1 }
        let decoded = try WireCodec.decodeClient(bytes, limit: SessionLimits.frameBytes)
        try carryOut(server.received(decoded, bytes: bytes.count))
    }

    // MARK: The client's shell

    private func carryOut(_ directives: [ClientSession.Directive], code: String) throws {
        var line = directives
        while !line.isEmpty { line += try carryOut(line.removeFirst(), code: code) }
    }

    private func carryOut(_ directive: ClientSession.Directive, code: String) throws -> [ClientSession.Directive] {
        switch directive {
        case .prepareEnrol(let challenge):
            let signed = Enrol.signedBytes(challenge: challenge.nonce, fingerprint: fingerprint, code: code)
            return client.prepared(
                Enrol(
                    code: code, deviceKey: Array(key.publicKey.rawRepresentation), deviceName: "simulated",
                    signature: Array(try key.signature(for: signed))))
        case .store(let enrolled):
            let facts = WorkspaceFacts(
                workspace: workspace.name, fingerprint: fingerprint, site: enrolled.site, user: enrolled.user,
                userName: enrolled.userName, role: enrolled.role, deviceName: "simulated", nonce: enrolled.nonce,
                certificate: enrolled.certificate)
            replica = try Replica.create(at: home, facts: facts, environment: environment)
            return client.enrolmentStored()
        case .deliver(let message):
            report.delivered.append(message)
            return client.endQuestions()
        case .send(let message): toServer.append(message)
        case .fail(let error): report.failure = error
        default:
            guard let replica else { return [] }
            return try carryOut(directive, replica)
        }
        return []
    }

    private func carryOut(
        _ directive: ClientSession.Directive, _ replica: Replica
    ) throws -> [ClientSession.Directive] {
        switch directive {
        case .prepareHello(let challenge):
            var hello = try replica.hello(program: "simulation", wallTime: environment.now())
            hello.signature = Array(
                try key.signature(for: hello.signedBytes(challenge: challenge.nonce, fingerprint: fingerprint)))
            return client.prepared(hello)
        case .adopt(let welcome):
            let adoption = try replica.adopt(welcome)
            return client.adopted(
                cursor: adoption.cursor, isBackfilling: adoption.isBackfilling, rekeySite: adoption.rekeySite,
                mustRenew: adoption.mustRenew)
        case .prepareRekey(let challenge, let site): return client.prepared(try rekey(challenge, site))
        case .storeRekeyed(let rekeyed):
            try replica.store(rekeyed)
            if let ownKey { key = ownKey }
            return []
        case .loadNames(let skipping, let limit):
            let names = try replica.names(skipping: skipping, limit: limit)
            return client.loaded(names: names, isLast: names.count < limit)
        case .load(let after, let bytes):
            let slice = try replica.outbox(after: after, bytesMax: bytes)
            return client.loaded(slice.commits, hasMore: slice.hasMore)
        case .record(let acknowledge):
            try replica.acknowledge(acknowledge)
            return []
        case .storePage(let page):
            try replica.store(page)
            return client.stored(page: page)
        case .apply(let batch):
            let applied = try replica.apply(batch)
            return client.applied(
                cursor: applied.cursor, report: applied.report, isBackfilling: applied.isBackfilling,
                fetch: applied.fetch)
        case .storeRecords(let records):
            _ = try replica.store(records)
            return client.recordsStored(records.effects.map(\.key))
        case .finish: try replica.finishSession(wasConverged: true)
        default: break
        }
        return []
    }

    /// The key in one of the folder's files that `wanted` is the public half of.
    private static func ownKey(_ wanted: [UInt8], _ home: String) throws -> Curve25519.Signing.PrivateKey {
        for name in try FileManager.default.contentsOfDirectory(atPath: home) where name.hasPrefix("device.key.") {
            let seed = try Data(contentsOf: URL(filePath: home + "/" + name))
            let key = try Curve25519.Signing.PrivateKey(rawRepresentation: seed)
            if Array(key.publicKey.rawRepresentation) == wanted { return key }
        }
        throw SessionError.disconnected
    }

    /// A device draws its key; here it follows from the first one and the site, so that a run follows from its seed.
    private func rekey(_ challenge: Challenge, _ site: SiteID) throws -> Rekey {
        let seed = Data(SHA256.hash(data: keySeed + withUnsafeBytes(of: site.rawValue.bigEndian) { Array($0) }))
        try seed.write(to: URL(filePath: Replica.newDeviceKeyPath(home, site: site)))
        let own = try Curve25519.Signing.PrivateKey(rawRepresentation: seed)
        ownKey = own
        let publicKey = Array(own.publicKey.rawRepresentation)
        let bytes = Rekey.signedBytes(
            challenge: challenge.nonce, fingerprint: fingerprint, site: site, deviceKey: publicKey)
        return Rekey(deviceKey: publicKey, signature: Array(try own.signature(for: bytes)))
    }

    // MARK: The server's shell

    private func carryOut(_ directives: [ServerSession.Directive]) throws {
        var line = directives
        while !line.isEmpty { line += try carryOut(line.removeFirst()) }
    }

    private func carryOut(_ directive: ServerSession.Directive) throws -> [ServerSession.Directive] {
        switch directive {
        case .send(let message):
            toClient.append(message)
            return []
        case .enrol(let enrol):
            do {
                return server.enrolled(try workspace.enrol(enrol, challenge: challenge, fingerprint: fingerprint))
            } catch let refusal as Refusal { return server.refused(refusal) }
        case .admit(let hello):
            greeted = hello.site
            do {
                let admission = try workspace.admit(hello, challenge: challenge, fingerprint: fingerprint)
                context = admission.context
                return server.admitted(
                    admission.welcome, cursor: admission.cursor, backfill: admission.backfill, credit: admission.credit)
            } catch let refusal as Refusal { return server.refused(refusal) }
        case .quarantine(let commits, let bytes):
            guard let greeted else { return [] }
            return server.quarantined(upTo: try workspace.quarantine(commits, of: greeted), credit: bytes)
        case .close: return []
        default:
            guard let context else { return [] }
            do { return try carryOut(directive, context) } catch let refusal as Refusal { return server.ended(refusal) }
        }
    }

    private func carryOut(
        _ directive: ServerSession.Directive, _ context: SessionContext
    ) throws -> [ServerSession.Directive] {
        switch directive {
        case .commit(let commits, _):
            return try take(PushRequest(context: context, commits: commits))
        case .recordNames(let names, let isLast, _):
            return try take(PushRequest(context: context, commits: [], names: names, endsNames: isLast))
        case .readBatch(let from, let upTo, let bytes, let scope, let isWhole):
            let batch = try workspace.batch(
                for: context, from: from, upTo: upTo, bytesMax: bytes, scope: scope, whole: isWhole)
            return server.read(batch: batch, bytes: WireCodec.encode(ServerMessage.batch(batch)).count)
        case .readPage(let mark):
            let page = try workspace.page(for: context, after: mark)
            return server.read(page: page, bytes: page.payload.count)
        case .answer(let question):
            let reply = try workspace.answer(question, for: context)
            return server.answered(reply, bytes: WireCodec.encode(reply).count)
        case .recordApplied(let position): try workspace.applied(position, by: context)
        case .rekey(let rekey):
            return server.rekeyed(
                try workspace.rekey(rekey, challenge: challenge, fingerprint: fingerprint, for: context))
        case .confirmNonce: try workspace.confirmNonce(of: context)
        default: break
        }
        return []
    }

    private func take(_ request: PushRequest) throws -> [ServerSession.Directive] {
        switch try workspace.commit([request]).first {
        case .acknowledge(let acknowledge)?:
            return server.committed(acknowledge) + server.headMoved(to: try workspace.head())
        case .refuse(let refusal)?: return server.ended(refusal)
        case nil: return []
        }
    }
}
