public import PeykCRM
import PeykModel

extension Console {
    /// A report in the chosen format: header, bars, table and totals for people; the document or the rows alone for
    /// machines.
    public func print(_ report: Report) {
        switch format {
        case .json: printJSON(report.json)
        case .csv:
            Terminal.write(CSVText.line(report.main.columns.map(\.key)))
            Terminal.write(report.main.plain.map(CSVText.line).joined())
        case .table:
            Terminal.write(ReportView(report: report, show: show).text(width: Terminal.width(), bold: headline))
        }
    }
}

/// A report as text for a terminal.
struct ReportView {
    let report: Report
    let show: Presentation

    func text(width: Int?, bold: (String) -> String = { $0 }) -> String {
        var out = bold(show.label(report.title, else: report.name)) + "\n"
        out += report.header.lines(show).map { "  " + $0 + "\n" }.joined()
        out += "\n" + table(report.main).text(width: width, headline: bold)
        if !report.totals.rows.isEmpty {
            out +=
                "\n" + bold(show.say("Totals", "جمع")) + "\n" + table(report.totals).text(width: width, headline: bold)
        }
        if let chart = report.chart { out += bars(chart, width: width ?? 80, bold: bold) }
        for note in report.notes { out += "\n" + show.digits(in: show.label(note, else: "")) }
        return out + (report.notes.isEmpty ? "" : "\n")
    }

    func table(_ table: Report.Table) -> TextTable {
        let shown = table.columns.indices.filter { !table.columns[$0].isForMachines }
        return TextTable(
            shown.map { show.label(table.columns[$0].labels, else: table.columns[$0].key) },
            alignments: shown.map { table.columns[$0].kind == .text ? .left : .right },
            rows: table.rows.map { row in shown.map { cell($0, of: row, in: table) } })
    }

    func cell(_ index: Int, of row: [Value], in table: Report.Table) -> String {
        let column = table.columns[index]
        if show.language == .fa, let key = column.persian, let other = table.index(key),
            let text = row[other].textValue
        {
            return text
        }
        switch (column.kind, row[index]) {
        case (_, .null): return "–"
        case (.money(let key), .integer(let amount)):
            return show.amount(amount, currency: table.index(key).flatMap { row[$0].textValue } ?? "")
        case (.permille, .integer(let tenths)): return show.percent(permille: tenths)
        case (_, .integer(let number)): return show.number(number)
        case (_, .text(let text)): return text
        case (_, let value): return "\(value)"
        }
    }

    /// One bar a row, per series; the longest bar of a series is the widest.
    func bars(_ chart: Report.Chart, width: Int, bold: (String) -> String) -> String {
        let table = report.main
        guard let label = table.index(chart.label), let value = table.index(chart.value) else { return "" }
        let series = chart.series.flatMap { table.index($0) }
        var groups: [(name: String, rows: [[Value]])] = []
        for row in table.rows where (row[value].integerValue ?? 0) > 0 {
            let name = series.flatMap { row[$0].textValue } ?? ""
            if let index = groups.firstIndex(where: { $0.name == name }) {
                groups[index].rows.append(row)
            } else {
                groups.append((name, [row]))
            }
        }
        var out = ""
        for group in groups {
            out +=
                "\n" + bold(show.label(chart.labels, else: "") + (group.name.isEmpty ? "" : " (\(group.name))")) + "\n"
            let names = group.rows.map { cell(label, of: $0, in: table) }
            let figures = group.rows.map { cell(value, of: $0, in: table) }
            let nameWidth = names.map(DisplayWidth.of).max() ?? 0
            let figureWidth = figures.map(DisplayWidth.of).max() ?? 0
            let room = max(8, min(50, width - nameWidth - figureWidth - 6))
            let top = Double(group.rows.compactMap { $0[value].integerValue }.max() ?? 1)
            for (index, row) in group.rows.enumerated() {
                let part = Double(row[value].integerValue ?? 0) / top
                out +=
                    "  " + DisplayWidth.padded(names[index], to: nameWidth) + "  "
                    + DisplayWidth.padded(Self.bar(part, room), to: room) + "  "
                    + DisplayWidth.padded(figures[index], to: figureWidth, right: true) + "\n"
            }
        }
        return out
    }

    /// Eighths of a column, so that small parts can be told apart.
    static func bar(_ part: Double, _ room: Int) -> String {
        let eighths = max(1, Int((part * Double(room) * 8).rounded()))
        let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8]
        return String(repeating: "█", count: eighths / 8) + rest
    }
}
