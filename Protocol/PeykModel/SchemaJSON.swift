/// Why a schema, or a change of one, is refused.
public struct SchemaError: Error, Hashable, Sendable, CustomStringConvertible {
    public let place: String
    public let problem: String
    public init(place: String, problem: String) {
        self.place = place
        self.problem = problem
    }
    public var description: String { "\(place): \(problem)" }
}

extension Schema {
    public static let tablesMax = 200
    public static let fieldsMax = 500

    /// The workspace's own tables as JSON; the ledger is not listed.
    public var json: JSON {
        ["version": .integer(version), "tables": .array(ownTables.map(\.json))]
    }

    public init(json: JSON) throws(SchemaError) {
        guard let version = json["version"]?.integerValue, version >= 1 else {
            throw SchemaError(place: "schema", problem: "needs a “version” of 1 or more")
        }
        guard let list = json["tables"]?.arrayValue, list.count <= Self.tablesMax else {
            throw SchemaError(place: "schema", problem: "needs “tables”, at most \(Self.tablesMax)")
        }
        var tables: [Table] = []
        for item in list { tables.append(try Table(json: item)) }
        self.init(version: version, tables: tables)
        try validate()
    }

    /// Everything that holds for each schema that is in use.
    public func validate() throws(SchemaError) {
        var names: Set<String> = []
        for table in tables {
            guard names.insert(table.name).inserted else {
                throw SchemaError(place: table.name, problem: "the table is listed twice")
            }
            guard table.isLedger || Self.isName(table.name) else {
                throw SchemaError(
                    place: table.name,
                    problem: "a name is a–z, 0–9 and _, starts with a letter, and not with peyk_ or sqlite_")
            }
            guard table.fields.count <= Self.fieldsMax else {
                throw SchemaError(place: table.name, problem: "more than \(Self.fieldsMax) fields")
            }
            var fields: Set<String> = ["id"]
            for field in table.fields {
                let place = "\(table.name).\(field.name)"
                guard fields.insert(field.name).inserted else {
                    throw SchemaError(place: place, problem: "listed twice")
                }
                guard Self.isName(field.name) else { throw SchemaError(place: place, problem: "not a name") }
                try validate(field, of: table, place: place)
            }
            try validateKind(table)
            try validateRetirement(table)
        }
    }

    /// What is given up must not be needed by what stays (rule T2).
    private func validateRetirement(_ table: Table) throws(SchemaError) {
        guard table.isRetired || !table.isDropped else {
            throw SchemaError(place: table.name, problem: "a table is retired before it is dropped: retire it first")
        }
        let placing = Set(table.placingFields)
        for (index, field) in table.fields.enumerated() where field.isRetired || field.isDropped {
            let place = "\(table.name).\(field.name)"
            guard field.isRetired else {
                throw SchemaError(place: place, problem: "a field is retired before it is dropped: retire it first")
            }
            guard !placing.contains(index) else {
                throw SchemaError(
                    place: place, problem: "says whose the records are, or what they belong to: it cannot be retired")
            }
            guard !field.isRequired || !field.standingValue.isNull else {
                throw SchemaError(
                    place: place, problem: "is required and has no default: new records would have no value in it")
            }
            guard field.group == nil || table.fields.allSatisfy({ $0.group != field.group || $0.isRetired }) else {
                throw SchemaError(
                    place: place,
                    problem: "a group is retired whole (\(field.group ?? "")): its fields make sense together")
            }
        }
        guard table.isDropped else { return }
        for other in tables where !other.isDropped {
            for field in other.fields where field.isHard && field.type == .reference(table: table.name) {
                throw SchemaError(
                    place: table.name, problem: "is still needed by \(other.name).\(field.name); it cannot be dropped")
            }
        }
    }

