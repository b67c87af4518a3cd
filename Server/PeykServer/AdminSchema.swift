import PeykModel

/// What applying a schema would do (rule T2).
///
/// Two forms: a whole schema, whose version may be left out; or only what is new,
/// `{"add": {"tables": […], "fields": {"customer": […]}}, "retire": ["customer.fax", "visit"], "drop": […]}`.
struct SchemaChange {
    let next: Schema
    /// What is new, a line each, as `table` or `table.field`.
    let added: [String]
    let retired: [String]
    let dropped: [String]
    /// What stays, with more words for an enum, other labels or another set of unique fields.
    let changed: [String]

    var isEmpty: Bool { added.isEmpty && retired.isEmpty && dropped.isEmpty && changed.isEmpty }

    /// - Throws: `SchemaError` where it does more than add, retire and drop.
    init(_ document: JSON, to schema: Schema) throws {
        let whole = ["add", "retire", "drop"].allSatisfy { document[$0] == nil }
        let json = whole ? Self.versioned(document, schema) : try Self.extended(schema, by: document)
        next = try Schema(json: json)
        var added: [String] = []
        var retired: [String] = []
        var dropped: [String] = []
        var changed: [String] = []
        for (index, table) in next.tables.enumerated() {
            guard let old = schema.table(at: index) else {
                added.append(table.name)
                continue
            }
            added += table.fields.dropFirst(old.fields.count).map { "\(table.name).\($0.name)" }
            if table.isRetired, !old.isRetired { retired.append(table.name) }
            if table.isDropped, !old.isDropped { dropped.append(table.name) }
            if table.unique != old.unique || table.labels != old.labels { changed.append(table.name) }
            for (before, after) in zip(old.fields, table.fields) {
                if after.isRetired, !before.isRetired { retired.append("\(table.name).\(after.name)") }
                if after.isDropped, !before.isDropped { dropped.append("\(table.name).\(after.name)") }
                var kept = before
                (kept.isRetired, kept.isDropped) = (after.isRetired, after.isDropped)
                if kept != after { changed.append("\(table.name).\(after.name)") }
            }
        }
        self.added = added
        self.retired = retired
        self.dropped = dropped
        self.changed = changed
        if next.tables != schema.tables { try schema.checkSuccessor(next) }
    }

    /// The version is the next one unless the file says another.
    private static func versioned(_ document: JSON, _ schema: Schema) -> JSON {
        guard case .object(var members) = document else { return document }
        let version = members["version"]?.integerValue
        if version == nil || version == schema.version { members["version"] = .integer(schema.version + 1) }
        return .object(members)
    }

    private static func extended(_ schema: Schema, by document: JSON) throws -> JSON {
        var tables = schema.json["tables"]?.arrayValue ?? []
        func place(of name: String) throws -> Int {
            guard let index = tables.firstIndex(where: { $0["name"]?.stringValue == name }) else {
                throw SchemaError(place: name, problem: "there is no such table")
            }
            return index
        }
        for (name, fields) in document["add"]?["fields"]?.objectValue ?? [:] {
            let index = try place(of: name)
            guard case .object(var table) = tables[index], let more = fields.arrayValue else { continue }
            let known = table["fields"]?.arrayValue ?? []
            // What is there already, as the file has it, is not added twice: a file may be applied again.
            table["fields"] = .array(known + more.filter { field in !known.contains { same($0, field) } })
            tables[index] = .object(table)
        }
        for word in ["retire", "drop"] {
            for name in (document[word]?.arrayValue ?? []).compactMap(\.stringValue) {
                try mark(name, word == "retire" ? "retired" : "dropped", &tables)
            }
        }
        tables += (document["add"]?["tables"]?.arrayValue ?? []).filter { table in
            !tables.contains { $0["name"] != nil && $0["name"] == table["name"] && isSame($0, table) }
        }
        return ["version": .integer(schema.version + 1), "tables": .array(tables)]
    }

    /// Sets a member of the table or field that `name` names, as `table` or `table.field`.
    private static func mark(_ name: String, _ member: String, _ tables: inout [JSON]) throws {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard parts.count <= 2, let index = tables.firstIndex(where: { $0["name"]?.stringValue == parts[0] }),
            case .object(var table) = tables[index]
        else { throw SchemaError(place: name, problem: "there is no such table; name it as table or table.field") }
        if parts.count == 1 {
            table[member] = true
        } else {
            guard var fields = table["fields"]?.arrayValue,
                let field = fields.firstIndex(where: { $0["name"]?.stringValue == parts[1] }),
                case .object(var members) = fields[field]
            else { throw SchemaError(place: name, problem: "there is no such field") }
            members[member] = true
            fields[field] = .object(members)
            table["fields"] = .array(fields)
        }
        tables[index] = .object(table)
    }

    /// Whether a field of the schema is what the file asks for: the file may leave out what is the default.
    private static func same(_ known: JSON, _ asked: JSON) -> Bool {
        guard known["name"] == asked["name"], let members = asked.objectValue else { return false }
        return members.allSatisfy { known[$0.key] == $0.value }
    }

    private static func isSame(_ known: JSON, _ asked: JSON) -> Bool {
        let (old, new) = (known["fields"]?.arrayValue ?? [], asked["fields"]?.arrayValue ?? [])
        return old.count == new.count && zip(old, new).allSatisfy { same($0, $1) }
    }

    var json: JSON {
        [
            "version": .integer(isEmpty ? next.version - 1 : next.version), "changes": .bool(!isEmpty),
            "added": .array(added.map { .string($0) }), "retired": .array(retired.map { .string($0) }),
            "dropped": .array(dropped.map { .string($0) }), "changed": .array(changed.map { .string($0) }),
        ]
    }
}

extension Admin {
    func checkSchema(_ document: JSON) throws -> JSON {
        let change = try SchemaChange(document, to: workspace.schema())
        try workspace.store.read { try workspace.checkDrops(change.next, $0) }
        return change.json
    }

    /// What is dropped is emptied by the next pass of collection, which is begun here.
    func applySchema(_ document: JSON) throws -> JSON {
        let change = try SchemaChange(document, to: workspace.schema())
        if !change.isEmpty { try workspace.adopt(change.next) }
        if !change.dropped.isEmpty { _ = try runRetention() }
        return change.json
    }
}
