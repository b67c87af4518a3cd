public import PeykModel

/// How complete a report's figures are: part of every report.
public struct ReportHeader: Hashable, Sendable {
    public struct Money: Hashable, Sendable {
        public let currency: String
        /// Opportunities that an open conflict names.
        public let count: Int64
        /// Minor units; each opportunity once, however many conflicts it has.
        public let amount: Int64
    }

    public let position: Position
    /// Unix milliseconds; nil where the replica has never synced.
    public let asOf: Int64?
    /// Own unsent commits that the figures contain.
    public let ownPending: Int64
    /// Longest silent first; never heard from before all.
    public let devices: [ReportDevice]
    public let openConflicts: Int64
    public let conflictMoney: [Money]

    /// Commits that other devices had declared and not sent when they were last heard from.
    public var declaredPending: Int64 { devices.reduce(0) { $0 &+ $1.pending } }

    static let conflictCount = "SELECT COUNT(*) FROM peyk_ledger WHERE state = 'open'"

    static let conflictMoney = """
        SELECT o.currency, COUNT(*), CAST(SUM(o.amount) AS BIGINT)
        FROM opportunity o
        WHERE o.amount IS NOT NULL AND o.currency IS NOT NULL AND EXISTS (
            SELECT 1 FROM peyk_ledger l
            WHERE l.table_name = 'opportunity' AND l.record_id = o.id AND l.state = 'open')
        GROUP BY o.currency
        """

    static func read(from source: any ReportSource, _ context: ReportContext) throws -> ReportHeader {
        let open = try source.rows(conflictCount, []).first?.first?.integerValue ?? 0
        let money = try source.rows(conflictMoney, []).compactMap { row -> Money? in
            guard row.count == 3, let currency = row[0].textValue, let count = row[1].integerValue,
                let amount = row[2].integerValue
            else { return nil }
            return Money(currency: currency, count: count, amount: amount)
        }
        return ReportHeader(
            position: context.position, asOf: context.asOf, ownPending: context.ownPending,
            devices: context.devices.sorted {
                ($0.lastContact ?? .min, $0.user, $0.device) < ($1.lastContact ?? .min, $1.user, $1.device)
            },
            openConflicts: open, conflictMoney: money.sorted { $0.currency < $1.currency })
    }

    var json: JSON {
        [
            "position": .integer(position),
            "as_of": asOf.map { .string(Instant.iso($0)) } ?? .null,
            "own_pending": .integer(ownPending),
            "declared_pending": .integer(declaredPending),
            "conflicts_open": .integer(openConflicts),
            "conflict_money": .array(
                conflictMoney.map {
                    [
                        "currency": .string($0.currency), "opportunities": .integer($0.count),
                        "amount": .integer($0.amount),
                    ]
                }),
            "devices": .array(
                devices.map {
                    [
                        "user": .string($0.user), "device": .string($0.device),
                        "last_contact": $0.lastContact.map { .string(Instant.iso($0)) } ?? .null,
                        "pending": .integer($0.pending),
                    ]
                }),
        ]
    }

    /// The header as lines for a person.
    public func lines(_ show: Presentation) -> [String] {
        var lines: [String] = []
        let time = asOf.map { show.instant($0) } ?? show.say("never synced", "هرگز همگام نشده")
        lines.append(
            show.say("As of position ", "تا جایگاه ") + show.number(position) + show.say(", ", "، ") + time)
        if ownPending > 0 {
            lines.append(
                show.say(
                    "Contains \(show.number(ownPending)) own commits that the server does not have yet",
                    "شامل \(show.number(ownPending)) ثبت خودتان که هنوز به سرور نرسیده است"))
        }
        for device in devices {
            let since = device.lastContact.map { show.instant($0) } ?? show.say("never", "هرگز")
            var line = show.say(
                "\(device.user) (\(device.device)): last heard from \(since)",
                "\(device.user) (\(device.device)): آخرین تماس \(since)")
            if device.pending > 0 {
                line += show.say(
                    ", had declared \(show.number(device.pending)) unsent edits",
                    "، \(show.number(device.pending)) ویرایش ارسال‌نشده داشت")
            }
            lines.append(line)
        }
        if openConflicts == 0 {
            lines.append(show.say("No open conflicts", "تعارض بازی نیست"))
        } else {
            let money = conflictMoney.map {
                show.money($0.amount, currency: $0.currency)
                    + show.say(" in \(show.number($0.count))", " در \(show.number($0.count)) فرصت")
            }
            lines.append(
                show.say("Open conflicts: ", "تعارض باز: ") + show.number(openConflicts)
                    + (money.isEmpty ? "" : show.say(", touching ", "، مبلغ درگیر ") + money.joined(separator: "; ")))
        }
        return lines
    }
}
