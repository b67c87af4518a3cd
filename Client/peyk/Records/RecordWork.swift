import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica
import PeykSQLite

/// What the record commands of all tables do.
struct RecordWork {
    let place: Workplace
    let table: Table

    init(_ place: Workplace, _ name: String) throws {
        self.place = place
        table = try place.table(name)
    }

    private func reading(_ names: RecordNames) -> FieldReading {
        FieldReading(table: table, names: names, now: LocalTime.now(), presentation: place.show)
    }

    // MARK: - Writing

    func add(_ assignments: [String], also: (LocalWrite, RecordID, [String: Value]) throws -> Void = { _, _, _ in })
        throws
    {
        var added: RecordID?
        let result = try place.replica.write { write in
            let values = try reading(place.names(in: write)).values(assignments, over: nil)
            let complete = try RecordDefaults(schema: place.schema, source: write).complete(values, for: table)
            for field in table.fields where field.isRequired {
                let value = complete[field.name] ?? field.defaultValue
                guard !value.isNull else {
                    throw Failure(
                        .usage, "Nothing was saved: a new \(table.name) needs \(field.name)=….",
                        "چیزی ذخیره نشد: \(table.name) تازه به \(field.name)=… نیاز دارد.")
                }
            }
            let id = try write.insert(into: table.name, complete)
            try also(write, id, complete)
            added = id
        }
        place.tell(result)
        guard let added else { return }
        switch place.console.format {
        case .json:
            place.console.printJSON([
                "id": .string(added.description), "table": .string(table.name),
                "commit": result.commit.map { .string($0.description) } ?? .null,
            ])
        default: Terminal.write(added.description + "\n")
        }
    }

    /// Changes a record. `change` gives the assignments, from what the record is now.
    func set(_ text: String, _ change: (Row, LocalWrite, RecordID) throws -> [String]) throws {
        var changed: [String: Value] = [:]
        var found: RecordID?
        let result = try place.replica.write { write in
            let names = place.names(in: write)
            let record = try names.find(text, in: table)
            guard let row = try write.row(table.name, record) else {
                throw Failure(
                    .noInput, "There is no \(table.name) \(record) here.", "\(table.name) \(record) اینجا نیست.")
            }
            let assignments = try change(row, write, record)
            // Whole groups; those are left out in which nothing differs.
            let full = try reading(names).values(assignments, over: row)
            var whole: [String: Value] = [:]
            for (name, value) in full {
                guard let index = table.fieldIndex(name), row[index] != value else { continue }
                changed[name] = value
                for member in table.cells[table.cellOfField[index]].fields {
                    let field = table.fields[member].name
                    whole[field] = full[field] ?? row[member]
                }
            }
            if !whole.isEmpty { try write.update(table.name, record, whole) }
            found = record
        }
        place.tell(result)
        guard let found else { return }
        switch place.console.format {
        case .json:
            place.console.printJSON([
                "id": .string(found.description), "table": .string(table.name),
                "changed": .array(changed.keys.sorted().map { .string($0) }),
                "commit": result.commit.map { .string($0.description) } ?? .null,
            ])
        default:
            place.console.say(
                changed.isEmpty
                    ? place.show.say("Nothing to change.", "تغییری لازم نبود.")
                    : place.show.say("Saved ", "ذخیره شد: ") + changed.keys.sorted().joined(separator: ", "))
        }
    }

    func delete(_ texts: [String], isSure: Bool) throws {
        let names = place.names()
        let records = try texts.map { try names.find($0, in: table) }
        if !isSure, Terminal.canAsk {
            let list = records.prefix(3).map { names.name(of: $0.description, in: table) }.joined(separator: ", ")
            let more = records.count > 3 ? " and \(records.count - 3) more" : ""
            guard Terminal.confirm("Delete \(table.name) \(list)\(more), with what belongs to it?") else {
                throw Failure(.usage, "Nothing was deleted.", "چیزی حذف نشد.")
            }
        }
        let result = try place.replica.write { write in
            for record in records { try write.delete(table.name, record) }
        }
        place.tell(result)
        if place.console.format == .json {
            place.console.printJSON([
                "deleted": .array(records.map { .string($0.description) }), "changes": .integer(Int64(result.changes)),
                "held": .bool(result.isHeld),
            ])
        } else {
            place.console.say(place.show.say("Deleted ", "حذف شد: ") + place.show.number(Int64(records.count)))
        }
    }

