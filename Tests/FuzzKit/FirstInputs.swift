import PeykCRM
import PeykMerge
import PeykModel

/// Inputs to begin with, where there are no golden vectors.
public enum FirstInputs {
    /// The sealed bytes of some ordinary commits of the field-sales workspace.
    public static var commits: [(name: String, bytes: [UInt8])] {
        let opportunity = SmallOffice.insert(
            "opportunity", SmallOffice.id(20),
            [
                "name": .text("Valve"), "customer_id": Value(SmallOffice.customer), "amount": .integer(5),
                "currency": .text("EUR"),
            ])
        return [
            ("insert", sealed([opportunity])),
            ("update", sealed([update("customer", ["name": .text("Acme Ltd")])])),
            ("counter", sealed([write("customer", "visits", .add(1))])),
            ("set", sealed([write("customer", "tags", .elements(added: ["a", "b"], removed: ["c"]))])),
            ("text", sealed([write("customer", "notes", .text(base: "a\nb\nc", new: "a\nB\nc"))])),
            ("delete", sealed([Change(table: table("customer"), record: SmallOffice.customer, kind: .delete)])),
            (
                "reopen",
                sealed([], [Operation(kind: .reopen, table: table("opportunity"), record: SmallOffice.opportunity)])
            ),
            (
                "three",
                sealed([opportunity, write("customer", "visits", .add(2)), update("customer", ["name": .text("x")])])
            ),
        ]
    }

    public static var clocks: [(name: String, bytes: [UInt8])] {
        let epoch = Epoch(bits: UUIDBits(high: 5, low: 5))
        let writers = (1...3).map { number in
            Writer(
                position: Position(number), epoch: epoch,
                dot: Dot(site: SiteID(rawValue: UInt64(number)), seq: Sequence64(number)),
                stamp: HLC(milliseconds: Int64(number)), commit: CommitID(bits: UUIDBits(high: 2, low: UInt64(number))))
        }
        var clock = RowClock(created: [writers[0]])
        clock.record = Array(writers)
        clock.deletes = [writers[1]]
        clock.cells = [CellClock(tag: 0, siblings: writers.map { Sibling(writer: $0, values: [.text("a")]) })]
        return [
            ("plain", RowClock(created: [writers[0]]).encoded(epochs: [epoch])),
            ("full", clock.encoded(epochs: [epoch])),
        ]
    }

    public static var schemas: [(name: String, bytes: [UInt8])] {
        [("field-sales", Array(FieldSales.schema.json.text.utf8))]
    }

    public static let invites: [(name: String, bytes: [UInt8])] = [
        ("host", "peyk://sync.example.org:7447/sales#AAAAAAAAAAAAAAAAAAAAAA.YWJj"),
        ("address", "peyk://[::1]:7447/%D8%B1#AAAAAAAAAAAAAAAAAAAAAA"),
    ].map { ($0.0, Array($0.1.utf8)) }

    public static let files: [(name: String, bytes: [UInt8])] = [
        ("products", "\u{08}name,code,price,price_currency\n\"Pump, small\",P1,1000,EUR\nValve,V1,,\n"),
        ("customers", "\u{0C}name,tags,visits\nAcme,\"a;b\",3\n\"Quoted \"\"name\"\"\",,\n"),
        ("tabs", "\u{09}name\tcode\nA\t1\n"),
    ].map { ($0.0, Array($0.1.utf8)) }

    /// A list of pieces as ``FuzzTarget/session`` takes it apart.
    public static func pieces(_ pieces: [(choice: UInt8, bytes: [UInt8])]) -> [UInt8] {
        pieces.flatMap { [$0.choice, UInt8($0.bytes.count >> 8 & 255), UInt8($0.bytes.count & 255)] + $0.bytes }
    }

    // MARK: - Parts

    private static func table(_ name: String) -> Int { FieldSales.schema.tableIndex(name) ?? -1 }

    private static func sealed(_ changes: [Change], _ operations: [Operation] = []) -> [UInt8] {
        CommitBody(
            id: CommitID(bits: UUIDBits(high: 3, low: 3)), schemaVersion: FieldSales.schema.version, changes: changes,
            operations: operations
        ).encoded()
    }

    private static func update(_ name: String, _ values: [String: Value]) -> Change {
        var change = SmallOffice.insert(name, SmallOffice.customer, values)
        change.kind = .update
        return change
    }

    private static func write(_ name: String, _ field: String, _ write: CellWrite) -> Change {
        let cell = FieldSales.schema.table(named: name)?.fieldIndex(field) ?? 0
        return Change(
            table: table(name), record: SmallOffice.customer, kind: .update,
            cells: [CellChange(cell: cell, write: write)])
    }
}
