import PeykModel
import SeededRandom
import Testing

@Suite("Bytes in and out (P29)")
struct ByteCodecTests {
    @Test("integers of every size come back (W-20)", arguments: UInt64(0)..<5)
    func integers(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for _ in 0..<500 {
            let number = random.next() >> UInt64(random.draw(64))
            let signed = Int64(bitPattern: random.next()) >> Int64(random.draw(64))
            var writer = ByteWriter()
            writer.varint(number)
            writer.signed(signed)
            writer.fixed(number)
            var reader = ByteReader(writer.bytes)
            #expect(try reader.varint() == number)
            #expect(try reader.signed() == signed)
            #expect(try reader.fixed() == number)
            try reader.finish()
        }
    }

    static let edges: [(UInt64, Int)] = [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (.max, 10)]

    @Test("a varint takes as many bytes as it must (W-20)", arguments: edges)
    func sizes(_ number: UInt64, _ count: Int) {
        var writer = ByteWriter()
        writer.varint(number)
        #expect(writer.bytes.count == count)
    }

    @Test("signed integers near zero are short, and the smallest and largest fit")
    func zigzag() throws {
        for number in [Int64.min, -1, 0, 1, .max] {
            var writer = ByteWriter()
            writer.signed(number)
            var reader = ByteReader(writer.bytes)
            #expect(try reader.signed() == number)
            #expect(writer.bytes.count == (abs(number.clamped) <= 1 ? 1 : 10))
        }
    }

    @Test("values of each kind come back bit for bit (W-21)")
    func values() throws {
        let values: [Value] = [
            .null, .integer(.min), .real(-0.0), .real(.infinity), .real(.leastNonzeroMagnitude), .text("e\u{301}\0"),
            .text(""),
            .blob([]), .blob([0, 255]),
        ]
        var writer = ByteWriter()
        for value in values { writer.value(value) }
        var reader = ByteReader(writer.bytes)
        for value in values { #expect(try reader.value() == value) }
        #expect(reader.isAtEnd)
    }

    @Test("an end that comes too early, a number that is too long and a length beyond the end are errors")
    func errors() {
        func failure(_ bytes: [UInt8], _ read: (inout ByteReader) throws(DecodeError) -> Void) -> DecodeError? {
            var reader = ByteReader(bytes)
            do throws(DecodeError) {
                try read(&reader)
                return nil
            } catch { return error }
        }
        let ones = [UInt8](repeating: 0xFF, count: 9)
        #expect(failure([]) { reader throws(DecodeError) in _ = try reader.byte() } == .truncated)
        #expect(failure([0x80]) { reader throws(DecodeError) in _ = try reader.varint() } == .truncated)
        #expect(failure(ones + [1]) { reader throws(DecodeError) in _ = try reader.varint() } == nil)
        #expect(failure(ones + [2]) { reader throws(DecodeError) in _ = try reader.varint() } != nil)
        #expect(failure(ones + [0xFF, 0]) { reader throws(DecodeError) in _ = try reader.varint() } != nil)
        #expect(failure(ones + [1]) { reader throws(DecodeError) in _ = try reader.natural() } != nil)
        #expect(failure(ones + [1]) { reader throws(DecodeError) in _ = try reader.index() } != nil)
        #expect(failure(ones + [1]) { reader throws(DecodeError) in _ = try reader.blob() } == .truncated)
        #expect(failure([2, 65]) { reader throws(DecodeError) in _ = try reader.text() } == .truncated)
        #expect(failure([1, 0xFF]) { reader throws(DecodeError) in _ = try reader.text() } != nil)
        #expect(failure([9]) { reader throws(DecodeError) in _ = try reader.value() } != nil)
        #expect(failure([1, 2, 3]) { reader throws(DecodeError) in _ = try reader.fixed() } == .truncated)
        #expect(failure([1]) { reader throws(DecodeError) in try reader.finish() } == .trailing(bytes: 1))
    }

    @Test("any bytes give values, rows or errors", arguments: UInt64(0)..<10)
    func fuzz(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for _ in 0..<2_000 {
            let bytes = (0..<random.draw(40)).map { _ in
                UInt8(truncatingIfNeeded: random.next() >> UInt64(random.draw(8)))
            }
            var reader = ByteReader(bytes, from: random.draw(3))
            while (try? reader.value()) != nil {}
            var rows = ByteReader(bytes)
            guard let row = try? Row(from: &rows) else { continue }
            var writer = ByteWriter()
            row.encode(to: &writer)
            var again = ByteReader(writer.bytes)
            #expect(throws: Never.self) { try #require(Row(from: &again) == row) }
        }
    }

    @Test("the digest of known bytes never changes (W-27)")
    func digest() {
        var digest = Digest64()
        digest.update("peyk".utf8)
        #expect(digest.value == 6_609_066_926_524_504_324)
        var parts = Digest64()
        parts.update("pe".utf8)
        parts.update("yk".utf8)
        #expect(parts.value == digest.value)
    }
}

extension Int64 {
    fileprivate var clamped: Int64 { Swift.max(self, -Int64.max) }
}

@Suite("Commits as sealed bytes (C1)")
struct CommitCodecTests {
    static let record = RecordID(bits: UUIDBits(high: 0x0102_0304_0506_0708, low: 0x090A_0B0C_0D0E_0F10))
    static let id = CommitID(bits: UUIDBits(high: 0x1112_1314_1516_1718, low: 0x191A_1B1C_1D1E_1F20))

