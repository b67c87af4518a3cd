/// Makes the rows of the workload: customers and opportunities with nine fields each, the same in every run.
///
/// Writes texts into a buffer of its own, so that making a row costs little beside storing it.
struct Generator {
    enum Made {
        case text(UnsafeBufferPointer<UInt8>)
        case integer(Int64)
        case real(Double)
    }

    private var state: UInt64
    private let buffer: UnsafeMutableBufferPointer<UInt8>
    private var length = 0
    /// Rows of each table.
    let count: Int

    init(seed: UInt64, count: Int) {
        state = seed
        self.count = count
        buffer = .allocate(capacity: 512)
    }

    func free() { buffer.deallocate() }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func draw(_ bound: Int) -> Int { Int((next() >> 33) % UInt64(bound)) }

    // MARK: Texts

    private mutating func put(_ bytes: [UInt8]) {
        for byte in bytes { put(byte) }
    }

    private mutating func put(_ byte: UInt8) {
        buffer[length] = byte
        length += 1
    }

    private mutating func put(_ number: Int, digits: Int) {
        var scale = 1
        for _ in 1..<digits { scale *= 10 }
        while scale > 0 {
            put(0x30 + UInt8(number / scale % 10))
            scale /= 10
        }
    }

    private mutating func words(_ count: Int) {
        for index in 0..<count {
            if index > 0 { put(0x20) }
            put(Words.notes[draw(Words.notes.count)])
        }
    }

    private var made: Made { .text(UnsafeBufferPointer(rebasing: buffer[..<length])) }

    /// The id of record `index` of a kind (1 customer, 2 opportunity): canonical, and the same in every run.
    mutating func id(kind: Int, index: Int) -> UnsafeBufferPointer<UInt8> {
        let saved = state
        state = UInt64(kind) << 40 ^ UInt64(index) &* 0xD134_2543_DE82_EF95
        let high = next() & ~0xF000 | 0x4000
        let low = next() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
        state = saved
        length = 0
        for nibble in 0..<32 {
            if nibble == 8 || nibble == 12 || nibble == 16 || nibble == 20 { put(0x2D) }
            let word = nibble < 16 ? high : low
            let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * (nibble & 15))) & 15
            put(digit < 10 ? 0x30 + digit : 0x57 + digit)
        }
        return UnsafeBufferPointer(rebasing: buffer[..<length])
    }

    /// A value for a field of table 0 (customer) or 1 (opportunity); texts are good until the next call.
    mutating func value(table: Int, field: Int) -> Made { table == 0 ? customer(field) : opportunity(field) }

    private mutating func customer(_ field: Int) -> Made {
        length = 0
        switch field {
        case 0:
            put(Words.first[draw(16)])
            put(0x20)
            put(Words.last[draw(16)])
        case 1:
            put(Array("+49 ".utf8))
            put(100 + draw(900), digits: 3)
            put(0x20)
            put(draw(10_000_000), digits: 7)
        case 2:
            put(Words.first[draw(16)])
            put(0x2E)
            put(Words.last[draw(16)])
            put(draw(100_000), digits: 5)
            put(Words.domain)
        case 3: put(Words.cities[draw(16)])
        case 4: put(Words.segments[draw(5)])
        case 5:
            put(Words.user)
            put(draw(200), digits: 3)
        case 6: words(6 + draw(12))
        default: return .integer(1_700_000_000_000 + Int64(draw(1 << 31)))
        }
        return made
    }

    private mutating func opportunity(_ field: Int) -> Made {
        length = 0
        switch field {
        case 0: return .text(id(kind: 1, index: draw(count)))
        case 1: words(3 + draw(4))
        case 2: put(Words.stages[draw(6)])
        case 3: return .real(Double(draw(10_000_000)) / 100)
        case 4: put(draw(3) > 0 ? Words.euro : Words.dollar)
        case 5: return .integer(Int64(draw(21) * 5))
        case 6:
            put(Words.year)
            put(1 + draw(12), digits: 2)
            put(0x2D)
            put(1 + draw(28), digits: 2)
        case 7:
            put(Words.user)
            put(draw(200), digits: 3)
        default: words(3 + draw(6))
        }
        return made
    }
}

private enum Words {
    static func list(_ text: String) -> [[UInt8]] { text.split(separator: " ").map { Array($0.utf8) } }

    static let first = list(
        "Anna Boris Clara David Elena Farid Greta Henrik Irina Jonas Katarzyna Liam Maria Noah Olga Pavel")
    static let last = list(
        "Ivanova Schmidt Garcia Novak Rossi Silva Okafor Tanaka Petrov Larsen Dubois Kowalski Horvat Nguyen Smith Yilmaz"
    )
    static let cities = list(
        "Berlin Paris Lisbon Prague Vienna Warsaw Oslo Madrid Rome Zagreb Athens Dublin Riga Vilnius Sofia Tallinn")
    static let segments = list("enterprise mid-market smb public partner")
    static let stages = list("lead qualified proposal negotiation won lost")
    static let notes = list(
        """
        call back after quarter budget approved waiting for legal review prefers email contract renewal discount demo \
        pricing decision maker follow up sent offer needs integration with existing ERP warehouse rollout
        """)
    static let domain = Array("@example.com".utf8)
    static let user = Array("user".utf8)
    static let year = Array("2026-".utf8)
    static let euro = Array("EUR".utf8)
    static let dollar = Array("USD".utf8)
}
