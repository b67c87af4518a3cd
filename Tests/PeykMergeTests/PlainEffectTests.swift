import PeykMerge
import PeykModel
import SeededRandom
import Testing

@Suite("Plain effects, forecasts and what the seal makes of rows (M4, K6)")
struct PlainEffectTests {
    static func change(_ kind: Change.Kind, _ cells: CellChange...) -> Change {
        Change(table: Sample.index, record: Sample.record, kind: kind, cells: cells)
    }

    @Test("an insert starts from defaults, a counter from its start value (K8)")
    func insert() {
        let row = plainEffect(
            of: Self.change(.insert, Sample.text(Sample.name, "n"), Sample.add(7)), on: nil, in: Sample.deal)
        #expect(row == Sample.row([Sample.name: .text("n"), Sample.visits: .integer(7)]))
        #expect(row?[Sample.stage] == .text("lead"))
    }

    @Test("a delete leaves nothing, and an update of nothing is nothing")
    func nothing() {
        #expect(plainEffect(of: Self.change(.delete), on: Sample.row(), in: Sample.deal) == nil)
        #expect(plainEffect(of: Self.change(.update), on: nil, in: Sample.deal) == nil)
    }

    @Test("an update assigns, adds and changes sets; a counter that would overflow stays")
    func update() {
        let before = Sample.row([Sample.visits: .integer(.max), Sample.tags: .text(#"["a","b"]"#)])
        let after = plainEffect(
            of: Self.change(.update, Sample.price(5, "EUR"), Sample.add(1), Sample.set(["c"], ["a"])), on: before,
            in: Sample.deal)
        let expected: [Int: Value] = [
            Sample.price: .integer(5), Sample.price + 1: .text("EUR"), Sample.visits: .integer(.max),
            Sample.tags: .text(#"["b","c"]"#),
        ]
        #expect(after == Sample.row(expected))
        #expect(
            difference(from: before, to: after ?? before, in: Sample.deal) == [
                FieldValue(field: Sample.price, value: .integer(5)),
                FieldValue(field: Sample.price + 1, value: .text("EUR")),
                FieldValue(field: Sample.tags, value: .text(#"["b","c"]"#)),
            ])
    }

    @Test("a forecast merges texts with what came meanwhile, a plain effect overwrites")
    func text() {
        let write = Self.change(.update, Sample.memo("a\nb\nc", "a\nb\nC"))
        let row = Sample.row([Sample.memo: .text("A\nb\nc")])
        #expect(forecast(write, on: row, in: Sample.deal)?[Sample.memo] == .text("A\nb\nC"))
        #expect(plainEffect(of: write, on: row, in: Sample.deal)?[Sample.memo] == .text("a\nb\nC"))
        let clash = Self.change(.update, Sample.memo("a\nb\nc", "X\nb\nc"))
        #expect(forecast(clash, on: row, in: Sample.deal)?[Sample.memo] == .text("X\nb\nc"))
    }

    @Test("hostile cells are passed over")
    func hostile() {
        let writes = [
            CellChange(cell: -5, write: .add(1)), CellChange(cell: 3, write: .assign([.null])),
            CellChange(cell: Sample.name, write: .assign([])), CellChange(cell: 1 << 40, write: .add(1)),
        ]
        let change = Change(table: 1, record: Sample.record, kind: .update, cells: writes)
        #expect(plainEffect(of: change, on: Sample.row(), in: Sample.deal) == Sample.row())
    }

    @Test("an insert does not write what nobody may write, and lists a null over a default (T2)")
    func unwritable() throws {
        let table = Table(
            "t", .reference,
            fields: [
                Field("old", .text, default: .text("d"), retired: true),
                Field("level", .integer, .server, default: .integer(1)), Field("size", .text, default: .text("m")),
                Field("visits", .integer, .counter, default: .integer(4)),
            ])
        let schema = Schema(version: 1, tables: [table])
        let after = Row([.text("d"), .integer(1), .null, .integer(6)])
        let insert = try #require(Change.make(table: 1, record: Sample.record, before: nil, after: after, in: schema))
        #expect(
            insert.cells == [
                CellChange(cell: 2, write: .assign([.null])), CellChange(cell: 3, write: .add(6)),
            ])
        #expect(validate(insert, in: schema) == [])
        #expect(plainEffect(of: insert, on: nil, in: table) == after)
        let touched = Row([.text("x"), .integer(2), .null, .integer(6)])
        let update = try #require(
            Change.make(table: 1, record: Sample.record, before: after, after: touched, in: schema))
        #expect(validate(update, in: schema).map(\.code) == [.retired, .serverField])
    }

    @Test("a row from before a field was added takes new values (T2)")
    func shortRow() {
        let short = Row([.text("n")])
        let change = Self.change(.update, Sample.add(3), Sample.set(["a"]), Sample.memo(nil, "m"))
        let after = plainEffect(of: change, on: short, in: Sample.deal)
        #expect(after?[Sample.visits] == .integer(3))
        #expect(after?[Sample.tags] == .text(#"["a"]"#))
        #expect(after?[Sample.memo] == .text("m"))
    }

    static func randomRow(_ random: inout SplitMix64) -> Row {
        var row = Sample.row([Sample.name: .text("n")])
        for field in Sample.deal.fields.indices where random.chance(60) {
            switch Sample.deal.fields[field].type {
            case .integer, .money: row[field] = .integer(Int64(random.draw(5)) - 2)
            case .set: row[field] = .text(ValueSet(["a", "b", "c"].filter { _ in random.chance(50) }).json)
            case .enumeration(let words): row[field] = .text(random.pick(words))
            default: row[field] = field == Sample.name || random.chance(70) ? .text(random.pick(["x", "y"])) : .null
            }
        }
        row[Sample.score] = .null
        return row
    }

    @Test("what the seal makes of two rows turns one into the other", arguments: UInt64(0)..<20)
    func roundTrip(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for _ in 0..<200 {
            let before = Self.randomRow(&random)
            var after = Self.randomRow(&random)
            // A set that was written is never null again.
            if !before[Sample.tags].isNull, after[Sample.tags].isNull { after[Sample.tags] = .text("[]") }
            let update = Change.make(
                table: Sample.index, record: Sample.record, before: before, after: after, in: Sample.schema)
            #expect((update == nil) == (before == after))
            if let update {
                #expect(plainEffect(of: update, on: before, in: Sample.deal) == after, "seed \(seed)")
                #expect(validate(update, in: Sample.schema) == [], "seed \(seed)")
            }
            let insert = try #require(
                Change.make(table: Sample.index, record: Sample.record, before: nil, after: after, in: Sample.schema))
            #expect(plainEffect(of: insert, on: nil, in: Sample.deal) == after, "seed \(seed)")
            #expect(validate(insert, in: Sample.schema) == [], "seed \(seed)")
            #expect(insert.cells.contains { $0.cell == Sample.visits })
        }
        let row = Self.randomRow(&random)
        let delete = Change.make(table: 1, record: Sample.record, before: row, after: nil, in: Sample.schema)
        #expect(delete == Change(table: 1, record: Sample.record, kind: .delete))
        #expect(Change.make(table: 1, record: Sample.record, before: nil, after: nil, in: Sample.schema) == nil)
        #expect(Change.make(table: 77, record: Sample.record, before: nil, after: row, in: Sample.schema) == nil)
    }

    @Test("the merge of a causal change is its plain effect (M4)", arguments: UInt64(0)..<10)
    func mergeIsPlain(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for _ in 0..<100 {
            let before = Self.randomRow(&random)
            var after = Self.randomRow(&random)
            if !before[Sample.source].isNull { after[Sample.source] = before[Sample.source] }
            let insert = try #require(
                Change.make(table: 1, record: Sample.record, before: nil, after: before, in: Sample.schema))
            guard
                let update = Change.make(
                    table: 1, record: Sample.record, before: before, after: after, in: Sample.schema)
            else { continue }
            let one = Step(1, at: 10, .insert, cells: insert.cells)
            let two = Step(2, at: 5, seen: [one], .update, cells: update.cells)
            var merged = Merged(one)
            #expect(merged.state?.row == before)
            merged.take(two) { $0.allowsReopen = true }
            #expect(merged.state?.row == plainEffect(of: update, on: before, in: Sample.deal), "seed \(seed)")
            #expect(merged.last.conflicts.isEmpty)
        }
    }
}
