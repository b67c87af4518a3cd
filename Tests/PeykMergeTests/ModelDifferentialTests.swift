import Foundation
import PeykMerge
import PeykModel
import SeededRandom
import Testing

/// Compares single cells with the executable model of the rules, where that lies beside the repository.
@Suite("The merge agrees with the executable model")
struct ModelDifferentialTests {
    static let model: String? = {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let folder = root.deletingLastPathComponent().appendingPathComponent("shared/model").path
        let files = FileManager.default
        return files.fileExists(atPath: folder + "/merge.py") && files.isExecutableFile(atPath: "/usr/bin/python3")
            ? folder : nil
    }()

    /// Reads histories, one JSON a line: policy and writes in the order of arrival; prints value and losers after each.
    static let driver = """
        import sys, json
        sys.dont_write_bytecode = True
        sys.path.insert(0, sys.argv[1])
        from merge import Sib, write_cell
        for line in sys.stdin:
            h = json.loads(line)
            policy, sibs, val, lost, out = h['policy'], [], None, set(), []
            if policy == 'text': val = tuple(h['start'])
            for pos, w in enumerate(h['writes'], 1):
                pay = w['value']
                if policy == 'set': pay = (frozenset(pay[0]), frozenset(pay[1]))
                if policy == 'text': pay = (tuple(pay[0]), tuple(pay[1]))
                v = pay if policy not in ('set', 'text') else None
                s = Sib(pos, w['id'], 1, w['stamp'], w['id'], v)
                sibs, val, losers = write_cell(policy, sibs, val, s, lambda x: x.cid in w['seen'], False, pay, True)
                lost |= set(x.cid for x in losers)
                shown = sorted(val) if policy == 'set' else list(val) if policy == 'text' else val
                out.append([shown, sorted(lost)])
            print(json.dumps(out))
        """

    struct Write {
        var id: Int
        var stamp: Int
        var seen: Set<Int>
        /// The model's form of what it writes.
        var value: JSON
        var change: CellChange
    }

