/// What may follow a schema (rule T2).
extension Schema {
    /// Whether a real foreign key points only to what every holder of its record holds: the parent, what is lent, and
    /// reference data (rule D3). Asked of tables when they come.
    ///
    /// - Parameter count: so many tables are known already.
    public func checkHardReferences(after count: Int = 0) throws(SchemaError) {
        for table in tables.dropFirst(count) {
            var held: [String] = []
            switch table.kind {
            case .root(_, let lends): held = [lends].compactMap { $0 }
            case .child(let parents, _): held = parents
            default: break
            }
            for field in table.fields where field.isHard && !held.contains(field.name) {
                guard case .reference(let name) = field.type, self.table(named: name)?.isReference != true else {
                    continue
                }
                throw SchemaError(
                    place: "\(table.name).\(field.name)",
                    problem: "a hard reference is to the parent, to what is lent or to reference data: make it soft")
            }
        }
    }

    /// Whether `next` may follow this schema by itself: it only adds, or retires (rule T2).
    public func checkSuccessor(_ next: Schema) throws(SchemaError) {
        try next.validate()
        try next.checkHardReferences(after: tables.count)
        guard next.version == version + 1 else {
            throw SchemaError(place: "schema", problem: "version must be \(version + 1), not \(next.version)")
        }
        for (index, table) in tables.enumerated() {
            guard let later = next.table(at: index), later.name == table.name else {
                throw SchemaError(place: table.name, problem: "a table is never removed, renamed or moved")
            }
            guard later.kind == table.kind, later.isAppendOnly == table.isAppendOnly else {
                throw SchemaError(place: table.name, problem: "a table's kind never changes")
            }
            guard later.isRetired || !table.isRetired, later.isDropped || !table.isDropped else {
                throw SchemaError(place: table.name, problem: "a retired or dropped table stays so")
            }
            for (place, field) in table.fields.enumerated() {
                guard place < later.fields.count else {
                    throw SchemaError(
                        place: "\(table.name).\(field.name)", problem: "a field is retired, never removed")
                }
                try field.checkSuccessor(later.fields[place], table: table.name)
            }
            for field in later.fields.dropFirst(table.fields.count) {
                guard !field.isRequired else {
                    throw SchemaError(
                        place: "\(table.name).\(field.name)",
                        problem: "a new field cannot be required: old rows have no value")
                }
                guard field.group == nil || !table.fields.contains(where: { $0.group == field.group }) else {
                    throw SchemaError(place: "\(table.name).\(field.name)", problem: "a group never grows")
                }
                guard !field.isHard else {
                    throw SchemaError(place: "\(table.name).\(field.name)", problem: "a new reference is soft")
                }
            }
        }
    }
}

extension Field {
    func checkSuccessor(_ next: Field, table: String) throws(SchemaError) {
        let place = "\(table).\(name)"
        guard next.name == name else {
            throw SchemaError(place: place, problem: "fields keep their names and order; new ones come last")
        }
        var sameType = next.type == type
        if case .enumeration(let old) = type, case .enumeration(let new) = next.type {
            sameType = new.starts(with: old)
        }
        guard sameType, next.policy == policy, next.group == group, next.isHard == isHard, next.rank == rank,
            next.isRequired == isRequired, next.defaultValue == defaultValue
        else {
            throw SchemaError(
                place: place, problem: "type, policy, group, reference and default never change: add a new field")
        }
        guard next.isRetired || !isRetired else {
            throw SchemaError(place: place, problem: "a retired field stays retired")
        }
        guard next.isDropped || !isDropped else {
            throw SchemaError(place: place, problem: "a dropped field stays dropped; add a new one")
        }
    }
}
