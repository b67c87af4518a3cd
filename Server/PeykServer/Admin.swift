import PeykMerge
import PeykModel
import PeykSession

/// Runs IT's requests on a workspace. Every one is whole or not at all.
public struct Admin: Sendable {
    let workspace: Workspace
    /// Errors of the layers below, such as the store's, as what is told.
    private let told: @Sendable (any Error) -> AdminFailure

    public init(
        _ workspace: Workspace,
        told: @escaping @Sendable (any Error) -> AdminFailure = { AdminFailure(.internal, "\($0)") }
    ) {
        self.workspace = workspace
        self.told = told
    }

    /// Never throws: what goes wrong is the reply.
    public func run(_ request: AdminRequest) -> AdminReply {
        do {
            return .done(try document(request))
        } catch let failure as AdminFailure {
            return .failed(failure)
        } catch let error as SchemaError {
            return .failed(AdminFailure(.data, "The schema is not taken: \(error). Nothing was changed."))
        } catch let refusal as Refusal {
            return .failed(AdminFailure(.data, refusal.message))
        } catch {
            return .failed(told(error))
        }
    }

    private func document(_ request: AdminRequest) throws -> JSON {
        switch request {
        case .status: try status()
        case .addUser(let name, let role, let territories):
            try addUser(name: name, role: role, territories: territories)
        case .setUser(let name, let role, let territories, let isDisabled):
            try setUser(name: name, role: role, territories: territories, isDisabled: isDisabled)
        case .listUsers: try workspace.store.read { try users($0) }
        case .addTerritory(let name, let persianName, let code):
            try addTerritory(name: name, persianName: persianName, code: code)
        case .listTerritories: try workspace.store.read { try territories($0) }
        case .invite(let user, let seconds): try invite(user: user, seconds: seconds)
        case .listDevices: try workspace.store.read { try devices($0) }
        case .revokeDevice(let site): try revokeDevice(site)
        case .allowDevice(let site): try allowDevice(site)
        case .listQuarantine(let all): try workspace.store.read { try quarantine($0, all: all) }
        case .showQuarantined(let id): try workspace.store.read { try quarantined(id, $0) }
        case .releaseQuarantined(let id): try decide(.released, id)
        case .discardQuarantined(let id): try decide(.discarded, id)
        case .showSchema: try workspace.schema().json
        case .checkSchema(let json): try checkSchema(json)
        case .applySchema(let json): try applySchema(json)
        case .listConflicts(let all, let table, let limit):
            try workspace.store.read { try conflicts($0, all: all, table: table, limit: limit) }
        case .showConflict(let id): try workspace.store.read { try conflict($0, id) }
        case .settleConflict(let id): try settle(id)
        case .history(let place): try workspace.store.read { try AdminHistory($0).document(of: place) }
        case .bundle(let place, let withValues): try bundle(place, withValues: withValues)
        case .verify: try workspace.store.read { try verify($0) }
        case .commit(let bytes): try commit(bytes)
        case .showRetention: try workspace.store.read { try retention($0) }
        case .setRetention(let lease, let log, let tombstones):
            try setRetention(lease: lease, log: log, tombstones: tombstones)
        case .runRetention: try runRetention()
        case .closeRefill: try closeRefill()
        case .supersede(let epoch): try supersede(epoch)
        }
    }

    // MARK: - Status

    private func status() throws -> JSON {
        try workspace.store.read { reader in
            let identity = try reader.workspaceDocument()
            let clock = try reader.clockDocument()
            let sites = try reader.documents(SiteDocument.self)
            let rows = try reader.schema.tables.indices.map { index in
                (reader.schema.tables[index].name, JSON.integer(try reader.count(of: index)))
            }
            let members: [String: JSON] = [
                "workspace": .string(identity.name),
                "epoch": .string(identity.lineage.epoch?.description ?? ""),
                "head": .integer(try reader.head()),
                "schema_version": .integer(reader.schema.version),
                "created_at": .integer(identity.createdAt),
                "last_stamp": .integer(clock.last.milliseconds),
                "log_horizon": .integer(clock.logHorizon),
                "backup_horizon": .integer(clock.backupHorizon),
                "users": .integer(Int64(try reader.documents(UserDocument.self).count)),
                "devices": .integer(Int64(sites.count { !$0.isRevoked && $0.replacedBy == nil })),
                "pending_declared": .integer(sites.reduce(0) { $0 + $1.pending }),
                "quarantined": .integer(
                    Int64(try reader.documents(QuarantineDocument.self).count { $0.state == .waiting })),
                "conflicts_open": .integer(try openConflicts(reader)),
                "retention": try retention(reader),
                "rows": .object(Dictionary(rows) { first, _ in first }),
            ]
            return .object(members.merging(try restoreStatus(reader)) { first, _ in first })
        }
    }

