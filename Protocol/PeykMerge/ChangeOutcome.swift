public import PeykModel

/// What one change became (rules M1 to M8, D1, D2): the record's new state, and everything that people must hear.
public struct ChangeOutcome: Hashable, Sendable {
    /// The record after the change; nil where it does not exist. As before where the change was refused.
    public var state: RecordState?
    /// Parts that did not enter, by the smallest that stands alone (rule M6): cells of an update, or the whole of an
    /// insert (cell -1).
    public var refusals: [CellRefusal]
    /// Nothing of the change entered; `refusals` say why.
    public var isRefused: Bool
    /// For the ledger: cells where somebody's value lost to a concurrent one, now or by a change of the winner.
    public var conflicts: [CellConflict]
    /// Cells whose open conflict is over: this write covers the winner and all losers (rule M7).
    public var resolved: [Int]
    /// A delete lost, now or after it had taken effect (rule D1).
    public var deletion: DeleteConflict?
    /// A higher incarnation replaced a lower one, or the change came for a lower one (rule D2).
    public var incarnation: IncarnationConflict?
    /// The record was dead and lives again.
    public var isRevived: Bool
    /// Why each cell is what it is now, in the order of the cells.
    public var decisions: [Decision]

    public init(state: RecordState?) {
        self.state = state
        refusals = []
        isRefused = false
        conflicts = []
        resolved = []
        deletion = nil
        incarnation = nil
        isRevived = false
        decisions = []
    }

    /// Cells of this change that lost to a concurrent write; the author is told (`NoticeCode.lost`).
    public var lostCells: [Int] { decisions.filter { $0.verdict == .lost && $0.cell >= 0 }.map(\.cell) }
}

/// A part of a change that was not taken.
public struct CellRefusal: Hashable, Sendable {
    /// ``Cell/tag``; -1 for the whole change.
    public var cell: Int
    public var code: NoticeCode
    /// More for a person: the field's name and what is wrong; never a value.
    public var detail: String

    public init(cell: Int = -1, code: NoticeCode, detail: String = "") {
        self.cell = cell
        self.code = code
        self.detail = detail
    }
}

/// Somebody and what they wrote.
public struct Claim: Hashable, Sendable {
    public var writer: Writer
    /// In the order of the cell's fields.
    public var values: [Value]

    public init(writer: Writer, values: [Value]) {
        self.writer = writer
        self.values = values
    }
}

/// Concurrent writes of one cell: what stands, and what does not.
public struct CellConflict: Hashable, Sendable {
    /// ``Cell/tag``.
    public var cell: Int
    public var rule: Decision.Rule
    /// Its values stand in the row.
    public var winner: Claim
    /// All values that are not covered and do not stand, also those that lost before; earliest first.
    public var losers: [Claim]
    /// Those among `losers` that lost by this change.
    public var newlyLost: [CommitID]
    /// What the author of the incoming write saw, where the commit carries it (texts).
    public var base: [Value]?
    /// A person should settle it (`open`); otherwise it is `noted`.
    public var isOpen: Bool
}

/// Deletes that gave way.
public struct DeleteConflict: Hashable, Sendable {
    /// The deletes that lost, earliest first; never empty.
    public var losers: [Writer]
    /// What they had not seen, earliest first. Empty where only children were in the way.
    public var winners: [Writer]
    /// The record has children that live.
    public var hasLivingChildren: Bool
}

/// Writes to an earlier life of the record that do not stand.
public struct IncarnationConflict: Hashable, Sendable {
    public var winner: Writer
    /// Whose writes are not in the row; earliest first.
    public var losers: [Writer]
    /// What they had written: the former row, or the change's cells (of a counter the delta, of a set the additions).
    public var values: [FieldValue]
}

/// Why a cell, or the record (`cell` -1), is what it is: the answer to `why`.
public struct Decision: Hashable, Sendable {
    public enum Rule: String, Hashable, Sendable, CaseIterable {
        /// The author had seen what was there.
        case causal
        /// Concurrent, and the values are equal: nobody lost.
        case equal
        case lww, review, counter, set, max, min, once, rank, text, server
        /// A text that could not be merged by lines, settled like `lww`.
        case textConflict = "text-conflict"
        /// Won against Lost (rule M2).
        case wonOrLost = "won-or-lost"
        case insert, delete, incarnation, undo, revive
    }

    public enum Verdict: String, Hashable, Sendable, CaseIterable {
        case applied, won, lost, merged, refused
        /// A later write that had seen this one was here first (rule I7.4).
        case late
    }

    public var cell: Int
    public var rule: Rule
    public var verdict: Verdict
    /// The writers that it replaced, beat, met or lost to; earliest first.
    public var others: [Writer]

    public init(cell: Int = -1, rule: Rule, verdict: Verdict, others: [Writer] = []) {
        self.cell = cell
        self.rule = rule
        self.verdict = verdict
        self.others = others
    }
}

extension Decision.Rule {
    init(_ policy: Policy) {
        switch policy {
        case .lww: self = .lww
        case .review: self = .review
        case .counter: self = .counter
        case .set: self = .set
        case .max: self = .max
        case .min: self = .min
        case .once: self = .once
        case .rank: self = .rank
        case .text: self = .text
        case .server: self = .server
        }
    }
}
