import PeykModel
import PeykSQLite

/// What a record was before the local transaction, put together from its capture rows.
struct CaptureFormer {
    /// Nil until the first capture row tells.
    private(set) var existed: Bool?
    private var values: [Int: Value] = [:]
    private var isComplete = false
    private let fieldCount: Int

    init(fieldCount: Int) { self.fieldCount = fieldCount }

    /// From an encoded ``BeforeImage``; no bytes stand for an update that changed nothing.
    init(fieldCount: Int, image: [UInt8]) {
        self.fieldCount = fieldCount
        existed = true
        var reader = ByteReader(image)
        // Written by this process a moment ago: it can be read.
        switch try? BeforeImage(from: &reader) {
        case .absent: existed = false
        case .fields(let fields): for field in fields { values[field.field] = field.value }
        case .row(let row):
            for field in 0..<fieldCount { values[field] = row[field] }
            isComplete = true
        case nil: break
        }
    }

    /// Takes in the next capture row of the record; rows come in the order of writing, and the first word on a
    /// field counts.
    mutating func add(_ op: CaptureKind, changed: (Int) -> Bool, value: (Int) -> Value) {
        guard existed != false, !isComplete else { return }
        switch op {
        case .insert:
            if existed == nil { existed = false }
        case .update:
            existed = true
            for field in 0..<fieldCount where changed(field) && values[field] == nil { values[field] = value(field) }
        case .delete, .met:
            existed = true
            for field in 0..<fieldCount where values[field] == nil { values[field] = value(field) }
            isComplete = true
        }
    }

    /// The former row; nil where there was none. Fields that no capture row names are as in `present`.
    func row(present: Row?) -> Row? {
        guard existed == true else { return nil }
        // Without a present row there was a delete, and with it the whole row.
        return Row((0..<fieldCount).map { values[$0] ?? present?[$0] ?? .null })
    }

    /// Reads the former states of the wanted records of one table in one pass.
    static func read(
        _ wanted: Set<UUIDBits>, _ layout: TableLayout, _ connection: Connection
    ) throws -> [UUIDBits: CaptureFormer] {
        let masks = (0..<layout.maskCount).map { ", m\($0)" }.joined()
        let befores = (0..<layout.fieldCount).map { ", b\($0)" }.joined()
        let statement = try connection.statement(
            "SELECT op, record\(masks)\(befores) FROM \(TableLayout.quoted(layout.captureName)) ORDER BY n")
        defer { statement.reset() }
        let firstBefore = 2 + layout.maskCount
        var found: [UUIDBits: CaptureFormer] = [:]
        while try statement.step() {
            guard let op = CaptureKind(rawValue: statement.int64(0)),
                let record = UUIDBits(canonical: statement.bytes(unsafe: 1)), wanted.contains(record)
            else { continue }
            found[record, default: CaptureFormer(fieldCount: layout.fieldCount)].add(
                op,
                changed: { field in
                    let mask = statement.int64(Int32(2 + field / TableLayout.maskBits))
                    return mask & (1 << Int64(field % TableLayout.maskBits)) != 0
                },
                value: { statement.value(Int32(firstBefore + $0)) })
        }
        return found
    }
}
