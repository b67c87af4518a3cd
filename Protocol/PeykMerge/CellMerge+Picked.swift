import PeykModel

/// Policies under which one of the concurrent writes stands.
extension CellMerge {
    mutating func assign(_ values: [Value], _ cell: Cell) {
        if !successors(of: cell).isEmpty {
            decide(cell.tag, Decision.Rule(cell.policy), .late, [])
            return
        }
        let before = claims(cell)
        if isBuiltUpon(winner(of: before, cell)) {
            refuse(cell.tag, .builtUpon, cell.name, others: before.map(\.writer))
            return
        }
        if let code = bound(values, before, cell) {
            refuse(cell.tag, code, cell.name, others: before.map(\.writer))
            return
        }
        let mine = Claim(writer: context.writer, values: values)
        let live = before.filter { !context.covers($0.writer) }
        let after = live + [mine]
        let winner = winner(of: after, cell) ?? mine
        let rivals = live.filter { $0.values != values }
        var rule = Decision.Rule(cell.policy)
        if isWonAgainstLost(after, winner, cell) { rule = .wonOrLost }
        if live.isEmpty {
            decide(cell.tag, .causal, .applied, before.map(\.writer))
        } else if winner.values == values {
            decide(cell.tag, rivals.isEmpty ? .equal : rule, rivals.isEmpty ? .applied : .won, live.map(\.writer))
        } else {
            decide(cell.tag, rule, .lost, [winner.writer])
        }
        settle(before, after, winner: winner, rule: rule, cell, base: nil)
    }

    /// The bounds of rule M2 on writes that cover what is there.
    private func bound(_ values: [Value], _ before: [Claim], _ cell: Cell) -> NoticeCode? {
        guard !context.isServer, !context.settles else { return nil }
        let replaced = before.filter {
            $0.values != values && $0.writer.commit != context.undoes && context.covers($0.writer)
        }
        switch cell.policy {
        case .once:
            return replaced.contains { $0.values.contains { !$0.isNull } } ? .onceWritten : nil
        case .rank:
            guard !context.allowsReopen else { return nil }
            return replaced.contains { rank($0, cell).kind != .open } ? .closedStage : nil
        default: return nil
        }
    }

    /// The one that stands among concurrent claims, whatever their order.
    func winner(of claims: [Claim], _ cell: Cell) -> Claim? {
        var best: Claim?
        for claim in claims {
            guard let champion = best else {
                best = claim
                continue
            }
            if beats(claim, champion, cell) { best = claim }
        }
        return best
    }

    private func beats(_ a: Claim, _ b: Claim, _ cell: Cell) -> Bool {
        switch cell.policy {
        case .once:
            let (x, y) = (a.values.contains { !$0.isNull }, b.values.contains { !$0.isNull })
            return x != y ? x : b.writer.isLater(than: a.writer)
        case .max where a.values != b.values: return precedes(b.values, a.values)
        case .min where a.values != b.values:
            // Nobody wrote a null to be the smallest.
            let (x, y) = (a.values.contains { !$0.isNull }, b.values.contains { !$0.isNull })
            return x != y ? x : precedes(a.values, b.values)
        case .rank where a.values != b.values:
            let (x, y) = (rank(a, cell), rank(b, cell))
            return x.isAbove(y) || (!y.isAbove(x) && a.writer.isLater(than: b.writer))
        default: return a.writer.isLater(than: b.writer)
        }
    }

    private func precedes(_ a: [Value], _ b: [Value]) -> Bool {
        for (x, y) in zip(a, b) where x != y {
            // Integers and reals of equal amount differ in bits and in nothing else.
            if x < y { return true }
            if y < x { return false }
        }
        return false
    }

    private func rank(_ claim: Claim, _ cell: Cell) -> StageRank {
        let unknown = StageRank(order: .min)
        guard let value = claim.values.first, !value.isNull else { return unknown }
        return context.rankOf(cell.tag, value) ?? unknown
    }

    private func isWonAgainstLost(_ claims: [Claim], _ winner: Claim, _ cell: Cell) -> Bool {
        guard cell.policy == .rank, rank(winner, cell).kind == .lost else { return false }
        return claims.contains { rank($0, cell).kind == .won }
    }
}

/// Long texts: merged by lines where that works.
extension CellMerge {
    mutating func text(base: String?, new: String?, _ cell: Cell) {
        let present = row[cell.tag].textValue
        let later = successors(of: cell)
        if !later.isEmpty {
            lateText(base: base, new: new, later, cell)
            return
        }
        let before = claims(cell)
        if isBuiltUpon(winner(of: before, cell)) {
            refuse(cell.tag, .builtUpon, cell.name, others: before.map(\.writer))
            return
        }
        let mine = Claim(writer: context.writer, values: [new.map { .text($0) } ?? .null])
        let live = before.filter { !context.covers($0.writer) }
        if live.isEmpty {
            decide(cell.tag, .causal, .applied, before.map(\.writer))
            settle(before, [mine], winner: mine, rule: .text, cell, base: nil)
            return
        }
        // Also where only losers are unseen: lines of writers that they covered may stand in the row.
        if case .merged(let text) = TextMerge.merge(base: base, present, new),
            (text?.utf8.count ?? 0) <= FieldType.valueBytesMax
        {
            mergedText(text.map { .text($0) } ?? .null, live, cell)
            return
        }
        let after = live + [mine]
        let shownBase: [Value] = [base.map { .text($0) } ?? .null]
        guard let rival = winner(of: live, cell), rival.writer.isLater(than: mine.writer) else {
            decide(cell.tag, .textConflict, .won, live.map(\.writer))
            settle(before, after, winner: mine, rule: .textConflict, cell, base: shownBase)
            return
        }
        // What stands is the row's text, which may be a merge of more than the rival's.
        decide(cell.tag, .textConflict, .lost, [rival.writer])
        let winner = Claim(writer: rival.writer, values: row.values(of: cell))
        settle(before, after, winner: winner, rule: .textConflict, cell, base: shownBase)
    }

    /// Everybody who stood behind the row's text now stands behind the merged one.
    private mutating func mergedText(_ text: Value, _ live: [Claim], _ cell: Cell) {
        let former = row.values(of: cell)
        row[cell.tag] = text
        var siblings = live.map { Sibling(writer: $0.writer, values: $0.values == former ? nil : $0.values) }
        siblings.append(Sibling(writer: context.writer))
        clock.set(CellClock(tag: cell.tag, siblings: siblings), of: cell, in: row)
        decide(cell.tag, .text, .merged, live.map(\.writer))
    }

    private mutating func lateText(base: String?, new: String?, _ later: [Change], _ cell: Cell) {
        decide(cell.tag, .text, .late, [])
        guard !later.contains(where: { $0.kind == .insert }) else { return }
        let present = row[cell.tag].textValue
        if case .merged(let text?) = TextMerge.merge(base: base, present, new, keepsCurrent: true),
            text.utf8.count <= FieldType.valueBytesMax
        {
            row[cell.tag] = .text(text)
        }
    }
}
