import PeykModel
import SeededRandom

/// Draws what IT might ask of `peykd schema apply`: a document that fits the present schema, or must be refused.
struct SchemaEvolution {
    struct Wish {
        var what: String
        var document: JSON
        var verdict: Verdict
    }

    enum Verdict {
        /// It only adds, or retires what may be retired.
        case taken
        /// It changes what never changes (rule T2).
        case refused
        /// A drop, which waits for devices.
        case either
    }

    private let schema: Schema
    private var random: SplitMix64

    init(_ schema: Schema, seed: UInt64) {
        self.schema = schema
        random = SplitMix64(seed: seed)
    }

    mutating func next() -> Wish {
        let wish =
            switch random.draw(100) {
            case 0..<40: addFields()
            case 40..<55: addTable()
            case 55..<70: retireField()
            case 70..<77: retireTable()
            case 77..<88: drop()
            case 88..<93: addWords()
            default: forbidden()
            }
        return wish ?? addFields()
    }

    // MARK: What is added

    private mutating func addFields() -> Wish {
        let tables = schema.ownTables.filter { !$0.isRetired && $0.fields.count < 40 }
        let table = random.pickIfAny(Array(tables)) ?? TestSchema.schema.tables[4]
        var fields: [Field] = []
        for number in 0..<(1 + random.draw(2)) { fields += cell(named: "v\(schema.version)_\(number)", of: table) }
        let names = fields.map { "\(table.name).\($0.name)" }.joined(separator: ", ")
        let added: JSON = .array(fields.map(\.json))
        return Wish(what: "add \(names)", document: ["add": ["fields": .object([table.name: added])]], verdict: .taken)
    }

    /// One cell of a random type and policy; mostly a field.
    private mutating func cell(named name: String, of table: Table) -> [Field] {
        let hasDefault = random.chance(60)
        func standing(_ value: Value) -> Value { hasDefault ? value : .null }
        switch random.draw(16) {
        case 0: return [Field(name, .text, .lww, default: standing(.text("new")))]
        case 1: return [Field(name, .integer, .review, default: standing(.integer(5)))]
        case 2: return [Field(name, .integer, .counter, default: standing(.integer(3)))]
        case 3: return [Field(name, .set, .set, default: standing(.text(ValueSet(["tag0", "tag1"]).json)))]
        case 4: return [Field(name, .text, .text, default: standing(.text("one\ntwo")))]
        case 5: return [Field(name, .date, .once)]
        case 6: return [Field(name, .integer, .max, default: standing(.integer(7)))]
        case 7: return [Field(name, .integer, .min, default: standing(.integer(-7)))]
        case 8: return [Field(name, .enumeration(["open", "won", "lost"]), .rank, default: standing(.text("open")))]
        case 9: return [Field(name, .enumeration(["a", "b"]), .lww, default: standing(.text("b")))]
        case 10: return [Field(name, .bool, .lww, default: standing(.integer(0)))]
        case 11: return [Field(name, .double, .review, default: standing(.real(0.5)))]
        case 12: return [Field(name, .blob, .lww)]
        case 13: return [Field(name, .reference(table: "customer"), .lww)]
        case 14: return [Field(name, .integer, .server, default: standing(.integer(1)))]
        default:
            return [
                Field("\(name)_sum", .money(currency: "\(name)_unit"), .review, group: name),
                Field("\(name)_unit", .text, .review, group: name, default: standing(.text("EUR"))),
            ]
        }
    }

    private mutating func addTable() -> Wish {
        let name = "t\(schema.version)"
        var fields = [Field("name", .text, .lww)]
        let kind: TableKind
        let territory = Field("territory_id", .reference(table: "territory"), .review, hard: true)
        let owner = Field("owner_id", .reference(table: "user"), .review, hard: true)
        switch random.draw(5) {
        case 0:
            // A hard reference is to what is lent; any other is soft (rule D3).
            let isLending = random.chance(50)
            fields += [territory, owner, Field("customer_id", .reference(table: "customer"), .lww, hard: isLending)]
            kind = .root(
                AudienceFields(territory: "territory_id", owner: "owner_id"), lends: isLending ? "customer_id" : nil)
        case 1:
            fields += [Field("owner_id", .reference(table: "user"), .lww, required: true, hard: true)]
            kind = .private(owner: "owner_id")
        case 2: kind = .reference
        default:
            let parents = schema.ownTables.filter { table in
                guard !table.isRetired else { return false }
                if case .root = table.kind { return true }
                if case .child = table.kind { return true }
                return false
            }
            let parent = random.pickIfAny(Array(parents))?.name ?? "customer"
            fields += [Field("\(parent)_id", .reference(table: parent), .lww, required: true, hard: true)]
            kind = .child(parents: ["\(parent)_id"], owner: nil)
        }
        let isAppendOnly = random.chance(15)
        let unique = random.chance(30) ? [["name"]] : []
        let table = Table(name, kind, fields: fields, unique: unique, appendOnly: isAppendOnly)
        fields += cell(named: "more", of: table)
        let made = Table(name, kind, fields: fields, unique: unique, appendOnly: isAppendOnly)
        return Wish(what: "add \(name), \(kind)", document: ["add": ["tables": [made.json]]], verdict: .taken)
    }

