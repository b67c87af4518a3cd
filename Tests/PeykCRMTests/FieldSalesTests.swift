import PeykCRM
import PeykModel
import Testing

@Suite("The field-sales schema")
struct FieldSalesTests {
    @Test("is valid, and reads back from its JSON form as it was")
    func isValid() throws {
        try FieldSales.schema.validate()
        #expect(try Schema(json: FieldSales.schema.json) == FieldSales.schema)
    }

    @Test("lists its tables in an order in which hard references point backwards")
    func order() {
        let schema = FieldSales.schema
        #expect(
            schema.ownTables.map(\.name) == [
                "territory", "user", "pipeline", "stage", "product", "customer", "contact", "opportunity", "activity",
                "task",
            ])
        for (index, table) in schema.tables.enumerated() {
            for field in table.fields where field.isHard {
                guard case .reference(let target) = field.type, let other = schema.tableIndex(target) else {
                    Issue.record("\(table.name).\(field.name) is hard and no reference")
                    continue
                }
                #expect(other < index, "\(table.name).\(field.name)")
            }
        }
    }

    @Test("D3: hard references point only to parents, lenders and reference data")
    func hardReferences() throws {
        for table in FieldSales.schema.ownTables {
            for field in table.fields where field.isHard {
                guard case .reference(let name) = field.type else { continue }
                let target = try #require(FieldSales.schema.table(named: name))
                let isParent =
                    switch table.kind {
                    case .child(let parents, _): parents.contains(field.name)
                    case .root(_, let lends): lends == field.name
                    default: false
                    }
                #expect(isParent || target.isReference, "\(table.name).\(field.name)")
            }
        }
    }

    @Test("has an English and a Persian label for each table and field")
    func labels() {
        for table in FieldSales.schema.ownTables {
            #expect(table.labels["en"] != nil && table.labels["fa"] != nil, "\(table.name)")
            for field in table.fields {
                #expect(field.labels["en"] != nil && field.labels["fa"] != nil, "\(table.name).\(field.name)")
            }
        }
    }

    @Test("starts a workspace with one pipeline and six stages that fit their tables")
    func seeds() throws {
        let rows = FieldSales.seedRows
        #expect(rows.map(\.table) == ["pipeline"] + Array(repeating: "stage", count: 6))
        #expect(Set(rows.map(\.record)).count == 7)
        for seed in rows {
            let table = try #require(FieldSales.schema.table(named: seed.table))
            #expect(seed.row.values.count == table.fields.count)
            for (field, value) in zip(table.fields, seed.row.values) {
                #expect((try? field.type.admit(value).get()) == value, "\(seed.table).\(field.name)")
                #expect(!field.isRequired || !value.isNull, "\(seed.table).\(field.name)")
            }
        }
        let stages = rows.dropFirst().map { $0.row }
        let table = try #require(FieldSales.schema.table(named: "stage"))
        let probability = try #require(table.fieldIndex("probability"))
        #expect(stages.map { $0[probability].integerValue } == [10, 20, 50, 80, 100, 0])
    }
}
