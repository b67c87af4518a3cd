import PeykModel
import SeededRandom
import Testing

@Suite("Hybrid logical clocks (C2, C3, C4, P7, P8)")
struct HybridClockTests {
    @Test("stamps of one site rise strictly, whatever its wall clock does (P8)", arguments: UInt64(0)..<10)
    func rises(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var clock = HybridClock()
        var last = HLC.zero
        for _ in 0..<2_000 {
            if random.chance(10) { clock.learn(HLC(milliseconds: Int64(random.draw(1 << 40)))) }
            let stamp = clock.tick(milliseconds: Int64(random.draw(1 << 41)) - (1 << 40))
            #expect(stamp > last, "seed \(seed)")
            last = stamp
        }
    }

    @Test("65,536 stamps in one millisecond carry into the next")
    func carry() {
        var clock = HybridClock()
        for counter in 0...65_535 {
            #expect(clock.tick(milliseconds: 7) == HLC(milliseconds: 7, counter: UInt16(counter)))
        }
        #expect(clock.tick(milliseconds: 7) == HLC(milliseconds: 8))
        #expect(clock.tick(milliseconds: 7) == HLC(milliseconds: 8, counter: 1))
    }

    @Test("times below 0 count as 0, and beyond 48 bits as the largest (C4)")
    func clamps() {
        #expect(HLC(milliseconds: -1) == .zero)
        #expect(HLC(milliseconds: .min) == .zero)
        #expect(HLC(milliseconds: .max).milliseconds == HLC.millisecondsMax)
        #expect(HLC(milliseconds: .max, counter: .max).rawValue == .max)
        #expect(HLC(rawValue: .max).successor == HLC(rawValue: .max))
    }

    @Test("a clock learns from what it sees and can be lowered (C2, C3)")
    func learns() {
        var clock = HybridClock()
        clock.learn(HLC(milliseconds: 500, counter: 3))
        clock.learn(HLC(milliseconds: 400))
        #expect(clock.tick(milliseconds: 10) == HLC(milliseconds: 500, counter: 4))
        clock.lower(to: HLC(milliseconds: 20))
        #expect(clock.tick(milliseconds: 10) == HLC(milliseconds: 20, counter: 1))
        clock.lower(to: HLC(milliseconds: 900))
        #expect(clock.last == HLC(milliseconds: 20, counter: 1))
        #expect(clock.last.description == "20.1")
    }

    @Test("writers are in a strict total order: stamp, site, seq (P7)")
    func total() {
        func writer(_ stamp: Int64, _ site: UInt64, _ seq: Int64) -> Writer {
            Writer(
                position: 1, epoch: Clocks.e0, dot: Dot(site: SiteID(rawValue: site), seq: seq),
                stamp: HLC(milliseconds: stamp), commit: Clocks.commit(1))
        }
        let ascending = [writer(1, 9, 9), writer(2, 1, 1), writer(2, 1, 2), writer(2, 2, 1)]
        for (i, a) in ascending.enumerated() {
            for (j, b) in ascending.enumerated() { #expect(a.isLater(than: b) == (i > j)) }
        }
    }
}

enum Clocks {
    static let e0 = Epoch(bits: UUIDBits(high: 0, low: 1))
    static let e1 = Epoch(bits: UUIDBits(high: 0, low: 2))
    static let e2 = Epoch(bits: UUIDBits(high: 0, low: 3))
    static func commit(_ number: UInt64) -> CommitID { CommitID(bits: UUIDBits(high: 1, low: number)) }
    static func dot(_ site: UInt64, _ seq: Int64) -> Dot { Dot(site: SiteID(rawValue: site), seq: seq) }
    static func writer(_ position: Position, _ epoch: Epoch = e0, dot: Dot = dot(9, 9), commit number: UInt64 = 99)
        -> Writer
    {
        Writer(position: position, epoch: epoch, dot: dot, stamp: .zero, commit: commit(number))
    }
    /// e0 up to 10, then e1.
    static let one = Lineage([Era(epoch: e0, after: 0), Era(epoch: e1, after: 10)])
    /// Restored from the same backup a second time, further back.
    static let other = Lineage([Era(epoch: e0, after: 0), Era(epoch: e2, after: 6)])
    static let plain = Lineage([Era(epoch: e0, after: 0)])
}

@Suite("Lineages and vector clocks (C5, I6, I7.1, P10)")
struct VectorClockTests {
    @Test("the common part of two lineages ends where they part (I6)")
    func common() {
        #expect(Clocks.one.common(with: Clocks.one) == .max)
        #expect(Clocks.one.common(with: Clocks.other) == 6)
        #expect(Clocks.one.common(with: Clocks.plain) == 10)
        #expect(Clocks.plain.common(with: Clocks.other) == 6)
        #expect(Clocks.one.common(with: Lineage([Era(epoch: Clocks.e1, after: 0)])) == nil)
        #expect(Lineage([]).common(with: Clocks.one) == nil)
        #expect([0, 1, 10, 11].map { Clocks.one.epoch(of: $0) } == [Clocks.e0, Clocks.e0, Clocks.e0, Clocks.e1])
        #expect(Lineage([]).epoch(of: 3) == nil)
    }

