public import PeykMerge
public import PeykModel

/// One merge as it was made: all that it depended on, and what came of it, so that anybody can make it again.
public struct MergeRecord: Hashable, Sendable {
    public struct Rank: Hashable, Sendable {
        public var field: Int
        public var value: Value
        public var rank: StageRank?
    }

    public var key: RecordKey
    public var change: Change
    public var before: RecordState?
    public var writer: Writer
    public var clock: VectorClock
    public var isServer = false
    public var allowsReopen = false
    public var settles = false
    public var isForced = false
    public var hasLivingChildren = false
    public var undoes: CommitID?
    /// Ranks that were looked up in the stage table.
    public var ranks: [Rank] = []
    /// Writers that were covered by other names (rule I7.1).
    public var alsoCovered: [CommitID] = []
    public var successors: [Change] = []
    // What came of it.
    public var after: RecordState?
    public var isRefused = false
    /// `cell code`, and `cell rule verdict`.
    public var refusals: [String] = []
    public var decisions: [String] = []

    /// Makes the merge again.
    public func replayed(in table: Table) -> ChangeOutcome {
        let ranks = ranks
        let covered = Set(alsoCovered)
        let context = MergeContext(
            table: table, writer: writer, clock: clock, isServer: isServer, allowsReopen: allowsReopen,
            settles: settles, undoes: undoes, isForced: isForced,
            rankOf: { field, value in ranks.first { $0.field == field && $0.value == value }?.rank },
            alsoCovers: { covered.contains($0.commit) }, successors: successors)
        return PeykMerge.merge(change, into: before, context, hasLivingChildren: hasLivingChildren)
    }

    /// Whether the outcome is the one that was recorded.
    public func isSame(_ outcome: ChangeOutcome) -> Bool {
        var again = self
        again.note(outcome)
        return again == self
    }

    mutating func note(_ outcome: ChangeOutcome) {
        after = outcome.state
        isRefused = outcome.isRefused
        refusals = outcome.refusals.map { "\($0.cell) \($0.code.rawValue)" }
        decisions = outcome.decisions.map { decision in
            ([String(decision.cell), decision.rule.rawValue, decision.verdict.rawValue]
                + decision.others.map { String($0.commit.description.prefix(8)) }).joined(separator: " ")
        }
    }
}

// MARK: - Binary form

extension MergeRecord {
    private static let format: UInt8 = 1

    public func encoded() -> [UInt8] {
        var out = ByteWriter(capacity: 512)
        out.byte(Self.format)
        change.encode(to: &out)
        Self.encode(before, &out)
        Self.encode(writer, &out)
        clock.encode(to: &out)
        let flags = [isServer, allowsReopen, settles, isForced, hasLivingChildren, isRefused, undoes != nil]
        out.byte(flags.enumerated().reduce(0) { $0 | ($1.element ? 1 << $1.offset : 0) })
        if let undoes { out.bits(undoes.bits) }
        out.count(ranks.count)
        for rank in ranks {
            out.count(rank.field)
            out.value(rank.value)
            out.byte(rank.rank == nil ? 0 : 1)
            if let found = rank.rank {
                out.signed(found.order)
                out.text(found.kind.rawValue)
            }
        }
        out.count(alsoCovered.count)
        for commit in alsoCovered { out.bits(commit.bits) }
        out.count(successors.count)
        for change in successors { change.encode(to: &out) }
        Self.encode(after, &out)
        for list in [refusals, decisions] {
            out.count(list.count)
            for text in list { out.text(text) }
        }
        return out.bytes
    }

    /// - Throws: `DecodeError` for any bytes that ``encoded()`` did not give.
    public init(decoding bytes: [UInt8]) throws(DecodeError) {
        var reader = ByteReader(bytes)
        guard try reader.byte() == Self.format else { throw .malformed("unknown format of a merge") }
        change = try Change(from: &reader)
        key = RecordKey(table: change.table, record: change.record)
        before = try Self.state(&reader)
        writer = try Self.writer(&reader)
        clock = try VectorClock(from: &reader)
        let flags = try reader.byte()
        isServer = flags & 1 != 0
        allowsReopen = flags & 2 != 0
        settles = flags & 4 != 0
        isForced = flags & 8 != 0
        hasLivingChildren = flags & 16 != 0
        isRefused = flags & 32 != 0
        if flags & 64 != 0 { undoes = CommitID(bits: try reader.bits()) }
        for _ in 0..<(try reader.count()) {
            var rank = Rank(field: try reader.index(), value: try reader.value(), rank: nil)
            if try reader.byte() == 1 {
                let order = try reader.signed()
                rank.rank = StageRank(order: order, kind: StageRank.Kind(rawValue: try reader.text()) ?? .open)
            }
            ranks.append(rank)
        }
        for _ in 0..<(try reader.count()) { alsoCovered.append(CommitID(bits: try reader.bits())) }
        for _ in 0..<(try reader.count()) { successors.append(try Change(from: &reader)) }
        after = try Self.state(&reader)
        for _ in 0..<(try reader.count()) { refusals.append(try reader.text()) }
        for _ in 0..<(try reader.count()) { decisions.append(try reader.text()) }
        try reader.finish()
    }

    private static func encode(_ state: RecordState?, _ out: inout ByteWriter) {
        guard let state else { return out.byte(0) }
        out.byte(state.isAlive ? 1 : 2)
        state.row.encode(to: &out)
        out.blob(state.clock.encoded())
    }

    private static func state(_ reader: inout ByteReader) throws(DecodeError) -> RecordState? {
        let kind = try reader.byte()
        guard kind != 0 else { return nil }
        guard kind <= 2 else { throw .malformed("unknown kind of record") }
        let row = try Row(from: &reader)
        return RecordState(row: row, clock: try RowClock(decoding: try reader.blob()), isAlive: kind == 1)
    }

    private static func encode(_ writer: Writer, _ out: inout ByteWriter) {
        out.signed(writer.position)
        out.bits(writer.epoch.bits)
        out.fixed(writer.dot.site.rawValue)
        out.signed(writer.dot.seq)
        out.fixed(writer.stamp.rawValue)
        out.bits(writer.commit.bits)
    }

    private static func writer(_ reader: inout ByteReader) throws(DecodeError) -> Writer {
        let position = try reader.signed()
        let epoch = Epoch(bits: try reader.bits())
        let dot = Dot(site: SiteID(rawValue: try reader.fixed()), seq: try reader.signed())
        let stamp = HLC(rawValue: try reader.fixed())
        return Writer(
            position: position, epoch: epoch, dot: dot, stamp: stamp, commit: CommitID(bits: try reader.bits()))
    }
}
