import Crypto
import PeykCRM
public import PeykModel

/// Brings one CSV file into one table: good rows are written, the others listed with their line and reason.
///
/// With a key a second run changes nothing: a record is found by its key's value, else by the id derived from it
/// (rule D6), and only fields that differ are written. Empty cells leave a field as it is.
public final class ImportPlan {
    private let target: any ImportTarget
    private let mapping: ImportMapping
    private let table: Table
    private let values: ImportValues
    private let keyField: Int?
    /// Of each table and field that is looked up: value → records.
    private var index: [String: [Value: [RecordID]]] = [:]
    private var outcome: ImportOutcome

    /// One row that may be written.
    struct Candidate {
        let line: Int
        let record: RecordID
        let isNew: Bool
        var values: [Int: Value]
        /// Records of this very file that it refers to.
        var needs: [RecordID] = []
    }

    /// - Throws: ``ImportMapping/Problem`` where the mapping does not fit the schema.
    public init(_ mapping: ImportMapping, into target: any ImportTarget) throws {
        self.target = target
        self.mapping = mapping
        guard let table = target.schema.table(named: mapping.table), !table.isLedger else {
            throw ImportMapping.Problem("there is no table “\(mapping.table)”")
        }
        self.table = table
        values = ImportValues(table: table, mapping: mapping)
        for field in mapping.fields.keys.sorted() where table.fieldIndex(field) == nil && field != "id" {
            throw ImportMapping.Problem("\(table.name) has no field “\(field)”")
        }
        for (field, source) in mapping.fields {
            guard let lookup = source.lookup else { continue }
            let other = target.schema.table(named: lookup.table)
            guard let other, other.fieldIndex(lookup.field) != nil,
                lookup.take.map({ other.fieldIndex($0) != nil }) ?? true
            else { throw ImportMapping.Problem("the lookup of \(field) names a table or field that does not exist") }
        }
        if let key = mapping.key, key != "id" {
            guard let index = table.fieldIndex(key), mapping.fields[key] != nil else {
                throw ImportMapping.Problem("the key “\(key)” is not among the fields that the mapping fills")
            }
            keyField = index
        } else {
            keyField = nil
        }
        outcome = ImportOutcome(table: mapping.table)
    }

    /// Reads `file` and writes what is good, in batches of 1,000.
    ///
    /// - Parameter progress: rows done and rows in all.
    public func run(
        _ file: [UInt8], delimiter: UInt8 = 0x2C, progress: (Int, Int) -> Void = { _, _ in }
    ) throws -> ImportOutcome {
        var reader = CSVReader(file, delimiter: delimiter)
        guard let first = reader.next() else { throw ImportMapping.Problem("the file is empty") }
        let header: [String]
        switch first {
        case .success(let record): header = record.fields.map(ImportValues.trimmed)
        case .failure(let problem): throw ImportMapping.Problem("the header is damaged: \(problem.reason)")
        }
        if let missing = mapping.columns.subtracting(header).sorted().first {
            throw ImportMapping.Problem("the file has no column “\(missing)”")
        }
        let records = rows(of: &reader, header: header)
        let candidates = try candidates(records, progress: progress)
        try write(ordered(candidates), total: records.count, progress: progress)
        outcome.refused.sort { $0.line < $1.line }
        return outcome
    }

    /// The header of a file, for a mapping by name.
    public static func header(of file: [UInt8], delimiter: UInt8 = 0x2C) throws -> [String] {
        var reader = CSVReader(file, delimiter: delimiter)
        guard case .success(let record)? = reader.next() else {
            throw ImportMapping.Problem("the file is empty or its header is damaged")
        }
        return record.fields.map(ImportValues.trimmed)
    }

    private func refuse(_ line: Int, _ reason: String) {
        outcome.refused.append(.init(line: line, reason: reason))
    }

    private func rows(of reader: inout CSVReader, header: [String]) -> [(line: Int, cells: [String: String])] {
        var rows: [(line: Int, cells: [String: String])] = []
        while let next = reader.next() {
            switch next {
            case .failure(let problem): refuse(problem.line, problem.reason)
            case .success(let record):
                guard record.fields.count == header.count else {
                    refuse(record.line, "has \(record.fields.count) values where the header has \(header.count)")
                    continue
                }
                var cells: [String: String] = [:]
                for (column, field) in zip(header, record.fields) {
                    let text = ImportValues.trimmed(field)
                    cells[column] = mapping.replacements[column]?[text] ?? text
                }
                rows.append((record.line, cells))
            }
        }
        return rows
    }

    // MARK: - Reading