    // MARK: - Reading

    struct ListOptions {
        var condition: String?
        var sort: String?
        var limit: Int?
        var columns: [String] = []
        var isAll = false
    }

    func list(_ options: ListOptions) throws {
        try place.replica.read { read in
            let names = place.names(in: read)
            let view = place.view(table, names)
            let reading = reading(names)
            var chosen = try options.columns.map { try reading.field(named: $0) }
            if chosen.isEmpty { chosen = RecordView.columns(of: table) }
            let found = try records(options, reading, read)
            let shown = options.limit.map { Array(found.prefix($0)) } ?? found
            let short = place.console.format == .table ? names.short(shown.map(\.id), in: table) : []
            place.console.print(
                TextTable(
                    ["ID"] + chosen.map { view.label($0) },
                    alignments: [.left] + chosen.map { RecordView.isNumber(table.fields[$0]) ? .right : .left },
                    rows: zip(short, shown).map { id, record in [id] + chosen.map { view.text($0, of: record.row) } }),
                csv: [["id"] + table.fields.map(\.name)]
                    + shown.map { record in
                        [record.id] + table.fields.indices.map { view.plain($0, of: record.row) }
                    },
                json: .array(shown.map { view.json($0.id, $0.row) }))
            if found.count > shown.count, place.console.format == .table {
                Terminal.message(
                    place.show.say(
                        "The first \(shown.count) of more; --limit 0 shows all.",
                        "فقط \(shown.count) مورد نخست؛ با --limit 0 همه را ببینید."))
            }
        }
    }

    /// One more than the limit, so that it is known whether there are more.
    private func records(
        _ options: ListOptions, _ reading: FieldReading, _ read: LocalRead
    ) throws -> [(id: String, row: Row)] {
        var conditions: [String] = []
        if let condition = options.condition { conditions.append("(\(condition))") }
        if !options.isAll, table.fieldIndex("archived") != nil { conditions.append("COALESCE(archived, 0) = 0") }
        let columns = table.fields.map { "\"\($0.name)\"" }.joined(separator: ", ")
        let source =
            "FROM \"\(table.name)\"" + (conditions.isEmpty ? "" : " WHERE " + conditions.joined(separator: " AND "))
        do {
            switch try order(options.sort, reading) {
            case .sql(let order):
                var sql = "SELECT id, \(columns) \(source) ORDER BY \(order), id"
                if let limit = options.limit { sql += " LIMIT \(limit + 1)" }
                return try read.rows(sql, []).compactMap { row in
                    row.first?.textValue.map { ($0, Row(Array(row.dropFirst()))) }
                }
            case .text(let field, let isDescending):
                var ids = try byText("SELECT id, \"\(field)\" \(source)", isDescending, read)
                if let limit = options.limit { ids = Array(ids.prefix(limit + 1)) }
                return try ids.compactMap { id in
                    try read.rows("SELECT \(columns) FROM \"\(table.name)\" WHERE id = $1", [.text(id)]).first
                        .map { (id, Row($0)) }
                }
            }
        } catch let error as SQLiteError where options.condition != nil && !error.isBusy {
            throw Failure(
                .usage, "The condition of --where cannot be used: \(error.message).",
                "شرط --where پذیرفتنی نیست: \(error.message).")
        }
    }

    /// Ids in the order of names (``NameOrder``), which SQLite does not know; what is empty comes first, as in SQLite.
    private func byText(_ sql: String, _ isDescending: Bool, _ read: LocalRead) throws -> [String] {
        var keyed: [(key: [UInt8], id: String)] = []
        for row in try read.rows(sql, []) {
            guard let id = row[0].textValue else { continue }
            keyed.append((row[1].textValue.map { NameOrder.key($0) } ?? [], id))
        }
        keyed.sort { left, right in
            if left.key == right.key { return left.id < right.id }
            return left.key.lexicographicallyPrecedes(right.key) != isDescending
        }
        return keyed.map(\.id)
    }

    private enum Order {
        case sql(String)
        case text(field: String, isDescending: Bool)
    }

