public import PeykModel

/// A user of the workspace, and what she may read and write since when (rules S1, S4).
public struct UserDocument: Document {
    public static let collection = "user"
    public var key: String { id.description }

    public struct GrantRecord: Hashable, Sendable {
        /// Holds for positions above this one.
        public var after: Position
        public var role: Role
        /// Ids of territory records.
        public var territories: [String]
        public var version: Int64

        public init(after: Position, role: Role, territories: [String], version: Int64) {
            self.after = after
            self.role = role
            self.territories = territories
            self.version = version
        }
    }

    public var id: RecordID
    public var name: String
    public var isDisabled: Bool
    /// Ascending; the last holds now. Never empty.
    public private(set) var grants: [GrantRecord]
    /// What she may read and write now. Kept, since each greeting asks it of all users.
    public private(set) var grant: Grant

    public init(id: RecordID, name: String, isDisabled: Bool = false, grants: [GrantRecord]) {
        self.id = id
        self.name = name
        self.isDisabled = isDisabled
        let grants = grants.isEmpty ? [GrantRecord(after: 0, role: .viewer, territories: [], version: 1)] : grants
        self.grants = grants
        grant = Self.grant(of: grants[grants.count - 1], to: id)
    }

    public var present: GrantRecord { grants[grants.count - 1] }
    public var role: Role { present.role }
    public var territories: [String] { present.territories }

    /// What she held at `position`: the territories of then, with the rights of her present role, since a right
    /// or role that was taken away is gone (rule S4). Nil where she was no user then.
    public func grant(at position: Position) -> Grant? {
        guard var record = grants.last(where: { $0.after <= position }) else { return nil }
        record.role = present.role
        return Self.grant(of: record, to: id)
    }

    public mutating func append(_ record: GrantRecord) {
        grants.append(record)
        grant = Self.grant(of: record, to: id)
    }

    private static func grant(of record: GrantRecord, to id: RecordID) -> Grant {
        record.role.grant(user: id.description, territories: record.territories, version: record.version)
    }

    public var json: JSON {
        [
            "id": .string(id.description), "name": .string(name), "disabled": .bool(isDisabled),
            "role": .string(role.rawValue), "territories": .array(territories.map { .string($0) }),
            "grants": .array(
                grants.map { record in
                    [
                        "after": .integer(record.after), "role": .string(record.role.rawValue),
                        "territories": .array(record.territories.map { .string($0) }),
                        "version": .integer(record.version),
                    ]
                }),
        ]
    }

    public init?(json: JSON) {
        guard let id = json["id"]?.stringValue.flatMap({ RecordID($0) }), let name = json["name"]?.stringValue,
            let items = json["grants"]?.arrayValue, !items.isEmpty
        else { return nil }
        var grants: [GrantRecord] = []
        for item in items {
            guard let after = item["after"]?.integerValue, let version = item["version"]?.integerValue,
                let role = item["role"]?.stringValue.flatMap({ Role(rawValue: $0) })
            else { return nil }
            grants.append(
                GrantRecord(
                    after: after, role: role,
                    territories: (item["territories"]?.arrayValue ?? []).compactMap(\.stringValue), version: version))
        }
        self.init(id: id, name: name, isDisabled: json["disabled"]?.boolValue ?? false, grants: grants)
    }
}

/// A single-use invite; its key is the hash of the code, which is kept nowhere (rule I1).
public struct InviteDocument: Document {
    public static let collection = "invite"
    public var key: String { codeHash }

    /// SHA-256 of the code's text, in hex.
    public var codeHash: String
    public var user: RecordID
    /// Unix milliseconds.
    public var createdAt: Int64
    public var expiresAt: Int64
    /// The device that redeemed it, its site, and when.
    public var usedBy: [UInt8]?
    public var site: SiteID?
    public var usedAt: Int64?

    public init(codeHash: String, user: RecordID, createdAt: Int64, expiresAt: Int64) {
        self.codeHash = codeHash
        self.user = user
        self.createdAt = createdAt
        self.expiresAt = expiresAt
    }

    public var json: JSON {
        var members: [String: JSON] = [
            "code_hash": .string(codeHash), "user": .string(user.description), "created_at": .integer(createdAt),
            "expires_at": .integer(expiresAt),
        ]
        members["used_by"] = usedBy.map { .string($0.hex) }
        members["site"] = site.map { .string($0.description) }
        members["used_at"] = usedAt.map { .integer($0) }
        return .object(members)
    }

    public init?(json: JSON) {
        guard let hash = json["code_hash"]?.stringValue,
            let user = json["user"]?.stringValue.flatMap({ RecordID($0) }),
            let createdAt = json["created_at"]?.integerValue, let expiresAt = json["expires_at"]?.integerValue
        else { return nil }
        self.init(codeHash: hash, user: user, createdAt: createdAt, expiresAt: expiresAt)
        usedBy = json["used_by"]?.stringValue.flatMap { [UInt8](hex: $0) }
        site = json["site"]?.stringValue.flatMap { SiteID($0) }
        usedAt = json["used_at"]?.integerValue
    }
}
