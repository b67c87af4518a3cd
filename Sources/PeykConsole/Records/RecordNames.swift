public import PeykCRM
public import PeykModel

/// Finds records by what people call them, and calls records by their names.
public final class RecordNames {
    public let schema: Schema
    private let source: any ReportSource
    private let language: Presentation.Language
    private var known: [String: String] = [:]

    public init(schema: Schema, source: any ReportSource, language: Presentation.Language = .en) {
        self.schema = schema
        self.source = source
        self.language = language
    }

    /// Fields that name a record, best first.
    static let naming = ["name", "title", "subject", "kind"]

    public static func namingField(of table: Table) -> Field? {
        naming.lazy.compactMap { table.fieldIndex($0) }.first.map { table.fields[$0] }
    }

    /// What a person calls the record; its short id where it has no name or is not here.
    public func name(of record: String, in table: Table) -> String {
        if let name = known[record] { return name }
        var name = String(record.prefix(8))
        if let field = Self.namingField(of: table) {
            let persian =
                language == .fa && table.fieldIndex("name_fa") != nil ? "COALESCE(name_fa, \(field.name))" : field.name
            let rows = try? source.rows(
                "SELECT \(persian) FROM \"\(table.name)\" WHERE id = CAST($1 AS TEXT)", [.text(record)])
            if let text = rows?.first?.first?.textValue { name = text }
        }
        known[record] = name
        return name
    }

    /// The record that `text` means: its id, the unique beginning of one, or its name, code or external id.
    ///
    /// - Throws: ``Failure`` 66 where there is none, 64 where there are several.
    public func find(_ text: String, in table: Table) throws -> RecordID {
        let text = text.trimming()
        if let id = RecordID(text.lowercased()) { return id }
        guard !text.isEmpty else {
            throw Failure(
                .usage, "Say which \(table.name): its id or its name.",
                "بگویید کدام \(table.name): شناسه یا نامش.")
        }
        let digits = text.lowercased()
        if digits.utf8.count >= 4, digits.utf8.allSatisfy({ Self.isIDCharacter($0) }) {
            let found = try ids(
                "SELECT id FROM \"\(table.name)\" WHERE id >= CAST($1 AS TEXT) AND id < CAST($2 AS TEXT) ORDER BY id LIMIT 6",
                [.text(digits), .text(digits + "g")])
            if let one = try single(found, text, table) { return one }
        }
        let fields = ["name", "title", "subject", "code", "external_id", "name_fa", "email"]
            .filter { table.fieldIndex($0) != nil }
        guard !fields.isEmpty else { throw Self.missing(text, table) }
        let exact = fields.map { "\($0) = CAST($1 AS TEXT)" }.joined(separator: " OR ")
        if let one = try single(
            try ids("SELECT id FROM \"\(table.name)\" WHERE \(exact) ORDER BY id LIMIT 6", [.text(text)]), text, table)
        {
            return one
        }
        let pattern = "%" + text.replacing("%", with: "").replacing("_", with: "") + "%"
        let like = fields.map { "LOWER(\($0)) LIKE LOWER(CAST($1 AS TEXT))" }.joined(separator: " OR ")
        if pattern.count > 3,
            let one = try single(
                try ids("SELECT id FROM \"\(table.name)\" WHERE \(like) ORDER BY id LIMIT 6", [.text(pattern)]), text,
                table
            )
        {
            return one
        }
        throw Self.missing(text, table)
    }

    private static func isIDCharacter(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte) || byte == 0x2D
    }

    private static func missing(_ text: String, _ table: Table) -> Failure {
        Failure(.noInput, "There is no \(table.name) “\(text)” here.", "\(table.name) «\(text)» اینجا نیست.")
    }

    private func ids(_ sql: String, _ values: [Value]) throws -> [String] {
        try source.rows(sql, values).compactMap { $0.first?.textValue }
    }

    private func single(_ found: [String], _ text: String, _ table: Table) throws -> RecordID? {
        guard found.count <= 1 else {
            let names = found.prefix(5).map { "\(name(of: $0, in: table)) (\($0))" }.joined(separator: ", ")
            throw Failure(
                .usage, "“\(text)” fits several records of \(table.name): \(names). Say more of the id.",
                "«\(text)» به چند رکورد \(table.name) می‌خورد: \(names). شناسهٔ کامل‌تری بدهید.")
        }
        return found.first.flatMap { RecordID($0) }
    }

    /// The shortest beginnings of ids (8 characters and more) that are unique in the table.
    public func short(_ ids: [String], in table: Table) -> [String] {
        ids.map { id in
            let around =
                (try? source.rows(
                    """
                    SELECT (SELECT MAX(id) FROM \"\(table.name)\" WHERE id < CAST($1 AS TEXT)),
                        (SELECT MIN(id) FROM \"\(table.name)\" WHERE id > CAST($1 AS TEXT))
                    """, [.text(id)]))?.first ?? []
            let shared =
                around.compactMap(\.textValue).map { other in
                    zip(id.utf8, other.utf8).prefix { $0 == $1 }.count
                }.max() ?? 0
            return String(id.prefix(max(8, shared + 1)))
        }
    }
}

extension String {
    func trimming() -> String { ImportValues.trimmed(self) }
}
