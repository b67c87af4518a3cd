import PeykTransport
import Testing

@Suite("Invites and fingerprints")
struct InviteURLTests {
    static let pin = Fingerprint(certificateDER: [1, 2, 3])
    static let code = Base64URL.encode(Array(UInt8(0)..<16))

    static let good: [(text: String, invite: InviteURL)] = [
        (
            "peyk://sync.example.com:7171/acme#\(code).\(pin)",
            InviteURL(host: "sync.example.com", port: 7171, workspace: "acme", code: code, fingerprint: pin)
        ),
        (
            "peyk://[::1]:1/a#\(code).\(pin)",
            InviteURL(host: "::1", port: 1, workspace: "a", code: code, fingerprint: pin)
        ),
        (
            "peyk://127.0.0.1:65535/%D9%81%D8%B1%D9%88%D8%B4%20A#\(code)",
            InviteURL(host: "127.0.0.1", port: 65_535, workspace: "فروش A", code: code, fingerprint: nil)
        ),
    ]

    @Test("an invite is read and printed the same (F-9)", arguments: good.indices)
    func roundTrip(_ index: Int) throws {
        let (text, invite) = Self.good[index]
        #expect(try InviteURL(parsing: text) == invite)
        #expect(try InviteURL(parsing: " \(text)\n") == invite)
        #expect(invite.description == text)
        #expect(!invite.place.contains(Self.code))
    }

    static let bad: [(text: String, error: InviteError)] = [
        ("", .scheme), ("http://a:1/w#\(code)", .scheme), ("peyk://a:1", .workspace), ("peyk://a/w#\(code)", .port),
        ("peyk://a:0/w#\(code)", .port), ("peyk://a:65536/w#\(code)", .port), ("peyk://a:+1/w#\(code)", .port),
        ("peyk://:1/w#\(code)", .host), ("peyk://a b:1/w#\(code)", .host), ("peyk://::1:1/w#\(code)", .host),
        ("peyk://a:1/#\(code)", .workspace), ("peyk://a:1/%Z1#\(code)", .workspace),
        ("peyk://a:1/%FF#\(code)", .workspace),
        ("peyk://a:1/w", .code), ("peyk://a:1/w#", .code), ("peyk://a:1/w#.\(pin)", .code), ("peyk://a:1/w#€", .code),
        ("peyk://a:1/w#\(code).", .fingerprint), ("peyk://a:1/w#\(code).\(pin)x", .fingerprint),
        ("peyk://a:1/w#\(code).\(code)", .fingerprint),
    ]

    @Test("what is no invite is refused by the part that is wrong (F-9)", arguments: bad.indices)
    func refuses(_ index: Int) {
        #expect(throws: Self.bad[index].error, "\(Self.bad[index].text)") {
            try InviteURL(parsing: Self.bad[index].text)
        }
    }

    @Test("an error shows the form of an invite")
    func words() {
        #expect(
            "\(InviteError.code)"
                == "This is not a whole invite: the code after # is missing or damaged. It looks like "
                + "peyk://host:port/workspace#code.fingerprint; copy all of it, or ask IT for a new one.")
    }

    @Test("base64 for URLs has one text for each value")
    func base64() {
        for count in 0..<40 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 73 &+ count) }
            #expect(Base64URL.decode(Base64URL.encode(bytes)) == bytes)
        }
        #expect(Base64URL.encode([0xFB, 0xFF]) == "-_8")
        for text in ["A", "AB", "-_9", "AA=", "A+/A", "é"] { #expect(Base64URL.decode(text) == nil, "\(text)") }
    }

    @Test("a fingerprint is SHA-256 of the certificate (W-28)")
    func fingerprint() {
        #expect(
            "\(Fingerprint(certificateDER: Array("abc".utf8)))" == "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0")
        #expect(Fingerprint("\(Self.pin)") == Self.pin)
        #expect(Fingerprint(bytes: [1]) == nil)
    }
}
