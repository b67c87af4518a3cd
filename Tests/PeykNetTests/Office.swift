import Foundation
import Logging
import PeykModel
import PeykNet
import PeykReplica
import PeykServer
import PeykSync
import PeykTransport
import Synchronization

/// A server with its own workspace in memory, on a free port of loopback, and a folder for replicas.
final class Office: Sendable {
    let workspace: Workspace
    let server: SyncServer
    let identity: TLSIdentity?
    let folder: String

    static let schema = Schema(
        version: 1,
        tables: [
            Table("territory", .reference, fields: [Field("name", .text)]),
            Table(
                "customer", .root(AudienceFields(territory: "territory"), lends: nil),
                fields: [
                    Field("name", .text), Field("territory", .reference(table: "territory")), Field("amount", .integer),
                    Field("note", .text),
                ]),
            Table(
                "contact", .child(parents: ["customer"], owner: nil),
                fields: [Field("name", .text), Field("customer", .reference(table: "customer"), hard: true)]),
        ])
    /// Index of `customer` in the schema.
    static let customer = 2
    static let north = RecordID(bits: UUIDBits(high: 0x0190_0000_0000_7001, low: 0x8000_0000_0000_0001))
    static let south = RecordID(bits: UUIDBits(high: 0x0190_0000_0000_7002, low: 0x8000_0000_0000_0002))

    init(plaintext: Bool = false, change: (inout NetConfiguration) -> Void = { _ in }) async throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "peyk-net-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let environment = ServerEnvironment.live { Int64(Date().timeIntervalSince1970 * 1_000) }
        workspace = try Workspace.create(
            name: "acme", schema: Self.schema, store: MemoryStore(),
            keys: try WorkspaceKeys.generate(random: environment.random), environment: environment)
        try workspace.serverCommit(
            [Self.north, Self.south].map { id in
                Change(
                    table: 1, record: id, kind: .insert,
                    cells: [CellChange(cell: 0, write: .assign([.text(id.description)]))])
            })
        identity = plaintext ? nil : try TLSIdentity.create(directory: folder, workspace: "acme")
        var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        var configuration = NetConfiguration(identity: identity, logger: logger)
        configuration.pollSeconds = 0.2
        change(&configuration)
        server = try await SyncServer.start(workspace, configuration)
    }

    func close() async {
        await server.shutdown(graceSeconds: 2)
        try? FileManager.default.removeItem(atPath: folder)
    }

    func newUser(_ name: String, _ role: Role = .rep, territories: [RecordID] = [Office.north]) async throws -> RecordID
    {
        let random = UInt64.random(in: .min ... .max)
        let id = RecordID(milliseconds: 1_790_000_000_000, randomHigh: random, randomLow: random)
        return try await server.perform { workspace in
            try workspace.setUser(id, name: name, role: role, territories: territories.map(\.description))
            return id
        }
    }

    func invite(_ user: RecordID) async throws -> InviteURL {
        let code = try await server.perform { try $0.invite(user: user, lifetimeSeconds: 900).code }
        return InviteURL(
            host: "127.0.0.1", port: server.port, workspace: "acme", code: code, fingerprint: identity?.fingerprint)
    }

    func home(_ name: String) -> String { "\(folder)/\(name)" }

    /// A device of a new user, joined and in step.
    func join(
        _ name: String, _ role: Role = .rep, territories: [RecordID] = [Office.north]
    ) async throws -> SyncClient {
        let invite = try await invite(newUser(name, role, territories: territories))
        return try await SyncClient.join(home: home(name), invite: invite, deviceName: name).client
    }
}

extension SyncClient {
    @discardableResult
    func add(_ name: String, territory: RecordID = Office.north, amount: Int64 = 1) throws -> RecordID {
        var id: RecordID?
        _ = try replica.write { write in
            id = try write.insert(
                into: "customer", ["name": .text(name), "territory": Value(territory), "amount": .integer(amount)])
        }
        guard let id else { throw CocoaError(.featureUnsupported) }
        return id
    }

    func names() throws -> [String] {
        try replica.read { try $0.rows("SELECT name FROM customer ORDER BY name") }.compactMap { $0.first?.textValue }
    }
}

/// Waits until `condition` holds, at most some seconds.
func eventually(_ seconds: Double = 10, _ condition: () async throws -> Bool) async throws -> Bool {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while ContinuousClock.now < deadline {
        if try await condition() { return true }
        try await Task.sleep(for: .milliseconds(20))
    }
    return try await condition()
}

/// What came, in order, from any thread.
final class Recorded<Element: Sendable>: Sendable {
    private let list = Mutex<[Element]>([])
    var all: [Element] { list.withLock { $0 } }
    func add(_ element: Element) { list.withLock { $0.append(element) } }
}

/// Counts from any thread.
final class Counter: Sendable {
    private let count = Atomic(0)
    var value: Int { count.load(ordering: .relaxed) }
    func add() { count.wrappingAdd(1, ordering: .relaxed) }
}
