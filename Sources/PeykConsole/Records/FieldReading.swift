public import PeykCRM
public import PeykModel

/// Reads what people type for fields: `name=Alborz`, `amount="1,200 USD"`, `close_date=1404/05/01`, `owner=Sara`,
/// `tags+=vip`, `visits+=1`, `notes=` (empties the field).
public struct FieldReading {
    public let table: Table
    public let names: RecordNames
    /// Unix milliseconds, for `now`, `today`, `+7d`.
    public let now: Int64
    /// Of times without a zone.
    public let presentation: Presentation

    public init(table: Table, names: RecordNames, now: Int64, presentation: Presentation) {
        self.table = table
        self.names = names
        self.now = now
        self.presentation = presentation
    }

    enum Verb { case assign, add, remove }

    /// The values to be written, whole groups. `current` is the present row of the record, nil for a new one.
    ///
    /// - Throws: ``Failure`` 64 with what is wrong with which field.
    public func values(_ assignments: [String], over current: Row?) throws -> [String: Value] {
        var row = current ?? Row.empty(table)
        var touched: Set<Int> = []
        for assignment in assignments {
            let (name, verb, text) = try split(assignment)
            let index = try field(named: name)
            for member in try write(text, verb, to: index, in: &row) { touched.insert(member) }
        }
        var values: [String: Value] = [:]
        for index in touched {
            for member in table.cells[table.cellOfField[index]].fields {
                values[table.fields[member].name] = row[member]
            }
        }
        for (name, value) in values {
            guard let index = table.fieldIndex(name) else { continue }
            if case .failure(let error) = table.fields[index].type.admit(value) {
                throw Failure(.usage, "Nothing was saved: \(name) \(error).", "چیزی ذخیره نشد: \(name): \(error).")
            }
        }
        return values
    }

    private func split(_ assignment: String) throws -> (name: String, verb: Verb, text: String) {
        guard let equals = assignment.firstIndex(of: "=") else {
            throw Failure(
                .usage, "“\(assignment)” is not of the form field=value. Nothing was saved.",
                "«\(assignment)» به شکل field=value نیست. چیزی ذخیره نشد.")
        }
        var name = String(assignment[..<equals])
        var verb = Verb.assign
        if name.last == "+" { verb = .add }
        if name.last == "-" { verb = .remove }
        if verb != .assign { name.removeLast() }
        return (name.trimming(), verb, String(assignment[assignment.index(after: equals)...]).trimming())
    }

    /// By its name, without its ending (`owner` for `owner_id`, `phone` for `phones`, `close` for `close_date`), or by
    /// its label.
    public func field(named name: String) throws -> Int {
        for ending in ["", "_id", "s", "_date", "_on", "_at"] {
            if let index = table.fieldIndex(name + ending) { return index }
        }
        let lower = name.lowercased()
        if let index = table.fields.firstIndex(where: { field in
            field.labels.values.contains { $0.lowercased() == lower }
        }) {
            return index
        }
        let all = table.fields.filter { !$0.isRetired }.map(\.name).joined(separator: ", ")
        throw Failure(
            .usage, "\(table.name) has no field “\(name)”. Its fields are \(all).",
            "\(table.name) فیلدی به نام «\(name)» ندارد. فیلدها: \(all).")
    }

    /// Writes into `row`; gives the fields that were touched.
    private func write(_ text: String, _ verb: Verb, to index: Int, in row: inout Row) throws -> [Int] {
        let field = table.fields[index]
        switch (field.type, verb) {
        case (.set, _):
            let elements = text.isEmpty ? [] : try elements(of: field, text)
            let old = row[index].textValue.flatMap { ValueSet(json: $0) }?.elements ?? []
            let new: [String] =
                switch verb {
                case .assign: elements
                case .add: old + elements
                case .remove: old.filter { !elements.contains($0) }
                }
            row[index] = .text(ValueSet(new).json)
            return [index]
        case (.integer, .add), (.integer, .remove):
            let delta = try number(text, field)
            let old = row[index].integerValue ?? 0
            let (sum, overflow) =
                verb == .add ? old.addingReportingOverflow(delta) : old.subtractingReportingOverflow(delta)
            guard !overflow else { throw wrong(field, "would be too large") }
            row[index] = .integer(sum)
            return [index]
        case (_, .assign): break
        default: throw wrong(field, "takes = only; += and -= are for lists and whole numbers")
        }
        if case .money(let currencyName) = field.type, let currency = table.fieldIndex(currencyName) {
            return try money(text, index, currency, in: &row)
        }
        row[index] = text.isEmpty ? (field.isRequired ? field.defaultValue : .null) : try value(text, field)
        return [index]
    }

    private func elements(of field: Field, _ text: String) throws -> [String] {
        let parts = text.split { $0 == "," || $0 == ";" || $0 == "،" }.map { String($0).trimming() }.filter {
            !$0.isEmpty
        }
        // A set that makes an audience holds ids of users.
        guard case .root(let audience, _) = table.kind, audience.collaborators == field.name,
            let users = names.schema.table(named: "user")
        else { return parts }
        return try parts.map { try names.find($0, in: users).description }
    }

