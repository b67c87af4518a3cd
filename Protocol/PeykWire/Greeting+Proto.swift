import PeykModel
import PeykSession

// The messages before a session is open (greeting.proto), but for hello and welcome.

extension ProtoChallenge {
    init(_ challenge: Challenge) {
        self.init()
        nonce = challenge.nonce.data
        workspace = challenge.workspace
        serverTime = challenge.serverTime
        versionMin = UInt32(wire: challenge.versions.lowerBound)
        versionMax = UInt32(wire: challenge.versions.upperBound)
    }

    func model() throws(DecodeError) -> Challenge {
        let lowest = try versionMin.index("a version")
        let highest = try versionMax.index("a version")
        guard lowest <= highest else { throw .malformed("no version between \(lowest) and \(highest)") }
        return Challenge(
            nonce: try nonce.bytes(atMost: FieldLimits.nonce, "a challenge"),
            workspace: try workspace.atMost(FieldLimits.name, "a workspace's name"),
            serverTime: serverTime, versions: lowest...highest)
    }
}

extension ProtoEnrol {
    init(_ enrol: Enrol) {
        self.init()
        code = enrol.code
        deviceKey = enrol.deviceKey.data
        deviceName = enrol.deviceName
        signature = enrol.signature.data
    }

    func model() throws(DecodeError) -> Enrol {
        Enrol(
            code: try code.atMost(FieldLimits.word, "a code"),
            deviceKey: try deviceKey.bytes(exactly: FieldLimits.key, "a device's key"),
            deviceName: try deviceName.atMost(FieldLimits.name, "a device's name"),
            signature: try signature.bytes(atMost: FieldLimits.signature, "a signature"))
    }
}

extension ProtoEnrolled {
    init(_ enrolled: Enrolled) {
        self.init()
        user = enrolled.user.data
        userName = enrolled.userName
        role = ProtoRole(enrolled.role)
        site = enrolled.site.rawValue
        nonce = enrolled.nonce.data
        certificate = enrolled.certificate.data
    }

    func model() throws(DecodeError) -> Enrolled {
        Enrolled(
            user: try user.id("a user's id"), userName: try userName.atMost(FieldLimits.name, "a user's name"),
            role: try role.model(), site: SiteID(rawValue: site),
            nonce: try nonce.bytes(atMost: FieldLimits.nonce, "a nonce"),
            certificate: try certificate.bytes(atMost: FieldLimits.certificate, "a certificate"))
    }
}

extension ProtoRekey {
    init(_ rekey: Rekey) {
        self.init()
        deviceKey = rekey.deviceKey.data
        signature = rekey.signature.data
    }

    func model() throws(DecodeError) -> Rekey {
        Rekey(
            deviceKey: try deviceKey.bytes(exactly: FieldLimits.key, "a device's key"),
            signature: try signature.bytes(atMost: FieldLimits.signature, "a signature"))
    }
}

extension ProtoRekeyed {
    init(_ rekeyed: Rekeyed) {
        self.init()
        deviceKey = rekeyed.deviceKey.data
        certificate = rekeyed.certificate.data
    }

    func model() throws(DecodeError) -> Rekeyed {
        Rekeyed(
            deviceKey: try deviceKey.bytes(exactly: FieldLimits.key, "a device's key"),
            certificate: try certificate.bytes(atMost: FieldLimits.certificate, "a certificate"))
    }
}

extension ProtoKeptCommit {
    init(_ kept: KeptCommit) {
        self.init()
        seq = kept.seq
        id = kept.id.data
    }

    func model() throws(DecodeError) -> KeptCommit {
        KeptCommit(seq: try seq.natural("a seq"), id: try id.id("a commit's id"))
    }
}

extension ProtoWitness {
    init(_ witness: Witness) {
        self.init()
        epoch = witness.epoch.data
        position = witness.position
        commit = witness.commit.data
    }

    func model() throws(DecodeError) -> Witness {
        Witness(
            epoch: try epoch.id("an epoch"), position: try position.natural("a position"),
            commit: try commit.id("a commit's id"))
    }
}

extension ProtoBackfillMark {
    init(_ mark: BackfillMark) {
        self.init()
        scope = ProtoScope(mark.scope)
        table = UInt32(wire: mark.table)
        last = mark.last.data
        firstPosition = mark.firstPosition
        lastPosition = mark.lastPosition
        if let era = mark.epoch { epoch = era.data }
    }

    func model() throws(DecodeError) -> BackfillMark {
        BackfillMark(
            scope: try scope.model(), table: try table.index("a table"), last: try last.optionalID("a record's id"),
            firstPosition: try firstPosition.natural("a position"),
            lastPosition: try lastPosition.natural("a position"), epoch: try epoch.optionalID("an epoch"))
    }
}

extension ProtoEntrance {
    init(_ entrance: Entrance) {
        self.init()
        switch entrance {
        case .resume: resume = ProtoEntrance.Resume()
        case .widen(let added):
            var proto = ProtoEntrance.Widen()
            proto.added = added.map(\.text)
            widen = proto
        case .snapshot(.first): snapshot = .first
        case .snapshot(.horizon): snapshot = .horizon
        case .snapshot(.restored): snapshot = .restored
        case .snapshot(.asked): snapshot = .asked
        }
    }

    func model() throws(DecodeError) -> Entrance {
        switch kind {
        case .resume: .resume
        case .widen(let widen): .widen(added: try widen.added.buckets())
        case .snapshot(.first): .snapshot(.first)
        case .snapshot(.horizon): .snapshot(.horizon)
        case .snapshot(.restored): .snapshot(.restored)
        case .snapshot(.asked): .snapshot(.asked)
        case .snapshot, nil: throw .malformed("an unknown way to go on")
        }
    }
}

extension ProtoOpenAnswer {
    init(_ open: OpenAnswer) {
        self.init()
        commit = open.commit.data
        seq = open.seq
        position = open.position
        answer = ProtoAnswer(open.answer)
    }

    func model() throws(DecodeError) -> OpenAnswer {
        OpenAnswer(
            commit: try commit.id("a commit's id"), seq: try seq.natural("a seq"),
            position: try position.natural("a position"), answer: try answer.model())
    }
}

extension ProtoDeviceFact {
    init(_ fact: DeviceFact) {
        self.init()
        site = fact.site.rawValue
        user = fact.user.data
        userName = fact.userName
        deviceName = fact.deviceName
        lastContact = fact.lastContact
        pending = fact.pending
    }

    func model() throws(DecodeError) -> DeviceFact {
        DeviceFact(
            site: SiteID(rawValue: site), user: try user.id("a user's id"),
            userName: try userName.atMost(FieldLimits.name, "a user's name"),
            deviceName: try deviceName.atMost(FieldLimits.name, "a device's name"),
            lastContact: try lastContact.natural("a time"), pending: try pending.natural("a count"))
    }
}

extension ProtoNewSiteReason {
    init(_ reason: NewSiteReason?) {
        switch reason {
        case nil: self = .none
        case .copied: self = .copied
        case .restored: self = .restored
        case .newEpoch: self = .newEpoch
        }
    }

    func model() throws(DecodeError) -> NewSiteReason? {
        switch self {
        case .none: nil
        case .copied: .copied
        case .restored: .restored
        case .newEpoch: .newEpoch
        case .UNRECOGNIZED: throw .malformed("an unknown reason for a new site")
        }
    }
}
