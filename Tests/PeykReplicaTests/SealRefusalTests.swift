import Foundation
import PeykModel
import PeykReplica
import Testing

@Suite("What a library write may not do", .bothCaptures)
struct SealRefusalTests {
    let sandbox = CaptureSandbox()

    private func made() throws -> Replica {
        let replica = try sandbox.create()
        try replica.write { write in
            try write.insert(into: "customer", id: id(1), ["name": .text("a"), "phone": .text("1")])
            try write.insert(into: "deal", id: id(2), ["customer_id": Value(id(1)), "stage": .text("lead")])
            try write.insert(into: "activity", id: id(3), ["customer_id": Value(id(1)), "what": .text("call")])
        }
        return replica
    }

    @Test(
        "values are refused with the field’s name (K3)",
        arguments: [
            ("name", Value.null, ValueError.required), ("name", .integer(3), .wrongType(expected: "text")),
            ("name", .text("a\0b"), .nulInText), ("since", .text("2026-02-30"), .notADate),
            ("tags", .text("vip"), .notASet), ("active", .integer(2), .wrongType(expected: "bool")),
            ("rating", .real(.nan), .notANumber), ("region_id", .text("ABC"), .notAnID),
        ])
    func values(_ field: String, _ value: Value, _ problem: ValueError) throws {
        let replica = try made()
        #expect(throws: ReplicaError.invalidValue(table: "customer", field: field, problem: problem)) {
            try replica.write { try $0.update("customer", id(1), [field: value]) }
        }
        #expect(try SealedView.all(replica).count == 1)
    }

    @Test(
        "SQL is held to the same rules",
        arguments: [
            "INSERT INTO customer(id, name) VALUES ('not-an-id', 'x')",
            "INSERT INTO customer(id, name) VALUES ('\(id(9))', NULL)",
            "UPDATE customer SET name = 'a' || char(0) || 'b'", "UPDATE customer SET active = 7",
            "UPDATE customer SET since = '2026-13-01'", "UPDATE customer SET tags = '{}'",
            "UPDATE deal SET stage = 'dreaming'", "UPDATE customer SET visits = NULL",
            "UPDATE customer SET phone = x'00'", "UPDATE customer SET visits = 'many'",
            "UPDATE customer SET phone = CAST(x'ff41' AS TEXT)", "UPDATE customer SET rank_by_server = 1",
            "UPDATE customer SET fax = '1'", "UPDATE activity SET what = 'other'",
            "UPDATE deal SET owner_id = 'someone'", "DELETE FROM peyk_ledger WHERE 1",
            "INSERT INTO contact(id, customer_id, name) VALUES ('\(id(9))', '\(id(99))', 'x')",
        ])
    func sql(_ statement: String) throws {
        let replica = try made()
        if statement.hasPrefix("DELETE FROM peyk_ledger") {
            // Nothing there to delete: the guard fires for each row.
            try replica.write { try $0.execute(statement) }
        } else {
            #expect(throws: ReplicaError.self) { try replica.write { try $0.execute(statement) } }
        }
        #expect(try SealedView.all(replica).count == 1)
        #expect(try replica.issues().isEmpty)
        try replica.write { try $0.update("customer", id(1), ["name": .text("goes on")]) }
        #expect(try SealedView.all(replica).count == 2)
    }

    @Test("a declared-unique value that a visible row has is refused (D4)")
    func unique() throws {
        let replica = try made()
        #expect(throws: ReplicaError.notUnique(table: "customer", fields: ["phone"], existing: id(1))) {
            try replica.write { try $0.insert(into: "customer", id: id(5), ["name": .text("b"), "phone": .text("1")]) }
        }
        try replica.write { write in
            try write.insert(into: "customer", id: id(5), ["name": .text("b")])
            try write.insert(into: "customer", id: id(6), ["name": .text("c")])
        }
        #expect(throws: ReplicaError.notUnique(table: "customer", fields: ["phone"], existing: id(1))) {
            try replica.write { try $0.update("customer", id(5), ["phone": .text("1")]) }
        }
    }

    @Test("references are named when they do not hold")
    func references() throws {
        let replica = try made()
        #expect(
            throws: ReplicaError.missingReference(
                table: "contact", record: id(9), field: "customer_id", target: "customer")
        ) {
            try replica.write {
                try $0.insert(into: "contact", id: id(9), ["customer_id": Value(id(99)), "name": .text("x")])
            }
        }
        #expect(throws: ReplicaError.stillReferred(table: "customer", record: id(1), by: "deal")) {
            try replica.write { try $0.delete("customer", id(1)) }
        }
        #expect(throws: ReplicaError.self) {
            try replica.write { try $0.execute("DELETE FROM customer WHERE id = ?1", [Value(id(1))]) }
        }
        #expect(try replica.read { try $0.row("customer", id(1)) } != nil)
    }

    @Test("unknown tables, fields and records are named")
    func unknown() throws {
        let replica = try made()
        #expect(throws: ReplicaError.unknownTable("nothing")) {
            try replica.write { try $0.insert(into: "nothing", [:]) }
        }
        #expect(throws: ReplicaError.unknownField(table: "customer", field: "color")) {
            try replica.write { try $0.update("customer", id(1), ["color": .text("red")]) }
        }
        #expect(throws: ReplicaError.unknownRecord(table: "customer", record: id(77).description)) {
            try replica.write { try $0.update("customer", id(77), ["name": .text("x")]) }
        }
        #expect(throws: ReplicaError.appendOnly(table: "activity", record: id(3))) {
            try replica.write { try $0.update("activity", id(3), ["what": .text("x")]) }
        }
    }

    @Test("an error in the middle leaves nothing behind")
    func rollsBack() throws {
        struct Stop: Error {}
        let replica = try made()
        #expect(throws: Stop.self) {
            try replica.write { write in
                try write.update("customer", id(1), ["name": .text("lost")])
                throw Stop()
            }
        }
        #expect(try replica.read { try $0.row("customer", id(1)) }?[0] == .text("a"))
        #expect(try replica.write { _ in }.commit == nil)
    }

    @Test("reads refuse to write")
    func readOnly() throws {
        let replica = try made()
        #expect(throws: ReplicaError.readOnly) { try replica.read { try $0.rows("DELETE FROM customer") } }
        let other = try Replica.open(sandbox.home, environment: sandbox.environment, readOnly: true)
        #expect(try other.read { try $0.row("customer", id(1)) } != nil)
        #expect(throws: (any Error).self) { try other.write { try $0.delete("activity", id(3)) } }
    }

    @Test("whole rides along as an operation (M6)")
    func whole() throws {
        let replica = try made()
        try replica.write(whole: true) { try $0.update("customer", id(1), ["name": .text("b")]) }
        try replica.write { try $0.operation(.settle, table: "peyk_ledger", record: id(50)) }
        let commits = try SealedView.all(replica)
        #expect(commits[1].body.operations == [Operation(kind: .whole)])
        #expect(commits[2].body.operations == [Operation(kind: .settle, table: 0, record: id(50))])
        #expect(commits[2].body.changes.isEmpty)
    }
}
