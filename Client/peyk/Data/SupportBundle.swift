import Foundation
import PeykCRM
import PeykConsole
import PeykModel
import PeykReplica

/// What a replica tells those who help: its structure and states, line by line, and no value of any record.
///
/// Equal values become equal words, so that one can still see what was written twice; the key is drawn for one bundle
/// and kept nowhere.
enum SupportBundle {
    static func header(checks: JSON, _ status: ReplicaStatus?) -> JSON {
        var members: [String: JSON] = [
            "peyk_bundle": 1, "kind": "replica", "redacted": true, "checks": checks,
            "program": .string("peyk/" + PeykVersion.text), "sqlite": .string(Replica.sqliteVersion),
            "made_at": .string(Instant.iso(LocalTime.now())),
            "system": .string(ProcessInfo.processInfo.operatingSystemVersionString),
        ]
        if let status {
            members["replica"] = [
                "site": .string(status.site.description),
                "epoch": status.epoch.map { .string($0.description) } ?? .null,
                "anchor": .integer(status.anchor), "head": .integer(status.head), "pending": .integer(status.pending),
                "held": .integer(status.held), "waiting": .integer(status.waiting), "parked": .integer(status.parked),
                "conflicts_open": .integer(status.conflictsOpen), "last_sealed": .integer(status.lastSealed),
                "last_sync": status.lastSync.map { .string(Instant.iso($0)) } ?? .null,
                "clock_offset_ms": .integer(status.clockOffset), "schema_version": .integer(status.schemaVersion),
                "is_loading": .bool(status.isLoading), "buckets": .integer(Int64(status.scope.buckets.count)),
            ]
        }
        return .object(members)
    }

    static func lines(_ place: Workplace) throws -> [JSON] {
        let hidden = Hidden()
        var lines: [JSON] = []
        for table in place.schema.tables {
            let count = try place.rows("SELECT count(*) FROM \"\(table.name)\"", []).first?.first?.integerValue
            lines.append([
                "line": "table", "table": .string(table.name), "fields": .integer(Int64(table.fields.count)),
                "rows": .integer(count ?? 0),
            ])
        }
        for commit in try place.replica.pendingCommits() {
            lines.append([
                "line": "commit", "id": .string(commit.id.description), "seq": .integer(commit.seq),
                "state": .string(commit.state.rawValue),
                "changes": .array(
                    commit.changes.map { change in
                        [
                            "record": .string("\(change.table)/\(change.record)"), "kind": .string("\(change.kind)"),
                            "fields": .object(
                                Dictionary(change.fields.map { ($0.field, hidden.word($0.after)) }) { $1 }),
                        ]
                    }),
            ])
        }
        for issue in try place.replica.issues(in: nil) {
            lines.append([
                "line": "issue", "commit": issue.commit.map { .string($0.description) } ?? .null,
                "code": .string(issue.code.rawValue), "state": .string(issue.state.rawValue),
                "table": issue.table.map { .string($0) } ?? .null,
                "record": issue.record.map { .string($0.description) } ?? .null,
                "at": .string(Instant.iso(issue.createdAt)),
            ])
        }
        return lines
    }

    /// Words that say nothing but which values are equal.
    private struct Hidden {
        private let salt = [UInt8]((0..<32).map { _ in UInt8.random(in: 0...255) })

        func word(_ value: Value) -> JSON {
            let kind: String
            let bytes: [UInt8]
            switch value {
            case .null: return .null
            case .integer(let number): (kind, bytes) = ("integer", Array("\(number)".utf8))
            case .real(let number): (kind, bytes) = ("real", Array("\(number)".utf8))
            case .text(let text): (kind, bytes) = ("text", Array(text.utf8))
            case .blob(let data): (kind, bytes) = ("blob", data)
            }
            return .string("\(kind) \(Secrets.word(bytes, salt: salt))")
        }
    }
}
