import PeykMerge
import PeykModel

extension Admin {
    /// Holds the store against itself: positions without gaps, each chain hash from the one before it (rule I5), each
    /// record as the last outcome about it left it, no row that the log does not know. Nothing is changed.
    ///
    /// - Complexity: O(log + rows); keeps the last outcome of each record in memory.
    func verify(_ reader: any StoreReader) throws -> JSON {
        let identity = try reader.workspaceDocument()
        let horizon = try reader.clockDocument().logHorizon
        let head = try reader.head()
        var problems: [JSON] = []
        func note(_ what: String) { if problems.count < 100 { problems.append(.string(what)) } }

        var position = horizon
        var chain = try reader.chain(at: horizon)
        var last: [RecordKey: (position: Position, row: Row?)] = [:]
        try reader.log(after: horizon, upTo: head) { entry in
            position += 1
            if entry.position != position {
                note("position \(position) is missing")
                position = entry.position
                chain = nil
            }
            if let epoch = identity.lineage.epoch(of: entry.position), let before = chain {
                let expected = WorkspaceKeys.chain(
                    before, epoch: epoch, position: entry.position, commit: entry.commit, dot: entry.dot)
                if expected != entry.chain { note("the chain breaks at position \(entry.position)") }
            }
            chain = entry.chain
            for effect in entry.effects { last[effect.key] = (entry.position, effect.after) }
            return true
        }
        // A row of an older schema is shorter than the table is now.
        func padded(_ row: Row, _ table: Table) -> [Value] {
            row.values + Array(repeating: .null, count: max(0, table.fields.count - row.values.count))
        }
        if position != head { note("the log ends at \(position), not at \(head)") }

        var rows: Int64 = 0
        for (index, table) in reader.schema.tables.enumerated() {
            try reader.records(of: index, after: nil) { id, record in
                rows += 1
                let key = RecordKey(table: index, record: id)
                guard let known = last.removeValue(forKey: key) else {
                    if horizon == 0 { note("\(table.name)/\(id) lives, and the log does not know it") }
                    return true
                }
                let expected = known.row.map { padded($0, table) }
                if expected != padded(record.state.row, table) {
                    note("\(table.name)/\(id) is not as position \(known.position) left it")
                }
                return true
            }
        }
        for (key, known) in last.sorted(by: { $0.key < $1.key }) where known.row != nil {
            guard let table = reader.schema.table(at: key.table) else { continue }
            note("\(table.name)/\(key.record) is missing, since position \(known.position) left it alive")
        }
        return [
            "head": .integer(head), "since": .integer(horizon), "rows": .integer(rows),
            "good": .bool(problems.isEmpty), "problems": .array(problems),
        ]
    }
}
