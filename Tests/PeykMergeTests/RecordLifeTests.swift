import PeykMerge
import PeykModel
import Testing

@Suite("Deletes, lives and children of records (D1, D2)")
struct RecordLifeTests {
    static let insert = Step(1, at: 10, .insert, Sample.text(Sample.name, "Arya"), Sample.set(["vip"]))
    static let update = Step(2, at: 20, seen: [insert], .update, Sample.text(Sample.note, "n"))

    @Test("a delete that has seen every writer takes effect, and the tombstone keeps the row")
    func seen() {
        let merged = Merged(Self.insert, Self.update, Step(3, at: 5, seen: [Self.update], .delete))
        #expect(merged.state?.isAlive == false)
        #expect(merged[Sample.note] == .text("n"))
        #expect(merged.last.deletion == nil)
        #expect(merged.last.decisions.map(\.verdict) == [.applied])
    }

    @Test("a concurrent update wins over a delete, whichever comes first (D1, P5)")
    func updateWins() throws {
        let delete = Step(3, at: 99, seen: [Self.insert], .delete)
        let late = Merged(Self.insert, Self.update, delete)
        let early = Merged(Self.insert, delete, Self.update)
        #expect(late.state?.withoutPositions == early.state?.withoutPositions)
        #expect(late.state?.isAlive == true)
        #expect(late.last.deletion?.losers.map(\.commit) == [delete.commit])
        #expect(late.last.deletion?.winners.map(\.commit) == [Self.update.commit])
        #expect(!late.last.isRevived)
        #expect(early.last.deletion?.losers.map(\.commit) == [delete.commit])
        #expect(early.last.deletion?.winners.map(\.commit) == [Self.update.commit])
        #expect(early.last.isRevived)
    }

    @Test("each delete that a concurrent update undoes has lost, not just the latest (D1, P2)")
    func allDeletesLose() {
        let first = Step(3, at: 30, seen: [Self.insert], .delete)
        let second = Step(4, at: 40, seen: [Self.insert], .delete)
        let known = Step(5, at: 50, seen: [first], .update, Sample.text(Sample.note, "kept"))
        let merged = Merged(Self.insert, first, second, Self.update)
        #expect(merged.last.deletion?.losers.map(\.commit) == [first.commit, second.commit])
        #expect(Merged(Self.insert, first, second, known).last.deletion?.losers.map(\.commit) == [second.commit])
    }

    @Test("a set-remove is a write of the record, though it leaves no writer in its cell (D1)")
    func setRemove() {
        let remove = Step(2, at: 20, seen: [Self.insert], .update, Sample.set([], ["vip"]))
        let delete = Step(3, at: 30, seen: [Self.insert], .delete)
        #expect(Merged(Self.insert, remove, delete).state?.isAlive == true)
        #expect(Merged(Self.insert, delete, remove).state?.isAlive == true)
    }

    @Test("a delete that would leave a living child loses (D1)")
    func children() {
        var merged = Merged(Self.insert)
        let outcome = merged.take(Step(3, at: 30, seen: [Self.insert], .delete), hasLivingChildren: true)
        #expect(merged.state?.isAlive == true)
        #expect(outcome.deletion?.hasLivingChildren == true)
        #expect(outcome.deletion?.winners.isEmpty == true)
        #expect(outcome.decisions.map(\.verdict) == [.lost])
    }

    @Test("a deleted record stays deleted for what its delete had seen, also when a second delete comes (P13)")
    func stays() {
        let delete = Step(3, at: 30, seen: [Self.update], .delete)
        let again = Step(4, at: 40, seen: [Self.insert], .delete)
        let merged = Merged(Self.insert, Self.update, delete, again)
        #expect(merged.state?.isAlive == false)
        #expect(merged.state?.clock.deletes.map(\.commit) == [delete.commit, again.commit])
    }

    @Test("a later delete must have seen what an earlier, lost one had not")
    func twoDeletes() {
        let other = Step(4, at: 25, seen: [Self.insert], .update, Sample.text(Sample.owner, "o"))
        let one = Step(3, at: 30, seen: [Self.update], .delete)
        let two = Step(5, at: 31, seen: [other], .delete)
        for order in [
            [Self.update, other, one, two], [Self.update, one, other, two], [other, two, Self.update, one],
        ] {
            #expect(Merged(steps: [Self.insert] + order).state?.isAlive == true)
        }
    }

    @Test("inserting a deleted id anew begins an incarnation with nothing of the old one (D2)")
    func incarnation() {
        let delete = Step(3, at: 30, seen: [Self.update], .delete)
        let anew = Step(4, at: 5, seen: [delete], .insert, Sample.text(Sample.name, "New"))
        let merged = Merged(Self.insert, Self.update, delete, anew)
        #expect(merged.state?.row == Sample.row([Sample.name: .text("New")]))
        #expect(merged.state?.clock.incarnation == 1)
        #expect(merged.last.isRevived)
        #expect(merged.last.incarnation == nil)
    }

    @Test("a higher incarnation replaces a living lower one, which goes to the ledger, in both orders (D2)")
    func higher() {
        let delete = Step(3, at: 30, seen: [Self.insert], .delete)
        let anew = Step(3, seq: 2, at: 31, seen: [delete], .insert, Sample.text(Sample.name, "New"))
        let one = Merged(Self.insert, Self.update, delete, anew)
        #expect(one.last.incarnation?.losers.map(\.commit) == [Self.update.commit])
        #expect(one.last.incarnation?.values.contains(FieldValue(field: Sample.note, value: .text("n"))) == true)
        let other = Merged(Self.insert, delete, anew, Self.update)
        #expect(other.last.incarnation?.losers.map(\.commit) == [Self.update.commit])
        #expect(other.last.incarnation?.winner.commit == anew.commit)
        #expect(other.last.incarnation?.values == [FieldValue(field: Sample.note, value: .text("n"))])
        #expect(one.state?.withoutPositions == other.state?.withoutPositions)
        #expect(one.state?.row == Sample.row([Sample.name: .text("New")]))
    }

