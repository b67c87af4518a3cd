import Foundation
import PeykModel
import PeykSQLite
import Synchronization
import Testing

@testable import PeykReplica

@Suite("Sealing at its limits", .bothCaptures)
struct SealLimitsTests {
    let sandbox = CaptureSandbox()

    @Test("a library write over the limit is refused whole (A5)")
    func tooLarge() throws {
        let replica = try sandbox.create()
        replica.state.commitBytesMax = 20_000
        #expect(throws: ReplicaError.self) {
            try replica.write { write in
                for number in 1...1_000 as ClosedRange<UInt64> {
                    try write.insert(into: "region", id: id(number), ["name": .text("r\(number)")])
                }
            }
        }
        #expect(try replica.read { try $0.value("SELECT count(*) FROM region") } == .integer(0))
        #expect(try replica.write { try $0.insert(into: "region", id: id(1), ["name": .text("r")]) }.seq == 1)
    }

    @Test(
        "what another program wrote at once becomes several commits, in order", .enabled(if: CaptureSandbox.hasSQLite3))
    func splits() throws {
        let replica = try sandbox.create()
        replica.state.commitBytesMax = 20_000
        try sandbox.sqlite3(
            """
            WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 2000)
            INSERT INTO region(id, name)
            SELECT '01900000-0000-7000-8000-' || printf('%012x', n), 'r' || n FROM c
            """)
        let summary = try replica.seal()
        #expect(summary.changes == 2_000)
        #expect(summary.commits.count > 3)
        let commits = try replica.outbox(after: 0, bytesMax: .max).commits
        #expect(commits.map(\.envelope.dot.seq) == (1...Int64(summary.commits.count)).map { $0 })
        #expect(commits.allSatisfy { $0.sealed.count <= 20_000 })
        #expect(zip(commits, commits.dropFirst()).allSatisfy { $0.envelope.stamp < $1.envelope.stamp })
        let records = try commits.flatMap { try CommitBody(decoding: $0.sealed).changes.map(\.record) }
        #expect(records == (1...2_000 as ClosedRange<UInt64>).map { id($0) })
        // In slices, as a push takes them.
        let slice = try replica.outbox(after: 1, bytesMax: 1)
        #expect(slice.commits.map(\.envelope.dot.seq) == [2] && slice.hasMore)
    }

    @Test("writes to a record under a fault are refused until it is fetched (K7)")
    func fault() throws {
        let replica = try sandbox.create()
        try replica.write { write in
            try write.insert(into: "region", id: id(1), ["name": .text("a")])
            try write.insert(into: "region", id: id(2), ["name": .text("b")])
        }
        func mark(_ sql: String) throws {
            try replica.changing { try $0.run(sql, [.integer(1), .blob(id(1).bytes)]) }
        }
        try mark("INSERT INTO peyk_fault(tbl, record) VALUES (?1, ?2)")
        #expect(throws: ReplicaError.recordAtFault(table: "region", record: id(1))) {
            try replica.write { try $0.update("region", id(1), ["name": .text("z")]) }
        }
        try replica.write { try $0.update("region", id(2), ["name": .text("z")]) }
        try mark("DELETE FROM peyk_fault WHERE tbl = ?1 AND record = ?2")
        try replica.write { try $0.update("region", id(1), ["name": .text("z")]) }
        #expect(try SealedView.all(replica).count == 3)
    }

    @Test("muted writes are not captured, and others before and after are (K4)")
    func muted() throws {
        let replica = try sandbox.create()
        try replica.changing { connection in
            try replica.muted(connection) {
                try connection.run("INSERT INTO region(id, name) VALUES (?1, 'confirmed')", [Value(id(1))])
            }
        }
        let result = try replica.write { try $0.update("region", id(1), ["name": .text("mine")]) }
        #expect(result.seq == 1)
        let made = try #require(result.commit)
        let commit = try #require(try replica.reading { try OutboxCommit.find(made, $0) })
        #expect(try commit.beforeImages() == [.fields([FieldValue(field: 0, value: .text("confirmed"))])])
        #expect(
            BeforeImage.fields([FieldValue(field: 0, value: .text("confirmed"))]).unwind(Row([.text("mine")]))
                == Row([.text("confirmed")]))
    }

    @Test("the offset of the last hello holds while wall and boot clock move together (C4)")
    func offset() throws {
        let replica = try sandbox.create()
        try replica.changing { connection in
            let meta = Meta(connection: connection)
            try meta.set(.clockOffset, 90_000)
            try meta.set(.clockBase, 1_700_000_000_000)
        }
        try replica.write { try $0.insert(into: "region", id: id(1), ["name": .text("a")]) }
        #expect(try SealedView.all(replica).last?.stamp == HLC(milliseconds: 1_800_000_090_000))
        // Another base, as after a change of the clock by hand: the wall clock counts again.
        try replica.changing { try Meta(connection: $0).set(.clockBase, 1_600_000_000_000) }
        sandbox.clock.withLock { $0 += 1_000_000 }
        try replica.write { try $0.insert(into: "region", id: id(2), ["name": .text("a")]) }
        #expect(try SealedView.all(replica).last?.stamp == HLC(milliseconds: 1_800_001_000_000))
    }

    @Test("a commit’s vector clock is the anchor, the own dots and the ids under former dots (C5)")
    func vectorClock() throws {
        let replica = try sandbox.create()
        let epoch = Epoch(bits: UUIDBits(high: 1, low: 2))
        let lineage = Lineage([Era(epoch: epoch, after: 0)])
        let former = CommitID(bits: UUIDBits(high: 3, low: 4))
        try replica.write { try $0.insert(into: "region", id: id(1), ["name": .text("a")]) }
        try replica.changing { connection in
            let meta = Meta(connection: connection)
            try meta.set(lineage: lineage)
            try meta.set(.cursor, 40)
            try meta.set(former: [former])
        }
        try replica.write { try $0.insert(into: "region", id: id(2), ["name": .text("a")]) }
        try replica.changing { connection in
            try Meta(connection: connection).set(former: [])
            try Meta(connection: connection).set(.cursor, 41)
        }
        try replica.write { try $0.insert(into: "region", id: id(3), ["name": .text("a")]) }
        let own = { (seq: Sequence64) in Dot(site: CaptureSandbox.site, seq: seq) }
        #expect(
            try SealedView.all(replica).map(\.clock) == [
                VectorClock(lineage: Lineage([]), anchor: 0),
                VectorClock(lineage: lineage, anchor: 40, dots: [own(1)], former: [former]),
                VectorClock(lineage: lineage, anchor: 41, dots: [own(2)]),
            ])
    }

    @Test("a schema change adds fields, words and tables, and capture goes on (T2)")
    func migrates() throws {
        let first = try sandbox.create()
        let second = try sandbox.open()
        try first.write { try $0.insert(into: "deal", id: id(1), ["stage": .text("lead")]) }
        var tables = Array(CaptureSandbox.schema.ownTables)
        let deal = tables[3]
        var fields = deal.fields
        fields[1].type = .enumeration(CaptureSandbox.stages + ["parked"])
        fields.append(Field("probability", .integer, default: .integer(10)))
        fields.append(Field("partner_id", .reference(table: "customer")))
        tables[3] = Table(deal.name, deal.kind, fields: fields)
        tables.append(Table("product", .reference, fields: [Field("name", .text)]))
        let next = Schema(version: 2, tables: tables)
        try first.changing { try first.migrate($0, to: next) }
        #expect(first.schema == next)
        // The other handle learns of it by itself.
        try second.write { write in
            try write.update("deal", id(1), ["stage": .text("parked"), "probability": .integer(30)])
            try write.insert(into: "product", id: id(2), ["name": .text("pump")])
        }
        #expect(second.schema == next)
        let last = try #require(try SealedView.all(first).last)
        #expect(last.body.schemaVersion == 2)
        #expect(
            last.body.changes == [
                Change(
                    table: 7, record: id(2), kind: .insert,
                    cells: [CellChange(cell: 0, write: .assign([.text("pump")]))]),
                Change(
                    table: 4, record: id(1), kind: .update,
                    cells: [
                        CellChange(cell: 1, write: .assign([.text("parked")])),
                        CellChange(cell: 5, write: .assign([.integer(30)])),
                    ]),
            ])
        #expect(throws: ReplicaError.self) {
            try first.write { try $0.execute("UPDATE deal SET stage = 'nowhere'") }
        }
        #expect(throws: ReplicaError.self) {
            try first.changing { try first.migrate($0, to: Schema(version: 3, tables: [])) }
        }
        #expect(try first.read { try $0.row("deal", id(1)) }?[5] == .integer(30))
    }
}
