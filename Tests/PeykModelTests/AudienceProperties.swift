import PeykModel
import PropertyKit
import Testing

/// Customers, opportunities that borrow them, contacts and notes under either, all by chance.
private struct Office: Sendable {
    static let schema = Schema(
        version: 1,
        tables: [
            Table("place", .reference, fields: [Field("name", .text)]),
            Table(
                "customer",
                .root(AudienceFields(territory: "place", owner: "owner", collaborators: "helpers"), lends: nil),
                fields: [
                    Field("place", .reference(table: "place")), Field("owner", .reference(table: "place")),
                    Field("helpers", .set, .set),
                ]),
            Table(
                "deal", .root(AudienceFields(territory: "place", owner: "owner"), lends: "customer"),
                fields: [
                    Field("place", .reference(table: "place")), Field("owner", .reference(table: "place")),
                    Field("customer", .reference(table: "customer"), hard: true),
                ]),
            Table(
                "note", .child(parents: ["deal", "customer", "note"], owner: "owner"),
                fields: [
                    Field("deal", .reference(table: "deal"), hard: true),
                    Field("customer", .reference(table: "customer"), hard: true),
                    Field("note", .reference(table: "note"), hard: true), Field("owner", .reference(table: "place")),
                ]),
        ])
    static let (customer, deal, note) = (2, 3, 4)
    var rows: [RecordKey: Row] = [:]

    func audience(_ key: RecordKey, reversed: Bool = false) -> Audience {
        let rules = AudienceRules(schema: Self.schema)
        guard let row = rows[key] else { return .nobody }
        return rules.audience(
            table: key.table, record: key.record, row: row,
            rows: { rows[RecordKey(table: $0, record: $1)] },
            borrowers: { table, record in
                let all = rows.sorted { reversed ? $1.key < $0.key : $0.key < $1.key }
                return all.compactMap { other, row in
                    rules.lent(table: other.table, row: row).map { $0 == (table, record) } == true
                        ? (other.table, row) : nil
                }
            })
    }
}

extension Choices {
    fileprivate mutating func office() -> Office {
        var office = Office()
        func reference(_ choices: inout Choices) -> Value {
            choices.optional { $0.recordID(of: 3) }.map { Value($0) } ?? .null
        }
        for _ in 0..<1 + below(3) {
            let helpers = ValueSet(list(upTo: 2, usual: 1) { $0.recordID(of: 3).description }).json
            office.rows[RecordKey(table: Office.customer, record: recordID(of: 3))] = Row([
                reference(&self), reference(&self), .text(helpers),
            ])
        }
        for _ in 0..<below(4) {
            office.rows[RecordKey(table: Office.deal, record: recordID(of: 3))] = Row([
                reference(&self), reference(&self), reference(&self),
            ])
        }
        for _ in 0..<below(5) {
            office.rows[RecordKey(table: Office.note, record: recordID(of: 4))] = Row([
                reference(&self), reference(&self), reference(&self), reference(&self),
            ])
        }
        return office
    }
}

@Suite("Properties of audiences")
struct AudienceProperties {
    @Test("a child is seen by whom its parent is seen, and who writes a record may read it (P20, S2, D3)")
    func inherits() {
        let rules = AudienceRules(schema: Office.schema)
        Property(cases: 500) { $0.office() }.holds { office in
            for (key, row) in office.rows {
                let audience = office.audience(key)
                try ensure(Set(audience.readers).isSuperset(of: audience.home), "\(key): written, not read")
                try same(office.audience(key, reversed: true), audience, "the order of rows matters")
                try same(audience.readers, Set(audience.readers).sorted(), "sorted, each once")
                guard key.table == Office.note, let parent = rules.parent(table: key.table, row: row) else { continue }
                let above = RecordKey(table: parent.table, record: parent.record)
                try same(audience, office.audience(above), "\(key) and its parent \(above)")
            }
        }
    }

    @Test("a rep reads a customer by its buckets or through a deal that she has, and by nothing else (P20, S2)")
    func lending() {
        Property(cases: 500) { choices in
            (choices.office(), choices.recordID(of: 3), choices.recordID(of: 3))
        }.holds { office, place, user in
            let grant = Role.rep.grant(user: user.description, territories: [place.description], version: 1)
            func isHers(_ row: Row) -> Bool {
                let helpers = row.values.count > 2 ? row[2].textValue.flatMap { ValueSet(json: $0) } : nil
                return row[0] == Value(place) || row[1] == Value(user)
                    || helpers?.elements.contains(user.description) == true
            }
            for (key, row) in office.rows where key.table == Office.customer {
                let deals = office.rows.filter { $0.key.table == Office.deal && $0.value[2] == Value(key.record) }
                // A deal has no helpers: its third field is the customer.
                let lends = deals.values.contains { isHers(Row(Array($0.values.prefix(2)))) }
                try same(grant.writes(office.audience(key)), isHers(row), "\(key) writes")
                try same(grant.reads(office.audience(key)), isHers(row) || lends, "\(key) reads")
            }
        }
    }

    @Test("only who has everything reads what is in no territory and nobody's (P20, S2)")
    func unassigned() {
        Property(cases: 300) { choices in
            let places = choices.list(upTo: 3, usual: 1) { $0.recordID(of: 3).description }
            return (choices.pick(Role.allCases), places, choices.recordID(of: 3).description)
        }.holds { role, places, user in
            var office = Office()
            let key = RecordKey(table: Office.customer, record: RecordID(bits: UUIDBits(high: 1, low: 1)))
            office.rows[key] = Row([.null, .null, .null])
            let grant = role.grant(user: user, territories: places, version: 1)
            let isWide = role == .manager || role == .admin || (role == .viewer && places.isEmpty)
            try same(grant.reads(office.audience(key)), isWide)
            try same(grant.writes(office.audience(key)), isWide && role != .viewer)
        }
    }
}
