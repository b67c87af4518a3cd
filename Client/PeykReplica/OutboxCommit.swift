import PeykModel
import PeykSQLite

/// One row of `peyk_commit`.
///
/// `seq` is the key and the order in which pending commits lie over the confirmed rows. The present site's
/// commits have their own seq there; merged ones of a former site have negative keys; those that wait for
/// `pending confirm` (rule D7) have no dot yet and keys from ``heldBase`` on.
struct OutboxCommit {
    enum State: Int64, Sendable {
        case pending = 0
        /// Durable on the server, not yet seen in the stream.
        case acknowledged = 1
        /// Seen in the stream; kept until a backup covers it (rule I10).
        case merged = 2
        /// Waits for `pending confirm` (rule D7); has no dot.
        case held = 3
        /// The server keeps it until what it needs arrives (rule A3).
        case waiting = 4
        /// Merged in a history that is gone, and offered again (rule I8). The rows still show it: it lies over them
        /// only when a snapshot has replaced them.
        case returning = 5
    }

    static let heldBase: Sequence64 = 1 << 61

    /// What the server has not acknowledged, as a condition.
    static let unsent = "(state IN (0, 3) OR state = 5 AND position IS NULL)"

    var seq: Sequence64
    var id: CommitID
    var site: SiteID
    var stamp: HLC
    /// Number in `peyk_lineage`.
    var lineage: Int64
    var anchor: Position
    /// The whole clock, where it says more than lineage, anchor and the site's earlier dots.
    var clock: [UInt8]?
    var state: State
    var edits: Int64
    var position: Position?
    var receipt: [UInt8]
    var sealed: [UInt8]
    /// Encoded ``BeforeImage``s, one for each change.
    var before: [UInt8]

    /// What the server said of it, where that was more than "merged as written".
    var answer: Answer?

    static let columns =
        "seq, id, site, stamp, lineage, anchor, clock, state, edits, position, receipt, sealed, before, answer"

    /// Reads a row selected with ``columns``.
    init(_ statement: Statement) throws {
        seq = statement.int64(0)
        guard let id = CommitID(bytes: statement.blob(1)), let state = State(rawValue: statement.int64(7)) else {
            throw ReplicaError.damaged("commit \(statement.int64(0)) cannot be read")
        }
        self.id = id
        site = SiteID(rawValue: UInt64(bitPattern: statement.int64(2)))
        stamp = HLC(rawValue: UInt64(bitPattern: statement.int64(3)))
        lineage = statement.int64(4)
        anchor = statement.int64(5)
        clock = statement.isNull(6) ? nil : statement.blob(6)
        self.state = state
        edits = statement.int64(8)
        position = statement.isNull(9) ? nil : statement.int64(9)
        receipt = statement.blob(10)
        sealed = try statement.unpacked(11)
        before = try statement.unpacked(12)
        answer = statement.isNull(13) ? nil : try? Answer(stored: statement.blob(13))
    }

    /// The vector clock under which it was sealed (rule I7.1).
    func vectorClock(_ meta: Meta) throws -> VectorClock {
        if let clock { return try VectorClock(decoding: clock) }
        return VectorClock(
            lineage: try meta.lineage(id: lineage), anchor: anchor,
            dots: seq > 1 && seq < Self.heldBase ? [Dot(site: site, seq: seq - 1)] : [])
    }

    func sealedCommit(_ meta: Meta) throws -> SealedCommit {
        SealedCommit(
            id: id,
            envelope: Envelope(
                dot: Dot(site: site, seq: seq), stamp: stamp, clock: try vectorClock(meta), receipt: receipt,
                formerAnswer: answer.flatMap { $0.isRefusal ? $0 : nil }),
            sealed: sealed)
    }

    func body() throws -> CommitBody { try CommitBody(decoding: sealed) }
    func beforeImages() throws -> [BeforeImage] { try BeforeImage.list(decoding: before) }
}

/// What a change replaced here: enough to find the confirmed row under pending edits, and to undo.
enum BeforeImage: Hashable, Sendable {
    /// The record did not exist: an insert.
    case absent
    /// The former values of the fields that the change wrote.
    case fields([FieldValue])
    /// The whole former row of a delete.
    case row(Row)

    func encode(to writer: inout ByteWriter) {
        switch self {
        case .absent: writer.byte(0)
        case .fields(let fields):
            writer.byte(1)
            writer.count(fields.count)
            for field in fields {
                writer.count(field.field)
                writer.value(field.value)
            }
        case .row(let row):
            writer.byte(2)
            row.encode(to: &writer)
        }
    }

    init(from reader: inout ByteReader) throws(DecodeError) {
        switch try reader.byte() {
        case 0: self = .absent
        case 1:
            var fields: [FieldValue] = []
            for _ in 0..<(try reader.count()) {
                let field = try reader.index()
                fields.append(FieldValue(field: field, value: try reader.value()))
            }
            self = .fields(fields)
        case 2: self = .row(try Row(from: &reader))
        default: throw .malformed("unknown kind of a former value")
        }
    }

    /// One for each change of the commit, in the same order.
    static func list(decoding bytes: [UInt8]) throws(DecodeError) -> [BeforeImage] {
        var reader = ByteReader(bytes)
        var images: [BeforeImage] = []
        while !reader.isAtEnd { images.append(try BeforeImage(from: &reader)) }
        return images
    }

    /// The row before the change, from the row after it. Exact while nothing else has written the row since.
    func unwind(_ row: Row?) -> Row? {
        switch self {
        case .absent: return nil
        case .row(let former): return former
        case .fields(let fields):
            guard var former = row else { return nil }
            for field in fields { former[field.field] = field.value }
            return former
        }
    }
}