    private static func isName(_ name: String) -> Bool {
        guard let first = name.utf8.first, (0x61...0x7A).contains(first), name.utf8.count <= 60,
            !name.hasPrefix("peyk_"), !name.hasPrefix("sqlite_")
        else { return false }
        return name.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F }
    }

    private func validate(_ field: Field, of table: Table, place: String) throws(SchemaError) {
        func require(_ holds: Bool, _ problem: String) throws(SchemaError) {
            guard holds else { throw SchemaError(place: place, problem: problem) }
        }
        switch field.policy {
        case .counter:
            try require(field.type == .integer, "a counter is an integer")
            try require(field.group == nil, "a counter stands alone")
        case .set: try require(field.type == .set && field.group == nil, "the policy set needs the type set, alone")
        case .text: try require(field.type == .text && field.group == nil, "the policy text needs the type text, alone")
        case .rank:
            try require(field.group == nil, "a rank stands alone")
            switch field.type {
            case .enumeration: break
            case .reference(let target):
                guard let rank = field.rank, let other = self.table(named: target) else {
                    throw SchemaError(place: place, problem: "a rank by reference names its order and kind")
                }
                try require(
                    other.fieldIndex(rank.order) != nil && other.fieldIndex(rank.kind) != nil,
                    "\(target) lacks \(rank.order) or \(rank.kind)")
            default: try require(false, "a rank is an enum or a reference")
            }
        default: break
        }
        if case .set = field.type {
            try require(field.policy == .set || field.policy == .server, "a set needs the policy set")
        }
        if case .reference(let target) = field.type {
            try require(tableIndex(target) != nil, "refers to \(target), which does not exist")
        }
        if case .money(let currency) = field.type {
            let other = table.fieldIndex(currency).map { table.fields[$0] }
            try require(other?.type == .text, "names the currency field \(currency), which is not a text of this table")
            try require(field.group != nil && other?.group == field.group, "must share a group with \(currency)")
        }
        if let group = field.group {
            let first = table.fields.first { $0.group == group }
            try require(first?.policy == field.policy, "all fields of the group \(group) need one policy")
            try require(
                table.fieldIndex(group) == nil || table.fields.contains { $0.name == group && $0.group == group },
                "the group \(group) has the name of a field outside it")
        }
        if case .failure(let error) = field.type.admit(field.defaultValue) {
            throw SchemaError(place: place, problem: "its default \(error)")
        }
    }

    private func validateKind(_ table: Table) throws(SchemaError) {
        func reference(_ name: String, _ what: String) throws(SchemaError) -> Table {
            guard let index = table.fieldIndex(name), case .reference(let target) = table.fields[index].type,
                let other = self.table(named: target)
            else { throw SchemaError(place: table.name, problem: "its \(what) \(name) is not a reference") }
            return other
        }
        switch table.kind {
        case .root(let audience, let lends):
            for name in [audience.territory, audience.owner].compactMap({ $0 }) {
                _ = try reference(name, "audience field")
            }
            if let lends {
                guard case .root(_, nil) = try reference(lends, "lent record").kind else {
                    throw SchemaError(
                        place: table.name, problem: "lends \(lends), which is not a root that lends nothing")
                }
            }
        case .child(let parents, _):
            guard !parents.isEmpty else { throw SchemaError(place: table.name, problem: "a child needs parents") }
            for name in parents {
                switch try reference(name, "parent").kind {
                case .root, .child: break
                default: throw SchemaError(place: table.name, problem: "its parent \(name) is not a root or a child")
                }
            }
        case .private(let owner): _ = try reference(owner, "owner")
        case .reference, .ledger: break
        }
    }
}

extension Table {
    public var json: JSON {
        var members: [String: JSON] = ["name": .string(name), "fields": .array(fields.map(\.json))]
        switch kind {
        case .root(let audience, let lends):
            members["kind"] = "root"
            members["territory"] = audience.territory.map { .string($0) }
            members["owner"] = audience.owner.map { .string($0) }
            members["collaborators"] = audience.collaborators.map { .string($0) }
            members["lends"] = lends.map { .string($0) }
        case .child(let parents, let owner):
            members["kind"] = "child"
            members["parents"] = .array(parents.map { .string($0) })
            members["owner"] = owner.map { .string($0) }
        case .reference: members["kind"] = "reference"
        case .private(let owner):
            members["kind"] = "private"
            members["owner"] = .string(owner)
        case .ledger: members["kind"] = "ledger"
        }
        if !unique.isEmpty { members["unique"] = .array(unique.map { .array($0.map { .string($0) }) }) }
        if isAppendOnly { members["append_only"] = true }
        if isRetired { members["retired"] = true }
        if isDropped { members["dropped"] = true }
        if !labels.isEmpty { members["labels"] = .object(labels.mapValues { .string($0) }) }
        return .object(members)
    }

