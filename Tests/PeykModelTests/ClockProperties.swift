import PeykModel
import PropertyKit
import Testing

@Suite("Properties of clocks")
struct ClockProperties {
    @Test("writers are in one strict order, whatever they are (P7)")
    func total() {
        Property(cases: 600) { choices in
            let lineage = choices.lineage()
            return [choices.writer(lineage), choices.writer(lineage), choices.writer(lineage)]
        }.holds { writers in
            let (a, b, c) = (writers[0], writers[1], writers[2])
            try ensure(!a.isLater(than: a), "later than itself")
            let isOne = a.stamp == b.stamp && a.dot == b.dot
            try ensure(isOne || a.isLater(than: b) != b.isLater(than: a), "neither or both are later")
            try ensure(!(a.isLater(than: b) && b.isLater(than: c)) || a.isLater(than: c), "a circle")
        }
    }

    private enum Event { case tick(Int64), learn(HLC), lower(HLC) }

    @Test("stamps of a site rise strictly, and run no further ahead than what was seen and given (P8, P9, C2)")
    func stamps() {
        Property(cases: 400) { choices in
            choices.list(upTo: 60, usual: 12) { choices -> Event in
                switch choices.below(4) {
                case 0: .learn(choices.chance(10) ? HLC(rawValue: .max - UInt64(choices.below(3))) : choices.stamp())
                case 1: .tick(choices.int64())
                default: .tick(Int64(choices.below(5)))
                }
            }
        }.holds { events in
            var clock = HybridClock()
            var (last, highest) = (HLC.zero, HLC.zero)
            for (number, event) in events.enumerated() {
                switch event {
                case .learn(let stamp):
                    clock.learn(stamp)
                    highest = max(highest, stamp)
                case .tick(let wall):
                    let stamp = clock.tick(milliseconds: wall)
                    try ensure(stamp > last || last.rawValue == .max, "\(stamp) after \(last)")
                    highest = max(highest, HLC(milliseconds: wall))
                    let room = HLC(
                        rawValue: highest.rawValue.addingReportingOverflow(UInt64(number + 1)).overflow
                            ? .max : highest.rawValue + UInt64(number + 1))
                    try ensure(stamp <= room, "\(stamp) is further than \(highest) and \(number + 1) ticks")
                    last = stamp
                case .lower(let stamp): clock.lower(to: stamp)
                }
            }
        }
    }

    @Test("two histories have the same positions up to where they part, and no others (I6)")
    func common() {
        Property(cases: 600) { ($0.lineage(), $0.lineage()) }.holds { a, b in
            let common = a.common(with: b)
            try same(common, b.common(with: a), "it depends on who asks")
            try same(a.common(with: a), .max)
            let end = try present(common, "both begin with one epoch")
            for position in Position(1)...20 where position <= end {
                try same(a.epoch(of: position), b.epoch(of: position), "position \(position)")
            }
            if end != .max, end < 20 {
                let above = (end + 1...end + 20).map { a.epoch(of: $0) == b.epoch(of: $0) }
                try ensure(above.contains(false), "they never part after \(end)")
            }
        }
    }

    @Test("an anchor covers just what its history shares with the writer's, up to it (C5, I7.1)")
    func anchors() {
        Property(cases: 800) { choices in
            let (mine, theirs) = (choices.lineage(), choices.lineage())
            return (mine, theirs, Position(choices.below(13)), choices.writer(theirs))
        }.holds { mine, theirs, anchor, writer in
            let shared = try present(mine.common(with: theirs))
            let clock = VectorClock(lineage: mine, anchor: anchor)
            try same(clock.covers(writer), writer.position <= min(anchor, shared), "they share \(shared)")
        }
    }

    @Test("a clock never forgets what it covered when it goes on, and order between clocks says who has seen more (C5)")
    func order() {
        Property(cases: 1_500) { choices in
            let lineage = choices.lineage()
            let clocks = (0..<3).map { _ in choices.vectorClock(choices.chance(20) ? choices.lineage() : lineage) }
            return (clocks, (0..<6).map { _ in choices.writer(lineage) })
        }.holds { clocks, writers in
            let (a, b, c) = (clocks[0], clocks[1], clocks[2])
            try same(a.compare(a), .equal)
            let opposite: [VectorClock.Order: VectorClock.Order] = [
                .before: .after, .after: .before, .equal: .equal, .concurrent: .concurrent,
            ]
            try same(b.compare(a), try present(opposite[a.compare(b)]), "it depends on who asks")
            let atMost: Set<VectorClock.Order> = [.before, .equal]
            if atMost.contains(a.compare(b)) {
                for writer in writers where a.covers(writer) {
                    try ensure(b.covers(writer), "\(writer) is seen by the earlier clock alone")
                }
                if atMost.contains(b.compare(c)) {
                    try ensure(atMost.contains(a.compare(c)), "before what is before, and not before")
                }
            }
        }
    }

    @Test("a merged clock has seen what either had, and no writer that neither had (C5, I7.1)")
    func merged() {
        Property(cases: 1_500) { choices in
            let lineage = choices.lineage()
            let other = choices.chance(30) ? choices.lineage() : lineage
            let clocks = [choices.vectorClock(lineage), choices.vectorClock(other)]
            return (clocks, (0..<8).map { _ in choices.writer(choices.chance(50) ? lineage : other) })
        }.holds { clocks, writers in
            let merged = clocks[0].merged(with: clocks[1])
            var mirrored = clocks[1].merged(with: clocks[0])
            // What lies above the anchor in the lineage says nothing.
            if let merged { mirrored?.lineage = merged.lineage }
            try same(merged, mirrored, "it depends on who asks")
            guard let merged else { return }
            for writer in writers {
                try same(
                    merged.covers(writer), clocks[0].covers(writer) || clocks[1].covers(writer), "\(writer)")
            }
            for clock in clocks {
                try ensure([.before, .equal].contains(clock.compare(merged)), "it has seen more than the merged one")
            }
        }
    }

    @Test("a clock's bytes give it back, and damaged ones give a clock or an error (P29)")
    func bytes() {
        Property(cases: 500) { choices in
            let clock = choices.vectorClock(choices.lineage())
            var writer = ByteWriter()
            clock.encode(to: &writer)
            return (clock, writer.bytes, choices.damaged(writer.bytes))
        }.holds { clock, bytes, damaged in
            var reader = ByteReader(bytes)
            try same(try VectorClock(from: &reader), clock)
            try reader.finish()
            var other = ByteReader(damaged)
            guard let read = try? VectorClock(from: &other) else { return }
            var writer = ByteWriter()
            read.encode(to: &writer)
            var again = ByteReader(writer.bytes)
            try same(try VectorClock(from: &again), read)
        }
    }
}
