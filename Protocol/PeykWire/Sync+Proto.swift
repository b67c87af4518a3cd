import PeykModel
import PeykSession

// The messages of an open session (sync.proto).

extension ProtoPush {
    init(_ push: Push) {
        self.init()
        var table = LineageTable()
        commits = push.commits.map { commit in
            var proto = ProtoSealedCommit()
            let envelope = commit.envelope
            proto.id = commit.id.data
            proto.site = envelope.dot.site.rawValue
            proto.seq = envelope.dot.seq
            proto.stamp = envelope.stamp.rawValue
            proto.clock = ClockCodec.encode(envelope.clock, of: envelope.dot.site, &table).data
            proto.receipt = envelope.receipt.data
            proto.sealed = commit.sealed.data
            if let answer = envelope.formerAnswer { proto.formerAnswer = ProtoAnswer(answer) }
            return proto
        }
        lineages = table.lineages.map { ProtoLineage($0) }
    }

    func model() throws(DecodeError) -> Push {
        let lineages = try lineages.model()
        var list: [SealedCommit] = []
        list.reserveCapacity(commits.count)
        for proto in commits {
            let dot = Dot(site: SiteID(rawValue: proto.site), seq: try proto.seq.natural("a seq"))
            let clock = try ClockCodec.decode([UInt8](proto.clock), of: dot.site, lineages)
            let envelope = Envelope(
                dot: dot, stamp: HLC(rawValue: proto.stamp), clock: clock,
                receipt: try proto.receipt.bytes(atMost: FieldLimits.receipt, "a receipt"),
                formerAnswer: proto.hasFormerAnswer ? try proto.formerAnswer.model() : nil)
            let sealed = try proto.sealed.bytes(atMost: SealedCommit.bytesMax, "a commit")
            list.append(SealedCommit(id: try proto.id.id("a commit's id"), envelope: envelope, sealed: sealed))
        }
        return Push(commits: list)
    }
}

extension ProtoNames {
    init(_ names: Names) {
        self.init()
        items = names.items.map { ProtoWitness($0) }
        isLast = names.isLast
    }

    func model() throws(DecodeError) -> Names {
        guard items.count <= SessionLimits.namesItems else {
            throw .malformed("\(items.count) names, more than \(SessionLimits.namesItems)")
        }
        var list: [Witness] = []
        list.reserveCapacity(items.count)
        for proto in items { list.append(try proto.model()) }
        return Names(items: list, isLast: isLast)
    }
}

extension ProtoAcknowledge {
    init(_ acknowledge: Acknowledge) {
        self.init()
        items = acknowledge.items.map { item in
            var proto = ProtoAcknowledge.Item()
            proto.seq = item.seq
            proto.commit = item.commit.data
            proto.position = item.position
            proto.receipt = item.receipt.data
            return proto
        }
        credit = acknowledge.credit
        if let seq = acknowledge.expect { expect = seq }
        retryAfter = acknowledge.retryAfter ?? 0
    }

    func model() throws(DecodeError) -> Acknowledge {
        var list: [Acknowledge.Item] = []
        list.reserveCapacity(items.count)
        for proto in items {
            list.append(
                Acknowledge.Item(
                    seq: try proto.seq.natural("a seq"), commit: try proto.commit.id("a commit's id"),
                    position: try proto.position.natural("a position"),
                    receipt: try proto.receipt.bytes(atMost: FieldLimits.receipt, "a receipt")))
        }
        return Acknowledge(
            items: list, credit: try credit.natural("a credit"),
            expect: hasExpect ? try expect.natural("a seq") : nil,
            retryAfter: retryAfter == 0 ? nil : try retryAfter.natural("a time"))
    }
}

extension ProtoEntry {
    init(_ entry: Batch.Entry, _ table: inout LineageTable) {
        self.init()
        position = entry.position
        site = entry.dot.site.rawValue
        seq = entry.dot.seq
        commit = entry.commit.data
        stamp = entry.stamp.rawValue
        user = entry.user.data
        clock = ClockCodec.encode(entry.clock, of: entry.dot.site, &table).data
        if !entry.effects.isEmpty { effects = EffectCodec.encode(entry.effects).data }
        if let own = entry.yours {
            var proto = ProtoYours()
            if !own.answer.isPlain { proto.answer = ProtoAnswer(own.answer) }
            proto.digest = own.digest
            yours = proto
        }
    }

    func model(_ lineages: [Lineage]) throws(DecodeError) -> Batch.Entry {
        let dot = Dot(site: SiteID(rawValue: site), seq: try seq.natural("a seq"))
        let own = hasYours ? Batch.Yours(answer: try yours.answer.model(), digest: yours.digest) : nil
        return Batch.Entry(
            position: try position.natural("a position"), dot: dot, commit: try commit.id("a commit's id"),
            stamp: HLC(rawValue: stamp), user: try user.optionalID("a user's id"),
            clock: try ClockCodec.decode([UInt8](clock), of: dot.site, lineages), effects: try effects.effects(),
            yours: own)
    }
}

extension [ProtoEntry] {
    func model(_ lineages: [Lineage]) throws(DecodeError) -> [Batch.Entry] {
        var list: [Batch.Entry] = []
        list.reserveCapacity(count)
        for proto in self { list.append(try proto.model(lineages)) }
        return list
    }
}

