import PeykModel
import PeykSession

// Parts that several messages share (common.proto).

extension ProtoLineage {
    init(_ lineage: Lineage) {
        self.init()
        eras = lineage.eras.map { era in
            var proto = ProtoEra()
            proto.epoch = era.epoch.data
            proto.after = era.after
            return proto
        }
    }

    func model() throws(DecodeError) -> Lineage {
        guard eras.count <= FieldLimits.eras else { throw .malformed("a lineage of \(eras.count) epochs") }
        var list: [Era] = []
        list.reserveCapacity(eras.count)
        for era in eras {
            list.append(Era(epoch: try era.epoch.id("an epoch"), after: try era.after.natural("an epoch's start")))
        }
        return Lineage(list)
    }
}

extension [ProtoLineage] {
    func model() throws(DecodeError) -> [Lineage] {
        var list: [Lineage] = []
        for lineage in self { list.append(try lineage.model()) }
        return list
    }
}

extension ProtoRecordKey {
    init(_ key: RecordKey) {
        self.init()
        table = UInt32(wire: key.table)
        record = key.record.data
    }

    func model() throws(DecodeError) -> RecordKey {
        RecordKey(table: try table.index("a table"), record: try record.id("a record's id"))
    }
}

extension [String] {
    func buckets() throws(DecodeError) -> [Bucket] {
        guard count <= FieldLimits.buckets else { throw .malformed("a scope of \(count) buckets") }
        var list: [Bucket] = []
        list.reserveCapacity(count)
        for text in self { list.append(Bucket(text: try text.atMost(FieldLimits.name, "a bucket"))) }
        return list
    }
}

extension ProtoScope {
    init(_ scope: HeldScope) {
        self.init()
        buckets = scope.buckets.map(\.text)
        version = scope.version
    }

    func model() throws(DecodeError) -> HeldScope {
        HeldScope(buckets: try buckets.buckets(), version: version)
    }
}

extension ProtoGrant {
    init(_ grant: Grant) {
        self.init()
        read = grant.read.map(\.text)
        write = grant.write.map(\.text)
        version = grant.version
    }

    func model() throws(DecodeError) -> Grant {
        Grant(read: try read.buckets(), write: try write.buckets(), version: version)
    }
}

extension ProtoRole {
    init(_ role: Role) {
        switch role {
        case .rep: self = .rep
        case .manager: self = .manager
        case .admin: self = .admin
        case .viewer: self = .viewer
        }
    }

    func model() throws(DecodeError) -> Role {
        switch self {
        case .rep: .rep
        case .manager: .manager
        case .admin: .admin
        case .viewer: .viewer
        case .unspecified, .UNRECOGNIZED: throw .malformed("an unknown role")
        }
    }
}

extension ProtoRefusal {
    init(_ refusal: Refusal) {
        self.init()
        code = refusal.code.rawValue
        message = refusal.message
        retryAfter = refusal.retryAfter ?? 0
        if let seq = refusal.handInAfter { handInAfter = seq }
    }

    func model() throws(DecodeError) -> Refusal {
        let word = try code.atMost(FieldLimits.word, "a code")
        return Refusal(
            RefusalCode(rawValue: word), try message.atMost(FieldLimits.message, "a message"),
            retryAfter: retryAfter == 0 ? nil : try retryAfter.natural("a time"),
            handInAfter: hasHandInAfter ? try handInAfter.natural("a seq") : nil)
    }
}

extension ProtoAnswer {
    init(_ answer: Answer) {
        self.init()
        switch answer.verdict {
        case .merged: verdict = .merged
        case .refused: verdict = .refused
        case .known: verdict = .known
        case .waiting: verdict = .waiting
        }
        notices = answer.notices.map { notice in
            var proto = ProtoAnswer.Notice()
            proto.change = Int32(clamping: notice.change)
            proto.cell = Int32(clamping: notice.cell)
            proto.code = notice.code.rawValue
            proto.detail = notice.detail
            return proto
        }
        if let stamp = answer.restamped { restamped = stamp.rawValue }
    }

    func model() throws(DecodeError) -> Answer {
        var list: [Answer.Notice] = []
        list.reserveCapacity(notices.count)
        for notice in notices {
            guard notice.change >= -1, notice.cell >= -1 else { throw .malformed("a notice about no change") }
            let code = NoticeCode(rawValue: try notice.code.atMost(FieldLimits.word, "a code"))
            list.append(
                Answer.Notice(
                    change: Int(notice.change), cell: Int(notice.cell), code: code, detail: notice.detail))
        }
        let stamp = hasRestamped ? HLC(rawValue: restamped) : nil
        switch verdict {
        case .merged: return Answer(verdict: .merged, notices: list, restamped: stamp)
        case .refused: return Answer(verdict: .refused, notices: list, restamped: stamp)
        case .known: return Answer(verdict: .known, notices: list, restamped: stamp)
        case .waiting: return Answer(verdict: .waiting, notices: list, restamped: stamp)
        case .UNRECOGNIZED: throw .malformed("an unknown answer")
        }
    }
}
