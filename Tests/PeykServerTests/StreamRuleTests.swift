import PeykModel
import PeykServer
import PeykSession
import PeykWire
import Testing

@Suite("What the stream says, and what it does not")
struct StreamRuleTests {
    /// What the device heard of one record, in order.
    private func heard(_ device: Device, _ table: String, _ id: RecordID) -> [Effect.Kind] {
        device.heard.flatMap(\.effects).filter { $0.key == Sample.key(table, id) }.map(\.kind)
    }

    @Test("M3: a counter's sum and a set's elements are in the stream, never what was added to them")
    func values() throws {
        let team = try Team()
        func write(_ device: Device, _ visits: Int64, _ tag: String) {
            device.set("customer", team.customer, ["visits": .integer(visits), "tags": .text("[\"\(tag)\"]")])
        }
        write(team.ann, 2, "a")
        write(team.ben, 3, "b")
        try team.ann.sync()
        try team.manager.sync()
        try team.ben.sync()
        team.manager.heard = []
        try team.manager.sync()
        let visits = Sample.field("customer", "visits")
        let tags = Sample.field("customer", "tags")
        let told: [Effect.Kind] = [
            .delta([FieldValue(field: tags, value: "[\"a\",\"b\"]"), FieldValue(field: visits, value: 5)])
        ]
        #expect(heard(team.manager, "customer", team.customer) == told)
        try team.syncAll()
        try team.check()
    }

    @Test("W-7: an effect is a whole row on entering, a delta within, and an evict or a delete on leaving")
    func effects() throws {
        let team = try Team()
        let new = Sample.id(501)
        team.ann.insert("customer", new, ["name": "New", "territory_id": Value(Office.north)])
        try team.syncAll()
        guard case .full(let row, _) = heard(team.ben, "customer", new).first else {
            Issue.record("a record that is new to Ben is not whole")
            return
        }
        #expect(row == (try team.office.row("customer", new)))
        team.ben.heard = []
        team.manager.set("customer", team.customer, ["phone": "1"])
        try team.manager.sync()
        team.manager.set("customer", team.customer, ["territory_id": Value(Office.south)])
        team.manager.commit([Sample.delete("opportunity", team.deal)])
        try team.manager.sync()
        try team.ben.sync()
        let phone = FieldValue(field: Sample.field("customer", "phone"), value: "1")
        // She still sees the customer that moved, as long as a deal of hers is under it: the evict comes with its end.
        #expect(heard(team.ben, "customer", team.customer).first == .delta([phone]))
        #expect(heard(team.ben, "customer", team.customer).last == .evict(.moved))
        #expect(heard(team.ben, "opportunity", team.deal) == [.delete])
        try team.syncAll()
        try team.check()
    }

    @Test("B3: what a position wrote is named with its commit, also where no value changed (W-7)")
    func touched() throws {
        let team = try Team()
        let loser = team.ann.set("customer", team.customer, ["name": "Ann's"])
        team.office.time.advance(1_000)
        team.ben.set("customer", team.customer, ["name": "Ben's"])
        try team.ben.sync()
        try team.manager.sync()
        team.manager.heard = []
        try team.ann.sync()
        try team.manager.sync()
        let entry = try #require(team.manager.heard.first { $0.commit == loser.id })
        #expect(entry.effects.first { $0.key == Sample.key("customer", team.customer) }?.kind == .touched)
        #expect(team.manager.value("customer", team.customer, "name") == "Ben's")
        // Both are uncovered, so a whole record names both.
        let manager = try #require(team.manager.context)
        let records = try team.office.workspace.records([Sample.key("customer", team.customer)], for: manager)
        guard case .full(_, let writers) = records.effects.first?.kind else {
            Issue.record("not whole: \(records.effects)")
            return
        }
        #expect(writers.contains(loser.id) && writers.count >= 2)
        #expect(try pageWriters(team)[team.customer] == writers)
    }

