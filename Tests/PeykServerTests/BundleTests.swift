import PeykMerge
import PeykModel
import PeykServer
import Testing

@Suite("Bundles, and the store against itself")
struct BundleTests {
    private func done(_ reply: AdminReply) throws -> JSON {
        switch reply {
        case .done(let document): return document
        case .failed(let failure): throw failure
        }
    }

    @Test(
        "every merge that met a record comes to the same again, with its values and without them", arguments: 1...6)
    func replay(seed: Int) throws {
        var world = try PropertyTests.World(seed: UInt64(500 + seed))
        for _ in 0..<150 { try world.step() }
        try world.quiet()
        let admin = Admin(world.office.workspace)
        let keys = Set(try world.office.log().flatMap(\.effects).map(\.key)).filter { $0.table != Schema.ledgerIndex }
        var merges = 0
        for key in keys.sorted() {
            let table = Sample.schema.tables[key.table].name
            let place = AdminRequest.RecordPlace(table: table, record: key.record.description)
            for withValues in [true, false] {
                guard let lines = try? done(admin.run(.bundle(place, withValues: withValues))).arrayValue else {
                    continue
                }
                // Through text, as it would travel.
                let read = try lines.map { try JSON(parsing: Array($0.text.utf8)) }
                for merge in try RecordBundle.replay(read) {
                    merges += 1
                    #expect(merge.isSame, "seed \(seed) \(table)/\(key.record) at \(merge.position): \(merge)")
                }
            }
        }
        #expect(merges > 40, "seed \(seed): \(merges)")
    }

    @Test("a store is whole after any run, and a row that was changed beside the log is named", arguments: 1...3)
    func verify(seed: Int) throws {
        var world = try PropertyTests.World(seed: UInt64(600 + seed))
        for _ in 0..<120 { try world.step() }
        try world.quiet()
        let workspace = world.office.workspace
        let good = try done(Admin(workspace).run(.verify))
        #expect(good["good"]?.boolValue == true, "\(good)")
        let customer = try #require(Sample.schema.tableIndex("customer"))
        try workspace.store.write { transaction in
            var first: (RecordID, StoredRecord)?
            try transaction.records(of: customer, after: nil) { id, record in
                first = (id, record)
                return false
            }
            guard case (let id, var record)? = first else { return }
            record.state.row[0] = .text("rot")
            try transaction.put(record, at: RecordKey(table: customer, record: id))
        }
        let bad = try done(Admin(workspace).run(.verify))
        #expect(bad["good"]?.boolValue == false && bad["problems"]?.arrayValue?.count == 1, "\(bad)")
    }
}
