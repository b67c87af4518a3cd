/// A canonical dump: one line a record, the tables by name, the records of a table by id.
///
/// A line is canonical JSON, `{"id":…,"table":…,"values":{…}}`, without the fields that are null, so that equal states
/// give equal bytes on the server and on every replica, also where one of them has had a field added since.
extension Row {
    /// The line of a record, with its line end.
    public func dumpLine(table: Table, record: RecordID) -> [UInt8] {
        var values: [String: JSON] = [:]
        for (index, field) in table.fields.enumerated() where !self[index].isNull {
            values[field.name] = JSON(self[index])
        }
        var line: [UInt8] = []
        let document: JSON = [
            "table": .string(table.name), "id": .string(record.description), "values": .object(values),
        ]
        document.append(to: &line)
        line.append(0x0A)
        return line
    }
}

extension Schema {
    /// Indexes of the tables in the order of a dump.
    public var dumpOrder: [Int] {
        tables.indices.sorted { tables[$0].name.utf8.lexicographicallyPrecedes(tables[$1].name.utf8) }
    }
}
