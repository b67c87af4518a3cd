import PeykCRM
import PeykConsole
import PeykModel
import PropertyKit
import Testing

@Suite("Properties of what people read and type")
struct PersianProperties {
    @Test("each day from 1178/01/01 to 1633/12/29 is one day in both calendars, in one order, without a gap")
    func allDays() throws {
        let first = try #require(JalaliDate(year: 1178, month: 1, day: 1))
        let last = try #require(JalaliDate(year: 1633, month: 12, day: JalaliDate.days(in: 12, of: 1633)))
        var former: JalaliDate?
        for day in first.daysSince1970...last.daysSince1970 {
            let date = try #require(CalendarDate(daysSince1970: day))
            let jalali = try #require(JalaliDate(date), "\(date)")
            guard jalali.gregorian == date, jalali.daysSince1970 == day, JalaliDate(jalali.description) == jalali else {
                Issue.record("\(date) is \(jalali), which is another day")
                return
            }
            if let former, !(former < jalali) { Issue.record("\(jalali) is not after \(former)") }
            former = jalali
        }
        for outside in [first.daysSince1970 - 1, last.daysSince1970 + 1] {
            let date = try #require(CalendarDate(daysSince1970: outside))
            #expect(JalaliDate(date) == nil)
        }
    }

    @Test("dates read back as they are shown, in every calendar, language and kind of digits")
    func shownDates() {
        Property(cases: 600) { choices in
            (
                choices.date(), choices.pick(Presentation.Calendar.allCases),
                choices.pick(Presentation.DigitStyle.allCases)
            )
        }.holds { date, calendar, digits in
            let show = Presentation(language: .fa, calendar: calendar, digits: digits)
            let text = show.date(date)
            let isJalali = calendar == .jalali && JalaliDate(date) != nil
            let pattern = try present(DatePattern(isJalali ? "jalali" : "yyyy-MM-dd"))
            try same(pattern.read(text), date, text)
        }
    }

    @Test("an amount of any currency reads back as it is printed, to the last minor unit (P24)")
    func money() {
        Property(cases: 1_500) { choices in
            (
                choices.int64(), choices.pick(["EUR", "IRR", "KWD", "CLF", "JPY"]),
                choices.pick(Presentation.DigitStyle.allCases)
            )
        }.holds { amount, currency, digits in
            let plain = Currency.plain(amount, currency: currency)
            try same(try Currency.read(plain, currency: currency).minorUnits, amount, plain)
            let show = Presentation(language: .en, calendar: .gregorian, digits: digits)
            let text = show.amount(amount, currency: currency)
            try same(try Currency.read(text, currency: currency).minorUnits, amount, text)
            try same(try DecimalNumber(show.number(amount)).integer(), amount, show.number(amount))
        }
    }

    @Test("tenths of a percent are shown with their sign")
    func percent() {
        Property(cases: 300) { Int64($0.below(60)) * Int64(1 + $0.below(40)) - 30 }.holds { permille in
            let show = Presentation(language: .en, calendar: .gregorian, digits: .latin)
            let text = show.percent(permille: permille)
            try same(try DecimalNumber(String(text.dropLast())).scaled(by: 1), permille, text)
        }
    }

    @Test("instants read back as they are written, to the millisecond, in years 1 to 9999 (P24)")
    func instants() {
        Property(cases: 800) { choices in
            let rest =
                choices.chance(50) ? choices.below(86_400_000) : choices.pick([0, 1, 9, 10, 99, 100, 999, 59_999])
            return Int64(choices.date().daysSince1970) * 86_400_000 + Int64(rest)
        }.holds { milliseconds in
            try same(Instant.read(Instant.iso(milliseconds)), milliseconds, Instant.iso(milliseconds))
        }
    }

    @Test("names are in one total order that tells any two apart")
    func names() {
        Property(cases: 600) { choices in
            (0..<3).map { _ in
                choices.chance(50) ? choices.text(upTo: 5) : choices.pick(["آب", "اب", "پارس", "گیلان", "a", "A", "Á"])
            }
        }.holds { names in
            let keys = names.map { NameOrder.key($0) }
            func before(_ a: Int, _ b: Int) -> Bool { keys[a].lexicographicallyPrecedes(keys[b]) }
            let isSame = names[0].utf8.elementsEqual(names[1].utf8)
            try ensure(isSame || before(0, 1) != before(1, 0), "neither or both come first")
            try ensure(!(before(0, 1) && before(1, 2)) || before(0, 2), "a circle")
        }
    }

    @Test("fields come out of CSV as they went in, whatever stands in them (P24)")
    func csv() {
        Property(cases: 600) { choices in
            let width = 2 + choices.below(3)
            return choices.list(upTo: 5, usual: 3) { choices in (0..<width).map { _ in choices.text(upTo: 8) } }
        }.holds { rows in
            let text = rows.map { CSVText.line($0) }.joined()
            let read = try Array(CSVReader(Array(text.utf8))).map { try $0.get().fields }
            // By bytes: for `==` of texts a normal form is as good as another.
            try same(read.map { $0.map { Array($0.utf8) } }, rows.map { $0.map { Array($0.utf8) } }, text)
        }
    }
}
