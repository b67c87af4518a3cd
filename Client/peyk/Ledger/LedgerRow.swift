import PeykCRM
import PeykConsole
import PeykModel

/// One entry of the conflict ledger, as its row says.
struct LedgerRow {
    /// One of the concurrent writes.
    struct Claim {
        let user: String?
        let site: String
        let seq: Int64
        let commit: String
        /// Unix milliseconds.
        let time: Int64
        let value: JSON
        let clock: JSON

        init?(_ json: JSON) {
            guard json.objectValue != nil else { return nil }
            user = json["user"]?.stringValue
            site = json["site"]?.stringValue ?? ""
            seq = json["seq"]?.integerValue ?? 0
            commit = json["commit"]?.stringValue ?? ""
            let stamp = json["stamp"]?.stringValue ?? ""
            time = Int64(stamp.split(separator: ".").first ?? "") ?? 0
            value = json["value"] ?? .null
            clock = json["clock"] ?? .null
        }
    }

    let id: String
    let table: String
    let record: String
    let cell: String?
    let kind: String
    let rule: String
    let state: String
    let position: Int64
    let openedAt: Int64
    let settledBy: String?
    let settledAt: Int64?
    let base: JSON
    let winner: Claim?
    let losers: [Claim]
    let json: JSON

    static let columns = """
        id, table_name, record_id, cell, kind, rule, state, position, opened_at, settled_by, settled_at, base, winner,
        losers
        """

    init?(_ row: [Value]) {
        guard row.count == 14, let id = row[0].textValue, let table = row[1].textValue, let record = row[2].textValue
        else { return nil }
        func parse(_ value: Value) -> JSON { value.textValue.flatMap { try? JSON(parsing: $0) } ?? .null }
        self.id = id
        self.table = table
        self.record = record
        cell = row[3].textValue
        kind = row[4].textValue ?? ""
        rule = row[5].textValue ?? ""
        state = row[6].textValue ?? ""
        position = row[7].integerValue ?? 0
        openedAt = row[8].integerValue ?? 0
        settledBy = row[9].textValue
        settledAt = row[10].integerValue
        base = parse(row[11])
        let winner = parse(row[12])
        self.winner = Claim(winner)
        // Losers are an array; a lone object is taken too.
        let losers = parse(row[13])
        self.losers = (losers.arrayValue ?? [losers]).compactMap(Claim.init)
        json = .object([
            "id": .string(id), "table": .string(table), "record": .string(record), "cell": JSON(row[3]),
            "kind": .string(kind), "rule": .string(rule), "state": .string(state), "position": .integer(position),
            "opened_at": .string(Instant.iso(openedAt)), "settled_by": JSON(row[9]),
            "settled_at": settledAt.map { .string(Instant.iso($0)) } ?? .null, "base": base, "winner": winner,
            "losers": losers,
        ])
    }
}

/// Shows ledger entries in words.
struct LedgerView {
    let place: Workplace
    let names: RecordNames

    private var show: Presentation { place.show }

    func who(_ claim: LedgerRow.Claim) -> String {
        guard let user = claim.user, let users = place.schema.table(named: "user") else {
            return claim.site.isEmpty ? "?" : show.say("the server", "سرور")
        }
        return names.name(of: user, in: users)
    }

    /// What won, in words.
    func won(_ claim: LedgerRow.Claim, _ entry: LedgerRow) -> String {
        switch entry.kind {
        case "delete": show.say("its edit", "ویرایش")
        case "revived": show.say("its child", "زیررکورد")
        case "handed-off": handedOff(claim.value, entry)
        default: value(claim.value, entry)
        }
    }

    /// What was written to a record that had moved: each field with its label.
    func handedOff(_ json: JSON, _ entry: LedgerRow) -> String {
        guard let table = place.schema.table(named: entry.table), let members = json.objectValue else {
            return show.say("(deleted)", "(حذف‌شده)")
        }
        guard !members.isEmpty else { return show.say("(added)", "(افزوده)") }
        let view = place.view(table, names)
        var row = Row(Array(repeating: .null, count: table.fields.count))
        var fields: [Int] = []
        for (field, definition) in table.fields.enumerated() {
            guard let value = members[definition.name]?.value else { continue }
            row[field] = value
            if !view.isCurrency(field) { fields.append(field) }
        }
        return fields.map { view.labelled([$0], of: row) }.joined(separator: " · ")
    }

