import ArgumentParser
import Foundation
import PeykCRM
import PeykConsole
import PeykModel

/// Which workspace.
struct DataOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The workspace's directory (default: PEYKD_DATA).", valueName: "dir"))
    var data: String?

    func installation() throws -> Installation {
        let environment = ProcessInfo.processInfo.environment["PEYKD_DATA"] ?? ""
        guard let directory = data ?? (environment.isEmpty ? nil : environment) else {
            throw Failure(.usage, "Which workspace? Give its directory with --data, or set PEYKD_DATA.")
        }
        return Installation(directory: directory)
    }

    func client() throws -> AdminClient { try AdminClient(try installation()) }
}

/// A span of time as people write it: `30s`, `15m`, `2h`, `3d`.
struct Duration: ExpressibleByArgument {
    let seconds: Int64

    init(seconds: Int64) { self.seconds = seconds }

    init?(argument: String) {
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400]
        guard let last = argument.last, let unit = units[last], let count = Int64(argument.dropLast()), count > 0,
            count <= 10_000_000
        else { return nil }
        seconds = count * unit
    }

    var defaultValueDescription: String { seconds % 60 == 0 ? "\(seconds / 60)m" : "\(seconds)s" }
}

/// Lists of documents as tables: which members are shown, and how.
struct Columns {
    enum Kind { case text, number, time, list, id }

    struct Column {
        let key: String
        let english: String
        let persian: String
        let kind: Kind
    }

    let columns: [Column]

    init(_ columns: [(key: String, english: String, persian: String, kind: Kind)]) {
        self.columns = columns.map {
            Column(key: $0.key, english: $0.english, persian: $0.persian, kind: $0.kind)
        }
    }

    func print(_ rows: [JSON], on console: Console) {
        let show = console.show
        let length = idLength(rows)
        console.print(
            TextTable(
                columns.map { show.say($0.english, $0.persian) },
                alignments: columns.map { $0.kind == .number ? .right : .left },
                rows: rows.map { row in columns.map { shown(row[$0.key] ?? .null, $0.kind, show, idLength: length) } }),
            csv: [columns.map(\.key)] + rows.map { row in columns.map { plain(row[$0.key] ?? .null, $0.kind) } },
            json: .array(rows.map { machine($0) }))
    }

    /// Ids are cut where they still differ; those made within a minute begin alike.
    private func idLength(_ rows: [JSON]) -> Int {
        let ids = Set(
            columns.filter { $0.kind == .id }.flatMap { column in rows.compactMap { $0[column.key]?.stringValue } })
        return [8, 13, 18, 23].first { length in Set(ids.map { $0.prefix(length) }).count == ids.count } ?? 36
    }

    private func shown(_ value: JSON, _ kind: Kind, _ show: Presentation, idLength: Int) -> String {
        switch (kind, value) {
        case (_, .null): "–"
        case (.time, .integer(let time)): show.instant(time)
        case (.number, .integer(let number)): show.number(number)
        case (.id, .string(let id)): String(id.prefix(idLength))
        case (_, .array(let items)): items.map(Console.plain).joined(separator: ", ")
        case (_, .bool(let flag)): flag ? show.say("yes", "بله") : ""
        default: Console.plain(value)
        }
    }

    private func plain(_ value: JSON, _ kind: Kind) -> String {
        switch (kind, value) {
        case (.time, .integer(let time)): Instant.iso(time)
        case (_, .array(let items)): items.map(Console.plain).joined(separator: ";")
        default: Console.plain(value)
        }
    }

    /// Machine formats have ISO times.
    func machine(_ row: JSON) -> JSON { Self.withISOTimes(row) }

    static func withISOTimes(_ document: JSON) -> JSON {
        switch document {
        case .array(let items): .array(items.map { withISOTimes($0) })
        case .object(let members):
            .object(
                Dictionary(
                    uniqueKeysWithValues: members.map { key, value in
                        if data.contains(key) { return (key, value) }
                        if times.contains(key), case .integer(let time) = value {
                            return (key, .string(Instant.iso(time)))
                        }
                        return (key, withISOTimes(value))
                    }))
        default: document
        }
    }

    private static let times: Set<String> = [
        "last_contact", "enrolled_at", "expires_at", "opened_at", "settled_at", "written_at", "merged_at",
        "created_at", "last_stamp", "finished_at", "arrived_at", "last_backup", "closed_at", "detected_at",
    ]
    /// Values of records stay as they are stored.
    private static let data: Set<String> = ["values", "value", "old", "new", "base", "schema"]
}