    /// More words for an enum.
    private mutating func addWords() -> Wish? {
        for (index, table) in schema.ownTables.enumerated() where !table.isRetired {
            for (place, field) in table.fields.enumerated() {
                guard !field.isRetired, field.policy == .lww, case .enumeration(let words) = field.type,
                    words.count < 5, random.chance(60)
                else { continue }
                var more = field
                more.type = .enumeration(words + ["w\(words.count)"])
                return Wish(
                    what: "more words for \(table.name).\(field.name)",
                    document: whole(replacing: index, table.replacing(place, with: more)), verdict: .taken)
            }
        }
        return nil
    }

    // MARK: What is given up

    private mutating func retireField() -> Wish? {
        var names: [String] = []
        for table in schema.ownTables where !table.isReference {
            let placing = Set(table.placingFields)
            for (index, field) in table.fields.enumerated() {
                guard !field.isRetired, !placing.contains(index), field.group == nil, !field.isRequired else {
                    continue
                }
                names.append("\(table.name).\(field.name)")
            }
        }
        guard let name = random.pickIfAny(names) else { return nil }
        return Wish(what: "retire \(name)", document: ["retire": [.string(name)]], verdict: .taken)
    }

    /// Those without which the other steps would have nothing to do stay.
    private mutating func retireTable() -> Wish? {
        let kept = Set(TestSchema.schema.tables.map(\.name)).subtracting(["note"])
        let names = schema.ownTables.filter { !$0.isRetired && !kept.contains($0.name) }.map(\.name)
        guard let name = random.pickIfAny(names) else { return nil }
        return Wish(what: "retire \(name)", document: ["retire": [.string(name)]], verdict: .taken)
    }

    private mutating func drop() -> Wish? {
        var names: [String] = []
        for table in schema.ownTables {
            if table.isRetired, !table.isDropped { names.append(table.name) }
            for field in table.fields where field.isRetired && !field.isDropped {
                names.append("\(table.name).\(field.name)")
            }
        }
        guard let name = random.pickIfAny(names) else { return nil }
        return Wish(what: "drop \(name)", document: ["drop": [.string(name)]], verdict: .either)
    }

    // MARK: What never changes

    private mutating func forbidden() -> Wish {
        let customer = TestSchema.schema.tables.firstIndex { $0.name == "customer" } ?? 4
        let table = schema.tables[customer]
        let name = table.fields[3]
        let changes: [(String, Table)] = [
            ("rename customer.phone", table.replacing(3, with: Field("telephone", name.type, name.policy))),
            ("another policy for customer.phone", table.replacing(3, with: Field(name.name, name.type, .review))),
            ("another type for customer.phone", table.replacing(3, with: Field(name.name, .integer, .lww))),
            ("leave out a field of customer", Table(table.name, table.kind, fields: Array(table.fields.dropLast()))),
            (
                "a required field in old rows",
                Table(table.name, table.kind, fields: table.fields + [Field("must", .text, .lww, required: true)])
            ),
            ("retire the territory", table.replacing(1, with: retired(table.fields[1]))),
            ("another kind for customer", Table(table.name, .reference, fields: table.fields)),
        ]
        let (what, changed) = random.pick(changes)
        return Wish(what: what, document: whole(replacing: customer - 1, changed), verdict: .refused)
    }

    private func retired(_ field: Field) -> Field {
        var field = field
        field.isRetired = true
        return field
    }

    /// The whole schema with one of its own tables changed; `peykd` gives it the next version.
    private func whole(replacing index: Int, _ table: Table) -> JSON {
        var tables = Array(schema.ownTables)
        tables[index] = table
        return ["tables": .array(tables.map(\.json))]
    }
}

extension Table {
    fileprivate func replacing(_ place: Int, with field: Field) -> Table {
        var fields = fields
        fields[place] = field
        return Table(
            name, kind, fields: fields, unique: unique, appendOnly: isAppendOnly, retired: isRetired,
            dropped: isDropped, labels: labels)
    }
}
