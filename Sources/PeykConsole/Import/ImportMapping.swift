public import PeykModel

/// How the columns of a CSV file become the fields of a table. Dirt in the data is cleaned here, never in code.
///
/// As JSON, one object or `{"imports": [object, …]}` for a file that holds several tables:
/// ```json
/// {
///   "table": "opportunity", "key": "external_id", "date_format": "yyyy-MM-dd",
///   "replace": {"product": {"GTXPro": "GTX Pro"}},
///   "fields": {
///     "external_id": "opportunity_id",
///     "name": {"template": "{product} {opportunity_id}"},
///     "stage_id": {"column": "deal_stage", "lookup": {"table": "stage", "field": "name"}},
///     "territory_id": {"column": "sales_agent",
///                      "lookup": {"table": "user", "field": "name", "take": "territory_id"}},
///     "amount": {"column": "close_value", "currency": "USD", "multiply": 1},
///     "kind": {"constant": "company"}
///   }
/// }
/// ```
public struct ImportMapping: Hashable, Sendable {
    public struct Lookup: Hashable, Sendable {
        public var table: String
        public var field: String
        /// A field of the record found, instead of its id.
        public var take: String?
    }

    public struct Source: Hashable, Sendable {
        public enum Text: Hashable, Sendable {
            case column(String)
            /// `{column}` stands for the column's value.
            case template(String)
            case constant(String)
        }
        public var text: Text
        public var lookup: Lookup?
        public var dateFormat: DatePattern?
        /// ISO 4217, for money.
        public var currency: String?
        /// The column with the currency of each row.
        public var currencyColumn: String?
        /// For amounts in thousands or millions.
        public var multiply: Int64 = 1
        /// Between the elements of a set.
        public var separator: String = ";"
    }

    public var table: String
    /// Rows with the same value here are the same record (rule D6); nil makes new records each time. `id` where a
    /// column holds the ids of records themselves, as in an export.
    public var key: String?
    public var dateFormat: DatePattern = .iso
    /// By column: what stands there, and what is meant.
    public var replacements: [String: [String: String]] = [:]
    /// By field.
    public var fields: [String: Source]

    public struct Problem: Error, Hashable, Sendable, CustomStringConvertible {
        public let description: String
        init(_ description: String) { self.description = description }
    }

    public init(table: String, key: String?, fields: [String: Source], dateFormat: DatePattern = .iso) {
        self.table = table
        self.key = key
        self.fields = fields
        self.dateFormat = dateFormat
    }

    /// Columns that are named like fields of `table`, without a mapping file. Unknown columns are a problem: a
    /// misspelt one would be lost in silence. `currency` columns belong to their amounts.
    public static func byName(
        of table: Table, header: [String], key: String?, dateFormat: DatePattern
    ) throws(Problem) -> ImportMapping {
        var fields: [String: Source] = [:]
        for column in header {
            if column == "id" {
                fields["id"] = Source(text: .column(column))
                continue
            }
            guard let index = table.fieldIndex(column) else {
                throw Problem(
                    "the column “\(column)” is not a field of \(table.name); name the fields or use a mapping file")
            }
            var source = Source(text: .column(column))
            if case .money(let currency) = table.fields[index].type, header.contains(currency) {
                source.currencyColumn = currency
            }
            fields[column] = source
        }
        for field in table.fields {
            if case .money(let currency) = field.type, fields[field.name] != nil { fields[currency] = nil }
        }
        // What only the server writes comes along in an export, and is not for import.
        for field in table.fields where field.policy == .server { fields[field.name] = nil }
        let key = key ?? (header.contains("id") ? "id" : nil)
        return ImportMapping(table: table.name, key: key, fields: fields, dateFormat: dateFormat)
    }