    private func order(_ sort: String?, _ reading: FieldReading) throws -> Order {
        guard let sort else {
            switch table.name {
            case "activity": return .sql("occurred_at DESC")
            case "task": return .sql("status, due_on IS NULL, due_on")
            case "stage": return .sql("pipeline_id, position")
            default: return RecordWork.hasName(table) ? .text(field: "name", isDescending: false) : .sql("id")
            }
        }
        let isDescending = sort.hasPrefix("-")
        let field = table.fields[try reading.field(named: String(isDescending ? sort.dropFirst() : sort[...]))]
        if case .text = field.type { return .text(field: field.name, isDescending: isDescending) }
        return .sql("\"\(field.name)\"" + (isDescending ? " DESC" : ""))
    }

    private static func hasName(_ table: Table) -> Bool { table.fieldIndex("name") != nil }

    func show(_ text: String) throws {
        try place.replica.read { read in
            let names = place.names(in: read)
            let record = try names.find(text, in: table)
            guard let row = try read.row(table.name, record) else {
                throw Failure(
                    .noInput, "There is no \(table.name) \(record) here.", "\(table.name) \(record) اینجا نیست.")
            }
            let view = place.view(table, names)
            switch place.console.format {
            case .json: place.console.printJSON(view.json(record.description, row))
            case .csv:
                Terminal.write(CSVText.line(["id"] + table.fields.map(\.name)))
                Terminal.write(
                    CSVText.line([record.description] + table.fields.indices.map { view.plain($0, of: row) }))
            case .table: try card(record, row, view, read)
            }
        }
    }

    /// The record, what belongs to it, and what somebody should look at.
    private func card(_ record: RecordID, _ row: Row, _ view: RecordView, _ read: LocalRead) throws {
        var lines = [("id", place.show.say("Id", "شناسه"), record.description, JSON.string(record.description))]
        for (index, field) in table.fields.enumerated() where !row[index].isNull {
            if view.isCurrency(index) || view.text(index, of: row).isEmpty { continue }
            lines.append((field.name, view.label(index), view.text(index, of: row), .null))
        }
        place.console.print(lines.map { (key: $0.0, label: $0.1, shown: $0.2, value: $0.3) })
        for child in place.schema.ownTables {
            for (index, field) in child.fields.enumerated() {
                guard case .reference(let target) = field.type, target == table.name, !table.isReference else {
                    continue
                }
                try related(child, index, record, read)
            }
        }
        let open =
            try read.value(
                "SELECT COUNT(*) FROM peyk_ledger WHERE table_name = $1 AND record_id = $2 AND state <> 'settled'",
                [.text(table.name), Value(record)])?.integerValue ?? 0
        if open > 0 {
            place.console.say("")
            place.console.say(
                place.console.warning(
                    place.show.say(
                        "\(open) in dispute: peyk conflicts --record \(table.name)/\(record.description.prefix(13))",
                        "\(open) تعارض: peyk conflicts --record \(table.name)/\(record.description.prefix(13))")))
        }
    }

    /// An amount shows its currency itself.
    private func related(_ child: Table, _ field: Int, _ record: RecordID, _ read: LocalRead) throws {
        let columns = child.fields.map { "\"\($0.name)\"" }.joined(separator: ", ")
        let rows = try read.rows(
            "SELECT id, \(columns) FROM \"\(child.name)\" WHERE \"\(child.fields[field].name)\" = $1 ORDER BY id DESC LIMIT 11",
            [Value(record)])
        guard !rows.isEmpty else { return }
        let names = place.names(in: read)
        let view = place.view(child, names)
        let chosen = RecordView.columns(of: child).filter { $0 != field }.prefix(4)
        let ids = names.short(rows.prefix(10).compactMap { $0.first?.textValue }, in: child)
        place.console.say(
            "\n" + place.console.headline(place.show.label(child.labels, else: child.name))
                + (rows.count > 10 ? place.show.say(" (the newest 10)", " (۱۰ مورد تازه)") : ""))
        for (id, row) in zip(ids, rows) {
            let cells = Row(Array(row.dropFirst()))
            let texts = chosen.map { view.text($0, of: cells) }.filter { !$0.isEmpty }
            place.console.say("  " + place.console.quiet(id) + "  " + texts.joined(separator: " · "))
        }
    }
}