    static func random(_ random: inout SplitMix64) -> CommitBody {
        func id() -> UUIDBits { UUIDBits(high: random.next(), low: random.next()) }
        func text() -> String? { random.chance(20) ? nil : random.pick(["", "x", "e\u{301}", "line\nline"]) }
        func value() -> Value { random.pick([.null, .integer(.min), .real(1.5), .text("é"), .blob([1, 2])]) }
        func write() -> CellWrite {
            switch random.draw(4) {
            case 0: .assign((0..<(1 + random.draw(3))).map { _ in value() })
            case 1: .add(Int64(bitPattern: random.next()))
            case 2:
                .elements(added: (0..<random.draw(3)).map { "a\($0)" }, removed: (0..<random.draw(3)).map { "r\($0)" })
            default: .text(base: text(), new: text())
            }
        }
        let operations = (0..<random.draw(3)).map { _ in
            Operation(
                kind: random.pick(Operation.Kind.allCases), table: random.draw(300),
                record: random.chance(50) ? RecordID(bits: id()) : nil, argument: random.chance(50) ? text() : nil)
        }
        let changes = (0..<random.draw(5)).map { _ in
            Change(
                table: random.draw(300), record: RecordID(bits: id()), kind: random.pick([.insert, .update, .delete]),
                cells: (0..<random.draw(4)).map { CellChange(cell: $0 * 50, write: write()) })
        }
        return CommitBody(
            id: CommitID(bits: id()), schemaVersion: Int64(random.draw(500)), changes: changes, operations: operations)
    }

    @Test("a commit's bytes give it back", arguments: UInt64(0)..<20)
    func roundTrip(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for _ in 0..<100 {
            let body = Self.random(&random)
            let decoded = try CommitBody(decoding: body.encoded())
            #expect(decoded == body, "seed \(seed)")
            #expect(decoded.encoded() == body.encoded(), "seed \(seed)")
        }
    }

    @Test("an operation on a table with a large index needs nothing after it to decode")
    func lastOperation() throws {
        let body = CommitBody(
            id: Self.id, schemaVersion: 1, changes: [], operations: [Operation(kind: .whole, table: 199)])
        #expect(try CommitBody(decoding: body.encoded()) == body)
    }

