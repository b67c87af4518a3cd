/// Which lines of one text are still there in another: a longest common subsequence by lines.
///
/// Source: E. W. Myers, *An O(ND) Difference Algorithm and Its Variations*, 1986 (the greedy form).
enum LineDiff {
    /// Texts that differ in more lines than this are not compared: time and memory stay bounded.
    static let editsMax = 1_000

    /// For each line of `old`, the place of the line of `new` that it became, or -1; ascending where not -1.
    /// Nil beyond ``editsMax``. The same input gives the same answer everywhere.
    /// - Complexity: O((old + new) × edits) time, O(edits²) memory.
    static func matches(_ old: [Int], _ new: [Int]) -> [Int]? {
        var result = [Int](repeating: -1, count: old.count)
        var start = 0
        while start < old.count, start < new.count, old[start] == new[start] {
            result[start] = start
            start += 1
        }
        var oldEnd = old.count
        var newEnd = new.count
        while oldEnd > start, newEnd > start, old[oldEnd - 1] == new[newEnd - 1] {
            oldEnd -= 1
            newEnd -= 1
            result[oldEnd] = newEnd
        }
        let middle = pairs(old[start..<oldEnd], new[start..<newEnd])
        guard let middle else { return nil }
        for (left, right) in middle { result[left] = right }
        return result
    }

    private static func pairs(_ old: ArraySlice<Int>, _ new: ArraySlice<Int>) -> [(Int, Int)]? {
        let n = old.count
        let m = new.count
        guard n > 0, m > 0 else { return [] }
        let limit = min(n + m, editsMax)
        // reach[k + offset]: the furthest x on diagonal k = x - y.
        let offset = limit + 1
        var reach = [Int](repeating: 0, count: 2 * limit + 3)
        var trace: [[Int]] = []
        for edits in 0...limit {
            trace.append(Array(reach[(offset - edits - 1)...(offset + edits + 1)]))
            for k in stride(from: -edits, through: edits, by: 2) {
                let down = k == -edits || (k != edits && reach[offset + k - 1] < reach[offset + k + 1])
                var x = down ? reach[offset + k + 1] : reach[offset + k - 1] + 1
                while x < n, x - k < m, old[old.startIndex + x] == new[new.startIndex + x - k] { x += 1 }
                reach[offset + k] = x
                if x >= n, x - k >= m { return path(trace, old, new) }
            }
        }
        return nil
    }

    /// Walks back from the end along what each step could reach.
    private static func path(_ trace: [[Int]], _ old: ArraySlice<Int>, _ new: ArraySlice<Int>) -> [(Int, Int)] {
        var x = old.count
        var y = new.count
        var found: [(Int, Int)] = []
        for edits in stride(from: trace.count - 1, through: 0, by: -1) {
            let reach = trace[edits]
            let centre = edits + 1
            let k = x - y
            var fromX = 0
            var fromY = 0
            if edits > 0 {
                let down = k == -edits || (k != edits && reach[centre + k - 1] < reach[centre + k + 1])
                let fromK = down ? k + 1 : k - 1
                fromX = reach[centre + fromK]
                fromY = fromX - fromK
            }
            while x > fromX, y > fromY {
                x -= 1
                y -= 1
                found.append((old.startIndex + x, new.startIndex + y))
            }
            x = fromX
            y = fromY
        }
        return found.reversed()
    }
}
