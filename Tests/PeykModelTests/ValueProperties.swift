import PeykModel
import PropertyKit
import Testing

@Suite("Properties of values and commits")
struct ValueProperties {
    @Test("values are in one total order that agrees with equality (P24)")
    func order() {
        Property(cases: 1_500) { choices in
            // Numbers of both kinds near each other, where doubles are far apart, are where an order goes wrong.
            let base = choices.int64()
            return (0..<3).map { _ -> Value in
                guard choices.chance(70) else { return choices.value() }
                let number = base.addingReportingOverflow(Int64(choices.below(5)) - 2).partialValue
                return choices.chance(50) ? .integer(number) : Value.real(Double(number)).canonical ?? .null
            }
        }.holds { values in
            let (a, b, c) = (values[0], values[1], values[2])
            try same([a < b, b < a, a == b].count { $0 }, 1, "not exactly one of before, after and equal")
            try ensure(!(a < b && b < c) || a < c, "a circle")
            try ensure(a != b || a.hashValue == b.hashValue, "equal, with two hashes")
        }
    }

    @Test("a value is bit-identical through bytes, JSON and its own canonical form (P24, W-21)")
    func roundTrips() {
        Property(cases: 800) { $0.value() }.holds { value in
            try same(value.canonical, value)
            var writer = ByteWriter()
            writer.value(value)
            var reader = ByteReader(writer.bytes)
            try same(try reader.value(), value, "bytes")
            try reader.finish()
            let json = JSON(value)
            try same(try JSON(parsing: json.text).value, value, "JSON \(json.text)")
            try same(try JSON(parsing: json.pretty), json, "pretty JSON")
        }
    }

    static let types: [FieldType] = [
        .integer, .double, .text, .blob, .bool, .date, .instant, .money(currency: "c"), .set,
        .enumeration(["a", "b", "é"]), .reference(table: "t"),
    ]

    @Test("what a field takes it takes again as it is, and each value of its type is taken (P24)", arguments: types)
    func admission(_ type: FieldType) {
        Property(cases: 200) { choices in
            // Lists of texts in any order, with repeats: sets that are not in their one form.
            let list = JSON.array(choices.list(upTo: 4, usual: 3) { .string($0.text(upTo: 1)) })
            return (choices.value(of: type), choices.chance(50) ? choices.value() : .text(list.text))
        }.holds { own, any in
            guard case .success(let taken) = type.admit(own) else { throw Broken("\(own) is not taken") }
            try same(taken, own, "a canonical value is changed")
            guard case .success(let other) = type.admit(any) else { return }
            try same(try type.admit(other).get(), other, "the canonical form is not canonical")
            let isStorable =
                switch (type.storage, other) {
                case (_, .null), (.integer, .integer), (.real, .real), (.text, .text), (.blob, .blob): true
                default: false
                }
            try ensure(isStorable, "\(other) in a column for \(type.storage)")
        }
    }

    @Test("sets are sets: the order and number of what is added do not matter, and their text is one (P24, P6)")
    func sets() {
        Property(cases: 400) { choices in
            // Two texts of one normal form are two elements.
            let elements = choices.list(upTo: 8) { $0.chance(30) ? $0.pick(["é", "e\u{301}"]) : $0.text(upTo: 3) }
            return (elements, choices.shuffled(elements), choices.list(upTo: 5) { $0.text(upTo: 3) })
        }.holds { elements, shuffled, others in
            let set = ValueSet(elements)
            try same(ValueSet(shuffled + shuffled), set)
            try same(ValueSet(json: set.json), set)
            let typed = JSON.array(shuffled.map { .string($0) }).text
            try same(try FieldType.set.admit(.text(typed)).get(), .text(set.json), "as it is stored")
            try same(ValueSet(set.elements + others), ValueSet(ValueSet(others).elements + elements))
            try same(set.elements.count, Set(elements.map { Array($0.utf8) }).count, "\(set.elements)")
            try ensure(set.elements.allSatisfy { element in elements.contains { $0.utf8.elementsEqual(element.utf8) } })
        }
    }

    @Test("days, their texts and their numbers are one to one and in one order, from year 1 to 9999 (P24)")
    func dates() {
        Property(cases: 2_000) { choices in
            [choices.within(-719_162...2_932_896), choices.within(-719_162...2_932_896)]
        }.holds { days in
            let first = try present(CalendarDate(daysSince1970: days[0]), "no day \(days[0])")
            let second = try present(CalendarDate(daysSince1970: days[1]), "no day \(days[1])")
            try same([first.daysSince1970, second.daysSince1970], days)
            try same(CalendarDate(first.description), first)
            try same(CalendarDate(daysSince1970: first.daysSince1970), first)
            try same(first < second, first.daysSince1970 < second.daysSince1970)
            try same(first < second, first.description < second.description, "by their texts")
        }
    }

    @Test("a sealed commit's bytes give it back, and damaged ones a commit or an error (C1, P29, W-22)")
    func commits() {
        Property(cases: 600) { choices in
            let body = choices.commitBody()
            return (body, choices.damaged(body.encoded()))
        }.holds { body, damaged in
            let bytes = body.encoded()
            if let read = try? CommitBody(decoding: bytes) {
                try same(read, body)
            } else {
                // A record is named at most once (W-24), and what is named twice is refused.
                let keys = body.changes.map { RecordKey(table: $0.table, record: $0.record) }
                try ensure(Set(keys).count < keys.count, "sound bytes are refused")
            }
            guard let other = try? CommitBody(decoding: damaged) else { return }
            try same(try CommitBody(decoding: other.encoded()), other, "what decodes encodes again")
        }
    }

    @Test(
        "a record's digest depends on its values alone, and a field that is added and empty changes nothing (P25, W-27)"
    )
    func digests() {
        let fields = [Field("a", .text), Field("b", .integer), Field("c", .blob), Field("d", .set, .set)]
        let table = Table("t", .reference, fields: fields)
        let wider = Table("t", .reference, fields: fields + [Field("e", .text)])
        Property(cases: 500) { choices in
            let row = Row(table.fields.map { choices.value(of: $0.type) })
            return (row, choices.recordID(), choices.below(4), choices.value(of: .text))
        }.holds { row, record, field, value in
            let digest = row.digest(table: table, record: record)
            try same(row.digest(table: wider, record: record), digest, "an old row under a new schema")
            try same(row.widened(to: wider).digest(table: wider, record: record), digest)
            var other = row
            other[field] = value
            try same(other.digest(table: table, record: record) == digest, other == row, "\(other)")
            var added = row
            added[4] = .text("x")
            try ensure(added.digest(table: wider, record: record) != digest)
        }
    }
}
