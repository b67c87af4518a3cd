import PeykCRM
import PeykModel
import Testing

@Suite("The Persian calendar")
struct JalaliDateTests {
    /// domain.md E1: Persian date, Gregorian date.
    static let known: [(String, String)] = [
        ("1399/12/30", "2021-03-20"), ("1400/01/01", "2021-03-21"), ("1402/12/29", "2024-03-19"),
        ("1403/01/01", "2024-03-20"), ("1403/12/30", "2025-03-20"), ("1404/01/01", "2025-03-21"),
        ("1404/12/29", "2026-03-20"), ("1405/01/01", "2026-03-21"), ("1408/12/30", "2030-03-20"),
        ("1375/12/30", "1997-03-20"), ("1357/11/22", "1979-02-11"), ("1348/10/11", "1970-01-01"),
        ("1304/01/02", "1925-03-22"), ("1360/05/26", "1981-08-17"), ("1378/10/11", "2000-01-01"),
        ("1391/10/21", "2013-01-10"), ("1393/05/13", "2014-08-04"), ("1395/01/23", "2016-04-11"),
        ("1178/01/01", "1799-03-21"), ("1502/12/29", "2124-03-19"), ("1503/01/01", "2124-03-20"),
    ]

    @Test("knows published pairs of dates, both ways", arguments: known)
    func pairs(_ persian: String, _ gregorian: String) throws {
        let jalali = try #require(JalaliDate(persian))
        let date = try #require(CalendarDate(gregorian))
        #expect(jalali.gregorian == date)
        #expect(JalaliDate(date) == jalali)
        #expect(jalali.description == persian)
    }

    @Test("has the leap years of 1300 to 1450 that the sources list")
    func leapYears() {
        let listed = [
            1300, 1304, 1309, 1313, 1317, 1321, 1325, 1329, 1333, 1337, 1342, 1346, 1350, 1354, 1358, 1362, 1366, 1370,
            1375, 1379, 1383, 1387, 1391, 1395, 1399, 1403, 1408, 1412, 1416, 1420, 1424, 1428, 1432, 1436, 1441, 1445,
            1449,
        ]
        #expect((1300...1450).filter(JalaliDate.isLeap) == listed)
    }

    @Test("goes through each day of its years without gap or repeat")
    func everyDay() throws {
        let first = try #require(JalaliDate(year: 1178, month: 1, day: 1)).daysSince1970
        var day = first
        for year in JalaliDate.years {
            for month in 1...12 {
                for date in 1...JalaliDate.days(in: month, of: year) {
                    let jalali = try #require(JalaliDate(year: year, month: month, day: date))
                    guard jalali.daysSince1970 == day, jalali.gregorian.flatMap({ JalaliDate($0) }) == jalali else {
                        Issue.record("\(jalali) is not day \(day)")
                        return
                    }
                    day += 1
                }
            }
        }
    }

    @Test(
        "refuses days that do not exist",
        arguments: [
            "1404/12/30", "1404/7/31", "1404/13/1", "1404/0/1", "1177/1/1", "1634/1/1", "1404-1", "1404/1/x", "",
        ])
    func refuses(_ text: String) { #expect(JalaliDate(text) == nil) }

    @Test("reads Persian and Arabic digits")
    func digits() {
        #expect(JalaliDate("۱۴۰۳/۱۲/۳۰")?.description == "1403/12/30")
        #expect(JalaliDate("١٤٠٣-١-٢")?.description == "1403/01/02")
    }
}

@Suite("Numbers as people type them")
struct DecimalNumberTests {
    static let read: [(String, String)] = [
        ("۱۲", "12"), ("١٢٣", "123"), ("1,234", "1234"), ("۱٬۲۳۴", "1234"), ("۱۲/۵", "12.5"), ("12.50", "12.5"),
        ("۱٬۲۳۴٫۵", "1234.5"), ("-3", "-3"), ("\u{200E}−۳", "-3"), (" 1 234 567 ", "1234567"), ("0.05", "0.05"),
        ("9223372036854775807", "9223372036854775807"), ("-0.5", "-0.5"),
    ]