    @Test("an anchor covers positions of its own history only (C5)")
    func anchor() {
        let clock = VectorClock(lineage: Clocks.one, anchor: 12)
        #expect(clock.covers(Clocks.writer(10)))
        #expect(clock.covers(Clocks.writer(12, Clocks.e1)))
        #expect(!clock.covers(Clocks.writer(13, Clocks.e1)))
        #expect(!clock.covers(Clocks.writer(11)), "position 11 of the history that was lost")
        #expect(!clock.covers(Clocks.writer(8, Clocks.e2)))
        #expect(!VectorClock(lineage: Lineage([]), anchor: 12).covers(Clocks.writer(1)))
    }

    @Test("a clock covers its author's own dots and former commits, wherever they stand")
    func own() {
        let clock = VectorClock(
            lineage: Clocks.plain, anchor: 0, dots: [Clocks.dot(2, 4), Clocks.dot(1, 5), Clocks.dot(1, 3)],
            former: [Clocks.commit(7), Clocks.commit(7)])
        #expect(clock.dots == [Clocks.dot(1, 5), Clocks.dot(2, 4)])
        #expect(clock.former == [Clocks.commit(7)])
        #expect(clock.covers(Clocks.writer(50, dot: Clocks.dot(1, 5))))
        #expect(!clock.covers(Clocks.writer(50, dot: Clocks.dot(1, 6))))
        #expect(!clock.covers(Clocks.writer(50, dot: Clocks.dot(3, 1))))
        #expect(clock.covers(Clocks.writer(50, dot: Clocks.dot(3, 1), commit: 7)))
    }

    @Test("two commits are before, after, equal or concurrent, whatever their stamps (P10)")
    func order() {
        let a = Clocks.writer(5, dot: Clocks.dot(1, 1), commit: 1)
        let b = Clocks.writer(6, dot: Clocks.dot(2, 1), commit: 2)
        let nothing = VectorClock(lineage: Clocks.plain, anchor: 0)
        let five = VectorClock(lineage: Clocks.plain, anchor: 5)
        #expect(five.order(of: b, to: a, under: nothing) == .after)
        #expect(nothing.order(of: a, to: b, under: five) == .before)
        #expect(nothing.order(of: a, to: b, under: nothing) == .concurrent)
        #expect(five.order(of: a, to: a, under: nothing) == .equal)
    }

    @Test("clocks compare by what they have seen")
    func compare() {
        func clock(_ anchor: Position, _ dots: Dot..., in lineage: Lineage = Clocks.plain) -> VectorClock {
            VectorClock(lineage: lineage, anchor: anchor, dots: dots)
        }
        #expect(clock(3).compare(clock(3)) == .equal)
        #expect(clock(3).compare(clock(4)) == .before)
        #expect(clock(4).compare(clock(3)) == .after)
        #expect(clock(3, Clocks.dot(1, 1)).compare(clock(4)) == .concurrent)
        #expect(clock(3, Clocks.dot(1, 1)).compare(clock(4, Clocks.dot(1, 2))) == .before)
        #expect(clock(3, Clocks.dot(1, 1)).compare(clock(4)) { $0 == Clocks.dot(1, 1) ? 4 : nil } == .before)
        #expect(clock(3, Clocks.dot(1, 1)).compare(clock(3, Clocks.dot(2, 1))) == .concurrent)
        // Anchors beyond the common part belong to different histories.
        #expect(clock(8, in: Clocks.one).compare(clock(9, in: Clocks.other)) == .concurrent)
        #expect(clock(5, in: Clocks.one).compare(clock(9, in: Clocks.other)) == .before)
    }

    @Test("a merged clock covers what either covers, and no more of the shared history", arguments: UInt64(0)..<20)
    func merged(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for _ in 0..<100 {
            func clock() -> VectorClock {
                VectorClock(
                    lineage: random.chance(50) ? Clocks.plain : Clocks.one, anchor: Position(random.draw(11)),
                    dots: (0..<random.draw(3)).map { _ in Clocks.dot(UInt64(random.draw(3)), Int64(random.draw(4))) },
                    former: random.chance(30) ? [Clocks.commit(UInt64(random.draw(3)))] : [])
            }
            let (a, b) = (clock(), clock())
            let both = try #require(a.merged(with: b))
            #expect(b.merged(with: a)?.dots == both.dots)
            #expect([.before, .equal].contains(a.compare(both)), "seed \(seed)")
            #expect([.before, .equal].contains(b.compare(both)), "seed \(seed)")
            for _ in 0..<30 {
                let writer = Clocks.writer(
                    Position(1 + random.draw(11)), dot: Clocks.dot(UInt64(random.draw(3)), Int64(1 + random.draw(4))),
                    commit: UInt64(random.draw(4)))
                #expect(both.covers(writer) == (a.covers(writer) || b.covers(writer)), "seed \(seed)")
            }
        }
        let lost = VectorClock(lineage: Clocks.one, anchor: 8)
        #expect(lost.merged(with: VectorClock(lineage: Clocks.other, anchor: 9)) == nil)
    }
}
