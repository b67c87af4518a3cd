import PeykModel
import Testing

@Suite("Schemas (T2)")
struct SchemaTests {
    @Test("a schema's JSON gives it back")
    func roundTrip() throws {
        let schema = FieldSales.schema
        try schema.validate()
        #expect(try Schema(json: schema.json) == schema)
        #expect(try Schema(json: JSON(parsing: schema.json.pretty)) == schema)
        #expect(schema.tables[0].isLedger)
        #expect(schema.tableIndex("customer") == 4)
        #expect(schema.table(at: 99) == nil)
    }

    @Test("a group is one cell, named by its first field for ever")
    func cells() throws {
        let table = try #require(FieldSales.schema.table(named: "customer"))
        #expect(table.cells.map(\.tag) == [0, 1, 2, 3, 4, 6])
        #expect(table.cell(named: "address")?.fields == [4, 5])
        #expect(table.cell(named: "city") == table.cell(tag: 4))
        #expect(table.cell(tag: 5) == nil)
        #expect(table.cellOfField == [0, 1, 2, 3, 4, 4, 5])
        #expect(table.placingFields == [1, 2, 3])
        #expect(FieldSales.schema.table(named: "opportunity")?.placingFields == [0, 1, 2])
        #expect(FieldSales.schema.table(named: "activity")?.placingFields == [0, 1, 2])
    }

    struct Bad: Sendable, CustomTestStringConvertible {
        var name: String
        var tables: [Table]
        var testDescription: String { name }
        init(_ name: String, _ tables: Table...) {
            self.name = name
            self.tables = tables
        }
    }

    static func one(_ fields: Field...) -> Table { Table("t", .reference, fields: fields) }

    static let bad: [Bad] = [
        Bad("a table twice", one(), one()), Bad("an upper-case name", Table("Deal", .reference, fields: [])),
        Bad("a name of ours", Table("peyk_x", .reference, fields: [])),
        Bad("a name of SQLite's", Table("sqlite_x", .reference, fields: [])),
        Bad("a field twice", one(Field("a", .text), Field("a", .text))),
        Bad("a field named id", one(Field("id", .text))), Bad("a name with a quote", one(Field("a\"b", .text))),
        Bad("a counter that is no integer", one(Field("a", .text, .counter))),
        Bad("a counter in a group", one(Field("a", .integer, .counter, group: "g"))),
        Bad("the policy set without the type", one(Field("a", .text, .set))),
        Bad("the type set without the policy", one(Field("a", .set))),
        Bad("the policy text on a number", one(Field("a", .integer, .text))),
        Bad("a rank of a text", one(Field("a", .text, .rank))),
        Bad("a rank by reference without order and kind", one(Field("a", .reference(table: "t"), .rank))),
        Bad("a reference to nothing", one(Field("a", .reference(table: "x")))),
        Bad("money without its currency", one(Field("a", .money(currency: "c"), group: "g"))),
        Bad(
            "money and currency in two groups",
            one(Field("a", .money(currency: "c"), group: "g"), Field("c", .text, group: "h"))),
        Bad("money without a group", one(Field("a", .money(currency: "c")), Field("c", .text))),
        Bad(
            "a group of two policies",
            one(Field("a", .text, .lww, group: "g"), Field("b", .text, .review, group: "g"))),
        Bad("a group with the name of another field", one(Field("a", .text, group: "b"), Field("b", .text))),
        Bad("a default that is not of the type", one(Field("a", .integer, default: .text("x")))),
        Bad("a child without parents", Table("t", .child(parents: [], owner: nil), fields: [])),
        Bad(
            "a child of reference data", one(),
            Table("c", .child(parents: ["t"], owner: nil), fields: [Field("t", .reference(table: "t"))])),
        Bad("a private table without its owner", Table("t", .private(owner: "o"), fields: [])),
        Bad(
            "a root with a territory that is no reference",
            Table("t", .root(AudienceFields(territory: "a"), lends: nil), fields: [Field("a", .text)])),
        Bad(
            "a root that lends reference data", one(),
            Table("r", .root(AudienceFields(), lends: "t"), fields: [Field("t", .reference(table: "t"))])),
        Bad("too many fields", Table("t", .reference, fields: (0...Schema.fieldsMax).map { Field("f\($0)", .text) })),
    ]

    @Test("a schema that cannot hold is refused with the place", arguments: bad)
    func refuses(_ value: Bad) {
        #expect(throws: SchemaError.self) { try Schema(version: 1, tables: value.tables).validate() }
    }

