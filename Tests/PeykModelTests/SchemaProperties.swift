import PeykModel
import PropertyKit
import Testing

extension Choices {
    /// A schema that holds: roots, children, reference data, groups, defaults, labels.
    fileprivate mutating func schema() -> Schema {
        let words = ["a", "b", "c"]
        var tables = [
            Table(
                "stage", .reference, fields: [Field("place", .integer), Field("kind", .enumeration(["open", "won"]))])
        ]
        for number in 0..<1 + below(3) {
            var fields = [Field("name", .text, required: chance(50), labels: chance(30) ? ["fa": text()] : [:])]
            let kind: TableKind
            let parents = tables.filter { !$0.isReference }.map(\.name)
            switch below(parents.isEmpty ? 2 : 3) {
            case 0: kind = .reference
            case 1:
                kind = .root(AudienceFields(territory: "territory"), lends: nil)
                fields.append(Field("territory", .reference(table: "stage")))
            default:
                kind = .child(parents: ["parent"], owner: nil)
                fields.append(Field("parent", .reference(table: pick(parents)), hard: true))
            }
            for column in 0..<below(4) { fields.append(field("f\(column)", words)) }
            if chance(40) {
                let policy = pick([Policy.lww, .review])
                fields.append(Field("amount", .money(currency: "currency"), policy, group: "price"))
                fields.append(Field("currency", .text, policy, group: "price"))
            }
            tables.append(Table("t\(number)", kind, fields: fields))
        }
        return Schema(version: Int64(1 + below(5)), tables: tables)
    }

    fileprivate mutating func field(_ name: String, _ words: [String]) -> Field {
        switch below(7) {
        case 0: Field(name, .integer, .counter)
        case 1: Field(name, .set, .set)
        case 2: Field(name, .text, .text)
        case 3: Field(name, pick([.integer, .date, .instant]), pick([.max, .min, .once]))
        case 4: Field(name, .enumeration(words), .rank, default: chance(50) ? .text("a") : .null)
        case 5: Field(name, .text, .server)
        default: Field(name, pick([.text, .integer, .double, .bool, .blob, .date]), pick([.lww, .review]))
        }
    }
}

@Suite("Properties of schemas")
struct SchemaProperties {
    @Test("a schema's JSON gives it back, whatever it has (T2)")
    func roundTrip() {
        Property(cases: 300) { $0.schema() }.holds { schema in
            try schema.validate()
            let read = try Schema(json: try JSON(parsing: schema.json.text))
            try same(read, schema)
            try same(read.json.text, schema.json.text)
        }
    }

    @Test("what only adds may follow, and what changes a field may not (T2, P25)")
    func successors() {
        Property(cases: 300) { choices in
            let schema = choices.schema()
            let place = 1 + choices.below(schema.ownTables.count)
            return (schema, place, choices.field("added", ["a", "b"]), choices.below(6))
        }.holds { schema, place, added, victim in
            func next(_ change: (Table) -> Table) -> Schema {
                var own = Array(schema.ownTables)
                own[place - 1] = change(own[place - 1])
                return Schema(version: schema.version + 1, tables: own)
            }
            func with(_ table: Table, _ fields: [Field]) -> Table {
                Table(table.name, table.kind, fields: fields, unique: table.unique, appendOnly: table.isAppendOnly)
            }
            try schema.checkSuccessor(next { with($0, $0.fields + [added]) })
            let fields = schema.tables[place].fields
            let index = victim % fields.count
            // The same field with another type, gone, or elsewhere.
            var altered = fields
            altered[index] = Field(altered[index].name, .instant, .lww, default: .integer(7))
            let shorter = fields.enumerated().filter { $0.offset != index }.map(\.element)
            for changed in [altered, shorter, fields.reversed()] where changed != fields {
                let broken = next { with($0, changed) }
                do { try schema.checkSuccessor(broken) } catch { continue }
                throw Broken("taken: \(changed.map(\.name)) after \(fields.map(\.name))")
            }
        }
    }
}
