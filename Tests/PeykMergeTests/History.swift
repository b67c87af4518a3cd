import PeykMerge
import PeykModel
import SeededRandom

/// A random history of one record: each commit is made by an author who sees the merged state of what they have seen.
struct History: CustomStringConvertible {
    var steps: [Step] = []
    private var random: SplitMix64

    /// - Parameter deletes: percent of commits that delete, where the author sees the record.
    init(seed: UInt64, count: Int, deletes: Int) {
        random = SplitMix64(seed: seed)
        let sites = 2 + random.draw(3)
        var stamps = random.shuffled(Array(1...Int64(count)))
        for _ in 0..<count {
            let site = 1 + random.draw(sites)
            let own = steps.last { $0.site == site }
            // An author knows their own commits, and a random part of the others'.
            var past = Set(own.map { [$0] } ?? [])
            for step in steps where random.chance(45) { past.insert(step) }
            let closed = steps.filter { step in
                past.contains(step) || past.contains { $0.seen.contains(step.dot) }
            }
            let seq = (own?.seq ?? 0) + 1
            let stamp = stamps.removeLast()
            let (kind, cells) = write(Merged(steps: closed).state, deletes)
            steps.append(Step(site, seq: seq, at: stamp, seen: closed, kind, cells: cells))
        }
    }

    private mutating func write(_ state: RecordState?, _ deletes: Int) -> (Change.Kind, [CellChange]) {
        guard let state, state.isAlive else { return (.insert, cells(on: Sample.row(), isInsert: true)) }
        if random.chance(deletes) { return (.delete, []) }
        return (.update, cells(on: state.row, isInsert: false))
    }

    private mutating func cells(on row: Row, isInsert: Bool) -> [CellChange] {
        var cells: [CellChange] = []
        if isInsert { cells.append(Sample.text(Sample.name, random.pick(["A", "B", "C"]))) }
        for cell in Sample.deal.cells where !(isInsert && cell.tag == Sample.name) && random.chance(40) {
            switch cell.policy {
            case .lww, .review:
                cells.append(
                    cell.fields.count == 2
                        ? Sample.price(Int64(random.draw(3)), random.pick(["EUR", "IRR"]))
                        : Sample.text(cell.tag, random.pick(["x", "y", "z"])))
            case .max, .min: cells.append(Sample.number(cell.tag, Int64(random.draw(3))))
            case .counter: cells.append(Sample.add(Int64(1) << Int64(random.draw(20))))
            case .set:
                let held = row[cell.tag].textValue.flatMap { ValueSet(json: $0) }?.elements ?? []
                let removed = held.filter { _ in random.chance(40) }
                let added = ["a", "b", "c"].filter { !removed.contains($0) && random.chance(30) }
                cells.append(Sample.set(added, removed))
            case .once where row[cell.tag].isNull: cells.append(Sample.text(cell.tag, random.pick(["fair", "web"])))
            case .rank: cells.append(Sample.text(cell.tag, random.pick(["lead", "offer", "won", "lost"])))
            case .once, .text, .server: break
            }
        }
        return cells
    }

    /// An order of arrival in which nobody has seen what has not arrived.
    func order(_ random: inout SplitMix64) -> [Step] {
        var rest = steps
        var order: [Step] = []
        while !rest.isEmpty {
            let waiting = Set(rest.map(\.dot))
            let ready = rest.filter { step in !step.seen.contains { waiting.contains($0) } }
            let next = random.pick(ready)
            order.append(next)
            rest.removeAll { $0 == next }
        }
        return order
    }

    var description: String {
        steps.map { step in
            let seen = step.seen.map { "\($0.site.rawValue):\($0.seq)" }
            return "\(step.site):\(step.seq) at \(step.stamp) seen \(Set(seen).sorted()) "
                + "\(step.change.kind) \(step.change.cells.map { "\($0.cell): \($0.write)" })"
        }.joined(separator: "\n")
    }
}