    @Test(
        "JSON that is no schema is refused",
        arguments: [
            "null", "{}", #"{"version":0,"tables":[]}"#, #"{"version":1}"#, #"{"version":1,"tables":[{}]}"#,
            #"{"version":1,"tables":[{"name":"t","kind":"ledger","fields":[]}]}"#,
            #"{"version":1,"tables":[{"name":"t","kind":"private","fields":[]}]}"#,
            #"{"version":1,"tables":[{"name":"t","kind":"reference"}]}"#,
        ])
    func noSchema(_ text: String) throws {
        let json = try JSON(parsing: text)
        #expect(throws: SchemaError.self) { try Schema(json: json) }
    }

    @Test(
        "a field that is none is refused",
        arguments: [
            #"{"name":"a","type":"number"}"#,
            #"{"name":"a","type":"enum","values":[]}"#,
            #"{"name":"a","type":"text","policy":"best"}"#,
            #"{"name":"a","type":"date","default":"x"}"#,
        ])
    func noField(_ text: String) throws {
        let field = try JSON(parsing: text)
        let json: JSON = ["version": 1, "tables": [["name": "t", "kind": "reference", "fields": [field]]]]
        #expect(throws: SchemaError.self) { try Schema(json: json) }
    }

    static func successor(_ change: (inout [Table]) -> Void, version: Int64 = 2) -> Schema {
        var tables = FieldSales.tables
        change(&tables)
        return Schema(version: version, tables: tables)
    }

    static func table(_ table: Table, _ change: (inout [Field]) -> Void) -> Table {
        var fields = table.fields
        change(&fields)
        return Table(
            table.name, table.kind, fields: fields, unique: table.unique, appendOnly: table.isAppendOnly,
            labels: table.labels)
    }

    @Test("a schema may add tables, fields, words and labels, and retire fields (T2)")
    func mayFollow() throws {
        let next = Self.successor { tables in
            tables.append(Table("visit", .reference, fields: [Field("at", .instant, required: true)]))
            tables[3] = Self.table(tables[3]) { fields in
                fields[6].isRetired = true
                fields[0].labels = ["en": "Name"]
                fields.append(Field("site", .text, group: "web"))
                fields.append(Field("mail", .text, group: "web"))
            }
            tables[4] = Self.table(tables[4]) { $0[6].type = .enumeration(["small", "large", "huge"]) }
        }
        try FieldSales.schema.checkSuccessor(next)
    }

    static let forbidden: [(String, Schema)] = [
        ("the same version", successor({ _ in }, version: 1)), ("a version skipped", successor({ _ in }, version: 3)),
        ("a table removed", successor { $0.removeLast() }), ("tables moved", successor { $0.swapAt(0, 1) }),
        (
            "another kind",
            successor { $0[0] = Table("person", .root(AudienceFields(), lends: nil), fields: $0[0].fields) }
        ),
        ("append-only no more", successor { $0[5] = Table("activity", $0[5].kind, fields: $0[5].fields) }),
        ("a field removed", successor { $0[3] = table($0[3]) { $0.removeLast() } }),
        ("a field renamed", successor { $0[0] = table($0[0]) { $0[0].name = "nom" } }),
        ("fields moved", successor { $0[2] = table($0[2]) { $0.swapAt(0, 1) } }),
        ("another type", successor { $0[0] = table($0[0]) { $0[0].type = .integer } }),
        ("another policy", successor { $0[0] = table($0[0]) { $0[0].policy = .review } }),
        ("required no more", successor { $0[0] = table($0[0]) { $0[0].isRequired = false } }),
        ("another default", successor { $0[3] = table($0[3]) { $0[6].defaultValue = .integer(1) } }),
        ("a reference made soft", successor { $0[3] = table($0[3]) { $0[1].isHard = false } }),
        ("a word taken from an enum", successor { $0[4] = table($0[4]) { $0[6].type = .enumeration(["small"]) } }),
        (
            "a word put first",
            successor { $0[4] = table($0[4]) { $0[6].type = .enumeration(["tiny", "small", "large"]) } }
        ),
        ("a new required field", successor { $0[0] = table($0[0]) { $0.append(Field("x", .text, required: true)) } }),
        ("a group that grows", successor { $0[3] = table($0[3]) { $0.append(Field("zip", .text, group: "address")) } }),
        (
            "a new hard reference",
            successor { $0[0] = table($0[0]) { $0.append(Field("boss", .reference(table: "person"), hard: true)) } }
        ),
        (
            "a hard reference to what not every holder holds (D3)",
            successor {
                let place = Field("at", .reference(table: "customer"), hard: true)
                let owner = Field("owner", .reference(table: "person"), hard: true)
                $0.append(Table("visit", .root(AudienceFields(owner: "owner"), lends: nil), fields: [owner, place]))
            }
        ),
        ("an invalid addition", successor { $0[0] = table($0[0]) { $0.append(Field("x", .text, .counter)) } }),
    ]

