import PeykCRM
import PeykModel

/// Why one row is refused; the text follows “line n: ”.
struct RowProblem: Error {
    let reason: String
    init(_ reason: String) { self.reason = reason }
}

/// Turns one text of a file into a field's value.
struct ImportValues {
    let table: Table
    let mapping: ImportMapping

    /// The text that a source gives for a row; nil where it is empty.
    func text(_ source: ImportMapping.Source, _ cells: [String: String]) -> String? {
        let text: String
        switch source.text {
        case .column(let column): text = cells[column] ?? ""
        case .constant(let constant): text = constant
        case .template(let template):
            var out = ""
            for (index, part) in template.split(separator: "{", omittingEmptySubsequences: false).enumerated() {
                guard index > 0, let end = part.firstIndex(of: "}") else {
                    out += part
                    continue
                }
                out += (cells[String(part[..<end])] ?? "") + part[part.index(after: end)...]
            }
            text = out.split(separator: " ").joined(separator: " ")
        }
        return text.isEmpty ? nil : text
    }

    /// The value of a field that is neither money nor found by lookup.
    func value(_ field: Field, _ text: String, _ source: ImportMapping.Source) throws(RowProblem) -> Value {
        func problem(_ what: String) -> RowProblem { RowProblem("\(field.name): \(what)") }
        switch field.type {
        case .integer, .money:
            do { return .integer(try DecimalNumber(text).scaled(by: 0, times: source.multiply)) } catch {
                throw problem(error.description)
            }
        case .double:
            do { return .real(try DecimalNumber(text).double * Double(source.multiply)) } catch {
                throw problem(error.description)
            }
        case .bool:
            switch text.lowercased() {
            case "1", "true", "yes", "y", "بله": return .integer(1)
            case "0", "false", "no", "n", "خیر": return .integer(0)
            default: throw problem("“\(text)” is neither yes nor no")
            }
        case .date:
            guard let date = (source.dateFormat ?? mapping.dateFormat).read(text) else {
                throw problem("“\(text)” is not a date of the expected form")
            }
            return .text(date.description)
        case .instant:
            if let date = (source.dateFormat ?? mapping.dateFormat).read(text) {
                return .integer(Int64(date.daysSince1970) * 86_400_000)
            }
            guard let instant = Instant.read(text) else { throw problem("“\(text)” is not a time with its zone") }
            return .integer(instant)
        case .set:
            let elements = text.split(separator: source.separator).map { Self.trimmed(String($0)) }
            return .text(ValueSet(elements.filter { !$0.isEmpty }).json)
        case .enumeration(let words):
            guard let word = words.first(where: { $0 == text.lowercased() }) ?? words.first(where: { $0 == text })
            else { throw problem("“\(text)” is not one of \(words.joined(separator: ", "))") }
            return .text(word)
        case .reference:
            guard let id = RecordID(text.lowercased()) else { throw problem("“\(text)” is not the id of a record") }
            return Value(id)
        case .text: return .text(text)
        case .blob: throw problem("binary fields cannot be imported")
        }
    }

    /// Amount and currency of a money field.
    func money(
        _ field: Field, _ text: String, _ source: ImportMapping.Source, _ cells: [String: String]
    ) throws(RowProblem) -> (amount: Value, currency: Value) {
        let code = (source.currencyColumn.flatMap { cells[$0] }.flatMap { $0.isEmpty ? nil : $0 } ?? source.currency)?
            .uppercased()
        guard let code else { throw RowProblem("\(field.name): the amount has no currency") }
        guard Currency.isCode(code) else { throw RowProblem("\(field.name): “\(code)” is not a currency code") }
        do {
            let read = try Currency.read(text, currency: code, times: source.multiply)
            return (.integer(read.minorUnits), .text(read.currency))
        } catch {
            throw RowProblem("\(field.name): \(error)")
        }
    }

    /// Spaces off both ends, and no marks that turn the direction of what follows.
    static func trimmed(_ text: String) -> String {
        var scalars = BidiControls.stripped(from: text).unicodeScalars[...]
        while let first = scalars.first, first.properties.isWhitespace { scalars.removeFirst() }
        while let last = scalars.last, last.properties.isWhitespace { scalars.removeLast() }
        return String(scalars)
    }
}