    private func candidates(
        _ rows: [(line: Int, cells: [String: String])], progress: (Int, Int) -> Void
    ) throws -> [Candidate] {
        var ids: [(id: RecordID, isNew: Bool)?] = []
        var ownKeys: [Value: RecordID] = [:]
        for row in rows {
            do throws(RowProblem) {
                let found = try identity(row.cells)
                ids.append((found.id, found.isNew))
                if let key = found.key { ownKeys[key] = found.id }
            } catch {
                refuse(row.line, error.reason)
                ids.append(nil)
            }
        }
        var seen: [RecordID: (line: Int, values: [Int: Value])] = [:]
        var candidates: [Candidate] = []
        for (row, id) in zip(rows, ids) {
            guard let id else { continue }
            do throws(RowProblem) {
                var candidate = Candidate(line: row.line, record: id.id, isNew: id.isNew, values: [:])
                try fill(&candidate, row.cells, ownKeys)
                if mapping.key != nil, let earlier = seen[id.id] {
                    guard earlier.values == candidate.values else {
                        throw RowProblem("has the key of line \(earlier.line), and other values")
                    }
                    outcome.repeated += 1
                    continue
                }
                seen[id.id] = (row.line, candidate.values)
                candidates.append(candidate)
            } catch {
                refuse(row.line, error.reason)
            }
        }
        return candidates
    }

    /// Which record a row is.
    private func identity(
        _ cells: [String: String]
    ) throws(RowProblem) -> (id: RecordID, isNew: Bool, key: Value?) {
        guard let keyField, let source = mapping.fields[table.fields[keyField].name] else {
            return try ownIdentity(cells)
        }
        let field = table.fields[keyField]
        guard let text = values.text(source, cells) else { throw RowProblem("\(field.name): the key is empty") }
        let key =
            try source.lookup == nil
            ? values.value(field, text, source) : reference(field, text, source, [:]).value
        let known = try records(of: table, field: keyField, with: key)
        guard known.count <= 1 else {
            throw RowProblem("\(field.name): \(known.count) records have “\(text)” already")
        }
        if let record = known.first { return (record, false, key) }
        let derived = Self.derivedID(workspace: target.workspace, table: table.name, key: field.name, value: text)
        do { return (derived, try target.row(of: table, record: derived) == nil, key) } catch {
            throw RowProblem("its record could not be read: \(error)")
        }
    }

    /// Without a key: the id that the row itself gives, or a new one.
    private func ownIdentity(
        _ cells: [String: String]
    ) throws(RowProblem) -> (id: RecordID, isNew: Bool, key: Value?) {
        guard let source = mapping.fields["id"], let text = values.text(source, cells) else {
            return (target.newRecordID(), true, nil)
        }
        guard let id = RecordID(text.lowercased()) else { throw RowProblem("id: “\(text)” is not the id of a record") }
        do { return (id, try target.row(of: table, record: id) == nil, nil) } catch {
            throw RowProblem("its record could not be read: \(error)")
        }
    }

    /// Rule D6: two people who import one file meet in one record.
    public static func derivedID(workspace: String, table: String, key: String, value: String) -> RecordID {
        var writer = ByteWriter()
        for text in ["peyk import 1", workspace, table, key, value] { writer.text(text) }
        // 32 bytes always make an id.
        return RecordID(digest: Array(SHA256.hash(data: writer.bytes))) ?? RecordID(bits: UUIDBits(high: 0, low: 0))
    }

    private func fill(
        _ candidate: inout Candidate, _ cells: [String: String], _ ownKeys: [Value: RecordID]
    ) throws(RowProblem) {
        for (index, field) in table.fields.enumerated() {
            guard let source = mapping.fields[field.name], let text = values.text(source, cells) else { continue }
            if let lookup = source.lookup {
                let own = lookup.table == table.name && lookup.field == mapping.key ? ownKeys : [:]
                let found = try reference(field, text, source, own)
                candidate.values[index] = found.value
                if found.isOwn, let id = found.value.recordID { candidate.needs.append(id) }
            } else if case .money(let currencyName) = field.type, let currency = table.fieldIndex(currencyName) {
                let money = try values.money(field, text, source, cells)
                candidate.values[index] = money.amount
                candidate.values[currency] = money.currency
            } else {
                candidate.values[index] = try values.value(field, text, source)
            }
        }
        for (index, value) in candidate.values {
            if case .failure(let error) = table.fields[index].type.admit(value) {
                throw RowProblem("\(table.fields[index].name) \(error)")
            }
        }
    }

