import PeykModel

/// Open opportunities by stage and currency (domain part B4.1 and B4.2).
///
/// Weighted = Σ amount · probability ÷ 100, rounded down to the minor unit once per row; a total is the sum of its
/// rows. The probability is the stage's, or the one set by hand in this very stage. Age = whole UTC days since the
/// opportunity was opened (else created); those without either are left out of the average.
enum PipelineReport {
    static let sql = """
        SELECT s.id, s.name, s.name_fa, p.position, s.position, s.probability, o.currency,
            COUNT(o.id), COUNT(o.amount), CAST(SUM(o.amount) AS BIGINT),
            CAST(SUM(o.amount * CASE
                WHEN o.probability IS NOT NULL AND o.probability_stage_id = o.stage_id THEN o.probability
                ELSE s.probability END) AS BIGINT) / 100,
            COUNT(COALESCE(o.opened_at, o.created_at)),
            CAST(SUM(CASE WHEN COALESCE(o.opened_at, o.created_at) / 86400000 < CAST($1 AS BIGINT)
                THEN CAST($1 AS BIGINT) - COALESCE(o.opened_at, o.created_at) / 86400000 ELSE 0 END) AS BIGINT)
        FROM stage s
        JOIN pipeline p ON p.id = s.pipeline_id
        LEFT JOIN opportunity o ON o.stage_id = s.id AND COALESCE(o.archived, 0) = 0
            AND (CAST($2 AS TEXT) IS NULL OR o.territory_id = CAST($2 AS TEXT))
            AND (CAST($3 AS TEXT) IS NULL OR o.owner_id = CAST($3 AS TEXT))
            AND (CAST($4 AS TEXT) IS NULL OR o.product_id = CAST($4 AS TEXT))
        WHERE s.kind = 'open' AND (CAST($5 AS TEXT) IS NULL OR s.pipeline_id = CAST($5 AS TEXT))
        GROUP BY s.id, s.name, s.name_fa, p.position, s.position, s.probability, o.currency
        """

    struct Line {
        var stageID = Value.null, stage = Value.null, stageFa = Value.null
        var pipelinePosition: Int64 = 0
        var position: Int64 = 0
        var probability = Value.null
        var currency: String?
        var count: Int64 = 0
        /// How many of them have an amount.
        var priced: Int64 = 0
        var amount: Int64 = 0
        var weighted: Int64 = 0
        var aged: Int64 = 0
        var ageSum: Int64 = 0

        init() {}

        init?(_ row: [Value]) {
            guard row.count == 13 else { return nil }
            func number(_ index: Int) -> Int64 { row[index].integerValue ?? 0 }
            (stageID, stage, stageFa) = (row[0], row[1], row[2])
            pipelinePosition = number(3)
            position = number(4)
            probability = row[5]
            currency = row[6].textValue
            count = number(7)
            aged = number(11)
            ageSum = number(12)
            // An amount without a currency cannot be added to anything.
            guard currency != nil else { return }
            (priced, amount, weighted) = (number(8), number(9), number(10))
        }

        mutating func add(_ other: Line) {
            count &+= other.count
            priced &+= other.priced
            amount &+= other.amount
            weighted &+= other.weighted
            aged &+= other.aged
            ageSum &+= other.ageSum
        }

        var averageAge: Value { aged > 0 ? .integer(ageSum / aged) : .null }
        func money(_ value: Int64) -> Value { priced > 0 ? .integer(value) : .null }
    }

