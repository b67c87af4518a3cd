import PeykModel
import SeededRandom
import Testing

@Suite("Values (P24)")
struct ValueTests {
    @Test("there is one form of each value, and none of NaN or of text with NUL")
    func canonical() {
        #expect(Value.real(.nan).canonical == nil)
        #expect(Value.text("a\0b").canonical == nil)
        #expect(Value.real(-0.0).canonical == .real(0.0))
        #expect(Value.real(-0.0) != .real(0.0))
        for value in [Value.null, .integer(.min), .real(.infinity), .text("é"), .blob([0])] {
            #expect(value.canonical == value)
        }
    }

    @Test("texts are equal by their bytes, never by normalisation")
    func bytes() {
        #expect(Value.text("\u{E9}") != .text("e\u{301}"))
        #expect(Set([Value.text("\u{E9}"), .text("e\u{301}")]).count == 2)
        #expect(Value.text("ک") != .text("ك"))
        #expect(Value.integer(1) != .real(1))
    }

    static let ascending: [Value] = [
        .null, .real(-.infinity), .integer(.min), .integer(-1), .real(-0.5), .integer(0), .real(0), .real(0.5),
        .integer(1),
        .real(1), .integer(1 << 53), .real(0x1p53), .integer(1 << 53 + 1), .integer(.max - 1), .integer(.max),
        .real(0x1p63), .real(.infinity), .text(""), .text("B"), .text("a"), .text("e\u{301}"), .text("\u{E9}"),
        .blob([]),
        .blob([0]), .blob([0, 0]), .blob([1]),
    ]

    @Test("the order is total: null, numbers, text by bytes, blobs by bytes")
    func order() {
        for (i, a) in Self.ascending.enumerated() {
            for (j, b) in Self.ascending.enumerated() {
                #expect((a < b) == (i < j), "\(a) \(b)")
                #expect((a == b) == (i == j), "\(a) \(b)")
            }
        }
    }

