/// Lineages and vector clocks as bytes, the same in replica and server files. What they are on the wire is W-20's.
extension Lineage {
    public func encode(to writer: inout ByteWriter) {
        writer.count(eras.count)
        for era in eras {
            writer.bits(era.epoch.bits)
            writer.signed(era.after)
        }
    }

    public init(from reader: inout ByteReader) throws(DecodeError) {
        var eras: [Era] = []
        for _ in 0..<(try reader.count()) {
            let epoch = Epoch(bits: try reader.bits())
            eras.append(Era(epoch: epoch, after: try reader.position()))
        }
        self.init(eras)
    }
}

extension VectorClock {
    public func encode(to writer: inout ByteWriter) {
        lineage.encode(to: &writer)
        writer.signed(anchor)
        writer.count(dots.count)
        for dot in dots {
            writer.fixed(dot.site.rawValue)
            writer.signed(dot.seq)
        }
        writer.count(former.count)
        for commit in former { writer.bits(commit.bits) }
    }

    public init(from reader: inout ByteReader) throws(DecodeError) {
        let lineage = try Lineage(from: &reader)
        let anchor = try reader.position()
        var dots: [Dot] = []
        for _ in 0..<(try reader.count()) {
            let site = SiteID(rawValue: try reader.fixed())
            dots.append(Dot(site: site, seq: try reader.position()))
        }
        var former: [CommitID] = []
        for _ in 0..<(try reader.count()) { former.append(CommitID(bits: try reader.bits())) }
        self.init(lineage: lineage, anchor: anchor, dots: dots, former: former)
    }
}

extension ByteReader {
    /// A position or a seq, written signed; never negative.
    fileprivate mutating func position() throws(DecodeError) -> Int64 {
        let value = try signed()
        guard value >= 0 else { throw .malformed("a position below 0") }
        return value
    }
}
