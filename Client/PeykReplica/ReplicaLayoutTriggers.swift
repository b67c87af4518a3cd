import PeykModel
import PeykSQLite

/// What a capture row says happened.
enum CaptureKind: Int64, Sendable {
    case insert = 1
    case update = 2
    case delete = 3
    /// An INSERT or an UPDATE of an id is about to meet this row: SQLite may remove it without firing a trigger.
    case met = 4
}

/// Capture (design §4): persistent triggers in plain SQL, so that writes of every program are seen.
///
/// A capture row is `(n, nonce, op, rid, record, m0…, b0…)`: the nonce tells one write from another, also in copies
/// of the file (``SealIdentity``); the rowid is a hint for a quick join and is checked against `record` at sealing,
/// since VACUUM may renumber rows; the masks name the columns whose former values are kept.
extension TableLayout {
    private static let unmuted = "NOT EXISTS (SELECT 1 FROM peyk_mute)"

    private var masks: [String] { (0..<maskCount).map { "m\($0)" } }
    private var befores: [String] { (0..<fieldCount).map { "b\($0)" } }

    private func fields(ofMask mask: Int) -> Range<Int> {
        mask * Self.maskBits..<min(fieldCount, (mask + 1) * Self.maskBits)
    }

    /// All bits of the mask.
    private func whole(_ mask: Int) -> String {
        let count = fields(ofMask: mask).count
        return String(count <= 0 ? 0 : (UInt64(1) << UInt64(count)) - 1)
    }

    private func list(_ parts: [String]...) -> String { parts.joined().joined(separator: ", ") }

    /// The triggers' tables and triggers; for the ledger, guards against writes that the server did not send.
    var triggers: [String] {
        table.isLedger
            ? guards : ["CREATE TABLE \(Self.quoted(captureName))(\(captureColumns))"] + forms + captures
    }

    var triggerRemoval: [String] {
        let kinds = table.isLedger ? ["gi", "gu", "gd"] : ["ci", "cu", "ai", "bi", "au", "ak", "bk", "ad"]
        return kinds.map { "DROP TRIGGER IF EXISTS \(triggerName($0))" }
            + (table.isLedger ? [] : ["DROP TABLE IF EXISTS \(Self.quoted(captureName))"])
    }

    private func triggerName(_ kind: String) -> String { Self.quoted("peyk_\(kind)_\(name)") }

    private var captureColumns: String {
        let nonce = "nonce INTEGER NOT NULL DEFAULT (random())"
        return list(["n INTEGER PRIMARY KEY", nonce, "op INTEGER", "rid INTEGER", "record TEXT"], masks, befores)
    }

    private var guards: [String] {
        [("gi", "INSERT"), ("gu", "UPDATE"), ("gd", "DELETE")].map { kind, event in
            """
            CREATE TRIGGER \(triggerName(kind)) BEFORE \(event) ON \(Self.quoted(name)) WHEN \(Self.unmuted)
            BEGIN SELECT RAISE(ABORT, '\(ReplicaError.ledgerProblem)'); END
            """
        }
    }

    /// Rule K3: ids and references without a foreign key have the canonical form. By triggers, since a CHECK of 36
    /// characters would cost a sixth of an INSERT also where ``LiveCapture`` sees to it.
    private var forms: [String] {
        let soft = table.fields.indices.filter { codings[$0].check == .id }.map { columns[$0] }
        let malformed = (["id"] + soft).map { "NOT (\(Self.isID("new.\($0)")))" }.joined(separator: " OR ")
        let events = ["ci": "INSERT", "cu": "UPDATE OF " + (["id"] + soft).joined(separator: ", ")]
        return events.sorted { $0.key < $1.key }.map { kind, event in
            """
            CREATE TRIGGER \(triggerName(kind)) BEFORE \(event) ON \(Self.quoted(name)) WHEN \(malformed)
            BEGIN SELECT RAISE(ABORT, '\(ReplicaError.idProblem)'); END
            """
        }
    }

