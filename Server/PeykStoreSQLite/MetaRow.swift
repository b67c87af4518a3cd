import PeykModel
import PeykSQLite
import PeykServer

/// What the store keeps about itself, by key: its format, the schema as JSON text, the epochs that clocks name.
enum MetaRow {
    static func value(_ key: String, _ connection: Connection) throws -> Value? {
        try connection.value("SELECT value FROM peyk_meta WHERE key = ?", [.text(key)])
    }

    static func set(_ key: String, _ value: Value, _ connection: Connection) throws {
        try connection.run(
            """
            INSERT INTO peyk_meta(key, value) VALUES(?, ?)
            ON CONFLICT(key) DO UPDATE SET value = excluded.value
            """, [.text(key), value])
    }

    static func schemaVersion(_ connection: Connection) throws -> Int64 {
        try value("schema_version", connection)?.integerValue ?? 0
    }

    /// Version 0, with no tables but the ledger, before the first schema.
    static func schema(_ connection: Connection) throws -> Schema {
        guard let text = try value("schema", connection)?.textValue else { return Schema(version: 0, tables: []) }
        do {
            return try Schema(json: try JSON(parsing: text))
        } catch {
            throw StoreError.corrupt("the schema: \(error)")
        }
    }

    static func write(_ schema: Schema, _ connection: Connection) throws {
        try set("schema", .text(schema.json.text), connection)
        try set("schema_version", .integer(schema.version), connection)
    }

    static func epochs(_ connection: Connection) throws -> [Epoch] {
        guard case .blob(let bytes)? = try value("epochs", connection) else { return [] }
        return stride(from: 0, to: bytes.count, by: 16).compactMap { start in
            Epoch(bytes: bytes[start..<min(start + 16, bytes.count)])
        }
    }
}