    static let admitted: [(FieldType, Value, Value?)] = [
        (.integer, .integer(.max), .integer(.max)), (.integer, .real(1), nil), (.integer, .text("1"), nil),
        (.double, .integer(3), .real(3)), (.double, .integer(.max), nil), (.double, .real(-0.0), .real(0)),
        (.double, .real(.nan), nil), (.text, .text("x"), .text("x")), (.text, .text("\0"), nil),
        (.text, .integer(1), nil),
        (.blob, .blob([1]), .blob([1])), (.bool, .integer(1), .integer(1)), (.bool, .integer(2), nil),
        (.date, .text("2024-02-29"), .text("2024-02-29")), (.date, .text("2023-02-29"), nil),
        (.date, .text("1-1-1"), nil),
        (.instant, .integer(-5), .integer(-5)), (.money(currency: "c"), .integer(5), .integer(5)),
        (.set, .text(#"["b", "a", "b"]"#), .text(#"["a","b"]"#)), (.set, .text(#"["a",1]"#), nil),
        (.set, .text("a"), nil),
        (.set, .text("[\"\\u0000\"]"), nil), (.enumeration(["\u{E9}"]), .text("\u{E9}"), .text("\u{E9}")),
        (.enumeration(["\u{E9}"]), .text("e\u{301}"), nil),
        (
            .reference(table: "t"), .text("0190163d-8694-739b-aea5-966c26f8ad91"),
            .text("0190163d-8694-739b-aea5-966c26f8ad91")
        ),
        (.reference(table: "t"), .text("0190163D-8694-739b-aea5-966c26f8ad91"), nil),
        (.reference(table: "t"), .text(""), nil),
    ]

    @Test("a field takes the canonical form of what is of its type, and null", arguments: admitted)
    func admits(_ type: FieldType, _ value: Value, _ expected: Value?) throws {
        #expect((try? type.admit(value).get()) == expected)
        #expect(try type.admit(.null).get() == .null)
    }

    @Test("a value of more than the limit is refused by its bytes")
    func long() {
        let text = String(repeating: "é", count: FieldType.valueBytesMax / 2)
        #expect(throws: Never.self) { try FieldType.text.admit(.text(text)).get() }
        #expect(throws: ValueError.tooLong) { try FieldType.text.admit(.text(text + "x")).get() }
        #expect(throws: ValueError.tooLong) {
            try FieldType.blob.admit(.blob([UInt8](repeating: 0, count: FieldType.valueBytesMax + 1))).get()
        }
    }

    @Test("a set is sorted by bytes, without repeats, and reads its own form")
    func sets() {
        let set = ValueSet(["b", "a", "b", "\u{E9}", "e\u{301}"])
        #expect(set.elements == ["a", "b", "e\u{301}", "\u{E9}"])
        #expect(set.elements.count == 4)
        #expect(ValueSet(json: set.json) == set)
        #expect(set.json == "[\"a\",\"b\",\"e\u{301}\",\"\u{E9}\"]")
        #expect(ValueSet(["\u{E9}"]) != ValueSet(["e\u{301}"]))
        #expect(ValueSet(json: "{}") == nil)
    }

    @Test("days count from 1970, over the whole calendar")
    func days() throws {
        #expect(CalendarDate("1970-01-01")?.daysSince1970 == 0)
        #expect(CalendarDate("2000-03-01")?.daysSince1970 == 11_017)
        var day = try #require(CalendarDate("0001-01-01")?.daysSince1970)
        let end = try #require(CalendarDate("9999-12-31")?.daysSince1970)
        #expect(CalendarDate(daysSince1970: day - 1) == nil)
        #expect(CalendarDate(daysSince1970: end + 1) == nil)
        var last = try #require(CalendarDate(daysSince1970: day))
        while day < end {
            day += 1 + day % 7 * day % 7
            guard let date = CalendarDate(daysSince1970: min(day, end)) else { break }
            #expect(date.daysSince1970 == min(day, end))
            #expect(CalendarDate(date.description) == date)
            #expect(last <= date)
            last = date
        }
    }

    @Test(
        "a date is ten characters and a day that exists",
        arguments: [
            "2023-02-29", "2023-13-01", "2023-00-10", "2023-04-31", "0000-01-01", "2023-1-01", "2023/01/01", "",
            "٢٠٢٣-٠١-٠١", "1900-02-29",
        ])
    func noDate(_ text: String) { #expect(CalendarDate(text) == nil) }

    @Test("money has a currency of three capital letters")
    func money() {
        #expect(Money(minorUnits: -5, currency: "EUR")?.minorUnits == -5)
        for currency in ["eur", "EU", "EURO", "E R", "€"] { #expect(Money(minorUnits: 1, currency: currency) == nil) }
    }
}

@Suite("Identifiers")
struct IdentifierTests {
    @Test("the canonical text reads back; nothing else does")
    func text() {
        let id = RecordID(bits: UUIDBits(high: 0x0123_4567_89AB_CDEF, low: 0xFEDC_BA98_7654_3210))
        #expect(id.description == "01234567-89ab-cdef-fedc-ba9876543210")
        #expect(RecordID(id.description) == id)
        #expect(RecordID(bytes: id.bytes) == id)
        let bad = [
            "", "01234567-89AB-cdef-fedc-ba9876543210", "0123456789abcdeffedcba9876543210",
            "01234567-89ab-cdef-fedc-ba987654321",
            "01234567-89ab-cdef-fedc-ba98765432100", "01234567-89ab-cdef-fedc-ba987654321g",
            "g1234567-89ab-cdef-fedc-ba9876543210",
            "01234567_89ab-cdef-fedc-ba9876543210", "{1234567-89ab-cdef-fedc-ba987654321}",
        ]
        for text in bad { #expect(RecordID(text) == nil, "\(text)") }
        #expect(RecordID(bytes: [1, 2]) == nil)
    }

    @Test("the order of ids is the order of their texts and of their bytes", arguments: UInt64(0)..<5)
    func order(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for _ in 0..<500 {
            let a = RecordID(bits: UUIDBits(high: random.next() >> 60, low: random.next()))
            let b = RecordID(bits: UUIDBits(high: random.next() >> 60, low: random.next()))
            #expect((a < b) == (a.description < b.description))
            #expect((a < b) == a.bytes.lexicographicallyPrecedes(b.bytes))
        }
    }

    @Test("new ids carry version and variant (RFC 9562, D6)")
    func versions() {
        let seven = RecordID(milliseconds: 0x0190_163D_8694, randomHigh: .max, randomLow: .max)
        #expect(seven.description == "0190163d-8694-7fff-bfff-ffffffffffff")
        let eight = RecordID(digest: [UInt8](repeating: 0xFF, count: 32))
        #expect(eight?.description == "ffffffff-ffff-8fff-bfff-ffffffffffff")
        #expect(RecordID(digest: [1, 2, 3]) == nil)
    }

    @Test("sites are 16 hexadecimal digits")
    func sites() {
        let site = SiteID(rawValue: 0xAB)
        #expect(site.description == "00000000000000ab")
        #expect(SiteID(site.description) == site)
        #expect(site.short == "000000")
        for text in [
            "", "ab", "+0000000000000ab", "-000000000000000", "0000000000000-0a", "00000000000000ag",
            "00000000000000ab0",
        ] {
            #expect(SiteID(text) == nil)
        }
    }
}