extension ProtoBatch {
    init(_ batch: Batch) {
        self.init()
        var table = LineageTable()
        from = batch.from
        to = batch.to
        entries = batch.entries.map { ProtoEntry($0, &table) }
        lineages = table.lineages.map { ProtoLineage($0) }
        stamp = batch.stamp.rawValue
        backupHorizon = batch.backupHorizon
        anchorToken = batch.anchorToken.data
        head = batch.head
        isWhole = batch.isWhole
    }

    func model() throws(DecodeError) -> Batch {
        Batch(
            from: try from.natural("a position"), to: try to.natural("a position"),
            entries: try entries.model(try lineages.model()), stamp: HLC(rawValue: stamp),
            backupHorizon: try backupHorizon.natural("a position"),
            anchorToken: try anchorToken.bytes(atMost: FieldLimits.token, "an anchor's token"),
            head: try head.natural("a position"), isWhole: isWhole)
    }
}

extension ProtoPage {
    init(_ page: Page) {
        self.init()
        table = UInt32(wire: page.table)
        rowCount = UInt32(wire: page.rowCount)
        payload = page.payload.data
        rawBytes = UInt32(wire: page.rawBytes)
        position = page.position
        last = page.last.data
        endsTable = page.endsTable
        endsBackfill = page.endsBackfill
        remaining = page.remaining
        lastMerged = page.lastMerged
    }

    func model() throws(DecodeError) -> Page {
        Page(
            table: try table.index("a table"), rowCount: try rowCount.index("a count of rows"),
            payload: [UInt8](payload), rawBytes: try rawBytes.atMost(SessionLimits.frameBytes, "a page's size"),
            position: try position.natural("a position"), last: try last.optionalID("a record's id"),
            endsTable: endsTable, endsBackfill: endsBackfill, remaining: try remaining.natural("a count"),
            lastMerged: try lastMerged.natural("a seq"))
    }
}

extension ProtoRecords {
    init(_ records: Records) {
        self.init()
        position = records.position
        if !records.effects.isEmpty { effects = EffectCodec.encode(records.effects).data }
    }

    func model() throws(DecodeError) -> Records {
        Records(position: try position.natural("a position"), effects: try effects.effects())
    }
}

extension ProtoFetch {
    init(_ keys: [RecordKey]) {
        self.init()
        self.keys = keys.map { ProtoRecordKey($0) }
    }

    func model() throws(DecodeError) -> [RecordKey] {
        guard keys.count <= SessionLimits.fetchKeys else {
            throw .malformed("\(keys.count) records asked for, more than \(SessionLimits.fetchKeys)")
        }
        var list: [RecordKey] = []
        list.reserveCapacity(keys.count)
        for proto in keys { list.append(try proto.model()) }
        return list
    }
}

extension ProtoDigestRequest {
    init(_ request: DigestRequest) {
        self.init()
        ranges = request.ranges.map { range in
            var proto = ProtoDigestRange()
            proto.table = UInt32(wire: range.table)
            proto.after = range.after.data
            proto.upTo = range.upTo.data
            return proto
        }
    }

    func model() throws(DecodeError) -> DigestRequest {
        guard ranges.count <= SessionLimits.digestRanges else {
            throw .malformed("\(ranges.count) ranges asked for, more than \(SessionLimits.digestRanges)")
        }
        var list: [DigestRange] = []
        list.reserveCapacity(ranges.count)
        for proto in ranges {
            list.append(
                DigestRange(
                    table: try proto.table.index("a table"), after: try proto.after.optionalID("a record's id"),
                    upTo: try proto.upTo.optionalID("a record's id")))
        }
        return DigestRequest(ranges: list)
    }
}

extension ProtoDigestReply {
    init(_ reply: DigestReply) {
        self.init()
        position = reply.position
        parts = reply.parts.map { part in
            var proto = ProtoDigestReply.Part()
            proto.table = UInt32(wire: part.table)
            proto.range = UInt32(wire: part.range)
            proto.upTo = part.upTo.data
            proto.count = part.count
            proto.digest = part.digest
            return proto
        }
    }

    func model() throws(DecodeError) -> DigestReply {
        var list: [DigestReply.Part] = []
        list.reserveCapacity(parts.count)
        for proto in parts {
            list.append(
                DigestReply.Part(
                    table: try proto.table.index("a table"), range: try proto.range.index("a range"),
                    upTo: try proto.upTo.optionalID("a record's id"), count: try proto.count.natural("a count"),
                    digest: proto.digest))
        }
        return DigestReply(position: try position.natural("a position"), parts: list)
    }
}

extension ProtoHistoryRequest {
    init(_ request: HistoryRequest) {
        self.init()
        key = ProtoRecordKey(request.key)
    }

    func model() throws(DecodeError) -> HistoryRequest { HistoryRequest(key: try key.model()) }
}

extension ProtoHistoryReply {
    init(_ reply: HistoryReply) {
        self.init()
        var table = LineageTable()
        key = ProtoRecordKey(reply.key)
        since = reply.since
        entries = reply.entries.map { ProtoEntry($0, &table) }
        lineages = table.lineages.map { ProtoLineage($0) }
    }

    func model() throws(DecodeError) -> HistoryReply {
        HistoryReply(
            key: try key.model(), since: try since.natural("a position"),
            entries: try entries.model(try lineages.model()))
    }
}
