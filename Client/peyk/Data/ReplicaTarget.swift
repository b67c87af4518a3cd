import PeykConsole
import PeykModel
import PeykReplica

/// Imports into a replica: each batch is one commit.
final class ReplicaTarget: ImportTarget {
    private let replica: Replica
    let schema: Schema
    let workspace: String

    init(_ replica: Replica, workspace: String) {
        self.replica = replica
        schema = replica.schema
        self.workspace = workspace
    }

    func values(of table: Table, field: Int) throws -> [(record: RecordID, value: Value)] {
        let name = table.fields[field].name
        return try replica.read { read in
            try read.rows("SELECT id, \"\(name)\" FROM \"\(table.name)\" WHERE \"\(name)\" IS NOT NULL", [])
        }.compactMap { row in row.first?.recordID.map { ($0, row[1]) } }
    }

    func row(of table: Table, record: RecordID) throws -> Row? {
        try replica.read { try $0.row(table.name, record) }
    }

    func newRecordID() -> RecordID { replica.newID() }

    func write(_ batch: [ImportWrite]) throws {
        try replica.write { write in
            for item in batch {
                if item.isInsert {
                    try write.insert(into: item.table, id: item.record, item.values)
                } else {
                    try write.update(item.table, item.record, item.values)
                }
            }
        }
    }
}
