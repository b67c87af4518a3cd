public import PeykModel

/// A day of the Persian (Solar Hijri) calendar, years 1178 to 1633: 1799-03-21 to 2255-03-20.
///
/// Leap years by the 33-year rule `(25·y + 11) mod 33 < 8`, with the two years in this range where the equinox
/// at Tehran differs from it (1502 and 1601 are common, the years after them leap). Own arithmetic, because
/// Foundation rolls impossible dates over in silence and lacks these corrections.
public struct JalaliDate: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let year: Int
    public let month: Int
    public let day: Int

    public static let years = 1178...1633

    /// Nil where there is no such day: 1404/12/30 is none.
    public init?(year: Int, month: Int, day: Int) {
        guard Self.years.contains(year), (1...12).contains(month), day >= 1,
            day <= Self.days(in: month, of: year)
        else { return nil }
        self.init(unchecked: year, month, day)
    }

    private init(unchecked year: Int, _ month: Int, _ day: Int) {
        self.year = year
        self.month = month
        self.day = day
    }

    /// The same day; nil outside ``years``.
    public init?(_ date: CalendarDate) {
        let days = date.daysSince1970
        guard days >= Self.newYears[0], let last = Self.newYears.last, days < last else { return nil }
        // The Gregorian year and the Jalali one differ by 621 or 622.
        var index = date.year - 622 - Self.years.lowerBound
        if index + 1 < Self.newYears.count, index >= -1, days >= Self.newYears[index + 1] { index += 1 }
        guard Self.newYears.indices.contains(index) else { return nil }
        let ordinal = days - Self.newYears[index]
        let year = Self.years.lowerBound + index
        if ordinal < 186 {
            self.init(unchecked: year, ordinal / 31 + 1, ordinal % 31 + 1)
        } else {
            self.init(unchecked: year, (ordinal - 186) / 30 + 7, (ordinal - 186) % 30 + 1)
        }
    }

    /// Reads `YYYY/MM/DD` or `YYYY-MM-DD`, in Latin, Persian or Arabic digits; one-digit months and days pass.
    public init?(_ text: some StringProtocol) {
        let folded = Digits.latin(String(text))
        let parts = folded.split(omittingEmptySubsequences: false) { $0 == "/" || $0 == "-" }
        guard parts.count == 3, parts[0].utf8.count == 4, parts[1].utf8.count <= 2, parts[2].utf8.count <= 2,
            parts.allSatisfy({ $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }),
            let year = Int(parts[0]), let month = Int(parts[1]), let day = Int(parts[2])
        else { return nil }
        self.init(year: year, month: month, day: day)
    }

    public var daysSince1970: Int {
        let months = month <= 7 ? (month - 1) * 31 : 186 + (month - 7) * 30
        return Self.newYears[year - Self.years.lowerBound] + months + day - 1
    }

    public var gregorian: CalendarDate? { CalendarDate(daysSince1970: daysSince1970) }

    public static func isLeap(_ year: Int) -> Bool {
        switch year {
        case 1502, 1601: false
        case 1503, 1602: true
        default: (25 * year + 11) % 33 < 8
        }
    }

    public static func days(in month: Int, of year: Int) -> Int {
        switch month {
        case ...6: 31
        case ...11: 30
        default: isLeap(year) ? 30 : 29
        }
    }

    /// `YYYY/MM/DD`, Latin digits.
    public var description: String {
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(year)/\(two(month))/\(two(day))"
    }

    public static func < (left: Self, right: Self) -> Bool {
        (left.year, left.month, left.day) < (right.year, right.month, right.day)
    }

    public static let monthNames = [
        "فروردین", "اردیبهشت", "خرداد", "تیر", "مرداد", "شهریور", "مهر", "آبان", "آذر", "دی", "بهمن", "اسفند",
    ]

    /// Days since 1970 of each 1 Farvardin, and of the one after the last year.
    private static let newYears: [Int] = {
        // 1403/01/01 = 2024-03-20, day 19802.
        var starts: [Int] = []
        var day = 19_802
        for year in stride(from: 1402, through: years.lowerBound, by: -1) { day -= isLeap(year) ? 366 : 365 }
        for year in years {
            starts.append(day)
            day += isLeap(year) ? 366 : 365
        }
        return starts + [day]
    }()
}