    @Test("golden bytes: the form that is hashed never changes (W-22, W-23, W-24)")
    func golden() throws {
        let body = CommitBody(
            id: Self.id, schemaVersion: 3,
            changes: [
                Change(
                    table: 2, record: Self.record, kind: .insert,
                    cells: [
                        CellChange(cell: 0, write: .assign([.text("é")])),
                        CellChange(cell: 1, write: .assign([.integer(-1), .text("EUR")])),
                        CellChange(cell: 3, write: .add(300)),
                        CellChange(cell: 4, write: .elements(added: ["a"], removed: [])),
                        CellChange(cell: 5, write: .text(base: nil, new: "m")),
                        CellChange(cell: 6, write: .assign([.real(1.5)])),
                    ]),
                Change(table: 1, record: Self.record, kind: .delete),
            ],
            operations: [
                Operation(kind: .undo, argument: "x"), Operation(kind: .reopen, table: 2, record: Self.record),
            ])
        let hex = body.encoded().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        let record = "0102030405060708090a0b0c0d0e0f10"
        let expected =
            "01" + "1112131415161718191a1b1c1d1e1f20" + "03" + "02" + "04756e646f" + "00" + "00" + "010178"
            + "0672656f70656e" + "02" + "01" + record + "00" + "02" + "00" + "02" + record + "06" + "00" + "00"
            + "0302c3a9"
            + "01" + "01" + "02" + "0101" + "0303455552" + "03" + "02" + "d804" + "04" + "03" + "010161" + "00" + "05"
            + "04"
            + "00" + "03016d" + "06" + "00" + "023ff8000000000000" + "02" + "01" + record + "00"
        #expect(hex == expected)
        #expect(try CommitBody(decoding: body.encoded()) == body)
    }

    @Test("any bytes give a commit or an error, and what decodes encodes again", arguments: UInt64(0)..<20)
    func fuzz(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for _ in 0..<500 {
            var bytes = Self.random(&random).encoded()
            for _ in 0...random.draw(5) { bytes[random.draw(bytes.count)] = UInt8(truncatingIfNeeded: random.next()) }
            if random.chance(30) { bytes.removeLast(random.draw(bytes.count)) }
            guard let body = try? CommitBody(decoding: bytes) else { continue }
            #expect(try CommitBody(decoding: body.encoded()) == body)
        }
        #expect(throws: DecodeError.self) { try CommitBody(decoding: []) }
        #expect(throws: DecodeError.self) { try CommitBody(decoding: [2] + [UInt8](repeating: 0, count: 40)) }
    }

    @Test("a count that promises more than there is allocates nothing (W-20)")
    func promises() {
        var bytes = CommitBody(id: Self.id, schemaVersion: 1, changes: []).encoded()
        bytes.removeLast()
        bytes += [0xFF, 0xFF, 0xFF, 0xFF, 0x0F]
        #expect(throws: DecodeError.truncated) { try CommitBody(decoding: bytes) }
    }
}

@Suite("Answers (A1, A2)")
struct AnswerTests {
    @Test("plain is what the author need not be told")
    func plain() {
        #expect(Answer().isPlain)
        #expect(!Answer(verdict: .waiting).isPlain)
        #expect(!Answer(notices: [.init(change: 0, code: .handedOff)]).isPlain)
        #expect(!Answer(restamped: .zero).isPlain)
    }

    @Test("every reason has words for people, and only what did not enter is parked (W-12)")
    func reasons() {
        let told: [NoticeCode] = [.handedOff, .lost, .deleteLost, .duplicate]
        let parked: [NoticeCode] = [
            .scope, .unknownRecord, .unknownParent, .needsParked, .invalid, .required, .reference, .appendOnly,
            .serverField,
            .onceWritten, .closedStage, .builtUpon, .overflow, .falseClaim, .retired, .whole, .failed, .schemaVersion,
        ]
        for code in told { #expect(!code.parks) }
        for code in parked { #expect(code.parks) }
        for code in told + parked { #expect(code.explanation != code.rawValue) }
        #expect(NoticeCode(rawValue: "of-a-later-version").parks)
    }
}
