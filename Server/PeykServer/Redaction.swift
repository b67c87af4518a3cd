import Crypto
import PeykMerge
public import PeykModel

/// Hides values in what leaves the company, and keeps what a merge looks at: equal values stay equal, lines of texts
/// stay lines, elements of sets stay elements. The key is drawn for one bundle and kept nowhere.
///
/// What is kept as it is: null, references, words of enumerations, yes and no, and numbers and times of fields whose
/// policy computes with them (counter, max, min).
public struct Redaction: Sendable {
    private let key: SymmetricKey

    /// - Parameter random: 32 unguessable bytes.
    public init(random: [UInt8]) { key = SymmetricKey(data: random) }

    private func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
        let code = HMAC<SHA256>.authenticationCode(for: Array(bytes), using: key)
        return code.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Stands for a text, wherever it comes again.
    public func word(_ text: String) -> String {
        text.isEmpty ? "" : "x" + String(hash(text.utf8), radix: 16)
    }

    public func value(_ value: Value, of field: Field, _ policy: Policy) -> Value {
        switch (field.type, policy) {
        case (.reference, _), (.enumeration, _), (.bool, _), (_, .counter), (_, .max), (_, .min): return value
        default: break
        }
        switch value {
        case .null: return .null
        case .integer(let number): return .integer(Int64(hash("\(number)".utf8) >> 1))
        case .real(let number): return .real(Double(hash("\(number)".utf8) >> 32))
        case .blob(let bytes): return .blob(Array(word(String(decoding: bytes, as: UTF8.self)).utf8))
        case .text(let text):
            if policy == .set, let set = ValueSet(json: text) {
                return .text(ValueSet(set.elements.map { word($0) }).json)
            }
            return .text(policy == .text ? lines(text) : word(text))
        }
    }

    private func lines(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { word(String($0)) }
            .joined(separator: "\n")
    }

    func row(_ row: Row, _ table: Table) -> Row {
        Row(
            row.values.enumerated().map { index, value in
                guard table.fields.indices.contains(index) else { return .null }
                return self.value(value, of: table.fields[index], table.cells[table.cellOfField[index]].policy)
            })
    }

    private func values(_ values: [Value], of cell: Cell, _ table: Table) -> [Value] {
        values.enumerated().map { index, value in
            guard cell.fields.indices.contains(index) else { return .null }
            return self.value(value, of: table.fields[cell.fields[index]], cell.policy)
        }
    }

    func change(_ change: Change, _ table: Table) -> Change {
        var hidden = change
        for index in hidden.cells.indices {
            guard let cell = table.cell(tag: hidden.cells[index].cell) else { continue }
            switch hidden.cells[index].write {
            case .assign(let values): hidden.cells[index].write = .assign(self.values(values, of: cell, table))
            case .add: break
            case .elements(let added, let removed):
                hidden.cells[index].write = .elements(
                    added: ValueSet(added.map { word($0) }).elements,
                    removed: ValueSet(removed.map { word($0) }).elements)
            case .text(let base, let new):
                hidden.cells[index].write = .text(base: base.map { lines($0) }, new: new.map { lines($0) })
            }
        }
        return hidden
    }

    func state(_ state: RecordState?, _ table: Table) -> RecordState? {
        guard var hidden = state else { return nil }
        hidden.row = row(hidden.row, table)
        for index in hidden.clock.cells.indices {
            guard let cell = table.cell(tag: hidden.clock.cells[index].tag) else { continue }
            for sibling in hidden.clock.cells[index].siblings.indices {
                hidden.clock.cells[index].siblings[sibling].values =
                    hidden.clock.cells[index].siblings[sibling].values.map { values($0, of: cell, table) }
            }
            let elements = hidden.clock.cells[index].elements.map {
                ElementClock(element: word($0.element), adders: $0.adders)
            }
            hidden.clock.cells[index].elements = elements.sorted {
                $0.element.utf8.lexicographicallyPrecedes($1.element.utf8)
            }
        }
        return hidden
    }

    /// The merge without its values; made again, it comes to the same.
    public func merge(_ record: MergeRecord, _ table: Table) -> MergeRecord {
        var hidden = record
        hidden.change = change(record.change, table)
        hidden.before = state(record.before, table)
        hidden.after = state(record.after, table)
        hidden.successors = record.successors.map { change($0, table) }
        for index in hidden.ranks.indices {
            let field = hidden.ranks[index].field
            guard table.fields.indices.contains(field) else { continue }
            hidden.ranks[index].value = value(
                hidden.ranks[index].value, of: table.fields[field], table.cells[table.cellOfField[field]].policy)
        }
        return hidden
    }
}
