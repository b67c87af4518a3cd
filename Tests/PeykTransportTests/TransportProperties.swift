import PeykModel
import PeykSession
import PeykTransport
import PropertyKit
import Testing

@Suite("Properties of invites and pages")
struct TransportProperties {
    @Test("an invite reads back as it was printed, whatever the workspace is called (F-9)")
    func invites() {
        Property(cases: 500) { choices in
            InviteURL(
                host: choices.pick(["sync.example", "10.0.0.7", "::1", "fe80::1", "a_b-c"]),
                port: choices.within(1...65_535), workspace: "w" + choices.text(upTo: 20),
                code: Base64URL.encode(choices.bytes(upTo: 16) + [7]),
                fingerprint: choices.optional { choices in
                    Fingerprint(certificateDER: choices.bytes(upTo: 4))
                })
        }.holds { invite in
            try same(try InviteURL(parsing: invite.description), invite, invite.description)
            try same(try InviteURL(parsing: " \(invite)\n"), invite)
            try ensure(
                !invite.place.contains(invite.code) || invite.workspace.contains(invite.code), "the secret shows")
        }
    }

    @Test("any text is an invite or a typed error, and an invite prints as one (P29, F-9)")
    func anyText() {
        Property(cases: 800) { choices in
            let whole = "peyk://host:7450/w%20x#AAAAAAAAAAAAAAAAAAAAAA." + String(repeating: "A", count: 43)
            return String(decoding: choices.damaged(Array(whole.utf8)), as: UTF8.self)
        }.holds { text in
            guard let invite = try? InviteURL(parsing: text) else { return }
            try same(try InviteURL(parsing: invite.description), invite)
        }
    }

    @Test("bytes have one text in base64 for URLs, and other texts of them are refused (W-28)")
    func base64() {
        Property(cases: 500) { ($0.bytes(upTo: 40), $0.text(upTo: 8)) }.holds { bytes, text in
            let encoded = Base64URL.encode(bytes)
            try same(Base64URL.decode(encoded), bytes)
            if let decoded = Base64URL.decode(text) { try same(Base64URL.encode(decoded), text) }
        }
    }

    @Test("a page is the same after compression, and damage gives a page of its size or an error (P29, W-26)")
    func compression() {
        Property(cases: 120) { choices in
            let piece = choices.bytes(upTo: 60, usual: 20)
            let payload = (0..<choices.below(40)).flatMap { _ in piece } + choices.bytes(upTo: 60)
            return Page(
                table: 1, rowCount: 1, payload: payload, position: 3, last: nil, endsTable: true, endsBackfill: true,
                remaining: 0)
        }.holds { page in
            let packed = PageCompression.compress(page)
            try ensure(packed.payload.count <= page.payload.count, "it grew")
            try same(try PageCompression.decompress(packed), page)
            var choices = Choices(seed: UInt64(page.payload.count))
            for _ in 0..<8 {
                var damaged = packed
                damaged.payload = choices.damaged(packed.payload)
                guard let read = try? PageCompression.decompress(damaged) else { continue }
                try ensure(packed.rawBytes == 0 || read.payload.count == packed.rawBytes, "of another size")
            }
        }
    }
}