    static func run(
        _ source: any ReportSource, _ filter: ReportFilter, _ context: ReportContext
    ) throws -> Report {
        func text(_ id: RecordID?) -> Value { id.map { Value($0) } ?? .null }
        let lines = try source.rows(
            sql,
            [
                .integer(context.today), text(filter.territory), text(filter.owner), text(filter.product),
                text(filter.pipeline),
            ]
        ).compactMap(Line.init).sorted { left, right in
            if left.pipelinePosition != right.pipelinePosition { return left.pipelinePosition < right.pipelinePosition }
            if left.position != right.position { return left.position < right.position }
            if left.stageID != right.stageID { return left.stageID < right.stageID }
            return (left.currency ?? "~") < (right.currency ?? "~")
        }
        var sums: [String: Line] = [:]
        for line in lines where line.count > 0 {
            sums[line.currency ?? "~", default: Line()].add(line)
            sums[line.currency ?? "~"]?.currency = line.currency
        }
        let rows: [[Value]] = lines.map { line in
            [
                line.stage, line.stageFa, line.stageID, .integer(line.position), line.probability,
                line.currency.map { .text($0) } ?? .null, .integer(line.count), line.money(line.amount),
                line.money(line.weighted), line.averageAge,
                permille(line.amount, of: line.priced > 0 ? sums[line.currency ?? "~"]?.amount ?? 0 : 0),
            ]
        }
        let totals: [[Value]] = sums.sorted { $0.key < $1.key }.map { _, sum in
            [
                sum.currency.map { .text($0) } ?? .null, .integer(sum.count), sum.money(sum.amount),
                sum.money(sum.weighted), sum.averageAge,
            ]
        }
        let unpriced = lines.reduce(0) { $0 + $1.count - $1.priced }
        return Report(
            name: "pipeline", title: ["en": "Open pipeline by stage", "fa": "فرصت‌های باز به تفکیک مرحله"],
            filter: filter, header: try .read(from: source, context), main: .init(columns: columns, rows: rows),
            totals: .init(columns: totalColumns, rows: totals),
            chart: chart(lines),
            notes: notes(unpriced: unpriced))
    }

    /// By amount; by count where no open opportunity has an amount.
    private static func chart(_ lines: [Line]) -> Report.Chart {
        lines.contains { $0.priced > 0 }
            ? .init(
                label: "stage", value: "amount", series: "currency", labels: ["en": "Open amount", "fa": "مبلغ باز"])
            : .init(
                label: "stage", value: "count", series: nil, labels: ["en": "Open opportunities", "fa": "فرصت‌های باز"])
    }

    /// Tenths of a percent, to the nearest; null where there is nothing to share.
    static func permille(_ part: Int64, of whole: Int64) -> Value {
        guard whole > 0, part >= 0, part <= whole else { return .null }
        let (high, low) = part.multipliedFullWidth(by: 1000)
        let (sum, carry) = low.addingReportingOverflow(UInt64(whole / 2))
        return .integer(whole.dividingFullWidth((high + (carry ? 1 : 0), sum)).quotient)
    }

    private static func notes(unpriced: Int64) -> [[String: String]] {
        var notes = [
            [
                "en": "Weighted amounts are rounded down to the minor unit in each row.",
                "fa": "مبلغ وزنی در هر سطر به پایین گرد می‌شود.",
            ]
        ]
        if unpriced > 0 {
            notes.append([
                "en": "\(unpriced) open opportunities have no amount: they are counted, not priced.",
                "fa": "\(unpriced) فرصت باز مبلغ ندارند: شمرده می‌شوند، نه قیمت‌گذاری.",
            ])
        }
        return notes
    }

    private static let figures: [Report.Column] = [
        .init("count", .number, "Count", "تعداد"),
        .init("amount", .money(currency: "currency"), "Amount", "مبلغ"),
        .init("weighted", .money(currency: "currency"), "Weighted", "وزنی"),
        .init("average_age_days", .days, "Avg age (days)", "میانگین عمر (روز)"),
    ]

    static let columns: [Report.Column] =
        [
            .init("stage", .text, "Stage", "مرحله", inPersian: "stage_fa"),
            .init("stage_fa", .text, "Stage", "مرحله", isForMachines: true),
            .init("stage_id", .text, "Stage id", "شناسه مرحله", isForMachines: true),
            .init("position", .number, "Position", "ترتیب", isForMachines: true),
            .init("probability", .number, "Prob. %", "احتمال ٪"),
            .init("currency", .text, "Currency", "ارز"),
        ] + figures + [.init("share_percent", .permille, "Share", "سهم")]

    static let totalColumns: [Report.Column] = [.init("currency", .text, "Currency", "ارز")] + figures
}

extension ReportDefinition {
    static let pipeline = ReportDefinition(
        name: "pipeline",
        summary: [
            "en": "Open opportunities by stage: count, amount, weighted amount, average age, share.",
            "fa": "فرصت‌های باز به تفکیک مرحله: تعداد، مبلغ، مبلغ وزنی، میانگین عمر، سهم.",
        ],
        run: PipelineReport.run)
}