    /// All tables that a mapping file names, in their order.
    public static func read(_ text: String) throws(Problem) -> [ImportMapping] {
        let document: JSON
        do { document = try JSON(parsing: text) } catch { throw Problem("the mapping is \(error)") }
        guard let list = document["imports"]?.arrayValue else { return [try ImportMapping(json: document)] }
        var mappings: [ImportMapping] = []
        for item in list { mappings.append(try ImportMapping(json: item)) }
        guard !mappings.isEmpty else { throw Problem("the mapping's “imports” is empty") }
        return mappings
    }

    init(json: JSON) throws(Problem) {
        guard let table = json["table"]?.stringValue else { throw Problem("the mapping names no “table”") }
        guard let members = json["fields"]?.objectValue, !members.isEmpty else {
            throw Problem("the mapping for \(table) has no “fields”")
        }
        self.init(table: table, key: json["key"]?.stringValue, fields: [:])
        try Self.check(json, allowed: ["table", "key", "fields", "date_format", "replace", "comment"], of: table)
        if let format = json["date_format"] { dateFormat = try Self.pattern(format, table) }
        for (column, words) in json["replace"]?.objectValue ?? [:] {
            replacements[column] = (words.objectValue ?? [:]).compactMapValues(\.stringValue)
        }
        for (field, member) in members { fields[field] = try Self.source(member, "\(table).\(field)") }
    }

    private static func check(_ json: JSON, allowed: Set<String>, of place: String) throws(Problem) {
        let unknown = (json.objectValue ?? [:]).keys.filter { !allowed.contains($0) }.sorted()
        guard unknown.isEmpty else {
            throw Problem("the mapping for \(place) has the unknown key “\(unknown[0])”")
        }
    }

    private static func pattern(_ json: JSON, _ place: String) throws(Problem) -> DatePattern {
        guard let text = json.stringValue, let pattern = DatePattern(text) else {
            throw Problem(
                "the mapping for \(place) has a date format that is not like yyyy-MM-dd, dd/MM/yyyy or jalali")
        }
        return pattern
    }

    private static func source(_ json: JSON, _ place: String) throws(Problem) -> Source {
        if let column = json.stringValue { return Source(text: .column(column)) }
        try check(
            json,
            allowed: [
                "column", "template", "constant", "lookup", "date_format", "currency", "currency_column", "multiply",
                "separator",
            ], of: place)
        var source: Source
        switch (json["column"]?.stringValue, json["template"]?.stringValue, json["constant"]) {
        case (let column?, nil, nil): source = Source(text: .column(column))
        case (nil, let template?, nil): source = Source(text: .template(template))
        case (nil, nil, let constant?): source = Source(text: .constant(constant.stringValue ?? constant.text))
        default: throw Problem("the mapping for \(place) needs one of column, template and constant")
        }
        if let lookup = json["lookup"] {
            guard let table = lookup["table"]?.stringValue, let field = lookup["field"]?.stringValue else {
                throw Problem("the lookup of \(place) needs a table and a field")
            }
            source.lookup = Lookup(table: table, field: field, take: lookup["take"]?.stringValue)
        }
        if let format = json["date_format"] { source.dateFormat = try pattern(format, place) }
        source.currency = json["currency"]?.stringValue
        source.currencyColumn = json["currency_column"]?.stringValue
        if let multiply = json["multiply"] {
            guard let factor = multiply.integerValue, factor > 0 else {
                throw Problem("“multiply” of \(place) is not a whole number above 0")
            }
            source.multiply = factor
        }
        if let separator = json["separator"]?.stringValue, !separator.isEmpty { source.separator = separator }
        return source
    }

    /// The columns that it reads.
    var columns: Set<String> {
        var columns = Set(replacements.keys)
        for source in fields.values {
            if let column = source.currencyColumn { columns.insert(column) }
            switch source.text {
            case .column(let column): columns.insert(column)
            case .template(let template): columns.formUnion(Self.placeholders(template))
            case .constant: break
            }
        }
        return columns
    }

    static func placeholders(_ template: String) -> [String] {
        template.split(separator: "{", omittingEmptySubsequences: false).dropFirst().compactMap { part in
            part.firstIndex(of: "}").map { String(part[..<$0]) }
        }
    }
}
