import PeykModel
import PeykSQLite

extension Replica {
    /// Tables, triggers and indexes that the file should have and does not, by name: another program dropped them. What
    /// was written since without its triggers was not captured.
    ///
    /// - Complexity: O(tables); makes an empty replica in memory to compare with.
    public func missingParts() throws -> [String] {
        try reading { connection in
            let names = "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
            let present = Set(try connection.rows(names).compactMap { $0.first?.textValue })
            let whole = try Database(path: ":memory:", access: .create, lockPath: nil)
            defer { try? whole.close() }
            let wanted = try whole.write { empty in
                try state.layout.create(empty)
                return try empty.rows(names).compactMap { $0.first?.textValue }
            }
            return wanted.filter { !present.contains($0) }
        }
    }
}
