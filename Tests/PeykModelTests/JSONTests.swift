import PeykModel
import SeededRandom
import Testing

@Suite("JSON (P29)")
struct JSONTests {
    static func random(_ random: inout SplitMix64, depth: Int) -> JSON {
        switch random.draw(depth > 3 ? 5 : 7) {
        case 0: return .null
        case 1: return .bool(random.chance(50))
        case 2: return .integer(Int64(bitPattern: random.next()) >> Int64(random.draw(64)))
        case 3:
            let number = Double(bitPattern: random.next())
            return .double(number.isFinite ? number : 0.1)
        case 4: return .string(text(&random))
        case 5: return .array((0..<random.draw(4)).map { _ in Self.random(&random, depth: depth + 1) })
        default:
            let members = (0..<random.draw(4)).map { _ in (text(&random), Self.random(&random, depth: depth + 1)) }
            return .object(Dictionary(members) { first, _ in first })
        }
    }

    static func text(_ random: inout SplitMix64) -> String {
        let pieces = ["a", "\"", "\\", "\n", "\u{1}", "é", "پیک", "😀", "\u{7F}", "/", "e\u{301}", "\r\n", "\u{2028}"]
        return (0..<random.draw(6)).map { _ in random.pick(pieces) }.joined()
    }

    @Test("what was written reads back, plain and pretty, and equal values give equal bytes", arguments: UInt64(0)..<20)
    func roundTrip(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for _ in 0..<100 {
            let json = Self.random(&random, depth: 0)
            #expect(try JSON(parsing: json.text) == json, "seed \(seed)")
            #expect(try JSON(parsing: json.pretty) == json, "seed \(seed)")
            #expect(try JSON(parsing: json.pretty).text == json.text, "seed \(seed)")
        }
    }

    @Test("keys are sorted by bytes, without spaces")
    func canonical() {
        let json: JSON = ["b": [1, true, .null, .double(0.5)], "a": "x\n\u{1}\"", "é": [:], "Z": []]
        #expect(json.text == #"{"Z":[],"a":"x\n\u0001\"","b":[1,true,null,0.5],"é":{}}"#)
        #expect(json.pretty.contains("\n  \"a\": "))
        #expect(JSON.double(.nan).text == "null")
    }

    static let good: [(String, JSON)] = [
        (" [ 1 , 2 ] ", [1, 2]), ("-0", 0), ("9223372036854775807", .integer(.max)),
        ("-9223372036854775808", .integer(.min)),
        ("9223372036854775808", .double(0x1p63)), ("1e2", .double(100)), ("1.5E-1", .double(0.15)),
        (#""\u00e9\ud83d\ude00\/\b\f""#, .string("\u{E9}😀/\u{8}\u{C}")), ("\t\r\n{}", [:]),
    ]

    @Test("reads what RFC 8259 allows", arguments: good)
    func reads(_ text: String, _ expected: JSON) throws { #expect(try JSON(parsing: text) == expected) }

    static let bad = [
        "", " ", "nul", "truee", "[1,]", "[1 2]", "{\"a\"}", "{\"a\":1,}", "{a:1}", "{\"a\":1,\"a\":2}", "01", "+1",
        ".5", "1.",
        "1e", "--1", "-", "0x10", "1e999", "NaN", "Infinity", "\"", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u+123\"",
        "\"\\u-000\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"a\nb\"", "[", "{", "{\"a\":", "1 1", "'a'", "[1]]", "\u{FEFF}1", "// x",
    ]

    @Test("refuses everything else", arguments: bad)
    func refuses(_ text: String) { #expect(throws: JSON.ParseError.self) { try JSON(parsing: text) } }

    @Test("refuses bytes that are not UTF-8, and documents nested too deep")
    func limits() throws {
        #expect(throws: JSON.ParseError.self) { try JSON(parsing: [0x22, 0xFF, 0x22]) }
        #expect(throws: JSON.ParseError.self) { try JSON(parsing: [0x22, 0xC0, 0x80, 0x22]) }
        let deep = JSON.depthMax
        #expect(throws: Never.self) {
            try JSON(parsing: String(repeating: "[", count: deep) + String(repeating: "]", count: deep))
        }
        #expect(throws: JSON.ParseError.self) { try JSON(parsing: String(repeating: "[", count: 1_000_000)) }
        #expect(throws: JSON.ParseError.self) { try JSON(parsing: String(repeating: "{\"a\":", count: 1_000_000)) }
    }

    @Test("any bytes give a document or an error", arguments: UInt64(0)..<20)
    func fuzz(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for _ in 0..<500 {
            var bytes = Array(Self.random(&random, depth: 0).text.utf8)
            for _ in 0...random.draw(5) where !bytes.isEmpty {
                bytes[random.draw(bytes.count)] = random.pick(Array("{}[]\",:\\u0e+-.\u{1}\u{80}".utf8))
            }
            guard let json = try? JSON(parsing: bytes) else { continue }
            #expect(try JSON(parsing: json.text) == json)
        }
    }

    @Test("values keep every bit through JSON, infinities too; blobs are hexadecimal (P24)")
    func values() {
        let values: [Value] = [
            .null, .integer(-5), .real(2), .real(0.1), .real(.infinity),
            .real(-.infinity), .text("é"), .blob([]), .blob([0, 0xAB, 0xFF]),
        ]
        for value in values {
            #expect(JSON(value).value == value)
            #expect((try? JSON(parsing: JSON(value).text))?.value == value)
        }
        #expect(JSON(.real(-.infinity)).text == "-9e999")
        #expect(throws: JSON.ParseError.self, "other numbers beyond all doubles are none") {
            try JSON(parsing: "9e998")
        }
        #expect(JSON(.blob([0, 0xAB])).text == #"{"blob":"00ab"}"#)
        #expect(JSON.bool(true).value == .integer(1))
        let bad: [JSON] = [
            ["blob": "0"], ["blob": "0g"], ["blob": "+1"], ["blob": "-0"], ["blob": "é"], ["blob": 1], ["x": "00"], [],
        ]
        for json in bad { #expect(json.value == nil, "\(json.text)") }
    }
}
