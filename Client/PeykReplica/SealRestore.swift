import PeykModel
import PeykSQLite

/// Putting rows back as they were, unseen by the capture triggers, and saying so.
extension SealRun {
    /// Lists a change of another program as an issue.
    func park(_ change: Change, _ code: NoticeCode, _ detail: String, base: Row?) throws {
        var payload = ByteWriter()
        change.encode(to: &payload)
        var former = ByteWriter()
        base?.encode(to: &former)
        try replica.park(
            connection,
            IssueDraft(
                code: code, detail: detail, table: layout.tables[change.table].name, record: change.record,
                payload: payload.bytes, base: former.bytes))
        summary.issues += 1
    }

    private var restore: SealRestore { SealRestore(replica: replica, connection: connection) }

    func update(_ table: TableLayout, _ record: RecordID, _ fields: [FieldValue]) throws {
        try restore.update(table, record, fields)
    }

    func insert(_ table: TableLayout, _ record: RecordID, _ row: Row) throws {
        try restore.insert(table, record, row)
    }

    /// Takes a new record out again, and with it what was made to refer to it: new records are listed whole, in
    /// others the reference goes back to what it was.
    func remove(_ table: TableLayout, _ record: RecordID) throws {
        for referrer in table.referrers {
            let other = layout.tables[referrer.table]
            let column = other.columns[referrer.field]
            let rows = try connection.rows(
                "SELECT id FROM \(TableLayout.quoted(other.name)) WHERE \(column) = ?1", [Value(record)])
            for child in rows.compactMap(\.first).compactMap(\.recordID) where child != record {
                try detach(child, of: other, field: referrer.field)
            }
        }
        try restore.delete(table, record)
    }

    /// Takes back a reference to a record that may not be there.
    func detach(_ record: RecordID, of table: TableLayout, field: Int) throws {
        guard let present = try PresentRow(record, table, connection) else { return }
        let former = try CaptureFormer.read([record.bits], table, connection)[record.bits]
        sheet(table.index).reconsider(record.bits)
        if let before = former?.row(present: present.row) {
            let cell = table.table.cells[table.table.cellOfField[field]]
            let write = CellWrite.assign(cell.fields.map { present.payload($0) })
            let change = Change(
                table: table.index, record: record, kind: .update, cells: [CellChange(cell: cell.tag, write: write)])
            try park(
                change, .reference, "\(table.table.fields[field].name) names a record that is not there", base: before)
            try update(table, record, cell.fields.map { FieldValue(field: $0, value: before[$0]) })
        } else {
            let cells = table.table.cells.compactMap { cell -> CellChange? in
                let values = cell.fields.map { present.payload($0) }
                return values.allSatisfy(\.isNull) ? nil : CellChange(cell: cell.tag, write: .assign(values))
            }
            let change = Change(table: table.index, record: record, kind: .insert, cells: cells)
            try park(
                change, .reference, "\(table.table.fields[field].name) names a record that is not there", base: nil)
            try remove(table, record)
        }
    }
}

/// Writes rows without the capture triggers seeing it.
struct SealRestore {
    let replica: Replica
    let connection: Connection

    func update(_ table: TableLayout, _ record: RecordID, _ fields: [FieldValue]) throws {
        guard !fields.isEmpty else { return }
        let sets = fields.enumerated().map { "\(table.columns[$1.field]) = ?\($0 + 2)" }.joined(separator: ", ")
        let values: [Value] = [Value(record)] + fields.map(\.value)
        try replica.muted(connection) {
            try connection.run("UPDATE \(TableLayout.quoted(table.name)) SET \(sets) WHERE id = ?1", values)
        }
    }

    func insert(_ table: TableLayout, _ record: RecordID, _ row: Row) throws {
        let places = (0...table.fieldCount).map { "?\($0 + 1)" }.joined(separator: ", ")
        let columns = (["id"] + table.columns).joined(separator: ", ")
        let values: [Value] = [Value(record)] + (0..<table.fieldCount).map { row[$0] }
        try replica.muted(connection) {
            try connection.run("INSERT INTO \(TableLayout.quoted(table.name))(\(columns)) VALUES (\(places))", values)
        }
    }

    func delete(_ table: TableLayout, _ record: RecordID) throws {
        try replica.muted(connection) {
            try connection.run("DELETE FROM \(TableLayout.quoted(table.name)) WHERE id = ?1", [Value(record)])
        }
    }

    /// The row as it was before `change`.
    func goBack(_ change: Change, _ image: BeforeImage) throws {
        let tables = replica.state.layout.tables
        guard tables.indices.contains(change.table) else { return }
        let table = tables[change.table]
        let present = try PresentRow(change.record, table, connection)?.row
        switch image {
        case .absent: try delete(table, change.record)
        case .row(let row): if present == nil { try insert(table, change.record, row) }
        case .fields(let fields): if present != nil { try update(table, change.record, fields) }
        }
    }
}
