import PeykCRM
import PeykConsole
import PeykModel

/// Says in words what a change does to its record.
struct ChangeText {
    let place: Workplace
    let names: RecordNames

    private var show: Presentation { place.show }

    /// One line for each cell that it writes.
    func lines(_ change: Change) -> [String] {
        guard let table = place.schema.table(at: change.table) else { return [] }
        let view = place.view(table, names)
        return change.cells.compactMap { write in
            guard let cell = table.cell(tag: write.cell) else { return nil }
            let label = view.label(cell.tag)
            switch write.write {
            case .assign(let values):
                var row = Row(Array(repeating: .null, count: table.fields.count))
                for (field, value) in zip(cell.fields, values) { row[field] = value }
                return view.labelled(view.shown(cell), of: row)
            case .add(let delta): return "\(label): \(delta >= 0 ? "+" : "")\(show.number(delta))"
            case .elements(let added, let removed):
                return "\(label): " + (added.map { "+\($0)" } + removed.map { "−\($0)" }).joined(separator: " ")
            case .text(_, let new): return "\(label): \(new ?? show.say("(empty)", "(خالی)"))"
            }
        }
    }

    func title(_ change: Change) -> String {
        guard let table = place.schema.table(at: change.table) else { return "?" }
        let verb =
            switch change.kind {
            case .insert: show.say("add", "افزودن")
            case .update: show.say("change", "تغییر")
            case .delete: show.say("delete", "حذف")
            }
        var name = names.name(of: change.record.description, in: table)
        if change.kind == .insert, let field = RecordNames.namingField(of: table),
            let index = table.fieldIndex(field.name),
            let write = change.cells.first(where: { $0.cell == index }), case .assign(let values) = write.write,
            let text = values.first?.textValue
        {
            name = text
        }
        return "\(verb) \(table.name) “\(name)”"
    }

    static func json(_ change: Change, _ schema: Schema) -> JSON {
        guard let table = schema.table(at: change.table) else { return .null }
        var cells: [String: JSON] = [:]
        for write in change.cells {
            guard let cell = table.cell(tag: write.cell) else { continue }
            switch write.write {
            case .assign(let values):
                for (field, value) in zip(cell.fields, values) {
                    cells[table.fields[field].name] = RecordView.machine(value, table.fields[field].type)
                }
            case .add(let delta): cells[cell.name] = ["add": .integer(delta)]
            case .elements(let added, let removed):
                cells[cell.name] = [
                    "added": .array(added.map { .string($0) }), "removed": .array(removed.map { .string($0) }),
                ]
            case .text(_, let new): cells[cell.name] = new.map { .string($0) } ?? .null
            }
        }
        let kind: JSON = change.kind == .insert ? "insert" : change.kind == .update ? "update" : "delete"
        return [
            "table": .string(table.name), "record": .string(change.record.description), "kind": kind,
            "fields": .object(cells),
        ]
    }
}