    init(json: JSON) throws(SchemaError) {
        guard let name = json["name"]?.stringValue else {
            throw SchemaError(place: "tables", problem: "a table needs a name")
        }
        func text(_ key: String) -> String? { json[key]?.stringValue }
        let kind: TableKind
        switch text("kind") {
        case "root":
            kind = .root(
                AudienceFields(
                    territory: text("territory"), owner: text("owner"), collaborators: text("collaborators")),
                lends: text("lends"))
        case "child":
            kind = .child(parents: (json["parents"]?.arrayValue ?? []).compactMap(\.stringValue), owner: text("owner"))
        case "reference": kind = .reference
        case "private":
            guard let owner = text("owner") else {
                throw SchemaError(place: name, problem: "a private table names its owner")
            }
            kind = .private(owner: owner)
        default: throw SchemaError(place: name, problem: "its kind is not root, child, reference or private")
        }
        guard let list = json["fields"]?.arrayValue else { throw SchemaError(place: name, problem: "needs “fields”") }
        var fields: [Field] = []
        for item in list { fields.append(try Field(json: item, table: name)) }
        self.init(
            name, kind, fields: fields,
            unique: (json["unique"]?.arrayValue ?? []).map { ($0.arrayValue ?? []).compactMap(\.stringValue) },
            appendOnly: json["append_only"]?.boolValue ?? false, retired: json["retired"]?.boolValue ?? false,
            dropped: json["dropped"]?.boolValue ?? false, labels: Field.labels(json))
    }
}

extension Field {
    public var json: JSON {
        var members: [String: JSON] = [
            "name": .string(name), "type": .string(type.name), "policy": .string(policy.rawValue),
        ]
        switch type {
        case .money(let currency): members["currency"] = .string(currency)
        case .enumeration(let words): members["values"] = .array(words.map { .string($0) })
        case .reference(let table): members["table"] = .string(table)
        default: break
        }
        members["group"] = group.map { .string($0) }
        if isRequired { members["required"] = true }
        if isHard { members["hard"] = true }
        if let rank { members["rank"] = ["order": .string(rank.order), "kind": .string(rank.kind)] }
        if !defaultValue.isNull { members["default"] = JSON(defaultValue) }
        if isRetired { members["retired"] = true }
        if isDropped { members["dropped"] = true }
        if !labels.isEmpty { members["labels"] = .object(labels.mapValues { .string($0) }) }
        return .object(members)
    }

    static func labels(_ json: JSON) -> [String: String] {
        (json["labels"]?.objectValue ?? [:]).compactMapValues(\.stringValue)
    }

    init(json: JSON, table: String) throws(SchemaError) {
        guard let name = json["name"]?.stringValue else {
            throw SchemaError(place: table, problem: "a field needs a name")
        }
        let place = "\(table).\(name)"
        let type: FieldType
        switch json["type"]?.stringValue {
        case "integer": type = .integer
        case "double": type = .double
        case "text": type = .text
        case "blob": type = .blob
        case "bool": type = .bool
        case "date": type = .date
        case "instant": type = .instant
        case "set": type = .set
        case "money":
            guard let currency = json["currency"]?.stringValue else {
                throw SchemaError(place: place, problem: "money names its currency field")
            }
            type = .money(currency: currency)
        case "enum":
            let words = (json["values"]?.arrayValue ?? []).compactMap(\.stringValue)
            guard !words.isEmpty, Set(words).count == words.count else {
                throw SchemaError(place: place, problem: "an enum needs different values")
            }
            type = .enumeration(words)
        case "reference":
            guard let target = json["table"]?.stringValue else {
                throw SchemaError(place: place, problem: "a reference names its table")
            }
            type = .reference(table: target)
        default: throw SchemaError(place: place, problem: "unknown type")
        }
        guard let policy = Policy(rawValue: json["policy"]?.stringValue ?? "lww") else {
            throw SchemaError(place: place, problem: "unknown policy")
        }
        var rank: Rank?
        if let members = json["rank"], let order = members["order"]?.stringValue,
            let kind = members["kind"]?.stringValue
        {
            rank = Rank(order: order, kind: kind)
        }
        var defaultValue = Value.null
        if let member = json["default"] {
            guard let value = member.value, case .success(let admitted) = type.admit(value) else {
                throw SchemaError(place: place, problem: "its default is not of its type")
            }
            defaultValue = admitted
        }
        self.init(
            name, type, policy, group: json["group"]?.stringValue, required: json["required"]?.boolValue ?? false,
            hard: json["hard"]?.boolValue ?? false, rank: rank, default: defaultValue,
            retired: json["retired"]?.boolValue ?? false, dropped: json["dropped"]?.boolValue ?? false,
            labels: Self.labels(json))
    }
}