    // MARK: - Acts

    private func commit(_ bytes: [UInt8]) throws -> JSON {
        let body: CommitBody
        do {
            body = try CommitBody(decoding: bytes)
        } catch {
            throw AdminFailure(.data, "The changes cannot be read: \(error). Nothing was changed.")
        }
        return try act(body.changes, body.operations)
    }

    /// Writes as the server; all of it or an error that says what was wrong.
    @discardableResult
    func act(_ changes: [Change], _ operations: [Operation] = []) throws -> JSON {
        let outcome = try workspace.serverCommit(changes, operations: operations)
        let refused = outcome.answer.notices.filter { $0.code.parks }
        if outcome.answer.verdict == .refused || !refused.isEmpty {
            let schema = try workspace.schema()
            let reasons = refused.prefix(5).map { notice in
                let change = changes.indices.contains(notice.change) ? changes[notice.change] : nil
                let name = change.flatMap { schema.table(at: $0.table)?.name }
                let place = name.map { "\($0)/\(change?.record.description ?? "")" } ?? "the commit"
                return "\(place): \(notice.code.explanation)\(notice.detail.isEmpty ? "" : " (\(notice.detail))")"
            }
            throw AdminFailure(.data, reasons.joined(separator: "; "))
        }
        return ["position": .integer(outcome.position)]
    }

    /// A new id: UUIDv7.
    func newRecordID() -> RecordID {
        let random = workspace.environment.bits()
        return RecordID(
            milliseconds: UInt64(clamping: workspace.environment.now()), randomHigh: random.high,
            randomLow: random.low)
    }

    /// A change that inserts a row with these values; names that the table lacks are left out.
    func insertion(_ table: String, _ record: RecordID, _ values: [String: Value], _ schema: Schema) throws -> Change {
        guard let index = schema.tableIndex(table) else {
            throw AdminFailure(.missing, "This workspace has no table \(table).")
        }
        var row = Row.empty(schema.tables[index])
        for (name, value) in values {
            if let field = schema.tables[index].fieldIndex(name) { row[field] = value }
        }
        guard let change = Change.make(table: index, record: record, before: nil, after: row, in: schema) else {
            throw AdminFailure(.internal, "A row of \(table) could not be made.")
        }
        return change
    }
}

extension StoreReader {
    /// The living record of `table` whose text field `field` is `text`; nil where there is none.
    func record(of table: String, where field: String, is text: String) throws -> RecordID? {
        guard let index = schema.tableIndex(table), let place = schema.tables[index].fieldIndex(field) else {
            return nil
        }
        return try records(of: index, matching: [place], [.text(text)]).first
    }

    /// The one record that `text`, an id or its first digits, names. Tombstones by their whole id only.
    func resolve(_ text: String, table index: Int) throws -> RecordKey {
        guard let table = schema.table(at: index) else { throw AdminFailure(.missing, "There is no such table.") }
        if let id = RecordID(text) {
            let key = RecordKey(table: index, record: id)
            guard try record(key) != nil else { throw AdminFailure(.missing, "There is no \(table.name) \(text).") }
            return key
        }
        let zero = "00000000-0000-0000-0000-000000000000"
        guard text.utf8.count >= 4, text.utf8.count < 36,
            let floor = RecordID(text + zero.dropFirst(text.utf8.count))
        else {
            throw AdminFailure(.usage, "“\(text)” is not an id. Give a whole id, or at least its first four digits.")
        }
        var found: [RecordID] = []
        if try record(RecordKey(table: index, record: floor))?.state.isAlive == true { found.append(floor) }
        try records(of: index, after: floor) { id, _ in
            guard id.description.hasPrefix(text) else { return false }
            found.append(id)
            return found.count < 2
        }
        guard let first = found.first else {
            throw AdminFailure(.missing, "There is no \(table.name) whose id begins with \(text).")
        }
        guard found.count == 1 else {
            throw AdminFailure(.usage, "Several records of \(table.name) begin with \(text); give more of the id.")
        }
        return RecordKey(table: index, record: first)
    }
}