    @Test("B3: writers at or below the backup horizon are not named: no restore can lose them")
    func horizon() throws {
        let team = try Team()
        let write = team.ann.set("customer", team.customer, ["name": "Ann's"])
        try team.syncAll()
        #expect(try pageWriters(team)[team.customer]?.contains(write.id) == true)
        let epoch = try #require(try team.office.store.read { try $0.workspaceDocument().lineage.epoch })
        let head = try team.office.workspace.head()
        try team.office.workspace.note(
            BackupsDocument.Item(path: "/b", position: head, epoch: epoch, time: team.office.time.now, bytes: 1),
            keep: 1)
        #expect(try pageWriters(team).isEmpty)
        let late = team.ann.set("customer", team.customer, ["phone": "7"])
        try team.ann.sync()
        #expect(try pageWriters(team) == [team.customer: [late.id]])
    }

    private static func mark(_ welcome: Welcome, table: Int) -> BackfillMark {
        BackfillMark(
            scope: HeldScope(buckets: welcome.grant.read, version: welcome.grant.version), table: table, last: nil,
            firstPosition: 0, lastPosition: 0)
    }

    /// Of the customers on a page for the manager: whose uncovered writers it names.
    private func pageWriters(_ team: Team) throws -> [RecordID: [CommitID]] {
        let welcome = try team.manager.connect()
        let context = try #require(team.manager.context)
        let mark = Self.mark(welcome, table: Sample.table("customer"))
        let page = try team.office.workspace.page(for: context, after: mark)
        var found: [RecordID: [CommitID]] = [:]
        try RowPageReader(page.payload).forEachRow { if !$0.writers.isEmpty { found[$0.id] = Array($0.writers) } }
        return found
    }

    @Test("W-6: a batch joins the one before, and closes at its bytes or at 1,000 entries")
    func batches() throws {
        let team = try Team()
        let start = team.ben.cursor
        let count = SessionLimits.batchEntries + 5
        let row = team.ann.shown("customer", team.customer)
        for number in 0..<count {
            team.ann.commit([Sample.update("customer", team.customer, ["phone": .text("\(number)")], on: row)])
        }
        try team.ann.sync()
        try team.ben.connect()
        let context = try #require(team.ben.context)
        let head = start + Position(count)
        var position = start
        var sizes: [Int] = []
        while position < head {
            let batch = try team.office.workspace.batch(for: context, from: position, bytesMax: .max)
            #expect(batch.from == position && batch.head == head)
            #expect(batch.entries.map(\.position) == Array(position + 1...batch.to), "without a gap")
            sizes.append(batch.entries.count)
            position = batch.to
        }
        #expect(sizes == [SessionLimits.batchEntries, 5])
        let small = try team.office.workspace.batch(for: context, from: start, bytesMax: 1)
        #expect(small.to == start + 1 && small.entries.count == 1, "one goes alone, however large")
        let usual = try team.office.workspace.batch(for: context, from: start)
        let bytes = WireCodec.encode(.batch(usual)).count
        #expect(bytes <= SessionLimits.batchBytes && bytes > SessionLimits.batchBytes / 4, "\(bytes)")
    }