    @Test("an insert by somebody to whom the living record was out of scope is no re-creation (D2, D6)")
    func outOfScope() {
        let delete = Step(3, at: 30, seen: [Self.insert], .delete)
        var merged = Merged(Self.insert, Self.update, delete)
        // Imported under a derived id, with an anchor that covers all three positions.
        let imported = Step(4, at: 40, .insert, Sample.text(Sample.name, "Arya Co"))
        merged.take(imported) { $0.clock = VectorClock(lineage: Sample.lineage, anchor: 3) }
        #expect(merged.state?.clock.incarnation == 0)
        #expect(merged[Sample.note] == .text("n"))
        #expect(merged[Sample.name] == .text("Arya Co"))
        #expect(merged.last.incarnation == nil)
    }

    @Test("a refused re-creation leaves the tombstone as it is")
    func refusedAnew() {
        let delete = Step(3, at: 30, seen: [Self.insert], .delete)
        let anew = Step(4, at: 5, seen: [delete], .insert, Sample.number(Sample.score, 1))
        let merged = Merged(Self.insert, delete, anew)
        #expect(merged.last.isRefused)
        #expect(merged.state == Merged(Self.insert, delete).state)
    }

    @Test("what is remembered of deletes is bounded (P28)")
    func bounded() {
        var merged = Merged(Self.insert, Self.update)
        for number in 0..<100 { merged.take(Step(10 + number, at: Int64(100 + number), seen: [Self.insert], .delete)) }
        #expect(merged.state?.clock.deletes.count == RowClock.deletesMax)
        #expect(merged.state?.isAlive == true)
    }

    @Test("a delete of an earlier life does nothing to the present one")
    func lateDelete() {
        let delete = Step(3, at: 30, seen: [Self.insert], .delete)
        let anew = Step(3, seq: 2, at: 31, seen: [delete], .insert, Sample.text(Sample.name, "New"))
        let merged = Merged(Self.insert, delete, anew, Step(5, at: 99, seen: [Self.insert], .delete))
        #expect(merged.state?.isAlive == true)
        #expect(merged.last.deletion == nil)
    }

    @Test("revive brings a record back in the same incarnation, and a delete that had not seen it loses (D2)")
    func reviving() throws {
        let delete = Step(3, at: 30, seen: [Self.insert], .delete)
        let dead = try #require(Merged(Self.insert, delete).state)
        let reviver = Step(4, at: 40, seen: [delete], .update)
        let outcome = revive(dead, reviver.context(9))
        #expect(outcome.isRevived)
        #expect(outcome.state?.isAlive == true)
        #expect(outcome.state?.row == dead.row)
        #expect(outcome.state?.clock.incarnation == 0)
        #expect(outcome.state?.clock.record.map(\.commit) == [reviver.commit])
        let again = Step(5, at: 50, seen: [delete], .delete)
        let after = merge(again.change, into: outcome.state, again.context(), hasLivingChildren: false)
        #expect(after.deletion?.winners.map(\.commit) == [reviver.commit])
        #expect(!revive(try #require(outcome.state), reviver.context(9)).isRevived)
    }

    @Test("an update of an unknown record is refused, a delete of one has nothing to do")
    func unknown() {
        #expect(Merged(Self.update).last.refusals == [CellRefusal(code: .unknownRecord)])
        #expect(Merged(Self.update).last.isRefused)
        let delete = Merged(Step(3, at: 30, .delete))
        #expect(delete.state == nil)
        #expect(!delete.last.isRefused)
    }

    @Test("own edits of a record whose own delete was not shown bring it back without a quarrel (K6)")
    func ownDelete() {
        let delete = Step(2, at: 20, seen: [Self.insert], .delete)
        let edit = Step(2, seq: 2, at: 21, seen: [Self.insert], .update, Sample.text(Sample.note, "n"))
        let merged = Merged(Self.insert, delete, edit)
        #expect(merged.state?.isAlive == true)
        #expect(merged.last.isRevived)
        #expect(merged.last.deletion == nil)
    }

    @Test("during a refill a commit does not enter where a remembered one had seen it (I7.4)")
    func late() {
        let first = Step(
            2, at: 20, seen: [Self.insert], .update, Sample.text(Sample.note, "old"), Sample.add(2),
            Sample.set(["a", "b"]), Sample.memo("x\ny\nz", "x\ny\nZ"))
        let later = Step(
            3, at: 30, seen: [first], .update, Sample.text(Sample.note, "new"), Sample.add(3), Sample.set([], ["a"]),
            Sample.memo("x\ny\nZ", "X\ny\nZ"))
        let memo = Step(1, seq: 2, at: 11, .update, Sample.memo(nil, "x\ny\nz"))
        var merged = Merged(Self.insert, memo, later)
        merged.take(first) { $0.successors = [later.change] }
        #expect(merged[Sample.note] == .text("new"))
        #expect(merged[Sample.visits] == .integer(5))
        #expect(merged[Sample.tags] == .text(#"["b","vip"]"#))
        #expect(merged[Sample.memo] == .text("X\ny\nZ"))
        #expect(merged.last.conflicts.isEmpty)
        #expect(merged.state?.clock.record.contains { $0.commit == first.commit } == false)
        var deleted = Merged(Self.insert, Step(3, at: 30, seen: [first], .delete))
        deleted.take(first) { $0.successors = [Step(3, at: 30, seen: [], .delete).change] }
        #expect(deleted.state?.isAlive == false)
    }
}
