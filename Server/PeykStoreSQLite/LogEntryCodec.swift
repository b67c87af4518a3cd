import PeykModel
import PeykServer

/// The part of a log entry that no query asks for, as bytes: its chain hash, clock, effects and
/// answer.
///
/// The scalars stand in columns of `peyk_log`. Audiences are numbers of `peyk_audience`, so that an outcome does not
/// repeat its buckets. Layout: format (1), chain (16), clock, effects, answer; integers are varints.
enum LogEntryCodec {
    static let format: UInt8 = 1

    static func encode(_ entry: LogEntry, audience number: (Audience) throws -> Int64) throws -> [UInt8] {
        var writer = ByteWriter(capacity: 128 + entry.effects.count * 160)
        writer.byte(format)
        writer.bits(entry.chain)
        entry.clock.encode(to: &writer)
        writer.count(entry.effects.count)
        for effect in entry.effects { try encode(effect, to: &writer, audience: number) }
        encode(entry.answer, to: &writer)
        return writer.bytes
    }

    struct Content {
        var chain: UUIDBits
        var clock: VectorClock
        var effects: [LogEffect]
        var answer: Answer
    }

    static func decode(_ bytes: [UInt8], audience: (Int64) throws -> Audience) throws -> Content {
        var reader = ByteReader(bytes)
        guard try reader.byte() == format else { throw DecodeError.malformed("unknown format of a log entry") }
        let chain = try reader.bits()
        let clock = try VectorClock(from: &reader)
        var effects: [LogEffect] = []
        for _ in 0..<(try reader.count()) { effects.append(try decodeEffect(&reader, audience: audience)) }
        let answer = try decodeAnswer(&reader)
        try reader.finish()
        return Content(chain: chain, clock: clock, effects: effects, answer: answer)
    }

    // MARK: - Effect

    private struct Flags {
        static let move: UInt8 = 1
        static let named: UInt8 = 2
        static let after: UInt8 = 4
        static let audienceBefore: UInt8 = 8
        static let audienceAfter: UInt8 = 16
        static let sameAudience: UInt8 = 32
    }

    private static func encode(
        _ effect: LogEffect, to writer: inout ByteWriter, audience number: (Audience) throws -> Int64
    ) throws {
        let isSame = effect.audienceBefore != nil && effect.audienceBefore == effect.audienceAfter
        var flags: UInt8 = 0
        if effect.isMove { flags |= Flags.move }
        if effect.isNamed { flags |= Flags.named }
        if effect.after != nil { flags |= Flags.after }
        if effect.audienceBefore != nil { flags |= Flags.audienceBefore }
        if effect.audienceAfter != nil { flags |= Flags.audienceAfter }
        if isSame { flags |= Flags.sameAudience }
        writer.byte(flags)
        writer.count(effect.key.table)
        writer.bits(effect.key.record.bits)
        if let before = effect.audienceBefore { writer.signed(try number(before)) }
        if let after = effect.audienceAfter, !isSame { writer.signed(try number(after)) }
        encode(effect.replaced, to: &writer)
        effect.after?.encode(to: &writer)
        switch effect.correction {
        case .none: writer.byte(0)
        case .delta(let fields):
            writer.byte(1)
            encode(fields, to: &writer)
        case .full: writer.byte(2)
        case .delete: writer.byte(3)
        }
        writer.count(effect.writers.count)
        for commit in effect.writers { writer.bits(commit.bits) }
    }

    private static func decodeEffect(
        _ reader: inout ByteReader, audience: (Int64) throws -> Audience
    ) throws -> LogEffect {
        let flags = try reader.byte()
        let table = try reader.index()
        let key = RecordKey(table: table, record: RecordID(bits: try reader.bits()))
        let before = flags & Flags.audienceBefore != 0 ? try audience(try reader.signed()) : nil
        var after: Audience?
        if flags & Flags.audienceAfter != 0 {
            after = flags & Flags.sameAudience != 0 ? before : try audience(try reader.signed())
        }
        let replaced = try decodeFields(&reader)
        let row = flags & Flags.after != 0 ? try Row(from: &reader) : nil
        let correction: LogEffect.Correction
        switch try reader.byte() {
        case 0: correction = .none
        case 1: correction = .delta(try decodeFields(&reader))
        case 2: correction = .full
        case 3: correction = .delete
        default: throw DecodeError.malformed("unknown correction")
        }
        var writers: [CommitID] = []
        for _ in 0..<(try reader.count()) { writers.append(CommitID(bits: try reader.bits())) }
        return LogEffect(
            key: key, replaced: replaced, after: row, audienceBefore: before, audienceAfter: after,
            isMove: flags & Flags.move != 0, isNamed: flags & Flags.named != 0, correction: correction,
            writers: writers)
    }

    private static func encode(_ fields: [FieldValue], to writer: inout ByteWriter) {
        writer.count(fields.count)
        for field in fields {
            writer.count(field.field)
            writer.value(field.value)
        }
    }

    private static func decodeFields(_ reader: inout ByteReader) throws(DecodeError) -> [FieldValue] {
        var fields: [FieldValue] = []
        for _ in 0..<(try reader.count()) {
            let field = try reader.index()
            fields.append(FieldValue(field: field, value: try reader.value()))
        }
        return fields
    }

    // MARK: - Answer

    private static func encode(_ answer: Answer, to writer: inout ByteWriter) {
        writer.byte(answer.verdict.rawValue)
        writer.count(answer.notices.count)
        for notice in answer.notices {
            writer.signed(Int64(notice.change))
            writer.signed(Int64(notice.cell))
            writer.text(notice.code.rawValue)
            writer.text(notice.detail)
        }
        writer.byte(answer.restamped == nil ? 0 : 1)
        if let stamp = answer.restamped { writer.fixed(stamp.rawValue) }
    }

    private static func decodeAnswer(_ reader: inout ByteReader) throws(DecodeError) -> Answer {
        guard let verdict = Answer.Verdict(rawValue: try reader.byte()) else {
            throw .malformed("unknown verdict")
        }
        var notices: [Answer.Notice] = []
        for _ in 0..<(try reader.count()) {
            let change = Int(try reader.signed())
            let cell = Int(try reader.signed())
            let code = NoticeCode(rawValue: try reader.text())
            notices.append(Answer.Notice(change: change, cell: cell, code: code, detail: try reader.text()))
        }
        let restamped = try reader.byte() == 1 ? HLC(rawValue: try reader.fixed()) : nil
        return Answer(verdict: verdict, notices: notices, restamped: restamped)
    }
}