    @Test("W-8: a page is of one table, in id order, of at most 2,000 rows, and the last says so")
    func pages() throws {
        let office = try Office()
        let count = SessionLimits.pageRows + 3
        try office.act(
            (0..<count).map { Sample.insert("customer", Sample.id(UInt64(50_000 - $0)), ["name": "x"]) })
        let manager = try office.device(try office.user(3, "Mona", .manager), key: 3)
        let welcome = try manager.connect()
        let context = try #require(manager.context)
        var mark = Self.mark(welcome, table: 0)
        var rows: [Int: [RecordID]] = [:]
        var largest = 0
        while true {
            let page = try office.workspace.page(for: context, after: mark)
            var ids: [RecordID] = []
            try RowPageReader(page.payload).forEachRow { ids.append($0.id) }
            #expect(ids.count == page.rowCount && page.position == welcome.head)
            largest = max(largest, ids.count)
            rows[page.table, default: []] += ids
            mark.table = page.endsTable ? page.table + 1 : page.table
            mark.last = page.endsTable ? nil : page.last
            #expect(page.endsTable || page.last == ids.last)
            if page.endsBackfill { break }
        }
        #expect(largest == SessionLimits.pageRows)
        #expect(rows[Sample.table("customer")]?.count == count)
        for ids in rows.values { #expect(ids == ids.sorted() && Set(ids).count == ids.count) }
    }

    @Test("S5: what happens outside a scope shows in how far the positions go, and in nothing else (P20)")
    func nothingButPositions() throws {
        /// What Ann hears, in bytes, while Sam of the south does one thing or another.
        func heard(_ deeds: (Device, Int) -> Void) throws -> [[UInt8]] {
            let border = try ScopeRuleTests.Border()
            var heard: [[UInt8]] = []
            for round in 0..<6 {
                deeds(border.sam, round)
                try border.sam.sync()
                border.office.time.advance(1_000)
                border.manager.set("customer", border.customer, ["phone": .text("\(round)")])
                try border.manager.sync()
                var welcome = try border.ann.connect()
                // Random, or a hash of the log that its MAC keeps shut: neither can be read back.
                welcome.nonce = []
                heard.append(WireCodec.encode(.welcome(welcome)))
                let context = try #require(border.ann.context)
                var batch = try border.office.workspace.batch(for: context, from: border.ann.cursor)
                batch.anchorToken = []
                #expect(batch.entries.map(\.dot.site) == [border.manager.site], "nobody of the south is named")
                heard.append(WireCodec.encode(.batch(batch)))
                let reply = try border.office.workspace.digest(DigestRequest(), for: context)
                heard.append(WireCodec.encode(.digest(reply)))
                try border.ann.pull()
                try border.ann.confirm()
            }
            return heard
        }
        let south: [String: Value] = ["name": "S", "territory_id": Value(Office.south)]
        let quiet = try heard { sam, round in sam.insert("customer", Sample.id(700 + UInt64(round)), south) }
        let busy = try heard { sam, round in
            switch round {
            case 0:
                sam.commit([
                    Sample.insert("customer", Sample.id(900), south),
                    Sample.insert("contact", Sample.id(901), ["name": "C", "customer_id": Value(Sample.id(900))]),
                ])
            case 1: sam.set("customer", Sample.id(900), ["phone": "5", "visits": 4])
            case 2: sam.commit([Sample.delete("contact", Sample.id(901)), Sample.delete("customer", Sample.id(900))])
            // Refused: a record of the north, one that does not exist, one that is given to nobody.
            case 3: sam.set("customer", Sample.id(500), ["name": "mine"])
            case 4: sam.set("customer", Sample.id(999), ["name": "none"])
            default: sam.insert("task", Sample.id(903), ["subject": "t", "owner_id": Value(sam.user)])
            }
        }
        #expect(quiet == busy)
    }

    @Test("T4: facts about devices ride on welcome, of those who share a bucket, and are in no log")
    func facts() throws {
        let border = try ScopeRuleTests.Border()
        let ben = try border.office.device(try border.office.user(4, "Ben", .rep, [Office.north]), key: 4)
        try ben.sync()
        ben.set("customer", border.customer, ["phone": "1"])
        ben.set("customer", border.customer, ["phone": "2"])
        border.office.time.advance(60_000)
        try ben.connect()
        let told = border.office.time.now
        let head = try border.office.workspace.head()
        let digest = { try border.ann.context.map { try border.office.workspace.digest(DigestRequest(), for: $0) } }
        let before = try digest()
        border.office.time.advance(60_000)
        let facts = try border.ann.connect().facts
        #expect(Set(facts.map(\.user)) == [border.ann.user, ben.user], "nobody of the south")
        let fact = try #require(facts.first { $0.site == ben.site })
        #expect(fact.pending == 2 && fact.lastContact == told && fact.userName == "Ben")
        #expect(try border.office.workspace.head() == head, "contact takes no position")
        #expect(try digest()?.parts == before?.parts)
        #expect(Set(try border.manager.connect().facts.map(\.user)).isSuperset(of: [border.sam.user, ben.user]))
    }
}
