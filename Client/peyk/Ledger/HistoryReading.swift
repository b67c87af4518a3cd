import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica
import PeykSync

/// A record's history with what each step won and lost, for `history` and `why`.
struct HistoryReading {
    /// One commit, as far as it concerns what was asked for.
    struct Act {
        let step: HistoryStep
        let fields: [HistoryStep.Field]
        let won: [LedgerRow]
        let lost: [LedgerRow]
    }

    let place: Workplace
    let table: Table
    let record: RecordID
    /// Nil for the whole record.
    let cell: Cell?
    let acts: [Act]
    let isComplete: Bool

    /// - Parameter asksServer: also where the replica knows a part of it.
    static func read(_ text: String, _ place: Workplace, asksServer: Bool) async throws -> HistoryReading {
        let parts = text.split(separator: "/", maxSplits: 1).map(String.init)
        var target = text
        var fieldName: String?
        if parts.count == 2, let dot = parts[1].lastIndex(of: ".") {
            target = parts[0] + "/" + parts[1][..<dot]
            fieldName = String(parts[1][parts[1].index(after: dot)...])
        }
        let (table, record) = try find(target, whole: text, &fieldName, place)
        let cell = try fieldName.map { name in
            if let cell = table.cell(named: name) { return cell }
            let reading = FieldReading(table: table, names: place.names(), now: 0, presentation: place.show)
            return table.cells[table.cellOfField[try reading.field(named: name)]]
        }
        let index = place.schema.tableIndex(table.name) ?? 0
        let key = RecordKey(table: index, record: record)
        var history = try place.replica.history(key)
        let knowsNothing = !history.steps.contains { step in
            step.fields.contains { cell?.fields.contains($0.field) ?? true }
        }
        if !history.isComplete, asksServer || knowsNothing {
            let pending = history.steps.filter { $0.position == nil }
            do {
                let client = try SyncClient(
                    replica: place.replica, options: SyncWork.options(timeout: asksServer ? 30 : 5))
                history = try place.replica.history(try await client.history(key))
                history.steps += pending
            } catch let failure as SyncFailure where !asksServer {
                Terminal.message(failure.description)
            }
        }
        let rows = try place.rows(
            "SELECT \(LedgerRow.columns) FROM peyk_ledger WHERE table_name = $1 AND record_id = $2 ORDER BY position",
            [.text(table.name), Value(record)]
        ).compactMap(LedgerRow.init).filter { cell == nil || $0.cell == nil || $0.cell == cell?.name }
        return HistoryReading(
            place: place, table: table, record: record, cell: cell, acts: acts(history.steps, rows, cell),
            isComplete: history.isComplete)
    }

    /// A name may have a point in it; then it is no field.
    private static func find(
        _ target: String, whole: String, _ field: inout String?, _ place: Workplace
    ) throws -> (table: Table, record: RecordID) {
        do { return try place.record(target) } catch {
            guard field != nil else { throw error }
            let found = try place.record(whole)
            field = nil
            return found
        }
    }

    private static func acts(_ steps: [HistoryStep], _ rows: [LedgerRow], _ cell: Cell?) -> [Act] {
        steps.compactMap { step in
            let commit = step.commit.description
            let fields = step.fields.filter { cell?.fields.contains($0.field) ?? true }
            let won = rows.filter { $0.winner?.commit == commit }
            let lost = rows.filter { row in row.losers.contains { $0.commit == commit } }
            let isWhole = step.kind != .changed && step.kind != .touched
            guard !fields.isEmpty || !won.isEmpty || !lost.isEmpty || isWhole || (cell == nil && step.answer != nil)
            else { return nil }
            return Act(step: step, fields: fields, won: won, lost: lost)
        }
    }

    // MARK: - For machines, in the form of `peykd why`

    var json: JSON {
        [
            "table": .string(table.name), "record": .string(record.description),
            "field": cell.map { .string($0.name) } ?? .null, "complete": .bool(isComplete),
            "entries": .array(acts.map(json)),
        ]
    }

    private func json(_ act: Act) -> JSON {
        let step = act.step
        let commit = step.commit.description
        let names = place.names()
        let users = place.schema.table(named: "user")
        let kind: JSON =
            switch step.kind {
            case .created: "insert"
            case .changed, .touched: "update"
            case .deleted: "delete"
            case .left: "left"
            }
        let won: [JSON] = act.won.map { row in
            [
                "id": .string(row.id), "cell": row.cell.map { .string($0) } ?? .null, "rule": .string(row.rule),
                "state": .string(row.state), "won": true, "beat": row.json["losers"] ?? .array([]),
            ]
        }
        let lost: [JSON] = act.lost.map { row in
            [
                "id": .string(row.id), "cell": row.cell.map { .string($0) } ?? .null, "rule": .string(row.rule),
                "state": .string(row.state), "won": false,
                "value": row.losers.first { $0.commit == commit }?.value ?? .null,
                "lost_to": row.json["winner"] ?? .null,
            ]
        }
        return [
            "position": step.position.map { .integer($0) } ?? .null, "kind": kind, "commit": .string(commit),
            "site": .string(step.dot.site.description), "seq": .integer(step.dot.seq),
            "user": step.user.flatMap { user in users.map { .string(names.name(of: user.description, in: $0)) } }
                ?? .null,
            "stamp": .string(step.stamp.description), "written_at": .string(Instant.iso(step.stamp.milliseconds)),
            "clock": Self.json(step.clock),
            "changes": .array(
                act.fields.map { field in
                    let type = table.fields[field.field].type
                    return [
                        "field": .string(table.fields[field.field].name), "old": RecordView.machine(field.old, type),
                        "new": RecordView.machine(field.new, type),
                    ]
                }),
            "conflicts": .array(won + lost),
        ]
    }

    static func json(_ clock: VectorClock) -> JSON {
        [
            "epoch": clock.lineage.epoch.map { .string($0.description) } ?? .null, "anchor": .integer(clock.anchor),
            "dots": .object(
                Dictionary(clock.dots.map { ($0.site.description, .integer($0.seq)) }) { first, _ in first }),
        ]
    }
}
