import PeykMerge
public import PeykModel

/// A file for those who help: what was decided about one record, line by line, so that it can be decided again.
///
/// Lines of JSON: a header with the schema, then for each merge its place, who, what it did by name, and the merge
/// itself (`data`), then what the log and the ledger say. Values are hidden unless IT wants them in.
public enum RecordBundle {
    public static let format: Int64 = 1

    static func lines(
        of key: RecordKey, _ reader: any StoreReader, redaction: Redaction?, madeAt: Int64
    ) throws -> [JSON] {
        guard let table = reader.schema.table(at: key.table) else { return [] }
        let merges = try MergeRecorder.records(of: key, reader)
        var lines: [JSON] = [
            [
                "peyk_bundle": .integer(format), "kind": "record", "table": .string(table.name),
                "record": .string(key.record.description), "redacted": .bool(redaction != nil),
                "made_at": .integer(madeAt), "head": .integer(try reader.head()),
                "since": .integer(merges.first?.writer.position ?? 0), "schema": reader.schema.json,
            ]
        ]
        for merge in merges {
            let shown = redaction?.merge(merge, table) ?? merge
            lines.append([
                "line": "merge", "position": .integer(merge.writer.position),
                "commit": .string(merge.writer.commit.description),
                "site": .string(merge.writer.dot.site.description), "seq": .integer(merge.writer.dot.seq),
                "stamp": .string(merge.writer.stamp.description), "anchor": .integer(merge.clock.anchor),
                "kind": .string("\(merge.change.kind)"),
                "cells": .array(merge.change.cells.compactMap { table.cell(tag: $0.cell).map { .string($0.name) } }),
                "decisions": .array(merge.decisions.map { .string($0) }),
                "refusals": .array(merge.refusals.map { .string($0) }), "data": JSON(.blob(shown.encoded())),
            ])
        }
        for position in try reader.positions(of: key) {
            guard let entry = try reader.entry(at: position),
                let effect = entry.effects.first(where: { $0.key == key })
            else { continue }
            lines.append([
                "line": "outcome", "position": .integer(position), "commit": .string(entry.commit.description),
                "verdict": .string("\(entry.answer.verdict)"), "merged_at": .integer(entry.time),
                "changed": .array(
                    effect.replaced.compactMap { change in
                        table.fields.indices.contains(change.field)
                            ? .string(table.fields[change.field].name) : nil
                    }),
                "alive": .bool(effect.after != nil),
            ])
        }
        for id in try reader.ledgerEntries(of: key) {
            guard let record = try reader.record(RecordKey(table: Schema.ledgerIndex, record: id)) else { continue }
            let row = LedgerRow(record.state.row)
            lines.append([
                "line": "ledger", "id": .string(id.description), "cell": row.cell.map { .string($0) } ?? .null,
                "rule": row.text("rule").map { .string($0) } ?? .null,
                "state": row.text("state").map { .string($0) } ?? .null,
            ])
        }
        return lines
    }

    /// One merge of a bundle, made again.
    public struct Replayed: Hashable, Sendable {
        public var position: Position
        public var commit: CommitID
        public var isSame: Bool
        public var recorded: [String]
        public var again: [String]
    }

    /// Makes every merge of a bundle again, with nothing but the bundle.
    /// - Throws: ``StoreError/corrupt(_:)`` for what is no bundle.
    public static func replay(_ lines: [JSON]) throws -> [Replayed] {
        guard let header = lines.first, header["peyk_bundle"]?.integerValue == format,
            let schemaJSON = header["schema"], let schema = try? Schema(json: schemaJSON)
        else { throw StoreError.corrupt("it does not begin as a bundle does") }
        return try lines.dropFirst().filter { $0["line"] == "merge" }.map { line in
            guard case .blob(let bytes)? = line["data"]?.value, let merge = try? MergeRecord(decoding: bytes),
                let table = schema.table(at: merge.key.table)
            else { throw StoreError.corrupt("a merge of the bundle cannot be read") }
            let outcome = merge.replayed(in: table)
            var again = merge
            again.note(outcome)
            return Replayed(
                position: merge.writer.position, commit: merge.writer.commit, isSame: merge.isSame(outcome),
                recorded: merge.decisions, again: again.decisions)
        }
    }
}

extension Admin {
    /// The lines of a bundle about one record.
    func bundle(_ place: AdminRequest.RecordPlace, withValues: Bool) throws -> JSON {
        let redaction = withValues ? nil : Redaction(random: workspace.environment.random(32))
        return try workspace.store.read { reader in
            guard let index = reader.schema.tableIndex(place.table) else {
                throw AdminFailure(.missing, "This workspace has no table \(place.table).")
            }
            let key = try reader.resolve(place.record, table: index)
            return .array(
                try RecordBundle.lines(of: key, reader, redaction: redaction, madeAt: workspace.environment.now()))
        }
    }
}
