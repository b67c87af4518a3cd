import CoreFoundation

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Something that takes the workload: plain SQLite, or a replica.
protocol Engine {
    associatedtype Row: RowWriter
    /// One transaction; for a replica, one sealed commit.
    func transaction(_ body: (Row) throws -> Void) throws
}

/// Binds and runs one of the workload's 20 statements (see ``Workload/sql(_:)``).
protocol RowWriter {
    func bind(_ statement: Int, _ column: Int32, _ value: Generator.Made) throws
    func run(_ statement: Int) throws
}

/// W1 and W2 of the measure: inserts, and updates of single fields.
enum Workload {
    static let tables = ["customer", "opportunity"]
    static let fields = [
        ["name", "phone", "email", "city", "segment", "owner", "notes", "created_at", "updated_at"],
        ["customer_id", "title", "stage", "amount", "currency", "probability", "close_date", "owner", "next_step"],
    ]
    static let types = [
        "TEXT TEXT TEXT TEXT TEXT TEXT TEXT INTEGER INTEGER".split(separator: " "),
        "TEXT TEXT TEXT REAL TEXT INTEGER TEXT TEXT TEXT".split(separator: " "),
    ]
    /// The index that a replica does not make by itself.
    static let closeDateIndex = "CREATE INDEX bench_close ON opportunity(close_date)"
    static let customerIndex = "CREATE INDEX bench_customer ON opportunity(customer_id)"

    static let statementCount = 20

    /// 0 and 1 insert into a table; 2 + 9·table + field updates one field.
    static func sql(_ statement: Int) -> String {
        if statement < 2 {
            let names = (["id"] + fields[statement]).joined(separator: ", ")
            return "INSERT INTO \(tables[statement])(\(names)) VALUES (?,?,?,?,?,?,?,?,?,?)"
        }
        let table = (statement - 2) / 9
        return "UPDATE \(tables[table]) SET \(fields[table][(statement - 2) % 9]) = ? WHERE id = ?"
    }

    /// W1: `count` customers and as many opportunities.
    static func insert(_ engine: some Engine, count: Int, perTransaction: Int) throws {
        var generator = Generator(seed: 42, count: count)
        defer { generator.free() }
        for table in 0..<2 {
            for start in stride(from: 0, to: count, by: perTransaction) {
                try engine.transaction { row in
                    for index in start..<min(start + perTransaction, count) {
                        try row.bind(table, 1, .text(generator.id(kind: table + 1, index: index)))
                        for field in 0..<9 {
                            try row.bind(table, Int32(field) + 2, generator.value(table: table, field: field))
                        }
                        try row.run(table)
                    }
                }
            }
        }
    }

    /// W2: `updates` changes of one field of a random record.
    static func update(_ engine: some Engine, count: Int, updates: Int, perTransaction: Int, seed: UInt64) throws {
        var generator = Generator(seed: seed, count: count)
        defer { generator.free() }
        for start in stride(from: 0, to: updates, by: perTransaction) {
            try engine.transaction { row in
                for _ in start..<min(start + perTransaction, updates) {
                    let table = generator.draw(2)
                    var field = generator.draw(9)
                    if table == 1, field == 0 { field = 2 }
                    if table == 0, field > 6 { field = 1 }
                    let record = generator.draw(count)
                    let statement = 2 + 9 * table + field
                    try row.bind(statement, 1, generator.value(table: table, field: field))
                    try row.bind(statement, 2, .text(generator.id(kind: table + 1, index: record)))
                    try row.run(statement)
                }
            }
        }
    }
}

/// Seconds of wall clock and of processor time of this process.
struct Measure {
    var wall: Double
    var processor: Double

    static func of(_ body: () throws -> Void) rethrows -> Measure {
        let before = (now(CLOCK_MONOTONIC), now(CLOCK_PROCESS_CPUTIME_ID))
        try body()
        return Measure(wall: now(CLOCK_MONOTONIC) - before.0, processor: now(CLOCK_PROCESS_CPUTIME_ID) - before.1)
    }

    static func of(_ body: () async throws -> Void) async rethrows -> Measure {
        let before = (now(CLOCK_MONOTONIC), now(CLOCK_PROCESS_CPUTIME_ID))
        try await body()
        return Measure(wall: now(CLOCK_MONOTONIC) - before.0, processor: now(CLOCK_PROCESS_CPUTIME_ID) - before.1)
    }

    private static func now(_ clock: clockid_t) -> Double {
        var time = timespec()
        clock_gettime(clock, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
