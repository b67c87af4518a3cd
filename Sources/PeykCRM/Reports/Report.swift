public import PeykModel

/// A finished report: the same value is shown as a table, JSON, CSV, or on the dashboard.
public struct Report: Hashable, Sendable {
    public struct Column: Hashable, Sendable {
        public enum Kind: Hashable, Sendable {
            case text
            case number
            /// Minor units; the currency stands in the column with this key.
            case money(currency: String)
            case days
            /// Tenths of a percent; machines get percent with one decimal.
            case permille
        }

        public let key: String
        public let kind: Kind
        public let labels: [String: String]
        /// Only in JSON and CSV: ids, and what another column shows in a better form.
        public let isForMachines: Bool
        /// Key of the column that has this one's text in Persian.
        public let persian: String?

        init(
            _ key: String, _ kind: Kind, _ english: String, _ persian: String, isForMachines: Bool = false,
            inPersian: String? = nil
        ) {
            self.key = key
            self.kind = kind
            labels = ["en": english, "fa": persian]
            self.isForMachines = isForMachines
            self.persian = inPersian
        }
    }

    public struct Table: Hashable, Sendable {
        public let columns: [Column]
        public let rows: [[Value]]

        public func index(_ key: String) -> Int? { columns.firstIndex { $0.key == key } }
    }

    /// A bar for each row of the main table: the column that labels it, and the one that it measures.
    public struct Chart: Hashable, Sendable {
        public let label: String
        public let value: String
        /// Rows of different currencies are charts of their own.
        public let series: String?
        public let labels: [String: String]
    }

    public let name: String
    public let title: [String: String]
    public let filter: ReportFilter
    public let header: ReportHeader
    public let main: Table
    public let totals: Table
    public let chart: Chart?
    /// What a reader should know about the figures, by language.
    public let notes: [[String: String]]

    /// One document, keys in snake_case: `report, filter, header, rows, totals, notes`.
    public var json: JSON {
        [
            "report": .string(name), "filter": filter.json, "header": header.json,
            "rows": main.json, "totals": totals.json,
            "notes": .array(notes.map { .string($0["en"] ?? "") }),
        ]
    }
}

extension Report.Table {
    var json: JSON {
        .array(
            rows.map { row in
                .object(
                    Dictionary(
                        zip(columns, row).map { column, value in (column.key, column.machine(value)) },
                        uniquingKeysWith: { first, _ in first }))
            })
    }

    /// Plain texts for CSV: one line a row, amounts as decimals of the currency's unit.
    public var plain: [[String]] {
        rows.map { row in
            zip(columns, row).map { column, value in
                switch (column.kind, value) {
                case (_, .null): ""
                case (.money(let key), .integer(let amount)):
                    Currency.plain(
                        amount, currency: index(key).flatMap { row[$0].textValue } ?? "")
                case (.permille, .integer(let tenths)): "\(tenths / 10).\(tenths.magnitude % 10)"
                case (_, .integer(let number)): String(number)
                case (_, .real(let number)): "\(number)"
                case (_, .text(let text)): text
                case (_, .blob): ""
                }
            }
        }
    }
}

extension Report.Column {
    fileprivate func machine(_ value: Value) -> JSON {
        if case .permille = kind, case .integer(let tenths) = value { return .double(Double(tenths) / 10) }
        return JSON(value)
    }
}
