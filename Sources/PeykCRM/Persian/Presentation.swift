public import PeykModel

/// How values are shown to one person: language, calendar, digits, time zone.
public struct Presentation: Sendable {
    public enum Language: String, Sendable, CaseIterable { case en, fa }
    public enum Calendar: String, Sendable, CaseIterable { case gregorian, jalali }
    public enum DigitStyle: String, Sendable, CaseIterable { case latin, persian }

    public var language: Language
    public var calendar: Calendar
    public var digits: DigitStyle
    /// Seconds east of UTC at an instant (Unix milliseconds).
    public var utcOffset: @Sendable (Int64) -> Int

    public init(
        language: Language = .en, calendar: Calendar = .gregorian, digits: DigitStyle = .latin,
        utcOffset: @escaping @Sendable (Int64) -> Int = { _ in 0 }
    ) {
        self.language = language
        self.calendar = calendar
        self.digits = digits
        self.utcOffset = utcOffset
    }

    /// English or Persian, by ``language``.
    public func say(_ english: String, _ persian: String) -> String { language == .fa ? persian : english }

    /// `1 record`, `2 records`, `۲ رکورد`.
    public func count(_ number: Int64, _ english: String, _ persian: String) -> String {
        language == .fa
            ? "\(self.number(number)) \(persian)" : "\(self.number(number)) \(english)\(number == 1 ? "" : "s")"
    }

    /// The label in this language, else the English one, else `name`.
    public func label(_ labels: [String: String], else name: String) -> String {
        labels[language.rawValue] ?? labels["en"] ?? name
    }

    /// Digits in this style; nothing else changes.
    public func digits(in text: String) -> String { digits == .persian ? Digits.persian(text) : text }

    public func number(_ value: Int64) -> String {
        let grouped = Self.grouped(String(value.magnitude), mark: groupMark)
        return digits(in: (value < 0 ? "-" : "") + grouped)
    }

    private var groupMark: String { digits == .persian ? "\u{066C}" : "," }
    private var decimalMark: String { digits == .persian ? "\u{066B}" : "." }

    static func grouped(_ digits: String, mark: String) -> String {
        var out = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { out += mark }
            out.append(digit)
        }
        return out
    }

    /// The amount without its currency.
    public func amount(_ minorUnits: Int64, currency: String) -> String {
        let plain = Currency.plain(minorUnits, currency: currency)
        let parts = plain.split(separator: ".")
        var whole = String(parts.first ?? "0")
        let sign = whole.hasPrefix("-") ? "-" : ""
        if !sign.isEmpty { whole.removeFirst() }
        let fraction = parts.count > 1 ? decimalMark + parts[1] : ""
        return digits(in: sign + Self.grouped(whole, mark: groupMark) + fraction)
    }

    public func money(_ minorUnits: Int64, currency: String) -> String {
        amount(minorUnits, currency: currency) + " "
            + (language == .fa ? Currency.persianName(currency) : currency)
    }

    /// Tenths of a percent.
    public func percent(permille: Int64) -> String {
        let size = permille.magnitude
        let text = (permille < 0 ? "-" : "") + "\(size / 10)\(decimalMark)\(size % 10)"
        return digits(in: text) + (language == .fa ? "٪" : "%")
    }

    public func date(_ date: CalendarDate) -> String {
        guard calendar == .jalali, let jalali = JalaliDate(date) else { return digits(in: date.description) }
        return digits(in: jalali.description)
    }

    /// How this machine's clock stands to another one.
    ///
    /// - Parameter milliseconds: what must be added to this machine's clock to have the other one's.
    public func clockOffset(_ milliseconds: Int64) -> String {
        let size = Int64(clamping: milliseconds.magnitude)
        let units: [(length: Int64, english: String, persian: String)] = [
            (86_400_000, "days", "روز"), (3_600_000, "hours", "ساعت"), (60_000, "minutes", "دقیقه"),
            (1_000, "seconds", "ثانیه"),
        ]
        guard let unit = units.first(where: { size >= 2 * $0.length }) else { return number(milliseconds) + " ms" }
        let count = number(size / unit.length)
        return milliseconds < 0
            ? say("\(count) \(unit.english) ahead", "\(count) \(unit.persian) جلوتر")
            : say("\(count) \(unit.english) behind", "\(count) \(unit.persian) عقب‌تر")
    }

    /// Date and time to the minute, in the zone of ``utcOffset``.
    public func instant(_ milliseconds: Int64) -> String {
        let (local, overflow) = milliseconds.addingReportingOverflow(Int64(utcOffset(milliseconds)) * 1000)
        let seconds = Instant.floor(overflow ? milliseconds : local, 1000)
        let day = Instant.floor(seconds, 86_400)
        guard let date = Int(exactly: day).flatMap({ CalendarDate(daysSince1970: $0) }) else {
            return String(milliseconds)
        }
        let rest = seconds - day * 86_400
        return self.date(date) + " " + digits(in: "\(Instant.two(rest / 3600)):\(Instant.two(rest / 60 % 60))")
    }
}

