public import PeykCRM
public import PeykModel

/// Shows records: cells for tables, plain values for machines.
public struct RecordView {
    public let table: Table
    public let names: RecordNames
    public let show: Presentation

    public init(table: Table, names: RecordNames, show: Presentation) {
        self.table = table
        self.names = names
        self.show = show
    }

    /// One value as a person reads it; empty for null.
    public func text(_ index: Int, of row: Row) -> String {
        let field = table.fields[index]
        switch (field.type, row[index]) {
        case (_, .null): return ""
        case (.money(let currencyName), .integer(let amount)):
            let currency = table.fieldIndex(currencyName).flatMap { row[$0].textValue } ?? ""
            return show.money(amount, currency: currency)
        case (.bool, .integer(let flag)): return flag == 0 ? show.say("no", "خیر") : show.say("yes", "بله")
        case (.instant, .integer(let time)): return show.instant(time)
        case (.date, .text(let text)): return CalendarDate(text).map { show.date($0) } ?? text
        case (.set, .text(let text)):
            let elements = ValueSet(json: text)?.elements ?? []
            guard isOfUsers(field), let users = names.schema.table(named: "user") else {
                return elements.joined(separator: show.say(", ", "، "))
            }
            return elements.map { names.name(of: $0, in: users) }.joined(separator: show.say(", ", "، "))
        case (.reference(let target), .text(let id)):
            return names.schema.table(named: target).map { names.name(of: id, in: $0) } ?? id
        case (_, .integer(let number)):
            return isPlainNumber(field) ? show.digits(in: String(number)) : show.number(number)
        case (_, .real(let number)): return show.digits(in: "\(number)")
        case (_, .text(let text)): return text
        case (_, .blob(let bytes)): return show.say("\(bytes.count) bytes", "\(bytes.count) بایت")
        }
    }

    private func isOfUsers(_ field: Field) -> Bool {
        if case .root(let audience, _) = table.kind { return audience.collaborators == field.name }
        return false
    }

    /// Years and places in an order are not read with group marks.
    private func isPlainNumber(_ field: Field) -> Bool { field.name.contains("year") || field.name == "position" }

    public func label(_ index: Int) -> String { show.label(table.fields[index].labels, else: table.fields[index].name) }

    /// Whether an amount shows this field with itself.
    public func isCurrency(_ index: Int) -> Bool {
        table.fields.contains { if case .money(let name) = $0.type { name == table.fields[index].name } else { false } }
    }

    /// The fields of a cell that people see.
    public func shown(_ cell: Cell) -> [Int] { cell.fields.filter { !isCurrency($0) } }

    /// `Country: Switzerland · City: Basel`; what is empty is left out where something is not.
    public func labelled(_ fields: [Int], of row: Row) -> String {
        let empty = show.say("(empty)", "(خالی)")
        let texts = fields.map { (label($0), text($0, of: row)) }
        let full = texts.filter { !$0.1.isEmpty }
        return (full.isEmpty ? texts.map { ($0.0, empty) } : full).map { "\($0.0): \($0.1)" }
            .joined(separator: " · ")
    }

    /// The record as machines get it: every field that is not null, ISO dates and times, sets as arrays.
    public func json(_ id: String, _ row: Row) -> JSON {
        var members: [String: JSON] = ["id": .string(id)]
        for (index, field) in table.fields.enumerated() where !row[index].isNull {
            members[field.name] = Self.machine(row[index], field.type)
        }
        return .object(members)
    }

    public static func machine(_ value: Value, _ type: FieldType) -> JSON {
        switch (type, value) {
        case (.bool, .integer(let flag)): .bool(flag != 0)
        case (.instant, .integer(let time)): .string(Instant.iso(time))
        case (.set, .text(let text)):
            .array((ValueSet(json: text)?.elements ?? []).map { .string($0) })
        default: JSON(value)
        }
    }

    /// The same for CSV: amounts as decimals of their currency.
    public func plain(_ index: Int, of row: Row) -> String {
        let field = table.fields[index]
        switch (field.type, row[index]) {
        case (_, .null): return ""
        case (.money(let currencyName), .integer(let amount)):
            return Currency.plain(amount, currency: table.fieldIndex(currencyName).flatMap { row[$0].textValue } ?? "")
        case (.instant, .integer(let time)): return Instant.iso(time)
        case (.set, .text(let text)): return (ValueSet(json: text)?.elements ?? []).joined(separator: ";")
        case (_, let value): return Console.plain(JSON(value))
        }
    }

    /// The columns of lists, by table; the first few fields of tables that are not ours.
    public static func columns(of table: Table) -> [Int] {
        let chosen: [String: [String]] = [
            "customer": ["name", "type", "city", "owner_id", "territory_id", "phones"],
            "contact": ["name", "customer_id", "title", "phones", "emails"],
            "opportunity": ["name", "customer_id", "stage_id", "amount", "close_date", "owner_id"],
            "activity": ["occurred_at", "kind", "subject", "outcome", "user_id"],
            "task": ["title", "due_on", "status", "priority", "customer_id"],
            "product": ["name", "code", "series", "price"],
            "stage": ["position", "name", "kind", "probability", "pipeline_id"],
            "user": ["name", "title", "territory_id", "email"],
        ]
        let names = chosen[table.name] ?? table.fields.prefix(6).map(\.name)
        return names.compactMap { table.fieldIndex($0) }
    }

    public static func isNumber(_ field: Field) -> Bool {
        switch field.type {
        case .integer, .double, .money: true
        default: false
        }
    }
}
