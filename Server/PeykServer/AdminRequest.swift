public import PeykModel

/// What IT asks of a workspace: a value with a JSON form, so that it can be run in the process of a running server
/// (over its control socket) or directly on the store when the server is down.
public enum AdminRequest: Hashable, Sendable {
    case status
    case addUser(name: String, role: Role, territories: [String])
    /// What is nil stays as it is.
    case setUser(name: String, role: Role?, territories: [String]?, isDisabled: Bool?)
    case listUsers
    case addTerritory(name: String, persianName: String?, code: String?)
    case listTerritories
    case invite(user: String, seconds: Int64)
    case listDevices
    /// A site, or the first digits of one; takes its whole family (rule I3).
    case revokeDevice(String)
    /// Takes the revocation of a family back.
    case allowDevice(String)
    /// Commits of devices and users that were shut out; with `all`, those decided on too.
    case listQuarantine(all: Bool)
    /// A site or a commit, by its first digits.
    case showQuarantined(String)
    case releaseQuarantined(String)
    case discardQuarantined(String)
    case showSchema
    /// A whole schema, or `{"add": …}`: see ``SchemaChange``.
    case checkSchema(JSON)
    case applySchema(JSON)
    /// Entries of the ledger; with `all`, the settled and noted ones too.
    case listConflicts(all: Bool, table: String?, limit: Int64)
    case showConflict(String)
    case settleConflict(String)
    case history(RecordPlace)
    /// What was decided about a record, to be decided again elsewhere; values are hidden unless they are wanted.
    case bundle(RecordPlace, withValues: Bool)
    /// The store against itself: hashes, rows against the log.
    case verify
    /// One act of the server: the changes of a sealed body, by IT (imports).
    case commit([UInt8])
    /// What is kept, and what holds it back (rule T1).
    case showRetention
    /// Seconds; what is nil stays as it is.
    case setRetention(lease: Int64?, log: Int64?, tombstones: Int64?)
    /// Collects what may go, now.
    case runRetention
    /// Ends the refill after a restore (rule I7): what waits is merged as it is.
    case closeRefill
    /// IT's word that an epoch is dead (rule I6).
    case supersede(String)

    /// A record, and a field of it or nil for all, as people write them: `table/id[.field]`.
    public struct RecordPlace: Hashable, Sendable {
        public var table: String
        /// An id, or the first digits of one.
        public var record: String
        public var field: String?

        public init(table: String, record: String, field: String? = nil) {
            self.table = table
            self.record = record
            self.field = field
        }

        /// Reads `table/id` and `table/id.field`; nil for anything else.
        public init?(_ text: String) {
            let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
            let rest = parts[1].split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
            self.init(
                table: String(parts[0]), record: String(rest[0]), field: rest.count == 2 ? String(rest[1]) : nil)
        }
    }

    /// Whether it changes anything: such requests run between the committer's groups.
    public var isWrite: Bool {
        switch self {
        case .allowDevice, .releaseQuarantined, .discardQuarantined: true
        case .addUser, .setUser, .addTerritory, .invite, .revokeDevice, .applySchema, .settleConflict, .commit,
            .setRetention, .runRetention, .closeRefill, .supersede:
            true
        default: false
        }
    }
}

// MARK: - JSON

extension AdminRequest {
    public var json: JSON {
        switch self {
        case .status: ["do": "status"]
        case .addUser(let name, let role, let territories):
            [
                "do": "user-add", "name": .string(name), "role": .string(role.rawValue),
                "territories": .array(territories.map { .string($0) }),
            ]
        case .setUser(let name, let role, let territories, let isDisabled):
            Self.object(
                "user-set",
                [
                    "name": .string(name), "role": role.map { .string($0.rawValue) },
                    "territories": territories.map { .array($0.map { .string($0) }) },
                    "disabled": isDisabled.map { .bool($0) },
                ])
        case .listUsers: ["do": "user-list"]
        case .addTerritory(let name, let persianName, let code):
            Self.object(
                "territory-add",
                [
                    "name": .string(name), "name_fa": persianName.map { .string($0) },
                    "code": code.map { .string($0) },
                ])
        case .listTerritories: ["do": "territory-list"]
        case .invite(let user, let seconds): ["do": "invite", "user": .string(user), "seconds": .integer(seconds)]
        case .listDevices: ["do": "device-list"]
        case .revokeDevice(let site): ["do": "device-revoke", "site": .string(site)]
        case .allowDevice(let site): ["do": "device-allow", "site": .string(site)]
        case .listQuarantine(let all): ["do": "quarantine-list", "all": .bool(all)]
        case .showQuarantined(let id): ["do": "quarantine-show", "id": .string(id)]
        case .releaseQuarantined(let id): ["do": "quarantine-release", "id": .string(id)]
        case .discardQuarantined(let id): ["do": "quarantine-discard", "id": .string(id)]
        case .showSchema: ["do": "schema-show"]
        case .checkSchema(let schema): ["do": "schema-check", "schema": schema]
        case .applySchema(let schema): ["do": "schema-apply", "schema": schema]
        case .listConflicts(let all, let table, let limit):
            Self.object(
                "conflict-list",
                ["all": .bool(all), "table": table.map { .string($0) }, "limit": .integer(limit)])
        case .showConflict(let id): ["do": "conflict-show", "id": .string(id)]
        case .settleConflict(let id): ["do": "conflict-settle", "id": .string(id)]
        case .history(let place):
            Self.object(
                "history",
                [
                    "table": .string(place.table), "record": .string(place.record),
                    "field": place.field.map { .string($0) },
                ])
        case .bundle(let place, let withValues):
            [
                "do": "bundle", "table": .string(place.table), "record": .string(place.record),
                "values": .bool(withValues),
            ]
        case .verify: ["do": "verify"]
        case .commit(let bytes): ["do": "commit", "body": .string(bytes.hex)]
        case .showRetention: ["do": "retention-show"]
        case .setRetention(let lease, let log, let tombstones):
            Self.object(
                "retention-set",
                [
                    "lease": lease.map { .integer($0) }, "log": log.map { .integer($0) },
                    "tombstones": tombstones.map { .integer($0) },
                ])
        case .runRetention: ["do": "retention-run"]
        case .closeRefill: ["do": "refill-close"]
        case .supersede(let epoch): ["do": "epoch-supersede", "epoch": .string(epoch)]
        }
    }