/// Instants as machines write them.
public enum Instant {
    /// RFC 3339 in UTC with milliseconds: `2024-03-20T20:29:59.000Z`. Outside the years 1 to 9999 the bare number.
    public static func iso(_ milliseconds: Int64) -> String {
        let seconds = floor(milliseconds, 1000)
        let day = floor(seconds, 86_400)
        guard let date = Int(exactly: day).flatMap({ CalendarDate(daysSince1970: $0) }) else {
            return String(milliseconds)
        }
        let rest = seconds - day * 86_400
        let part = milliseconds - seconds * 1000
        let fraction = (part < 100 ? "0" : "") + (part < 10 ? "0" : "") + String(part)
        return "\(date)T\(two(rest / 3600)):\(two(rest / 60 % 60)):\(two(rest % 60)).\(fraction)Z"
    }

    /// Reads `YYYY-MM-DD`, or RFC 3339 with `Z` or an offset; seconds and fraction may be missing. A bare date is
    /// midnight UTC.
    public static func read(_ text: String) -> Int64? {
        guard let date = CalendarDate(text.prefix(10)) else { return nil }
        let midnight = Int64(date.daysSince1970) * 86_400_000
        var rest = text.dropFirst(10)
        guard !rest.isEmpty else { return midnight }
        guard let mark = rest.first, mark == "T" || mark == "t" || mark == " " else { return nil }
        rest.removeFirst()
        var offset: Int64 = 0
        if rest.last == "Z" || rest.last == "z" {
            rest.removeLast()
        } else if let sign = rest.lastIndex(where: { $0 == "+" || $0 == "-" }) {
            guard let away = clock(rest[rest.index(after: sign)...]) else { return nil }
            offset = rest[sign] == "-" ? -away : away
            rest = rest[..<sign]
        } else {
            return nil
        }
        guard let time = clock(rest) else { return nil }
        return midnight + time - offset
    }

    /// `HH:MM[:SS[.fff]]` in milliseconds.
    private static func clock(_ text: Substring) -> Int64? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard (2...3).contains(parts.count), parts[0].count == 2, parts[1].count == 2, let hours = natural(parts[0]),
            let minutes = natural(parts[1]), hours < 24, minutes < 60
        else { return nil }
        var milliseconds = (hours * 60 + minutes) * 60_000
        if parts.count == 3 {
            let split = parts[2].split(separator: ".", omittingEmptySubsequences: false)
            guard split.count <= 2, split[0].count == 2, let seconds = natural(split[0]), seconds < 61 else {
                return nil
            }
            milliseconds += min(seconds, 59) * 1000
            if split.count == 2 {
                guard !split[1].isEmpty, let fraction = natural(split[1].prefix(3)) else { return nil }
                milliseconds += fraction * [100, 10, 1][min(2, split[1].prefix(3).count - 1)]
            }
        }
        return milliseconds
    }

    private static func natural(_ text: Substring) -> Int64? {
        text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int64(text) : nil
    }

    static func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }

    /// Division that rounds down, also below zero.
    static func floor(_ value: Int64, _ divisor: Int64) -> Int64 {
        let quotient = value / divisor
        return value % divisor < 0 ? quotient - 1 : quotient
    }
}
