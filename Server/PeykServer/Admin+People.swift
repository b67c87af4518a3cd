import PeykMerge
import PeykModel

/// Users, territories, invites and devices.
extension Admin {
    // MARK: - Users

    /// The user of this name or id.
    func user(_ name: String, _ reader: any StoreReader) throws -> UserDocument {
        if RecordID(name) != nil, let user = try reader.document(UserDocument.self, name) { return user }
        guard let user = try reader.documents(UserDocument.self).first(where: { $0.name == name }) else {
            throw AdminFailure(.missing, "There is no user “\(name)”. See “peykd user list”.")
        }
        return user
    }

    func addUser(name: String, role: Role, territories: [String]) throws -> JSON {
        guard !name.isEmpty, name.utf8.count <= 200, !name.utf8.contains(0) else {
            throw AdminFailure(.usage, "A user needs a name of at most 200 bytes.")
        }
        let (schema, ids, row) = try workspace.store.read { reader in
            guard try !reader.documents(UserDocument.self).contains(where: { $0.name == name }) else {
                throw AdminFailure(
                    .data, "There is a user “\(name)” already. Nothing was changed; see “peykd user set”.")
            }
            return (
                reader.schema, try territoryIDs(territories, reader),
                try reader.record(of: "user", where: "name", is: name)
            )
        }
        let id = row ?? newRecordID()
        if row == nil, schema.tableIndex("user") != nil {
            let values: [String: Value] = [
                "name": .text(name), "territory_id": ids.first.map { .text($0) } ?? .null,
            ]
            try act([try insertion("user", id, values, schema)])
        }
        let user = try workspace.setUser(id, name: name, role: role, territories: ids)
        return try workspace.store.read { try json(user, $0) }
    }

    func setUser(name: String, role: Role?, territories: [String]?, isDisabled: Bool?) throws -> JSON {
        let (user, ids) = try workspace.store.read { reader in
            (try self.user(name, reader), try territories.map { try territoryIDs($0, reader) })
        }
        let newRole = role ?? user.role
        let newTerritories = ids ?? user.territories
        if newRole != user.role || newTerritories != user.territories {
            try workspace.setUser(user.id, name: user.name, role: newRole, territories: newTerritories)
        }
        if let isDisabled, isDisabled != user.isDisabled {
            try workspace.setDisabled(user.id, isDisabled)
        }
        return try workspace.store.read { try json(try self.user(user.id.description, $0), $0) }
    }

    func users(_ reader: any StoreReader) throws -> JSON {
        let users = try reader.documents(UserDocument.self).sorted {
            $0.name.utf8.lexicographicallyPrecedes($1.name.utf8)
        }
        return .array(try users.map { try json($0, reader) })
    }

    private func json(_ user: UserDocument, _ reader: any StoreReader) throws -> JSON {
        let devices = try reader.documents(SiteDocument.self).filter {
            $0.user == user.id && !$0.isRevoked && $0.replacedBy == nil
        }
        return [
            "id": .string(user.id.description), "name": .string(user.name), "role": .string(user.role.rawValue),
            "territories": .array(try user.territories.map { .string(try territoryName($0, reader)) }),
            "disabled": .bool(user.isDisabled), "devices": .integer(Int64(devices.count)),
            "last_contact": devices.map(\.lastContact).max().map { $0 == 0 ? .null : .integer($0) } ?? .null,
        ]
    }

    // MARK: - Territories

    /// Ids of territories by name, code or id. Where the schema has no such table, the texts themselves.
    func territoryIDs(_ names: [String], _ reader: any StoreReader) throws -> [String] {
        guard let table = reader.schema.tableIndex("territory") else { return names }
        return try names.map { name in
            if let id = RecordID(name), try reader.record(RecordKey(table: table, record: id)) != nil { return name }
            let found =
                try reader.record(of: "territory", where: "name", is: name)
                ?? reader.record(of: "territory", where: "code", is: name)
                ?? reader.record(of: "territory", where: "name_fa", is: name)
            guard let found else {
                throw AdminFailure(
                    .missing, "There is no territory “\(name)”. Add it first: peykd territory add \"\(name)\"")
            }
            return found.description
        }
    }

    private func territoryName(_ id: String, _ reader: any StoreReader) throws -> String {
        guard let table = reader.schema.tableIndex("territory"), let record = RecordID(id),
            let row = try reader.record(RecordKey(table: table, record: record))?.state.row
        else { return id }
        return row.text(reader.schema.tables[table], "name") ?? id
    }

