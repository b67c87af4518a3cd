public import PeykModel
import PeykSQLite

/// A statement of a local write, prepared once and run many times with other values: the quick way to write many
/// records. Belongs to the closure of the write that made it.
///
/// ```swift
/// try replica.write { write in
///     let insert = try write.prepare("INSERT INTO customer(id, name) VALUES (?, ?)")
///     for name in names { try insert.run([Value(write.newID()), .text(name)]) }
/// }
/// ```
public final class LocalStatement {
    private let statement: Statement
    private let write: LocalWrite

    init(_ statement: Statement, _ write: LocalWrite) {
        self.statement = statement
        self.write = write
    }

    /// Sets a parameter; they count from 1, and keep their values between runs. The value is copied.
    public func bind(_ index: Int, _ value: Value) throws { try statement.bind(Int32(clamping: index), value) }

    /// Sets a parameter to text, from its UTF-8.
    public func bind(_ index: Int, utf8: UnsafeBufferPointer<UInt8>) throws {
        try statement.bind(Int32(clamping: index), text: utf8)
    }

    public func bind(_ index: Int, integer: Int64) throws {
        try statement.bind(Int32(clamping: index), int64: integer)
    }

    public func bind(_ index: Int, real: Double) throws { try statement.bind(Int32(clamping: index), double: real) }

    /// Runs it with the values that are set.
    ///
    /// - Throws: ``ReplicaError``; then this statement changed nothing.
    public func run() throws {
        try write.watching(nil) { try statement.run() }
    }

    /// Sets the first parameters, and runs it.
    public func run(_ values: [Value]) throws {
        try statement.bind(values)
        try run()
    }
}

/// What a statement is, as far as a local write must know.
enum SQLVerb {
    /// Reads or writes rows.
    case rows
    /// SAVEPOINT, RELEASE or ROLLBACK TO: may take back what was captured.
    case savepoint
    /// Would end the transaction, which is the commit's own.
    case transaction
    /// Tables, triggers, pragmas and the like.
    case other

    init(_ sql: String) {
        var words = Words(sql)
        switch words.next() {
        case "insert", "update", "delete", "replace", "select", "with", "values": self = .rows
        case "savepoint", "release": self = .savepoint
        case "begin", "commit", "end": self = .transaction
        case "rollback":
            var following = words.next()
            if following == "transaction" { following = words.next() }
            self = following == "to" ? .savepoint : .transaction
        default: self = .other
        }
    }

    /// The leading words of a statement, in lower case; comments are left out.
    private struct Words {
        private var rest: Substring.UTF8View

        init(_ text: String) { rest = Substring(text).utf8 }

        mutating func next() -> String {
            skip()
            let word = rest.prefix { $0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A }
            rest = rest.dropFirst(word.count)
            return String(decoding: word.map { $0 | 0x20 }, as: UTF8.self)
        }

        private mutating func skip() {
            while let first = rest.first {
                if first <= 0x20 || first == 0x3B {
                    rest = rest.dropFirst()
                } else if first == 0x2D, rest.dropFirst().first == 0x2D {
                    rest = rest.drop { $0 != 0x0A }
                } else if first == 0x2F, rest.dropFirst().first == 0x2A {
                    rest = rest.dropFirst(2)
                    while let at = rest.first, !(at == 0x2A && rest.dropFirst().first == 0x2F) {
                        rest = rest.dropFirst()
                    }
                    rest = rest.dropFirst(2)
                } else {
                    return
                }
            }
        }
    }
}
