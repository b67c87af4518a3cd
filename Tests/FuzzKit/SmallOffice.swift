import Crypto
import PeykCRM
import PeykModel
import PeykServer
import PeykSession
import Synchronization

/// The field-sales workspace with one rep, one territory, one customer and one opportunity; the same bits each time.
///
/// Made once; each input works on a copy of its store.
struct SmallOffice {
    let store: MemoryStore
    let keys: WorkspaceKeys
    let enrolled: Enrolled
    let deviceKey: Curve25519.Signing.PrivateKey
    /// Not redeemed yet.
    let code: String

    static let territory = id(1)
    static let user = id(2)
    static let customer = id(3)
    static let opportunity = id(4)
    static let fingerprint = [UInt8](repeating: 9, count: 32)
    static let now: Int64 = 1_790_000_000_000

    static let shared: Result<SmallOffice, any Error> = Result { try SmallOffice() }

    static func id(_ number: UInt64) -> RecordID {
        RecordID(milliseconds: 1_790_000_000_000, randomHigh: 0, randomLow: number << 2)
    }

    init() throws {
        store = MemoryStore()
        let environment = Self.environment(seed: 1)
        keys = try WorkspaceKeys.generate { environment.random($0) }
        deviceKey = try Curve25519.Signing.PrivateKey(rawRepresentation: [UInt8](repeating: 7, count: 32))
        let workspace = try Workspace.create(
            name: "sales", schema: FieldSales.schema, store: store, keys: keys, environment: environment)
        let stages = FieldSales.seedRows.map { Self.insert($0.table, $0.record, row: $0.row) }
        try Self.act(workspace, stages)
        try Self.act(
            workspace,
            [
                Self.insert("territory", Self.territory, ["name": .text("North")]),
                Self.insert("user", Self.user, ["name": .text("Anna")]),
            ])
        try Self.act(
            workspace,
            [
                Self.insert(
                    "customer", Self.customer,
                    ["name": .text("Acme"), "territory_id": Value(Self.territory), "owner_id": Value(Self.user)])
            ])
        if let stage = FieldSales.seedRows.first(where: { $0.table == "stage" }) {
            try Self.act(
                workspace,
                [
                    Self.insert(
                        "opportunity", Self.opportunity,
                        [
                            "name": .text("Pump"), "customer_id": Value(Self.customer),
                            "stage_id": Value(stage.record), "territory_id": Value(Self.territory),
                            "owner_id": Value(Self.user),
                        ])
                ])
        }
        try workspace.setUser(Self.user, name: "Anna", role: .rep, territories: [Self.territory.description])
        let first = try workspace.invite(user: Self.user, lifetimeSeconds: 3_600).code
        code = try workspace.invite(user: Self.user, lifetimeSeconds: 3_600).code
        let challenge = workspace.challenge()
        var enrol = Enrol(
            code: first, deviceKey: Array(deviceKey.publicKey.rawRepresentation), deviceName: "laptop", signature: [])
        enrol.signature = Array(
            try deviceKey.signature(
                for: Enrol.signedBytes(challenge: challenge.nonce, fingerprint: Self.fingerprint, code: first)))
        enrolled = try workspace.enrol(enrol, challenge: challenge, fingerprint: Self.fingerprint)
    }

    private static func act(_ workspace: Workspace, _ changes: [Change]) throws {
        let outcome = try workspace.serverCommit(changes)
        must(
            outcome.answer.verdict == .merged && outcome.answer.notices.isEmpty,
            "the office can be set up: \(outcome.answer)")
    }

    /// A workspace of its own that stands where this one does.
    func copy() throws -> Workspace {
        try Workspace(store: MemoryStore(copying: store), keys: keys, environment: Self.environment(seed: 2))
    }

    static func environment(seed: UInt64) -> ServerEnvironment {
        let state = Mutex(seed)
        let bytes: @Sendable (Int) -> [UInt8] = { count in
            state.withLock { state in
                (0..<count).map { _ in
                    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    return UInt8(truncatingIfNeeded: state >> 56)
                }
            }
        }
        return ServerEnvironment(now: { now }, random: bytes)
    }

    // MARK: - Changes by name

    static func insert(_ table: String, _ record: RecordID, _ values: [String: Value]) -> Change {
        guard let place = FieldSales.schema.tableIndex(table), let shape = FieldSales.schema.table(at: place) else {
            return Change(table: -1, record: record, kind: .insert)
        }
        var row = Row.empty(shape)
        for (name, value) in values { if let index = shape.fieldIndex(name) { row[index] = value } }
        return insert(table, record, row: row)
    }

    static func insert(_ table: String, _ record: RecordID, row: Row) -> Change {
        guard let place = FieldSales.schema.tableIndex(table), let shape = FieldSales.schema.table(at: place) else {
            return Change(table: -1, record: record, kind: .insert)
        }
        let cells = shape.cells.filter { cell in cell.fields.contains { !row[$0].isNull } }.compactMap {
            cell -> CellChange? in
            switch cell.policy {
            case .counter: row[cell.tag].integerValue.map { CellChange(cell: cell.tag, write: .add($0)) }
            case .set:
                row[cell.tag].textValue.flatMap { ValueSet(json: $0) }.map {
                    CellChange(cell: cell.tag, write: .elements(added: $0.elements, removed: []))
                }
            case .text: CellChange(cell: cell.tag, write: .text(base: nil, new: row[cell.tag].textValue))
            default: CellChange(cell: cell.tag, write: .assign(cell.fields.map { row[$0] }))
            }
        }
        return Change(table: place, record: record, kind: .insert, cells: cells.sorted { $0.cell < $1.cell })
    }
}
