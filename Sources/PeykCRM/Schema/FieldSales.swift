public import PeykModel

/// The field-sales schema: what every workspace starts with. `peykd schema apply` adds to it.
///
/// Which policy a field has, and why, is in ``FieldSales/customer`` and its neighbours: money, stage, owner,
/// territory, close date and names of customers are `review`, since a person should look at what lost; facts
/// about the past are `once`, `min` or `max`; lists are sets; long texts merge by lines.
public enum FieldSales {
    /// Version 1: reference data first, then roots, then what hangs on them.
    public static let schema: Schema = Schema(
        version: 1,
        tables: [territory, user, pipeline, stage, product, customer, contact, opportunity, activity, task])

    static func field(
        _ name: String, _ type: FieldType, _ policy: Policy = .lww, _ english: String, _ persian: String,
        group: String? = nil, required: Bool = false, hard: Bool = false, rank: Field.Rank? = nil,
        default defaultValue: Value = .null
    ) -> Field {
        Field(
            name, type, policy, group: group, required: required, hard: hard, rank: rank, default: defaultValue,
            labels: ["en": english, "fa": persian])
    }

    /// An amount and its ISO 4217 code: one cell, named like the amount.
    static func money(
        _ name: String, currency: String, _ policy: Policy, _ english: String, _ persian: String
    ) -> [Field] {
        [
            field(name, .money(currency: currency), policy, english, persian, group: name),
            field(
                currency, .text, policy, english + " (currency)", "ارز " + persian, group: name),
        ]
    }

    /// Hard only to reference data, parents and lenders (rule D3).
    static func reference(
        _ name: String, to table: String, _ policy: Policy = .lww, _ english: String, _ persian: String,
        required: Bool = false, hard: Bool = true
    ) -> Field {
        field(name, .reference(table: table), policy, english, persian, required: required, hard: hard)
    }

    /// Where a record came from: written once, at its creation.
    static var origin: [Field] {
        [
            field("external_id", .text, .once, "External id", "شناسه بیرونی"),
            field("source", .text, .once, "Source", "منبع"),
            field("created_at", .instant, .once, "Created", "زمان ایجاد"),
            reference("created_by", to: "user", .once, "Created by", "ایجادکننده"),
        ]
    }

    static var archived: Field {
        field("archived", .bool, .lww, "Archived", "بایگانی", default: .integer(0))
    }

    static func labels(_ english: String, _ persian: String) -> [String: String] {
        ["en": english, "fa": persian]
    }
}