    private func money(_ text: String, _ index: Int, _ currency: Int, in row: inout Row) throws -> [Int] {
        let field = table.fields[index]
        guard !text.isEmpty else {
            row[index] = .null
            row[currency] = .null
            return [index]
        }
        let (figures, code) = Self.splitCurrency(text)
        guard let code = code ?? row[currency].textValue else {
            throw wrong(field, "needs a currency, as in \(field.name)=\"\(text) USD\"")
        }
        do {
            let read = try Currency.read(figures, currency: code)
            row[index] = .integer(read.minorUnits)
            row[currency] = .text(read.currency)
        } catch {
            throw wrong(field, "cannot be read: \(error)")
        }
        return [index]
    }

    /// `1,200 USD`, `USD 1,200`, `۱۲۰۰ تومان`.
    static func splitCurrency(_ text: String) -> (figures: String, code: String?) {
        let words = ["ریال": "IRR", "تومان": "IRT", "دلار": "USD", "یورو": "EUR", "درهم": "AED"]
        var figures = text
        for part in text.split(separator: " ") {
            let word = String(part)
            guard let code = words[word] ?? (Currency.isCode(word.uppercased()) ? word.uppercased() : nil) else {
                continue
            }
            figures = text.replacing(word, with: "").trimming()
            return (figures, code)
        }
        return (figures, nil)
    }

    private func value(_ text: String, _ field: Field) throws -> Value {
        switch field.type {
        case .integer, .money: return .integer(try number(text, field))
        case .double:
            do { return .real(try DecimalNumber(text).double) } catch { throw wrong(field, "cannot be read: \(error)") }
        case .bool:
            switch text.lowercased() {
            case "1", "true", "yes", "y", "on", "بله": return .integer(1)
            case "0", "false", "no", "n", "off", "خیر": return .integer(0)
            default: throw wrong(field, "is yes or no, not “\(text)”")
            }
        case .date:
            guard let date = date(text) else {
                throw wrong(field, "is not a date: write 2026-11-22, 1405/09/01, today or +7d")
            }
            return .text(date.description)
        case .instant:
            guard let instant = instant(text) else {
                throw wrong(field, "is not a time: write 2026-11-22 14:30, or now")
            }
            return .integer(instant)
        case .enumeration(let words):
            guard let word = words.first(where: { $0 == text }) ?? words.first(where: { $0 == text.lowercased() })
            else {
                throw wrong(field, "is one of \(words.joined(separator: ", ")), not “\(text)”")
            }
            return .text(word)
        case .reference(let target):
            guard let other = names.schema.table(named: target) else { throw wrong(field, "refers to nothing") }
            return Value(try names.find(text, in: other))
        case .text: return .text(text)
        case .set, .blob: throw wrong(field, "cannot be typed")
        }
    }

    private func number(_ text: String, _ field: Field) throws -> Int64 {
        do { return try DecimalNumber(text).integer() } catch { throw wrong(field, "cannot be read: \(error)") }
    }

    private func wrong(_ field: Field, _ what: String) -> Failure {
        Failure(.usage, "Nothing was saved: \(field.name) \(what).")
    }

    // MARK: - Dates

    /// `2026-11-22`, `1405/09/01` (a year below 1700 is Persian), `today`, `tomorrow`, `+7d`, `-2w`.
    public func date(_ text: String) -> CalendarDate? {
        let text = Digits.latin(text).lowercased()
        let today = Int((now + Int64(presentation.utcOffset(now)) * 1000) / 86_400_000)
        switch text {
        case "today", "امروز": return CalendarDate(daysSince1970: today)
        case "tomorrow", "فردا": return CalendarDate(daysSince1970: today + 1)
        case "yesterday", "دیروز": return CalendarDate(daysSince1970: today - 1)
        default: break
        }
        if let sign = text.first, sign == "+" || sign == "-", let unit = text.last,
            let count = Int(text.dropFirst().dropLast()), count < 100_000
        {
            let days = unit == "d" ? count : unit == "w" ? count * 7 : nil
            return days.flatMap { CalendarDate(daysSince1970: today + (sign == "-" ? -$0 : $0)) }
        }
        if let date = CalendarDate(text), date.year >= 1700 { return date }
        return JalaliDate(text)?.gregorian
    }

    /// RFC 3339, or a date with a time of this zone, or `now`, or a date alone (its midnight in this zone).
    public func instant(_ text: String) -> Int64? {
        if text.lowercased() == "now" || text == "اکنون" { return now }
        let folded = Digits.latin(text)
        if let instant = Instant.read(folded), folded.utf8.count > 10 { return instant }
        let parts = folded.split(maxSplits: 1) { $0 == " " || $0 == "T" }
        guard let first = parts.first, let day = date(String(first)) else { return nil }
        let clock = parts.count > 1 ? String(parts[1]) : "00:00"
        guard let utc = Instant.read("\(day)T\(clock)Z") else { return nil }
        return utc - Int64(presentation.utcOffset(utc)) * 1000
    }
}
