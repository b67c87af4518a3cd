import Foundation
import PeykModel
import PeykReplica

/// A replica that takes the workload through the library's public calls: one `write` is one sealed commit.
struct ReplicaEngine: Engine {
    /// The workload's tables, as a workspace would declare them. `customer_id` is a reference, so it is indexed;
    /// `owner` is a name, so the records are nobody's: managers hold them all.
    static let schema = Schema(
        version: 1,
        tables: zip(Workload.tables, zip(Workload.fields, Workload.types)).map { name, columns in
            let fields = zip(columns.0, columns.1).map { field, type in
                switch (field, type) {
                case ("customer_id", _): Field(field, .reference(table: "customer"))
                case (_, "INTEGER"): Field(field, .integer)
                case (_, "REAL"): Field(field, .double)
                default: Field(field, .text)
                }
            }
            return Table(name, .root(AudienceFields(), lends: nil), fields: fields)
        })

    let replica: Replica

    func transaction(_ body: (ReplicaRow) throws -> Void) throws {
        try replica.write { write in try body(ReplicaRow(write: write)) }
    }

    /// Bytes of the file after everything is in it.
    func size() throws -> Int {
        let path = Replica.databasePath(replica.home)
        try checkpoint(path)
        return fileSize(path)
    }
}

/// The statements of one transaction, prepared as the plain side's are.
final class ReplicaRow: RowWriter {
    private static let sql = (0..<Workload.statementCount).map { Workload.sql($0) }

    private let write: LocalWrite
    private var statements = [LocalStatement?](repeating: nil, count: Workload.statementCount)

    init(write: LocalWrite) { self.write = write }

    private func statement(_ number: Int) throws -> LocalStatement {
        if let known = statements[number] { return known }
        let made = try write.prepare(Self.sql[number])
        statements[number] = made
        return made
    }

    func bind(_ statement: Int, _ column: Int32, _ value: Generator.Made) throws {
        let statement = try self.statement(statement)
        switch value {
        case .text(let bytes): try statement.bind(Int(column), utf8: bytes)
        case .integer(let number): try statement.bind(Int(column), integer: number)
        case .real(let number): try statement.bind(Int(column), real: number)
        }
    }

    func run(_ statement: Int) throws { try self.statement(statement).run() }
}
