import Foundation
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
    let enrolment: Enrolment?
    private let key: Mutex<DeviceKey>
    private let store: Mutex<Replica?>

    init(_ invite: InviteURL, key: DeviceKey, enrolment: Enrolment) {
        host = invite.host
        port = invite.port
        workspace = invite.workspace
        fingerprint = invite.fingerprint
        self.key = Mutex(key)
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
        self.key = Mutex(key)
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
        let key = key.withLock { $0 }
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
        let key = key.withLock { $0 }
        hello.signature = try key.sign(hello.signedBytes(challenge: challenge.nonce, fingerprint: signed))
        return hello
    }

    // MARK: A key of its own (rule I3)

    /// The device's key that this replica's certificate is for.
    static func key(of replica: Replica) throws -> DeviceKey {
        let first = Replica.deviceKeyPath(replica.home)
        guard let wanted = try replica.certifiedKey() else { return try DeviceKey(contentsOf: first) }
        let own = try replica.facts().map { Replica.newDeviceKeyPath(replica.home, site: $0.site) }
        for path in [own, first].compactMap({ $0 }) {
            if let key = try? DeviceKey(contentsOf: path), key.publicKey == wanted { return key }
        }
        // Made under a former site, before a restore of the server gave this one.
        for name in (try? FileManager.default.contentsOfDirectory(atPath: replica.home)) ?? []
        where name.hasPrefix("device.key.") {
            if let key = try? DeviceKey(contentsOf: replica.home + "/" + name), key.publicKey == wanted { return key }
        }
        throw SyncFailure(
            .configuration,
            "The key of this replica is missing in \(replica.home), or this user may not read it. Your data is safe. Put the "
                + "file device.key back from a copy of the folder. Without one, copy the folder before anything else: "
                + "what “peyk pending” lists is only there.")
    }

    func rekey(_ challenge: Challenge, _ site: SiteID) throws -> Rekey {
        let path = Replica.newDeviceKeyPath(try replica.home, site: site)
        let own: DeviceKey
        do { own = try DeviceKey.create(at: path) } catch DeviceKey.Failure.file(let failure) where failure.exists {
            own = try DeviceKey(contentsOf: path)
        }
        let bytes = Rekey.signedBytes(
            challenge: challenge.nonce, fingerprint: signed, site: site, deviceKey: own.publicKey)
        return Rekey(deviceKey: own.publicKey, signature: try own.sign(bytes))
    }

    func store(_ rekeyed: Rekeyed) throws {
        let replica = try replica
        try replica.store(rekeyed)
        let own = try Self.key(of: replica)
        key.withLock { $0 = own }
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
