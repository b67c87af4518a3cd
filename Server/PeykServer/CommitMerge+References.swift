import PeykMerge
import PeykModel

/// A reference field that points to a table.
struct IncomingField {
    var table: Int
    var field: Int
    var isHard: Bool
    var isRequired: Bool
}

/// How the author of a commit stands to a record that it refers to.
enum TargetStanding {
    case unknown
    /// There, and not for the author to see.
    case hidden
    case alive
    case dead
}

/// A reference within a cell that is written whole.
struct ReferenceMember {
    /// Place among the cell's values.
    var place: Int
    var field: Int
    var target: Int
    var isHard: Bool
    var isParent: Bool
}

struct Reference {
    var field: Int
    var cell: Int
    var target: RecordKey
    var isHard: Bool
    var isParent: Bool
}

/// References between records (rules D1 and D3).
extension CommitMerge {
    /// Reference fields of any table that point to `table`.
    func incoming(to table: Int) -> [IncomingField] {
        if let known = incomingFields[table] { return known }
        var found: [IncomingField] = []
        for (index, other) in schema.tables.enumerated() {
            for (field, definition) in other.fields.enumerated()
            where schema.target(table: index, field: field) == table {
                found.append(
                    IncomingField(
                        table: index, field: field, isHard: definition.isHard || isParent(index, definition.name),
                        isRequired: definition.isRequired))
            }
        }
        incomingFields[table] = found
        return found
    }

    private func isParent(_ table: Int, _ field: String) -> Bool {
        guard case .child(let parents, _)? = schema.table(at: table)?.kind else { return false }
        return parents.contains(field)
    }

    func hasLivingReferrers(_ key: RecordKey) throws -> Bool {
        for field in incoming(to: key.table) where field.isHard {
            if try !transaction.referrers(table: field.table, field: field.field, to: key.record).isEmpty {
                return true
            }
        }
        return false
    }

    /// The cells of a table that hold references, by tag.
    private func referenceCells(of index: Int) -> [Int: [ReferenceMember]] {
        if let known = referenceCells[index] { return known }
        var cells: [Int: [ReferenceMember]] = [:]
        if let table = schema.table(at: index) {
            for cell in table.cells {
                for (place, field) in cell.fields.enumerated() {
                    guard let target = schema.target(table: index, field: field) else { continue }
                    let isParent = isParent(index, table.fields[field].name)
                    cells[cell.tag, default: []].append(
                        ReferenceMember(
                            place: place, field: field, target: target,
                            isHard: table.fields[field].isHard || isParent, isParent: isParent))
                }
            }
        }
        referenceCells[index] = cells
        return cells
    }

    /// The references that the change writes.
    func references(of change: Change) -> [Reference] {
        let cells = referenceCells(of: change.table)
        guard !cells.isEmpty else { return [] }
        var found: [Reference] = []
        for write in change.cells {
            guard let members = cells[write.cell], case .assign(let values) = write.write else { continue }
            for member in members where member.place < values.count {
                guard let record = values[member.place].recordID else { continue }
                found.append(
                    Reference(
                        field: member.field, cell: write.cell,
                        target: RecordKey(table: member.target, record: record), isHard: member.isHard,
                        isParent: member.isParent))
            }
        }
        return found
    }

    /// Cells whose reference may not enter: to nothing, or to what the author could not see.
    func referenceRefusals(_ change: Change, _ key: RecordKey, isNew: Bool) throws -> [CellRefusal] {
        var refusals: [CellRefusal] = []
        for reference in references(of: change) {
            let name = schema.tables[change.table].fields[reference.field].name
            func refuse(_ code: NoticeCode) {
                refusals.append(CellRefusal(cell: reference.cell, code: code, detail: name))
            }
            if reference.target == key {
                if reference.isHard { refuse(.reference) }
                continue
            }
            if isRefusedInsert(reference.target) {
                refuse(.needsParked)
                continue
            }
            if isComing(reference.target) {
                // Two new records that name each other: only a soft one can wait.
                if reference.isHard { refuse(.reference) }
                continue
            }
            switch try standing(of: reference.target) {
            case .unknown, .hidden: refuse(reference.isParent ? .unknownParent : .reference)
            case .dead where !reference.isHard:
                dangling.append((key: key, field: reference.field, target: reference.target))
            case .dead, .alive:
                if reference.isParent, try !isNew && isAncestor(key, of: reference.target) { refuse(.reference) }
            }
        }
        return refusals
    }

    private func standing(of key: RecordKey) throws -> TargetStanding {
        if let known = targets[key] { return known }
        let standing: TargetStanding
        if let record = try current(key) {
            if try canSee(key, record) {
                standing = record.state.isAlive ? .alive : .dead
            } else {
                standing = .hidden
            }
        } else {
            standing = .unknown
        }
        targets[key] = standing
        return standing
    }

    /// Whether the chain of parents of `record` goes through `key`.
    private func isAncestor(_ key: RecordKey, of record: RecordKey) throws -> Bool {
        var next = record
        for _ in 0..<AudienceRules.depthMax {
            if next == key { return true }
            guard let row = try current(next)?.state.row,
                let parent = rules.parent(table: next.table, row: row)
            else { return false }
            next = RecordKey(table: parent.table, record: parent.record)
        }
        return true
    }

    // MARK: - Consequences

    /// What a living record needs comes back with its last values, by the server's own act (rule D1).
    func bringBackTargets() throws {
        for key in touches.keys.sorted() {
            guard let record = try current(key), record.state.isAlive else { continue }
            let before = touches[key]?.before
            var back: [RecordKey] = []
            for field in hardFields(of: key.table) {
                guard let id = record.state.row[field].recordID,
                    let target = schema.target(table: key.table, field: field)
                else { continue }
                if before?.state.isAlive == true, before?.state.row[field] == record.state.row[field] { continue }
                try bringBack(RecordKey(table: target, record: id), &back)
            }
            // All that came back for one record is one entry.
            if let first = back.first { try openRevived(first, neededBy: key) }
        }
    }

    func hardFields(of table: Int) -> [Int] {
        guard let definition = schema.table(at: table) else { return [] }
        return definition.fields.indices.filter {
            schema.target(table: table, field: $0) != nil
                && (definition.fields[$0].isHard || isParent(table, definition.fields[$0].name))
        }
    }

    private func bringBack(_ key: RecordKey, _ back: inout [RecordKey]) throws {
        guard let table = schema.table(at: key.table), let record = try current(key),
            !record.state.isAlive, back.count < 64
        else { return }
        let outcome = PeykMerge.revive(record.state, context(for: key, table))
        guard let state = outcome.state else { return }
        try put(state, at: key, record)
        back.append(key)
        for field in hardFields(of: key.table) {
            guard let id = state.row[field].recordID, let target = schema.target(table: key.table, field: field) else {
                continue
            }
            try bringBack(RecordKey(table: target, record: id), &back)
        }
    }

    /// Soft references to a record that was just deleted.
    func emptyReferences(to key: RecordKey) throws {
        for field in incoming(to: key.table) where !field.isHard && !field.isRequired {
            for record in try transaction.referrers(table: field.table, field: field.field, to: key.record) {
                dangling.append((RecordKey(table: field.table, record: record), field.field, key))
            }
        }
    }
}
