import PeykMerge
import PeykModel
import SeededRandom
import Testing

@Suite("Validation of changes, the same on server and replica")
struct ValidationTests {
    static let activity = Table(
        "activity", .reference, fields: [Field("kind", .text, required: true), Field("at", .instant)], appendOnly: true)
    static let product = Table(
        "product", .reference,
        fields: [
            Field("label", .text, required: true), Field("old", .text, retired: true),
            Field("price", .double), Field("since", .date), Field("active", .bool, default: .integer(1)),
            Field("due", .text, required: true, retired: true), Field("serial", .integer, .server, required: true),
        ])
    static let schema = Schema(version: 1, tables: [Sample.deal, activity, product])

    static func change(_ table: Int, _ kind: Change.Kind, _ cells: CellChange...) -> Change {
        Change(table: table, record: Sample.record, kind: kind, cells: cells)
    }

    static func value(_ cell: Int, _ value: Value) -> CellChange { CellChange(cell: cell, write: .assign([value])) }

    struct Refused: Sendable, CustomTestStringConvertible {
        var name: String
        var change: Change
        var cell: Int
        var code: NoticeCode
        var testDescription: String { name }
    }

    static let label = value(0, .text("x"))
    static let refused: [Refused] = [
        Refused(name: "an unknown table", change: change(99, .update), cell: -1, code: .invalid),
        Refused(name: "a negative table", change: change(-1, .update), cell: -1, code: .invalid),
        Refused(name: "the ledger", change: change(0, .insert), cell: -1, code: .serverField),
        Refused(
            name: "an update of what is only added", change: change(2, .update, label), cell: -1, code: .appendOnly),
        Refused(name: "a delete with values", change: change(3, .delete, label), cell: -1, code: .invalid),
        Refused(name: "a cell twice", change: change(3, .update, label, label), cell: -1, code: .invalid),
        Refused(
            name: "cells out of order",
            change: change(3, .update, value(2, .real(1)), label), cell: -1, code: .invalid),
        Refused(name: "an unknown cell", change: change(3, .update, value(70, .null)), cell: -1, code: .invalid),
        Refused(
            name: "one field of a group", change: change(1, .update, value(Sample.price, .integer(1))),
            cell: Sample.price,
            code: .invalid),
        Refused(
            name: "the second field of a group", change: change(1, .update, value(Sample.price + 1, .text("EUR"))),
            cell: -1, code: .invalid),
        Refused(
            name: "a counter assigned", change: change(1, .update, value(Sample.visits, .integer(1))),
            cell: Sample.visits, code: .invalid),
        Refused(name: "a required field nulled", change: change(3, .update, value(0, .null)), cell: 0, code: .required),
        Refused(
            name: "a required field left out",
            change: change(3, .insert, value(2, .real(1))), cell: 0, code: .required),
        Refused(
            name: "a retired field", change: change(3, .update, value(1, .text("x"))), cell: 1, code: .retired),
        Refused(
            name: "a server field", change: change(3, .update, value(6, .integer(1))), cell: 6, code: .serverField),
        Refused(name: "NaN", change: change(3, .update, value(2, .real(.nan))), cell: 2, code: .invalid),
        Refused(name: "minus zero", change: change(3, .update, value(2, .real(-0.0))), cell: 2, code: .invalid),
        Refused(
            name: "an integer for a double",
            change: change(3, .update, value(2, .integer(1))), cell: 2, code: .invalid),
        Refused(name: "NUL", change: change(3, .update, value(0, .text("a\0"))), cell: 0, code: .invalid),
        Refused(
            name: "the 30th of February", change: change(3, .update, value(3, .text("2026-02-30"))), cell: 3,
            code: .invalid),
        Refused(name: "a truth of 2", change: change(3, .update, value(4, .integer(2))), cell: 4, code: .invalid),
        Refused(
            name: "a word that is not in the enum", change: change(1, .update, value(Sample.stage, .text("closed"))),
            cell: Sample.stage, code: .invalid),
        Refused(
            name: "an unsorted set", change: change(1, .update, Sample.set(["b", "a"])), cell: Sample.tags,
            code: .invalid),
        Refused(
            name: "an element twice", change: change(1, .update, Sample.set(["a", "a"])), cell: Sample.tags,
            code: .invalid),
        Refused(
            name: "an element added and removed", change: change(1, .update, Sample.set(["a"], ["a"])),
            cell: Sample.tags, code: .invalid),
        Refused(
            name: "an element with NUL", change: change(1, .update, Sample.set(["\0"])), cell: Sample.tags,
            code: .invalid),
        Refused(
            name: "a text that is too long",
            change: change(1, .update, Sample.memo(nil, String(repeating: "x", count: FieldType.valueBytesMax + 1))),
            cell: Sample.memo, code: .invalid),
    ]

    @Test("refuses with the cell and the reason", arguments: refused)
    func refuses(_ value: Refused) {
        let found = validate(value.change, in: Self.schema)
        #expect(found.map(\.cell) == [value.cell])
        #expect(found.map(\.code) == [value.code])
    }

    @Test("takes what is in order; the server may write its own fields")
    func takes() {
        let insert = Self.change(3, .insert, Self.label, Self.value(2, .real(1.5)), Self.value(3, .text("2026-02-28")))
        #expect(validate(insert, in: Self.schema) == [])
        #expect(validate(insert, in: Self.schema, byServer: true).map(\.code) == [.required])
        let serial = Self.change(3, .update, Self.value(6, .integer(1)))
        #expect(validate(serial, in: Self.schema, byServer: true) == [])
        #expect(validate(Self.change(2, .delete), in: Self.schema) == [])
        // Canonically equal and of other bytes: two elements (P24).
        #expect(validate(Self.change(1, .update, Sample.set(["e\u{301}"], ["\u{E9}"])), in: Self.schema) == [])
    }

    @Test("any commit that decodes can be validated, foreseen and merged (P29)", arguments: UInt64(0)..<10)
    func fuzz(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let writes: [CellChange] = [
            Self.label, Sample.price(1, "EUR"), Sample.add(1), Sample.set(["a"], ["b"]),
            CellChange(cell: Sample.memo, write: .text(base: "a\nb", new: "c")),
        ]
        let base = Merged(Step(1, at: 1, .insert, Sample.text(Sample.name, "n"))).state
        for _ in 0..<1_000 {
            let valid = CommitBody(
                id: Step(1, at: 1, .delete).commit, schemaVersion: 1,
                changes: [Self.change(random.draw(4), .update, random.pick(writes), random.pick(writes))])
            var bytes = valid.encoded()
            for _ in 0..<random.draw(4) { bytes[random.draw(bytes.count)] = UInt8(truncatingIfNeeded: random.next()) }
            guard let body = try? CommitBody(decoding: bytes) else { continue }
            for change in body.changes {
                _ = validate(change, in: Self.schema)
                guard let table = Self.schema.table(at: change.table) else { continue }
                _ = forecast(change, on: Row.empty(table), in: table)
                var context = Step(2, at: 2, .update).context()
                context.table = table
                for state in [base, nil] {
                    _ = merge(change, into: state, context, hasLivingChildren: random.chance(50))
                }
            }
        }
    }
}