    private static func object(_ word: String, _ members: [String: JSON?]) -> JSON {
        var all = members.compactMapValues { $0 }
        all["do"] = .string(word)
        return .object(all)
    }

    /// Nil for what is no request, such as one of a newer program.
    public init?(json: JSON) {
        func text(_ key: String) -> String? { json[key]?.stringValue }
        func texts(_ key: String) -> [String]? { json[key]?.arrayValue?.compactMap(\.stringValue) }
        let request: AdminRequest?
        switch text("do") {
        case "status": request = .status
        case "user-add":
            guard let name = text("name"), let role = text("role").flatMap({ Role(rawValue: $0) }) else { return nil }
            request = .addUser(name: name, role: role, territories: texts("territories") ?? [])
        case "user-set":
            request = text("name").map {
                .setUser(
                    name: $0, role: text("role").flatMap { Role(rawValue: $0) }, territories: texts("territories"),
                    isDisabled: json["disabled"]?.boolValue)
            }
        case "user-list": request = .listUsers
        case "territory-add":
            request = text("name").map { .addTerritory(name: $0, persianName: text("name_fa"), code: text("code")) }
        case "territory-list": request = .listTerritories
        case "invite":
            guard let user = text("user"), let seconds = json["seconds"]?.integerValue else { return nil }
            request = .invite(user: user, seconds: seconds)
        case "device-list": request = .listDevices
        case "bundle":
            guard let table = text("table"), let record = text("record") else { return nil }
            request = .bundle(
                RecordPlace(table: table, record: record), withValues: json["values"]?.boolValue ?? false)
        case "verify": request = .verify
        case "device-allow": request = text("site").map { .allowDevice($0) }
        case "quarantine-list": request = .listQuarantine(all: json["all"]?.boolValue ?? false)
        case "quarantine-show": request = text("id").map { .showQuarantined($0) }
        case "quarantine-release": request = text("id").map { .releaseQuarantined($0) }
        case "quarantine-discard": request = text("id").map { .discardQuarantined($0) }
        case "device-revoke": request = text("site").map { .revokeDevice($0) }
        case "schema-show": request = .showSchema
        case "schema-check": request = json["schema"].map { .checkSchema($0) }
        case "schema-apply": request = json["schema"].map { .applySchema($0) }
        case "conflict-list":
            request = .listConflicts(
                all: json["all"]?.boolValue ?? false, table: text("table"),
                limit: json["limit"]?.integerValue ?? .max)
        case "conflict-show": request = text("id").map { .showConflict($0) }
        case "conflict-settle": request = text("id").map { .settleConflict($0) }
        case "history":
            guard let table = text("table"), let record = text("record") else { return nil }
            request = .history(RecordPlace(table: table, record: record, field: text("field")))
        case "retention-show": request = .showRetention
        case "retention-set":
            request = .setRetention(
                lease: json["lease"]?.integerValue, log: json["log"]?.integerValue,
                tombstones: json["tombstones"]?.integerValue)
        case "retention-run": request = .runRetention
        case "commit": request = text("body").flatMap { [UInt8](hex: $0) }.map { .commit($0) }
        case "refill-close": request = .closeRefill
        case "epoch-supersede": request = text("epoch").map { .supersede($0) }
        default: request = nil
        }
        guard let request else { return nil }
        self = request
    }
}

/// What became of a request: a document, or why there is none.
public enum AdminReply: Hashable, Sendable {
    case done(JSON)
    case failed(AdminFailure)

    public var json: JSON {
        switch self {
        case .done(let document): ["done": document]
        case .failed(let failure):
            ["failed": .string(failure.kind.rawValue), "message": .string(failure.message)]
        }
    }

    public init?(json: JSON) {
        if let document = json["done"] {
            self = .done(document)
        } else if let message = json["message"]?.stringValue {
            let kind = json["failed"]?.stringValue.flatMap { AdminFailure.Kind(rawValue: $0) }
            self = .failed(AdminFailure(kind ?? .internal, message))
        } else {
            return nil
        }
    }
}

/// Why a request was not done: for a person, with a kind for the exit code.
public struct AdminFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: String, Hashable, Sendable {
        case usage, data, missing, `internal`
        /// The same again may succeed.
        case busy
        /// Reading or writing failed: the disk is full.
        case disk
        /// A file cannot be made where it was asked for.
        case create
    }

    public let kind: Kind
    public let message: String

    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    public var description: String { message }
}
