import PeykModel
import PeykSession

/// How far a backfill has come; stored with its pages (rule B1).
struct BackfillState: Hashable {
    enum Mode: UInt8 {
        /// The very first load: straight into the empty tables.
        case direct = 0
        /// New pages of everything, beside the tables.
        case snapshot = 1
        /// Pages of added buckets, beside the tables.
        case widen = 2
    }

    var mode: Mode
    /// What the replica holds after the switch.
    var scope: HeldScope
    /// The history that the pages are of.
    var lineage: Lineage
    /// The table whose page comes next, and the last id of it that is stored.
    var table = 0
    var last: RecordID?
    /// The lowest and highest position of the pages stored; 0 before the first.
    var firstPosition: Position = 0
    var lastPosition: Position = 0
    /// The log is stored up to here.
    var reached: Position = 0
    var hasAllPages = false
    /// The next page is the first of a session that goes on with this backfill.
    var isResuming = false
    /// The highest seq of this site that the pages, with the log up to the last of them, have (rule B2).
    var lastMerged: Sequence64 = 0

    init(mode: Mode, scope: HeldScope, lineage: Lineage) {
        self.mode = mode
        self.scope = scope
        self.lineage = lineage
    }

    /// For hello; nil where no page is stored. Pages of added buckets go on as others do, since the cursor, from which
    /// the log after them comes, stays below the first of them. They are named by the buckets that were added to those
    /// `held`: should the server want everything anew meanwhile, they are not a part of that.
    func mark(held: HeldScope) -> BackfillMark? {
        guard lastPosition > 0 else { return nil }
        var filled = scope
        if mode == .widen {
            filled.buckets.removeAll { held.buckets.contains($0) }
            guard filled != scope else { return nil }
        }
        return BackfillMark(
            scope: filled, table: table, last: last, firstPosition: firstPosition, lastPosition: lastPosition,
            epoch: lineage.epoch)
    }

    func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 128)
        writer.byte(mode.rawValue)
        writer.blob(scope.encoded())
        writer.blob(lineage.encoded())
        writer.count(table)
        writer.byte(last == nil ? 0 : 1)
        if let last { writer.bits(last.bits) }
        for number in [firstPosition, lastPosition, reached, lastMerged] { writer.varint(UInt64(bitPattern: number)) }
        writer.byte((hasAllPages ? 1 : 0) | (isResuming ? 2 : 0))
        return writer.bytes
    }

    init(decoding bytes: [UInt8]) throws(DecodeError) {
        var reader = ByteReader(bytes)
        guard let mode = Mode(rawValue: try reader.byte()) else { throw .malformed("unknown mode of a backfill") }
        self.mode = mode
        scope = try HeldScope(decoding: try reader.blob())
        lineage = try Lineage(decoding: try reader.blob())
        table = try reader.index()
        if try reader.byte() == 1 { last = RecordID(bits: try reader.bits()) }
        firstPosition = try reader.natural()
        lastPosition = try reader.natural()
        reached = try reader.natural()
        lastMerged = try reader.natural()
        let flags = try reader.byte()
        hasAllPages = flags & 1 != 0
        isResuming = flags & 2 != 0
        try reader.finish()
    }
}

extension Meta {
    var backfill: BackfillState? {
        get throws { try blob(.backfill).map { try BackfillState(decoding: $0) } }
    }
    func set(backfill: BackfillState?) throws {
        try set(.backfill, backfill.map { .blob($0.encoded()) } ?? .null)
    }

    var serverLineage: Lineage {
        get throws { try blob(.serverLineage).map { try Lineage(decoding: $0) } ?? lineage }
    }

    /// Records whose rows are as of a position above the cursor.
    var floors: [RecordKey: Position] {
        get throws {
            guard let bytes = try blob(.floors) else { return [:] }
            var reader = ByteReader(bytes)
            var floors: [RecordKey: Position] = [:]
            for _ in 0..<(try reader.count()) {
                let table = try reader.index()
                let key = RecordKey(table: table, record: RecordID(bits: try reader.bits()))
                floors[key] = try reader.natural()
            }
            return floors
        }
    }

    /// Keeps those above `cursor`.
    func set(floors: [RecordKey: Position], above cursor: Position) throws {
        let kept = floors.filter { $0.value > cursor }
        guard !kept.isEmpty else { return try set(.floors, .null) }
        var writer = ByteWriter()
        writer.count(kept.count)
        for (key, position) in kept.sorted(by: { $0.key < $1.key }) {
            writer.count(key.table)
            writer.bits(key.record.bits)
            writer.varint(UInt64(bitPattern: position))
        }
        try set(.floors, writer.bytes)
    }
}