    static func run(_ input: String, model: String) throws -> [JSON] {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        process.arguments = ["-c", driver, model]
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("peyk-\(UUID().uuidString).jsonl")
        try Data(input.utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        process.standardInput = try FileHandle(forReadingFrom: file)
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return try String(decoding: data, as: UTF8.self).split(separator: "\n").map { try JSON(parsing: String($0)) }
    }

    static let cells: [(policy: String, cell: Int)] = [
        ("lww", Sample.note), ("review", Sample.owner), ("max", Sample.best), ("rank", Sample.stage),
        ("once", Sample.source), ("counter", Sample.visits), ("set", Sample.tags), ("text", Sample.memo),
    ]

    static func payload(
        _ policy: String, _ cell: Int, _ random: inout SplitMix64, _ lines: [String]
    ) -> (JSON, CellChange) {
        let number = Int64(random.draw(3))
        switch policy {
        case "counter": return (.integer(number + 1), Sample.add(number + 1))
        case "set":
            let removed = ["a", "b", "c"].filter { _ in random.chance(30) }
            let added = ["a", "b", "c"].filter { !removed.contains($0) && random.chance(40) }
            let json = JSON.array([.array(added.map { .string($0) }), .array(removed.map { .string($0) })])
            return (json, Sample.set(added, removed))
        case "text":
            var new = lines
            for slot in new.indices where random.chance(40) { new[slot] = random.pick(["p", "q", "r"]) }
            let json = JSON.array([.array(lines.map { .string($0) }), .array(new.map { .string($0) })])
            return (json, Sample.memo(text(lines), text(new)))
        case "max": return (.integer(number), Sample.number(cell, number))
        default: return (.integer(number), Sample.text(cell, String(number)))
        }
    }

    /// Lines between the slots keep concurrent edits apart, as the model's numbered lines are.
    static func text(_ lines: [String]) -> String {
        lines.enumerated().map { "\($0):\($1)\n=\($0)" }.joined(separator: "\n")
    }

    static func history(_ policy: String, _ cell: Int, _ random: inout SplitMix64) -> [Write] {
        let count = 2 + random.draw(5)
        let stamps = random.shuffled(Array(1...count))
        var writes: [Write] = []
        for id in 1...count {
            var seen: Set<Int> = []
            for other in writes where random.chance(40) { seen.formUnion(other.seen.union([other.id])) }
            // A text's base is what the author saw: the merge of what they have seen.
            let known = writes.filter { seen.contains($0.id) }
            let base = policy == "text" ? lines(merge(known, cell)[cell]) : []
            let (value, change) = payload(policy, cell, &random, base)
            writes.append(Write(id: id, stamp: stamps[id - 1], seen: seen, value: value, change: change))
        }
        return writes
    }

    @Test("values and losers are the same after each write", .enabled(if: model != nil), arguments: UInt64(1)...3)
    func agrees(seed: UInt64) throws {
        let model = try #require(Self.model)
        var random = SplitMix64(seed: seed)
        var histories: [(policy: String, cell: Int, writes: [Write])] = []
        for (policy, cell) in Self.cells {
            for _ in 0..<200 { histories.append((policy, cell, Self.history(policy, cell, &random))) }
        }
        let input = histories.map { history in
            let writes = history.writes.map { write -> JSON in
                [
                    "id": .integer(Int64(write.id)), "stamp": .integer(Int64(write.stamp)),
                    "seen": .array(write.seen.sorted().map { .integer(Int64($0)) }), "value": write.value,
                ]
            }
            return JSON.object([
                "policy": .string(history.policy), "writes": .array(writes), "start": ["s", "s", "s"],
            ]).text
        }
        let answers = try Self.run(input.joined(separator: "\n") + "\n", model: model)
        try #require(answers.count == histories.count)
        for (history, answer) in zip(histories, answers) {
            let ours = Self.ours(history.writes, history.cell, history.policy)
            guard ours != answer else { continue }
            Issue.record(
                """
                seed \(seed), \(history.policy): \(history.writes.map { ($0.id, $0.stamp, $0.seen, $0.value.text) })
                ours \(ours.text)
                model \(answer.text)
                """)
        }
    }

    static func merge(_ writes: [Write], _ cell: Int, each: (Merged, ChangeOutcome) -> Void = { _, _ in }) -> Merged {
        let start = cell == Sample.memo ? [Sample.memo(nil, text(["s", "s", "s"]))] : []
        let insert = Step(99, at: 0, .insert, cells: [Sample.text(Sample.name, "n")] + start)
        var merged = Merged(insert)
        for write in writes {
            var step = Step(write.id, at: Int64(write.stamp), seen: [insert], .update, write.change)
            step.seen += write.seen.map { Dot(site: SiteID(rawValue: UInt64($0)), seq: 1) }
            let outcome = merged.take(step) { context in
                // The bounds of rule M2 are not in the model; its ranks are plain numbers.
                context.isServer = true
                context.rankOf = { _, value in value.textValue.flatMap { Int64($0) }.map { StageRank(order: $0) } }
            }
            each(merged, outcome)
        }
        return merged
    }

    static func ours(_ writes: [Write], _ cell: Int, _ policy: String) -> JSON {
        var lost: Set<Int> = []
        var out: [JSON] = []
        _ = merge(writes, cell) { merged, outcome in
            for conflict in outcome.conflicts { lost.formUnion(conflict.newlyLost.map { Int($0.bits.high) }) }
            out.append(.array([shown(merged[cell], policy), .array(lost.sorted().map { .integer(Int64($0)) })]))
        }
        return .array(out)
    }

    static func lines(_ value: Value) -> [String] {
        let lines = (value.textValue ?? "").split(separator: "\n").filter { !$0.hasPrefix("=") }
        return lines.map { String($0.dropFirst(2)) }
    }

    static func shown(_ value: Value, _ policy: String) -> JSON {
        switch (policy, value) {
        case ("set", .text(let json)): return (try? JSON(parsing: json)) ?? .null
        case ("text", .text): return .array(lines(value).map { .string($0) })
        case (_, .text(let text)): return Int64(text).map { .integer($0) } ?? .string(text)
        default: return JSON(value)
        }
    }
}