    /// What a text refers to. A null in the field to take is a problem of the row.
    private func reference(
        _ field: Field, _ text: String, _ source: ImportMapping.Source, _ own: [Value: RecordID]
    ) throws(RowProblem) -> (value: Value, isOwn: Bool) {
        guard let lookup = source.lookup, let other = target.schema.table(named: lookup.table),
            let place = other.fieldIndex(lookup.field)
        else { throw RowProblem("\(field.name): nothing to look up") }
        if let id = own[.text(text)] { return (Value(id), true) }
        let found = try records(of: other, field: place, with: .text(text))
        guard let record = found.first else {
            throw RowProblem("\(field.name): there is no \(other.name) whose \(lookup.field) is “\(text)”")
        }
        guard found.count == 1 else {
            throw RowProblem(
                "\(field.name): \(found.count) records of \(other.name) have the \(lookup.field) “\(text)”")
        }
        guard let take = lookup.take, let taken = other.fieldIndex(take) else { return (Value(record), false) }
        do {
            let value = try target.row(of: other, record: record)?[taken] ?? .null
            guard !value.isNull else { throw RowProblem("\(field.name): “\(text)” has no \(take)") }
            return (value, false)
        } catch let error as RowProblem {
            throw error
        } catch {
            throw RowProblem("\(field.name): “\(text)” could not be read: \(error)")
        }
    }

    private func records(of other: Table, field: Int, with value: Value) throws(RowProblem) -> [RecordID] {
        let name = "\(other.name).\(field)"
        if let known = index[name] { return known[value] ?? [] }
        var map: [Value: [RecordID]] = [:]
        do {
            for entry in try target.values(of: other, field: field) {
                map[entry.value, default: []].append(entry.record)
            }
        } catch {
            throw RowProblem("\(other.name) could not be read: \(error)")
        }
        index[name] = map
        return map[value] ?? []
    }

    // MARK: - Writing

    /// Rows that others of the file refer to come before them; a ring is taken as it stands.
    private func ordered(_ candidates: [Candidate]) -> [Candidate] {
        guard candidates.contains(where: { !$0.needs.isEmpty }) else { return candidates }
        let place = Dictionary(candidates.enumerated().map { ($0.element.record, $0.offset) }) { first, _ in first }
        var out: [Candidate] = []
        var state = [Int](repeating: 0, count: candidates.count)
        for start in candidates.indices where state[start] == 0 {
            var stack = [start]
            while let top = stack.last {
                if state[top] == 0 {
                    state[top] = 1
                    for need in candidates[top].needs {
                        if let index = place[need], state[index] == 0 { stack.append(index) }
                    }
                } else {
                    stack.removeLast()
                    if state[top] == 1 {
                        state[top] = 2
                        out.append(candidates[top])
                    }
                }
            }
        }
        return out
    }

    private func write(
        _ candidates: [Candidate], total: Int, progress: (Int, Int) -> Void
    ) throws {
        let written = Set(candidates.map(\.record))
        var missing: Set<RecordID> = []
        var batch: [ImportWrite] = []
        for (count, candidate) in candidates.enumerated() {
            if let lost = candidate.needs.first(where: { missing.contains($0) || !written.contains($0) }) {
                let isKnown = try target.row(of: table, record: lost) != nil
                if !isKnown {
                    missing.insert(candidate.record)
                    refuse(candidate.line, "it refers to a row of this file that was refused")
                    continue
                }
            }
            if let write = try change(for: candidate) { batch.append(write) } else { missing.insert(candidate.record) }
            if batch.count >= 1000 {
                try target.write(batch)
                batch.removeAll(keepingCapacity: true)
            }
            progress(count + 1, total)
        }
        if !batch.isEmpty { try target.write(batch) }
    }

    /// Nil where nothing is to be written: unchanged, or refused.
    private func change(for candidate: Candidate) throws -> ImportWrite? {
        func named(_ values: [Int: Value]) -> [String: Value] {
            Dictionary(values.map { (table.fields[$0].name, $1) }) { first, _ in first }
        }
        guard !candidate.isNew, let row = try target.row(of: table, record: candidate.record) else {
            for (index, field) in table.fields.enumerated() where field.isRequired {
                guard !(candidate.values[index] ?? field.defaultValue).isNull else {
                    refuse(candidate.line, "\(field.name) must not be empty")
                    return nil
                }
            }
            outcome.inserted += 1
            return ImportWrite(
                isInsert: true, table: table.name, record: candidate.record, values: named(candidate.values))
        }
        var changed: [Int: Value] = [:]
        for (index, value) in candidate.values where row[index] != value {
            for member in table.cells[table.cellOfField[index]].fields {
                changed[member] = candidate.values[member] ?? row[member]
            }
        }
        guard !changed.isEmpty else {
            outcome.unchanged += 1
            return nil
        }
        if table.isAppendOnly {
            refuse(candidate.line, "it is there already with other values, and records of \(table.name) never change")
            return nil
        }
        for index in changed.keys.sorted() where table.fields[index].policy == .once && !row[index].isNull {
            refuse(candidate.line, "\(table.fields[index].name) is written once, and has another value")
            return nil
        }
        outcome.updated += 1
        return ImportWrite(isInsert: false, table: table.name, record: candidate.record, values: named(changed))
    }
}
