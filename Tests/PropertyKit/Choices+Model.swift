public import PeykModel

/// Generators of what all modules speak of.
extension Choices {
    /// A canonical value: what may be stored (P24).
    public mutating func value() -> Value {
        switch below(6) {
        case 0: .null
        case 1: .integer(int64())
        case 2: real()
        case 3, 4: .text(text())
        default: .blob(bytes(upTo: 20))
        }
    }

    private mutating func real() -> Value {
        let edges: [Double] = [
            0, 1, -1, 0.1, .infinity, -.infinity, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 0x1p53, 0x1p63,
            -0x1p63, 9_223_372_036_854_774_784,
        ]
        let number =
            switch below(3) {
            case 0: pick(edges)
            case 1: Double(int64())
            default: Double(bitPattern: draw(upTo: .max))
            }
        return Value.real(number).canonical ?? .real(0)
    }

    /// A canonical value of the type, or null.
    public mutating func value(of type: FieldType) -> Value {
        if below(8) == 0 { return .null }
        switch type {
        case .integer, .instant, .money: return .integer(int64())
        case .double: return real()
        case .text: return .text(text())
        case .blob: return .blob(bytes(upTo: 20))
        case .bool: return .integer(Int64(below(2)))
        case .date: return .text(date().description)
        case .set: return .text(ValueSet(list(upTo: 5, usual: 2) { $0.text(upTo: 3) }).json)
        case .enumeration(let words): return words.isEmpty ? .null : .text(pick(words))
        case .reference: return Value(recordID())
        }
    }

    /// Any day of the years 1 to 9999; mostly of our time.
    public mutating func date() -> CalendarDate {
        let days = chance(30) ? within(-719_162...2_932_896) : within(0...40_000)
        return CalendarDate(daysSince1970: days) ?? Self.firstDay
    }

    private static let firstDay: CalendarDate = {
        guard let day = CalendarDate(year: 1970, month: 1, day: 1) else { preconditionFailure("a day that exists") }
        return day
    }()

    /// One of a few, so that they meet.
    public mutating func recordID(of many: Int = 5) -> RecordID {
        RecordID(bits: UUIDBits(high: 0x0190_0000_0000_7000, low: 0x8000_0000_0000_0000 | UInt64(below(many))))
    }

    public mutating func commitID(of many: Int = 1 << 20) -> CommitID {
        CommitID(bits: UUIDBits(high: 0xC0, low: UInt64(below(many))))
    }

    public mutating func siteID(of many: Int = 4) -> SiteID { SiteID(rawValue: 1 + UInt64(below(many))) }
    public mutating func dot() -> Dot { Dot(site: siteID(), seq: Int64(1 + below(6))) }
    public mutating func stamp() -> HLC { HLC(milliseconds: Int64(below(4)), counter: UInt16(below(3))) }

    public mutating func writer(_ lineage: Lineage) -> Writer {
        let position = Position(1 + below(12))
        let epoch = lineage.epoch(of: position) ?? Epoch(bits: UUIDBits(high: 0xE0, low: 1))
        let dot = dot()
        return Writer(
            position: position, epoch: epoch, dot: dot, stamp: stamp(),
            commit: CommitID(bits: UUIDBits(high: dot.site.rawValue, low: UInt64(bitPattern: dot.seq))))
    }

    /// A history of one to four epochs, each of which began at or after the one before. An epoch's bits say where it
    /// began and after which ones, so that two histories share just what they have in common.
    public mutating func lineage() -> Lineage {
        var (after, bits): (Position, UInt64) = (0, 1)
        var eras = [Era(epoch: Epoch(bits: UUIDBits(high: 0xE0, low: bits)), after: 0)]
        for _ in 0..<below(4) {
            after += Position(below(5))
            bits = bits &* 64 &+ UInt64(after) &* 2 &+ UInt64(below(2))
            eras.append(Era(epoch: Epoch(bits: UUIDBits(high: 0xE0, low: bits)), after: after))
        }
        return Lineage(eras)
    }

    public mutating func vectorClock(_ lineage: Lineage) -> VectorClock {
        VectorClock(
            lineage: lineage, anchor: Position(below(13)), dots: list(upTo: 4, usual: 1) { $0.dot() },
            former: list(upTo: 3, usual: 1) { choices in
                let dot = choices.dot()
                return CommitID(bits: UUIDBits(high: dot.site.rawValue, low: UInt64(bitPattern: dot.seq)))
            })
    }

    /// Sealed as a replica may seal it, or as only a peer that lies could: any cells, any tables.
    public mutating func commitBody() -> CommitBody {
        CommitBody(
            id: commitID(), schemaVersion: Int64(below(4)),
            changes: list(upTo: 5, usual: 2) { $0.change() },
            operations: list(upTo: 3, usual: 1) { choices in
                Operation(
                    kind: choices.pick(Operation.Kind.allCases), table: choices.below(4),
                    record: choices.optional { $0.recordID() }, argument: choices.optional { $0.text() })
            })
    }

    private mutating func change() -> Change {
        let kind = pick([Change.Kind.update, .insert, .delete])
        var cells: [CellChange] = []
        if kind != .delete {
            for cell in 0..<below(6) where chance(60) { cells.append(CellChange(cell: cell, write: cellWrite())) }
        }
        return Change(table: below(4), record: recordID(), kind: kind, cells: cells)
    }

    public mutating func cellWrite() -> CellWrite {
        switch below(5) {
        case 0: return .assign([value()])
        case 1: return .assign(list(upTo: 3) { $0.value() } + [value(), value()])
        case 2: return .add(int64())
        case 3:
            let added = ValueSet(list(upTo: 4, usual: 2) { $0.text(upTo: 3) })
            return .elements(
                added: added.elements, removed: ValueSet(list(upTo: 3, usual: 1) { $0.text(upTo: 3) }).elements)
        default: return .text(base: optional { $0.text() }, new: optional { $0.text() })
        }
    }
}