    @Test("are read exactly", arguments: read)
    func reads(_ text: String, _ plain: String) throws { #expect(try DecimalNumber(text).text == plain) }

    static let refused: [(String, DecimalNumber.Problem)] = [
        ("", .notANumber("")), ("abc", .notANumber("abc")), ("1,23", .ambiguous("1,23")),
        ("1.234,5", .ambiguous("1.234,5")), ("1,234,56", .ambiguous("1,234,56")), ("1.2.3", .ambiguous("1.2.3")),
        ("12.", .notANumber("12.")), ("1,234 567", .ambiguous("1,234 567")), ("1e5", .notANumber("1e5")),
        ("9223372036854775808", .tooLarge("9223372036854775808")), (".5", .ambiguous(".5")),
    ]

    @Test("are refused where they can be read in two ways, or not at all", arguments: refused)
    func refuses(_ text: String, _ problem: DecimalNumber.Problem) {
        #expect(throws: problem) { try DecimalNumber(text) }
    }

    @Test("become minor units of their currency")
    func money() throws {
        #expect(try Currency.read("1,234.5", currency: "USD") == (123_450, "USD"))
        #expect(try Currency.read("۱٬۰۰۰", currency: "IRR") == (1_000, "IRR"))
        #expect(try Currency.read("1000", currency: "IRT") == (10_000, "IRR"))
        #expect(try Currency.read("1100.04", currency: "USD", times: 1_000_000) == (110_004_000_000, "USD"))
        #expect(try Currency.read("4.54", currency: "USD", times: 1_000_000) == (454_000_000, "USD"))
        #expect(throws: DecimalNumber.Problem.tooManyDecimals("1.5", allowed: 0)) {
            try Currency.read("1.5", currency: "IRR")
        }
        #expect(throws: DecimalNumber.Problem.tooLarge("9223372036854775807")) {
            try Currency.read("9223372036854775807", currency: "USD")
        }
        #expect(Currency.plain(-5, currency: "USD") == "-0.05")
        #expect(Currency.plain(1_234_567, currency: "KWD") == "1234.567")
    }
}

@Suite("Showing values to people")
struct PresentationTests {
    static let persian = Presentation(
        language: .fa, calendar: .jalali, digits: .persian, utcOffset: { _ in 12_600 })

    @Test("in Persian")
    func persian() {
        let show = Self.persian
        #expect(show.number(1_234_567) == "۱٬۲۳۴٬۵۶۷")
        #expect(show.money(1_234_567, currency: "IRR") == "۱٬۲۳۴٬۵۶۷ ریال")
        #expect(show.money(-123_450, currency: "USD") == "-۱٬۲۳۴٫۵۰ دلار")
        #expect(show.percent(permille: 253) == "۲۵٫۳٪")
        #expect(show.percent(permille: -5) == "-۰٫۵٪")
        // A second before and at midnight in Tehran.
        #expect(show.instant(1_710_966_599_000) == "۱۴۰۳/۰۱/۰۱ ۲۳:۵۹")
        #expect(show.instant(1_710_966_600_000) == "۱۴۰۳/۰۱/۰۲ ۰۰:۰۰")
    }

    @Test("in English")
    func english() {
        let show = Presentation()
        #expect(show.number(-1_234_567) == "-1,234,567")
        #expect(show.money(123_450, currency: "USD") == "1,234.50 USD")
        #expect(show.instant(-1) == "1969-12-31 23:59")
    }

    @Test("takes the columns of a terminal that they need")
    func width() {
        #expect(DisplayWidth.of("می‌خواهم") == 7)
        #expect(DisplayWidth.of("مُشتری") == 5)
        #expect(DisplayWidth.of("\u{2068}a\u{2069}") == 1)
        #expect(DisplayWidth.of("日本") == 4)
        #expect(DisplayWidth.cut("abcdef", to: 4) == "abc…")
        #expect(DisplayWidth.padded("日", to: 4, right: true) == "  日")
    }

    static let instants: [(String, Int64?)] = [
        ("2024-03-20", 1_710_892_800_000), ("2024-03-20T20:29:59Z", 1_710_966_599_000),
        ("2024-03-20T20:29:59.5Z", 1_710_966_599_500), ("2024-03-21 00:00+03:30", 1_710_966_600_000),
        ("2024-03-20T25:00Z", nil), ("2024-03-20T20:00", nil), ("yesterday", nil),
    ]

    @Test("reads instants with their zone, and refuses those without", arguments: instants)
    func reads(_ text: String, _ milliseconds: Int64?) {
        #expect(Instant.read(text) == milliseconds)
        if let milliseconds { #expect(Instant.read(Instant.iso(milliseconds)) == milliseconds) }
    }

    @Test("takes out what turns the direction of a text")
    func bidi() { #expect(BidiControls.stripped(from: "a\u{202E}b\u{2066}c\u{200C}") == "abc\u{200C}") }
}