    @Test("everything else needs a new field (T2)", arguments: forbidden)
    func refusesSuccessor(_ name: String, _ next: Schema) {
        #expect(throws: SchemaError.self) { try FieldSales.schema.checkSuccessor(next) }
    }

    @Test("a retired field stays retired (T2)")
    func retired() throws {
        let next = Self.successor { $0[3] = Self.table($0[3]) { $0[6].isRetired = true } }
        try FieldSales.schema.checkSuccessor(next)
        let back = Self.successor({ _ in }, version: 3)
        #expect(throws: SchemaError.self) { try next.checkSuccessor(back) }
    }

    static let needed: [(String, Schema, String)] = [
        ("a dropped field in use", successor { $0[3] = table($0[3]) { $0[6].isDropped = true } }, "retire it first"),
        ("a required field", successor { $0[3] = table($0[3]) { $0[0].isRetired = true } }, "required"),
        ("an audience field", successor { $0[3] = table($0[3]) { $0[1].isRetired = true } }, "whose the records are"),
        ("collaborators", successor { $0[3] = table($0[3]) { $0[3].isRetired = true } }, "whose the records are"),
        ("a lender", successor { $0[4] = table($0[4]) { $0[0].isRetired = true } }, "what they belong to"),
        ("a parent", successor { $0[6] = table($0[6]) { $0[0].isRetired = true } }, "what they belong to"),
        ("half of a group", successor { $0[3] = table($0[3]) { $0[4].isRetired = true } }, "retired whole"),
    ]

    @Test("what is needed cannot be retired, nor dropped before it is retired (T2)", arguments: needed)
    func refusesRetirement(_ name: String, _ next: Schema, _ reason: String) {
        let error = #expect(throws: SchemaError.self) { try FieldSales.schema.checkSuccessor(next) }
        #expect(error?.problem.contains(reason) == true)
    }

    @Test("retired and dropped tables and fields come back from JSON, and stay so (T2)")
    func tables() throws {
        let next = Self.successor { tables in
            let table = tables[7]
            var fields = table.fields
            fields[1].isRetired = true
            fields[1].isDropped = true
            tables[7] = Table(table.name, table.kind, fields: fields, retired: true, dropped: true)
        }
        try FieldSales.schema.checkSuccessor(next)
        #expect(try Schema(json: next.json) == next)
        let back = Self.successor(
            { $0[7] = Table($0[7].name, $0[7].kind, fields: $0[7].fields, retired: true) }, version: 3)
        #expect(throws: SchemaError.self) { try next.checkSuccessor(back) }
        let needed = Self.successor {
            $0[1] = Table($0[1].name, $0[1].kind, fields: $0[1].fields, retired: true, dropped: true)
        }
        let error = #expect(throws: SchemaError.self) { try FieldSales.schema.checkSuccessor(needed) }
        #expect(error?.problem.contains("still needed by customer.territory") == true)
    }
}

@Suite("Rows")
struct RowTests {
    static let table = Table(
        "t", .reference, fields: [Field("a", .text, default: .text("d")), Field("b", .integer), Field("c", .double)])

    @Test("a row from before a field was added reads null there, and digests the same (P25)")
    func short() {
        let short = Row([.text("x")])
        let long = Row([.text("x"), .null, .null])
        #expect(short[2] == .null)
        #expect(short[-1] == .null)
        #expect(short.differs(from: long, count: 3) == [])
        let id = FieldSales.id(1)
        #expect(short.digest(table: Self.table, record: id) == long.digest(table: Self.table, record: id))
        #expect(short.digest(table: Self.table, record: id) != long.digest(table: Self.table, record: FieldSales.id(2)))
        #expect(
            Row([.null, .integer(1)]).digest(table: Self.table, record: id)
                != Row([.integer(1)]).digest(table: Self.table, record: id))
        #expect(Row.empty(Self.table) == Row([.text("d"), .null, .null]))
    }

    @Test("a row's bytes give it back")
    func codec() throws {
        let row = Row([.null, .integer(-3), .text("é"), .blob([1])])
        var writer = ByteWriter()
        row.encode(to: &writer)
        var reader = ByteReader(writer.bytes)
        #expect(try Row(from: &reader) == row)
        #expect(reader.isAtEnd)
    }

    @Test("keys are ordered by table, then record")
    func keys() {
        let keys = [
            RecordKey(table: 1, record: FieldSales.id(9)), RecordKey(table: 2, record: FieldSales.id(1)),
            RecordKey(table: 2, record: FieldSales.id(3)),
        ]
        #expect(keys.reversed().sorted() == keys)
    }
}
