import PeykMerge
import PeykModel

/// A canonical dump of the workspace, as NDJSON: what a replica of the same scope dumps, byte for byte (P1).
public struct AdminDump {
    private let reader: any StoreReader

    public init(_ reader: any StoreReader) { self.reader = reader }

    /// - Parameters:
    ///   - table: one table's name; nil for all.
    ///   - user: only what this user, by name or id, may read; nil for everything.
    ///   - line: takes each line with its line end.
    /// - Complexity: O(records); one record at a time in memory.
    public func write(table: String? = nil, as user: String? = nil, _ line: ([UInt8]) throws -> Void) throws {
        let schema = reader.schema
        if let table, schema.tableIndex(table) == nil {
            throw AdminFailure(.missing, "This workspace has no table \(table).")
        }
        var buckets: [Bucket]?
        if let user {
            let found = try reader.documents(UserDocument.self).first { $0.name == user || $0.id.description == user }
            guard let found else { throw AdminFailure(.missing, "There is no user “\(user)”.") }
            buckets = found.isDisabled ? [] : found.grant.read
        }
        for index in schema.dumpOrder where table == nil || schema.tables[index].name == table {
            let definition = schema.tables[index]
            if let buckets {
                try reader.scan(table: index, after: nil, readableBy: buckets, above: .max) { id, row, _ in
                    try line(row.dumpLine(table: definition, record: id))
                    return true
                }
            } else {
                try reader.records(of: index, after: nil) { id, record in
                    try line(record.state.row.dumpLine(table: definition, record: id))
                    return true
                }
            }
        }
    }
}
