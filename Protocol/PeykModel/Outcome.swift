/// One field and its value after an outcome.
public struct FieldValue: Hashable, Sendable {
    /// Index in the table's fields.
    public var field: Int
    public var value: Value

    public init(field: Int, value: Value) {
        self.field = field
        self.value = value
    }
}

/// Why a record leaves a replica without being deleted.
public enum EvictReason: UInt8, Hashable, Sendable {
    /// The record moved to a territory, owner or parent outside the grant.
    case moved = 0
    /// The grant shrank.
    case grant = 1
}

/// What one position did to one record, as one session sees it (rules M3, S3). Carries values, never operations.
public struct Effect: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        /// The whole row, with the ids of its uncovered writers above the backup horizon (rule B3).
        case full(Row, writers: [CommitID])
        /// The fields that changed. Only for a record that the replica holds.
        case delta([FieldValue])
        case delete
        case evict(EvictReason)
        /// Written without a change of value (rule B3).
        case touched
    }

    public var key: RecordKey
    public var kind: Kind

    public init(key: RecordKey, kind: Kind) {
        self.key = key
        self.kind = kind
    }
}

/// What the server says to the author about a commit beside its effects (rules A1, A2).
public struct Answer: Hashable, Sendable {
    public enum Verdict: UInt8, Hashable, Sendable {
        /// Merged as written, or with the notices listed.
        case merged = 0
        /// Nothing of it was taken.
        case refused = 1
        /// Its id was known; this repeats the first answer.
        case known = 2
        /// Kept by the server until what it needs arrives (rule A3).
        case waiting = 3
    }

    public struct Notice: Hashable, Sendable {
        /// Index in the commit's changes; -1 for the commit as a whole.
        public var change: Int
        /// ``Cell/tag`` where one cell is meant; -1 for the whole change.
        public var cell: Int
        public var code: NoticeCode
        /// More for a person, or empty.
        public var detail: String

        public init(change: Int, cell: Int = -1, code: NoticeCode, detail: String = "") {
            self.change = change
            self.cell = cell
            self.code = code
            self.detail = detail
        }
    }

    public var verdict: Verdict
    public var notices: [Notice]
    /// The stamp that the commit was merged with, where it is not the one sent (rule C3).
    public var restamped: HLC?

    public init(verdict: Verdict = .merged, notices: [Notice] = [], restamped: HLC? = nil) {
        self.verdict = verdict
        self.notices = notices
        self.restamped = restamped
    }

    /// Merged as written: nothing that the author must be told.
    public var isPlain: Bool { verdict == .merged && notices.isEmpty && restamped == nil }
}

/// Why a change or a cell was not taken as written, or what else its author should know.
public struct NoticeCode: RawRepresentable, Hashable, Sendable {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    // Refused and parked.
    public static let scope = Self(rawValue: "scope")
    public static let unknownRecord = Self(rawValue: "unknown-record")
    public static let unknownParent = Self(rawValue: "unknown-parent")
    public static let needsParked = Self(rawValue: "needs-parked")
    public static let invalid = Self(rawValue: "invalid")
    public static let required = Self(rawValue: "required")
    public static let reference = Self(rawValue: "reference")
    public static let appendOnly = Self(rawValue: "append-only")
    public static let serverField = Self(rawValue: "server-field")
    public static let onceWritten = Self(rawValue: "once-written")
    public static let closedStage = Self(rawValue: "closed-stage")
    public static let builtUpon = Self(rawValue: "built-upon")
    public static let overflow = Self(rawValue: "overflow")
    public static let falseClaim = Self(rawValue: "false-claim")
    public static let retired = Self(rawValue: "retired")
    public static let whole = Self(rawValue: "whole")
    public static let failed = Self(rawValue: "failed")
    public static let schemaVersion = Self(rawValue: "schema-version")
    // Told, not refused.
    public static let handedOff = Self(rawValue: "handed-off")
    public static let lost = Self(rawValue: "lost")
    public static let deleteLost = Self(rawValue: "delete-lost")
    public static let duplicate = Self(rawValue: "duplicate")
    // Kept by the server until what it needs arrives (verdict ``Answer/Verdict/waiting``).
    public static let waitsForRecord = Self(rawValue: "waits-for-record")
    public static let deleteWaits = Self(rawValue: "delete-waits")
    public static let waitsForSchema = Self(rawValue: "waits-for-schema")

    /// Whether the change (or cell) did not enter and is the author's to settle.
    public var parks: Bool {
        switch self {
        case .handedOff, .lost, .deleteLost, .duplicate, .waitsForRecord, .waitsForSchema, .deleteWaits: false
        default: true
        }
    }

    /// One line for a person.
    public var explanation: String {
        switch self {
        case .scope: "you may not write this record (any more)"
        case .unknownRecord: "the record does not exist on the server"
        case .unknownParent: "the record that it belongs to does not exist on the server"
        case .needsParked: "it needs another change that was refused"
        case .invalid: "a value does not fit its field"
        case .required: "a field that must be filled is empty"
        case .reference: "it refers to a record that does not exist"
        case .appendOnly: "records of this table are added, never changed"
        case .serverField: "only the server writes this field"
        case .onceWritten: "this field is written once, and has a value"
        case .closedStage: "the opportunity is closed; reopen it first"
        case .builtUpon: "somebody has changed it since; undo with --force to overwrite"
        case .overflow: "the sum would be too large"
        case .falseClaim: "the commit claims to have seen what the server never sent"
        case .retired: "the field takes no new values"
        case .whole: "another part was refused, and all of it was to stand or fall together"
        case .failed: "the server could not take it; the server's log says why"
        case .schemaVersion: "it needs a newer schema than the server has"
        case .handedOff: "merged; the record belongs to somebody else now, who has what you wrote"
        case .lost: "a concurrent write won; yours is in the ledger"
        case .deleteLost: "the record was changed meanwhile, so it was not deleted"
        case .duplicate: "another record has the same value in what should be unique"
        case .waitsForRecord: "kept by the server; merged when the record that it needs comes back from its device"
        case .deleteWaits: "the records below it are still there; the delete takes effect when theirs come back"
        case .waitsForSchema: "kept by the server; merged when the server has the schema that it was written under"
        default: rawValue
        }
    }
}