    func addTerritory(name: String, persianName: String?, code: String?) throws -> JSON {
        guard !name.isEmpty else { throw AdminFailure(.usage, "A territory needs a name.") }
        let schema = try workspace.store.read { reader in
            guard try reader.record(of: "territory", where: "name", is: name) == nil else {
                throw AdminFailure(.data, "There is a territory “\(name)” already. Nothing was changed.")
            }
            return reader.schema
        }
        let id = newRecordID()
        let values: [String: Value] = [
            "name": .text(name), "name_fa": persianName.map { .text($0) } ?? .null,
            "code": code.map { .text($0) } ?? .null,
        ]
        try act([try insertion("territory", id, values, schema)])
        return ["id": .string(id.description), "name": .string(name)]
    }

    func territories(_ reader: any StoreReader) throws -> JSON {
        guard let index = reader.schema.tableIndex("territory") else { return [] }
        let table = reader.schema.tables[index]
        var found: [JSON] = []
        let users = try reader.documents(UserDocument.self)
        try reader.records(of: index, after: nil) { id, record in
            let row = record.state.row
            let held = users.filter { $0.territories.contains(id.description) }.map(\.name).sorted()
            found.append([
                "id": .string(id.description), "name": .string(row.text(table, "name") ?? ""),
                "name_fa": row.text(table, "name_fa").map { .string($0) } ?? .null,
                "code": row.text(table, "code").map { .string($0) } ?? .null,
                "users": .array(held.map { .string($0) }),
            ])
            return true
        }
        return .array(found)
    }

    // MARK: - Invites and devices

    func invite(user name: String, seconds: Int64) throws -> JSON {
        guard (1...31 * 86_400).contains(seconds) else {
            throw AdminFailure(.usage, "An invite lives between one second and 31 days.")
        }
        let user = try workspace.store.read { try self.user(name, $0) }
        guard !user.isDisabled else {
            throw AdminFailure(.data, "“\(user.name)” is disabled; enable the user first. No invite was made.")
        }
        let invite = try workspace.invite(user: user.id, lifetimeSeconds: seconds)
        return [
            "workspace": .string(workspace.name), "user": .string(user.name), "code": .string(invite.code),
            "expires_at": .integer(invite.expiresAt),
        ]
    }

    func devices(_ reader: any StoreReader) throws -> JSON {
        let head = try reader.head()
        let names = Dictionary(try reader.documents(UserDocument.self).map { ($0.id, $0.name) }) { first, _ in first }
        // A copy stands under its origin (rule I3).
        let sites = try reader.documents(SiteDocument.self).map { site in
            (site: site, origin: try reader.listedOrigin(of: site))
        }.sorted { one, other in
            (one.site.family, one.origin == nil ? 0 : 1, one.site.createdAt, one.site.site)
                < (other.site.family, other.origin == nil ? 0 : 1, other.site.createdAt, other.site.site)
        }
        return .array(
            sites.map { site, origin in
                [
                    "site": .string(site.site.description), "family": .string(site.family.description),
                    "copy_of": origin.map { .string($0.description) } ?? .null,
                    "replaced_by": site.replacedBy.map { .string($0.description) } ?? .null,
                    "user": .string(names[site.user] ?? site.user.description), "device": .string(site.deviceName),
                    "state": .string(site.state),
                    "last_contact": site.lastContact == 0 ? .null : .integer(site.lastContact),
                    "anchor": .integer(site.applied), "lag": .integer(max(0, head - site.applied)),
                    "pending": .integer(site.pending), "commits": .integer(site.lastSeq),
                    "program": .string(site.program), "schema_version": .integer(site.schemaVersion),
                    "enrolled_at": .integer(site.createdAt),
                ]
            })
    }

    func revokeDevice(_ text: String) throws -> JSON {
        let revoked = try workspace.revoke(try device(text))
        return try workspace.store.read { reader in
            let listed = try devices(reader).arrayValue ?? []
            let sites = Set(revoked.map(\.description))
            return [
                "revoked": .array(revoked.map { .string($0.description) }),
                "devices": .array(listed.filter { sites.contains($0["site"]?.stringValue ?? "") }),
            ]
        }
    }

    func allowDevice(_ text: String) throws -> JSON {
        let allowed = try workspace.allow(try device(text))
        return ["allowed": .array(allowed.map { .string($0.description) })]
    }

    /// A site of the family that the first digits name.
    private func device(_ text: String) throws -> SiteID {
        let sites = try workspace.store.read { try $0.documents(SiteDocument.self) }
        let found = sites.filter { $0.site.description.hasPrefix(text.lowercased()) }
        guard !text.isEmpty, let first = found.first else {
            throw AdminFailure(.missing, "There is no device \(text). See “peykd device list”.")
        }
        guard Set(found.map(\.family)).count == 1 else {
            throw AdminFailure(.usage, "Several devices begin with \(text); give more of the site.")
        }
        return first.site
    }
}
