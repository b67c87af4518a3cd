public import PeykModel

/// Cuts a range into parts of about equal counts while its records go by once, in id order, in constant memory: when
/// there are too many parts, neighbours are joined (rule T5).
///
/// A short range comes out as one part a record, so that a difference has a name.
public struct DigestParts: Sendable {
    private let range: DigestRange
    private let number: Int
    private var parts: [DigestReply.Part] = []
    /// Records of a full part.
    private var size: Int64 = 1

    /// - Parameter number: the index of the range in the request.
    public init(_ range: DigestRange, number: Int) {
        self.range = range
        self.number = number
    }

    public mutating func add(_ record: RecordID, _ digest: UInt64) {
        if let last = parts.last, last.count < size {
            parts[parts.count - 1].upTo = record
            parts[parts.count - 1].count += 1
            parts[parts.count - 1].digest &+= digest
            return
        }
        // One place is for the gap after the last record.
        if parts.count == SessionLimits.digestParts - 1 { join() }
        parts.append(
            DigestReply.Part(table: range.table, range: number, upTo: record, count: 1, digest: digest))
    }

    private mutating func join() {
        var joined: [DigestReply.Part] = []
        for index in stride(from: 0, to: parts.count, by: 2) {
            var part = parts[index]
            if index + 1 < parts.count {
                part.upTo = parts[index + 1].upTo
                part.count += parts[index + 1].count
                part.digest &+= parts[index + 1].digest
            }
            joined.append(part)
        }
        parts = joined
        size *= 2
    }

    /// All parts; the last ends where the range ends.
    public func finish() -> [DigestReply.Part] {
        if let last = parts.last, last.upTo == range.upTo { return parts }
        return parts + [DigestReply.Part(table: range.table, range: number, upTo: range.upTo, count: 0, digest: 0)]
    }
}

/// Finds the records in which two sides differ, by digests of ranges that are cut where they differ.
///
/// A pure value: ask what ``next()`` says, compare, and tell it with ``found(_:)``, until ``next()`` is nil. With `d`
/// records that differ among `n` it takes O(log n) questions for each 64 of them, some KB each.
public struct DigestDescent: Sendable {
    /// What one comparison found.
    public struct Finding: Hashable, Sendable {
        /// Ranges that differ and hold more than one record of the server.
        public var ranges: [DigestRange]
        public var records: [RecordKey]

        public init(ranges: [DigestRange] = [], records: [RecordKey] = []) {
            self.ranges = ranges
            self.records = records
        }
    }

    private var isBegun = false
    private var open: [DigestRange] = []
    /// What differs, so far.
    public private(set) var records: Set<RecordKey> = []
    public private(set) var questions = 0
    /// There are more than ``recordsMax``; the search was given up.
    public private(set) var isPartial = false

    /// More differences than these are no accident: a new snapshot is cheaper.
    public static let recordsMax = 100_000

    public init() {}

    public mutating func next() -> DigestRequest? {
        guard isBegun else {
            isBegun = true
            questions += 1
            return DigestRequest()
        }
        guard !open.isEmpty, !isPartial else { return nil }
        questions += 1
        let ranges = Array(open.suffix(SessionLimits.digestRanges))
        open.removeLast(ranges.count)
        return DigestRequest(ranges: ranges)
    }

    public mutating func found(_ finding: Finding) {
        open += finding.ranges
        records.formUnion(finding.records)
        if records.count > Self.recordsMax { isPartial = true }
    }
}