    private var captures: [String] {
        let user = Self.quoted(name)
        let target = Self.quoted(captureName)
        let wholeMasks = (0..<maskCount).map { whole($0) }
        let columnsOfRow = list(["op", "rid", "record"], masks, befores)
        func old(_ op: CaptureKind) -> String {
            list(["\(op.rawValue)", "old.rowid", "old.id"], wholeMasks, columns.map { "old.\($0)" })
        }
        let met = list(["\(CaptureKind.met.rawValue)", "rowid", "id"], wholeMasks, columns)
        let changedMasks = (0..<maskCount).map { mask in
            fields(ofMask: mask).enumerated().map { bit, field in
                let differs = "(old.\(columns[field]) IS NOT new.\(columns[field]))"
                // In SQLite all bit operators bind alike, so each term has its parentheses.
                return bit == 0 ? differs : "(\(differs) << \(bit))"
            }.joined(separator: " | ")
        }.map { $0.isEmpty ? "0" : $0 }
        let changedBefores = columns.map { "iif(old.\($0) IS new.\($0), NULL, old.\($0))" }
        let inserted = "INSERT INTO \(target)(op, rid, record) VALUES (1, new.rowid, new.id)"
        // The usual INSERT meets nothing: its condition is one look into the index. The flag is read after that.
        // A row with another id but the rowid that the INSERT names would be replaced, too.
        let sameRow = "new.rowid IS NOT -1 AND EXISTS (SELECT 1 FROM \(user) WHERE rowid = new.rowid)"
        return [
            "CREATE TRIGGER \(triggerName("ai")) AFTER INSERT ON \(user) WHEN \(Self.unmuted) BEGIN \(inserted); END",
            """
            CREATE TRIGGER \(triggerName("bi")) BEFORE INSERT ON \(user)
            WHEN EXISTS (SELECT 1 FROM \(user) WHERE id = new.id) OR (\(sameRow))
            BEGIN INSERT INTO \(target)(\(columnsOfRow)) SELECT \(met) FROM \(user)
            WHERE \(Self.unmuted) AND (id = new.id OR (new.rowid IS NOT -1 AND rowid = new.rowid)); END
            """,
            """
            CREATE TRIGGER \(triggerName("au")) AFTER UPDATE ON \(user) WHEN \(Self.unmuted) AND old.id IS new.id
            BEGIN INSERT INTO \(target)(\(columnsOfRow))
            VALUES (\(list(["\(CaptureKind.update.rawValue)", "new.rowid", "old.id"], changedMasks, changedBefores))); END
            """,
            """
            CREATE TRIGGER \(triggerName("bk")) BEFORE UPDATE OF id ON \(user)
            WHEN \(Self.unmuted) AND old.id IS NOT new.id
            BEGIN INSERT INTO \(target)(\(columnsOfRow)) SELECT \(met) FROM \(user) WHERE id = new.id; END
            """,
            """
            CREATE TRIGGER \(triggerName("ak")) AFTER UPDATE OF id ON \(user)
            WHEN \(Self.unmuted) AND old.id IS NOT new.id
            BEGIN INSERT INTO \(target)(\(columnsOfRow)) VALUES (\(old(.delete))); \(inserted); END
            """,
            """
            CREATE TRIGGER \(triggerName("ad")) AFTER DELETE ON \(user) WHEN \(Self.unmuted)
            BEGIN INSERT INTO \(target)(\(columnsOfRow)) VALUES (\(old(.delete))); END
            """,
        ]
    }
}

extension ReplicaError {
    fileprivate static let ledgerProblem = "the ledger is written by the server; settle entries instead"

    fileprivate static let idProblem = "an id is not a UUID of 36 lower-case characters"

    /// What the triggers for the form of ids say.
    static func malformedID(_ table: String) -> ReplicaError { .refusedBySQLite(table: table, problem: idProblem) }

    /// What the ledger's guards say.
    static var ledgerIsReadOnly: ReplicaError { .refusedBySQLite(table: "the replica", problem: ledgerProblem) }
}
