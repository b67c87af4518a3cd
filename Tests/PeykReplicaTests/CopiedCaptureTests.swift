import Foundation
import PeykModel
import PeykSQLite
import Testing

@testable import PeykReplica

/// A file that is copied between a write of another program and its sealing (decision 0018, property P4).
@Suite("Captured and copied", .enabled(if: CaptureSandbox.hasSQLite3))
struct CopiedCaptureTests {
    let sandbox = CaptureSandbox()

    private func made() throws {
        let replica = try sandbox.create()
        try replica.write { write in
            for number in 1...20 as ClosedRange<UInt64> {
                try write.insert(into: "region", id: id(number), ["name": .text("\(number)")])
            }
        }
        try replica.close()
    }

    /// The ids of the commits that each of two copies seals after the first, which is the library's.
    private func sealed(in first: CaptureSandbox, _ second: CaptureSandbox) throws -> ([CommitID], [CommitID]) {
        func ids(_ sandbox: CaptureSandbox) throws -> [CommitID] {
            let replica = try sandbox.open()
            defer { try? replica.close() }
            return try SealedView.all(replica).dropFirst().map(\.body.id)
        }
        return (try ids(first), try ids(second))
    }

    private func copied() throws -> CaptureSandbox {
        let copy = CaptureSandbox()
        try FileManager.default.copyItem(atPath: sandbox.home, toPath: copy.home)
        // Another laptop draws other numbers.
        for _ in 0..<7 { _ = copy.environment.random() }
        return copy
    }

    @Test(
        "is sealed under one id by both copies",
        arguments: [
            "UPDATE region SET name = 'x' WHERE name = '1'",
            "DELETE FROM region WHERE name = '2'; UPDATE region SET name = name || '!'",
            "INSERT INTO peyk_operation(kind, table_name, record_id) SELECT 'revive', 'region', id FROM region",
        ])
    func sameWrites(sql: String) throws {
        try made()
        try #require(try sandbox.sqlite3(sql).status == 0)
        let (first, second) = try sealed(in: sandbox, try copied())
        #expect(first.count == 1)
        #expect(first == second)
    }

    @Test("has another id where a copy wrote more, even the same again")
    func moreWrites() throws {
        try made()
        let more = "UPDATE region SET name = name || '!'"
        try sandbox.sqlite3(more)
        let copy = try copied()
        try sandbox.sqlite3(more)
        try copy.sqlite3(more)
        let (first, second) = try sealed(in: sandbox, copy)
        #expect(first.count == 1 && second.count == 1)
        #expect(first != second)
    }

    @Test("has one id for each commit where it is cut, which follow from what is captured")
    func manyCommits() throws {
        let replica = try sandbox.create()
        try replica.write { write in
            for number in 1...20 as ClosedRange<UInt64> {
                try write.insert(into: "region", id: id(number), ["name": .text("\(number)")])
            }
        }
        replica.state.commitBytesMax = 10_000
        try sandbox.sqlite3("UPDATE region SET name = name || '\(String(repeating: "x", count: 1_000))'")
        let region = try #require(replica.state.layout.tables.first { $0.name == "region" })
        var identity = try #require(try replica.database.read { try SealIdentity($0, [region]) })
        let commits = try replica.seal().commits
        #expect(commits.count >= 3 && Set(commits).count == commits.count)
        #expect(commits == commits.map { _ in identity.next() })
    }
}
