import PeykModel
import SeededRandom

/// Draws edits of what a replica's schema has beyond ``TestSchema``: fields and tables that IT added while the world
/// ran.
struct SchemaEdits {
    private let schema: Schema
    private let site: Int
    private var random: SplitMix64
    /// As many records of a table are edited, so that edits meet.
    private static let records = 6

    init(_ schema: Schema, seed: UInt64, site: Int) {
        self.schema = schema
        self.site = site
        random = SplitMix64(seed: seed)
    }

    /// Nil where the schema has nothing new.
    mutating func next() -> Statement? {
        var places: [(table: Int, cell: Cell)] = []
        for (index, table) in schema.tables.enumerated() where !table.isLedger {
            // Reference data is IT's.
            if table.isReference { continue }
            let known = TestSchema.schema.table(at: index)?.fields.count ?? 0
            for cell in table.cells where cell.tag >= known && cell.policy != .server { places.append((index, cell)) }
        }
        guard let place = random.pickIfAny(places) else { return nil }
        let table = schema.tables[place.table]
        let isNew = TestSchema.schema.table(at: place.table) == nil
        if isNew, random.chance(45) { return insert(place.table, table) }
        if isNew, random.chance(15) {
            return Statement("DELETE FROM \(table.name) WHERE id = \(some(table.name))", [])
        }
        return update(place.cell, table)
    }

    /// One of the first records that the replica has; null where it has none.
    private mutating func some(_ table: String) -> String {
        "(SELECT id FROM \(table) ORDER BY id LIMIT 1 OFFSET \(random.draw(Self.records)))"
    }

    private mutating func update(_ cell: Cell, _ table: Table) -> Statement {
        var sets: [String] = []
        var values: [Value] = []
        for index in cell.fields {
            let field = table.fields[index]
            if field.policy == .counter {
                sets.append("\(field.name) = \(field.name) + \(random.draw(7) - 3)")
            } else {
                sets.append("\(field.name) = \(expression(field, table, &values))")
            }
        }
        return Statement(
            "UPDATE \(table.name) SET \(sets.joined(separator: ", ")) WHERE id = \(some(table.name))", values)
    }

    private mutating func insert(_ index: Int, _ table: Table) -> Statement {
        let id = TestSchema.id(300 + UInt64(index), site << 20 + random.draw(1 << 20))
        var columns = ["id"]
        var values = [Value(id)]
        var expressions = ["?"]
        for field in table.fields where field.policy != .server && !field.isRetired {
            // A text's default would be the same lines of two authors, of whom one may take them out.
            guard field.isRequired || field.isHard || field.policy == .text || random.chance(50) else { continue }
            columns.append(field.name)
            expressions.append(expression(field, table, &values))
        }
        return Statement(
            "INSERT INTO \(table.name) (\(columns.joined(separator: ", "))) SELECT "
                + expressions.joined(separator: ", "), values)
    }

    private mutating func expression(_ field: Field, _ table: Table, _ values: inout [Value]) -> String {
        if case .reference(let target) = field.type {
            if target == "user" {
                if !field.isRequired, random.chance(60) { return "NULL" }
                return "(SELECT u.id FROM user u JOIN peyk_meta m ON m.key = 'user' AND m.value = u.id)"
            }
            return some(target)
        }
        if !field.isRequired, field.policy != .counter, random.chance(10) { return "NULL" }
        values.append(value(field))
        return "?"
    }

    private mutating func value(_ field: Field) -> Value {
        switch field.type {
        case .integer, .instant, .money: .integer(Int64(random.draw(1_000)))
        case .double: .real(Double(random.draw(1_000)) / 8)
        case .text where field.policy == .text:
            .text((0..<(1 + random.draw(3))).map { _ in "s\(site)-\(random.draw(1_000))" }.joined(separator: "\n"))
        case .text: .text("s\(site)-\(random.draw(1_000))")
        case .blob: .blob([UInt8(site & 255), UInt8(random.draw(256))])
        case .bool: .integer(Int64(random.draw(2)))
        case .date: .text("2026-0\(1 + random.draw(9))-15")
        case .set: .text(ValueSet((0..<random.draw(4)).map { _ in "tag\(random.draw(6))" }).json)
        case .enumeration(let words): .text(random.pick(words))
        case .reference: .null
        }
    }
}
