import PeykFailpoint
import PeykModel
import PeykReplica
import PeykSession
import PeykTransport
import Synchronization

/// Who syncs with whom: the server's address and key, the device's key, and the replica, which a join makes as
/// soon as the server has enrolled the device.
final class SyncIdentity: Sendable {
    /// An invite that is being redeemed.
    struct Enrolment: Sendable {
        var code: String
        var deviceName: String
        /// Makes the replica from what the server said.
        var create: @Sendable (WorkspaceFacts) throws -> Replica
    }

    let host: String
    let port: Int
    let workspace: String
    let fingerprint: Fingerprint?
    let key: DeviceKey
    let enrolment: Enrolment?
    private let store: Mutex<Replica?>

    init(_ invite: InviteURL, key: DeviceKey, enrolment: Enrolment) {
        host = invite.host
        port = invite.port
        workspace = invite.workspace
        fingerprint = invite.fingerprint
        self.key = key
        self.enrolment = enrolment
        store = Mutex(nil)
    }

    /// - Throws: ``SyncFailure`` where the replica does not know its server.
    init(_ replica: Replica, key: DeviceKey) throws {
        guard let facts = try replica.facts(), let address = HostAndPort(facts.server) else {
            throw SyncFailure(.configuration, "This replica knows no server. Join a workspace with an invite.")
        }
        host = address.host
        port = address.port
        workspace = facts.workspace
        fingerprint = Fingerprint(bytes: facts.fingerprint)
        self.key = key
        enrolment = nil
        store = Mutex(replica)
    }

    var replica: Replica {
        get throws {
            guard let replica = store.withLock({ $0 }) else {
                throw SyncFailure(.replica, "The replica was not made yet. Nothing was changed; join again.")
            }
            return replica
        }
    }

    func security(_ options: SyncOptions) throws -> TransportSecurity {
        if let fingerprint { return try .client(pinned: fingerprint) }
        guard enrolment == nil || options.allowsPlaintext else {
            throw SyncFailure(
                .configuration,
                "The invite has no fingerprint, so the connection would not be encrypted. Ask IT for a whole invite.")
        }
        return .plaintext
    }

    func enrol(_ challenge: Challenge) throws -> Enrol {
        guard let enrolment else { throw SyncFailure(.protocolBroken, "No invite is being redeemed.") }
        let bytes = Enrol.signedBytes(challenge: challenge.nonce, fingerprint: signed, code: enrolment.code)
        return Enrol(
            code: enrolment.code, deviceKey: key.publicKey, deviceName: enrolment.deviceName,
            signature: try key.sign(bytes))
    }

    func store(_ enrolled: Enrolled) throws {
        guard let enrolment else { return }
        let facts = WorkspaceFacts(
            workspace: workspace, server: HostAndPort(host: host, port: port).description,
            fingerprint: fingerprint?.bytes ?? [], site: enrolled.site, user: enrolled.user,
            userName: enrolled.userName, role: enrolled.role, deviceName: enrolment.deviceName, nonce: enrolled.nonce,
            certificate: enrolled.certificate)
        Failpoint.hit("join.enrolment.received")
        let replica = try enrolment.create(facts)
        Failpoint.hit("join.enrolment.stored")
        store.withLock { $0 = replica }
    }

    func hello(_ challenge: Challenge, program: String) throws -> Hello {
        let replica = try replica
        var hello = try replica.hello(program: program, wallTime: replica.environment.now())
        hello.signature = try key.sign(hello.signedBytes(challenge: challenge.nonce, fingerprint: signed))
        return hello
    }

    private var signed: [UInt8] { (fingerprint ?? .plaintext).bytes }
}

/// `host:port`, with IPv6 addresses in brackets.
struct HostAndPort: CustomStringConvertible {
    var host: String
    var port: Int

    init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]) else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty else { return nil }
        self.init(host: String(host), port: port)
    }

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
