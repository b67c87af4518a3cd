import PeykModel

/// The lineages of one message: clocks name them by index, and nearly always there is one.
struct LineageTable {
    private(set) var lineages: [Lineage] = []
    private var indexes: [Lineage: Int] = [:]

    mutating func index(of lineage: Lineage) -> Int {
        if let last = lineages.last, last == lineage { return lineages.count - 1 }
        if let index = indexes[lineage] { return index }
        indexes[lineage] = lineages.count
        lineages.append(lineage)
        return lineages.count - 1
    }
}

/// The wire form of a vector clock (protocol.md, W): lineage, anchor, own seq, other dots, former ids.
///
/// The dot of the commit's own site is written as its seq alone, 0 for none.
enum ClockCodec {
    /// Clocks of honest authors have one dot or a few.
    static let dotsMax = 256

    static func encode(_ clock: VectorClock, of site: SiteID, _ lineages: inout LineageTable) -> [UInt8] {
        var writer = ByteWriter(capacity: 16)
        writer.count(lineages.index(of: clock.lineage))
        writer.varint(UInt64(bitPattern: clock.anchor))
        writer.varint(UInt64(bitPattern: clock.seq(of: site)))
        let others = clock.dots.filter { $0.site != site }
        writer.count(others.count)
        for dot in others {
            writer.fixed(dot.site.rawValue)
            writer.varint(UInt64(bitPattern: dot.seq))
        }
        writer.count(clock.former.count)
        for id in clock.former { writer.bits(id.bits) }
        return writer.bytes
    }

    static func decode(_ bytes: [UInt8], of site: SiteID, _ lineages: [Lineage]) throws(DecodeError) -> VectorClock {
        var reader = ByteReader(bytes)
        let index = try reader.index()
        guard index < lineages.count else { throw .malformed("a clock of a lineage that was not sent") }
        let anchor = try reader.natural()
        let own = try reader.natural()
        var dots: [Dot] = own > 0 ? [Dot(site: site, seq: own)] : []
        let count = try reader.count()
        guard count < dotsMax else { throw .malformed("a clock of more than \(dotsMax) dots") }
        for _ in 0..<count {
            let other = SiteID(rawValue: try reader.fixed())
            dots.append(Dot(site: other, seq: try reader.natural()))
        }
        var former: [CommitID] = []
        for _ in 0..<(try reader.count()) { former.append(CommitID(bits: try reader.bits())) }
        try reader.finish()
        return VectorClock(lineage: lineages[index], anchor: anchor, dots: dots, former: former)
    }
}

/// The wire form of a list of effects (protocol.md, W).
enum EffectCodec {
    static func encode(_ effects: [Effect]) -> [UInt8] {
        var writer = ByteWriter(capacity: effects.count * 48)
        writer.count(effects.count)
        for effect in effects {
            writer.byte(kind(of: effect))
            writer.count(effect.key.table)
            writer.bits(effect.key.record.bits)
            switch effect.kind {
            case .full(let row, let writers):
                row.encode(to: &writer)
                writer.count(writers.count)
                for id in writers { writer.bits(id.bits) }
            case .delta(let fields):
                writer.count(fields.count)
                for field in fields {
                    writer.count(field.field)
                    writer.value(field.value)
                }
            case .evict(let reason): writer.byte(reason.rawValue)
            case .delete, .touched: break
            }
        }
        return writer.bytes
    }

    static func decode(_ bytes: [UInt8]) throws(DecodeError) -> [Effect] {
        var reader = ByteReader(bytes)
        var effects: [Effect] = []
        for _ in 0..<(try reader.count()) {
            let kind = try reader.byte()
            let table = try reader.index()
            let key = RecordKey(table: table, record: RecordID(bits: try reader.bits()))
            effects.append(Effect(key: key, kind: try body(of: kind, &reader)))
        }
        try reader.finish()
        return effects
    }

    private static func kind(of effect: Effect) -> UInt8 {
        switch effect.kind {
        case .full: 0
        case .delta: 1
        case .delete: 2
        case .evict: 3
        case .touched: 4
        }
    }

    private static func body(of kind: UInt8, _ reader: inout ByteReader) throws(DecodeError) -> Effect.Kind {
        switch kind {
        case 0:
            let row = try Row(from: &reader)
            var writers: [CommitID] = []
            for _ in 0..<(try reader.count()) { writers.append(CommitID(bits: try reader.bits())) }
            return .full(row, writers: writers)
        case 1:
            var fields: [FieldValue] = []
            for _ in 0..<(try reader.count()) {
                let field = try reader.index()
                fields.append(FieldValue(field: field, value: try reader.value()))
            }
            return .delta(fields)
        case 2: return .delete
        case 3:
            guard let reason = EvictReason(rawValue: try reader.byte()) else {
                throw .malformed("an unknown reason to evict")
            }
            return .evict(reason)
        case 4: return .touched
        default: throw .malformed("an unknown kind of effect")
        }
    }
}