    /// What lost, in words.
    func lost(_ claim: LedgerRow.Claim, _ entry: LedgerRow) -> String {
        switch entry.kind {
        case "delete", "revived": show.say("the delete", "حذف")
        default: value(claim.value, entry)
        }
    }

    /// `cell` of `table`: the value of one field, or of each field of a group.
    func value(_ json: JSON, _ entry: LedgerRow) -> String {
        guard let table = place.schema.table(named: entry.table) else { return Console.plain(json) }
        guard let cell = entry.cell.flatMap({ table.cell(named: $0) }) else { return summary(json, table) }
        let view = place.view(table, names)
        var row = Row(Array(repeating: .null, count: table.fields.count))
        for (index, value) in Self.values(json, of: cell, in: table) { row[index] = value }
        let shown = view.shown(cell)
        guard shown.count == 1 else { return view.labelled(shown, of: row) }
        let text = view.text(shown[0], of: row)
        return text.isEmpty ? show.say("(empty)", "(خالی)") : text
    }

    private func summary(_ json: JSON, _ table: Table) -> String {
        guard let members = json.objectValue, !members.isEmpty else {
            return json == .null ? show.say("(deleted)", "(حذف‌شده)") : Console.plain(json)
        }
        return members.sorted { $0.key < $1.key }.map { "\($0.key): \(Console.plain($0.value))" }.joined(
            separator: ", ")
    }

    /// Field index → value, of a cell's JSON form.
    static func values(_ json: JSON, of cell: Cell, in table: Table) -> [(Int, Value)] {
        if cell.fields.count > 1 || table.fields[cell.tag].group != nil {
            return cell.fields.map { ($0, json[table.fields[$0].name].flatMap(\.value) ?? .null) }
        }
        if case .array = json { return [(cell.tag, .text(json.text))] }
        return [(cell.tag, json.value ?? .null)]
    }

    func title(_ entry: LedgerRow) -> String {
        let table = place.schema.table(named: entry.table)
        let name = table.map { names.name(of: entry.record, in: $0) } ?? entry.record
        return "\(entry.table) “\(name)”"
    }

    func cellLabel(_ entry: LedgerRow) -> String {
        guard let table = place.schema.table(named: entry.table), let name = entry.cell,
            let cell = table.cell(named: name)
        else { return kind(entry) }
        let view = place.view(table, names)
        let shown = view.shown(cell)
        guard shown.count > 1 else { return view.label(cell.tag) }
        // Of a group the fields that somebody filled.
        let claims = (entry.losers + [entry.winner].compactMap { $0 }).map(\.value)
        let filled = shown.filter { field in claims.contains { ($0[table.fields[field].name] ?? .null) != .null } }
        return (filled.isEmpty ? shown : filled).map(view.label).joined(separator: " · ")
    }

    /// What happened, in a few words.
    func kind(_ entry: LedgerRow) -> String {
        switch entry.kind {
        case "field": show.say("concurrent edits", "ویرایش هم‌زمان")
        case "delete": show.say("delete against edit", "حذف در برابر ویرایش")
        case "revived": show.say("delete against child", "حذف در برابر زیررکورد")
        case "incarnation": show.say("written while deleted or re-created", "نوشته‌شده هنگام حذف یا بازسازی")
        case "duplicate": show.say("probable duplicate", "احتمالاً تکراری")
        case "handed-off": show.say("handed off", "واگذارشده")
        default: entry.kind
        }
    }

    func state(_ entry: LedgerRow) -> String {
        switch entry.state {
        case "open": place.console.warning(show.say("open", "باز"))
        case "noted": show.say("noted", "ثبت‌شده")
        default: show.say("settled", "حل‌شده")
        }
    }
}
