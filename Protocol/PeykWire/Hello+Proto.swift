import PeykModel
import PeykSession

// Hello and welcome (greeting.proto).

extension ProtoHello {
    init(_ hello: Hello) {
        self.init()
        version = UInt32(wire: hello.version)
        number = hello.number
        site = hello.site.rawValue
        certificate = hello.certificate.data
        signature = hello.signature.data
        nonce = hello.nonce.data
        lineage = ProtoLineage(hello.lineage)
        cursor = hello.cursor
        anchorToken = hello.anchorToken.data
        lastSealed = hello.lastSealed
        lastAcknowledged = hello.lastAcknowledged
        if let kept = hello.lastKept { lastKept = ProtoKeptCommit(kept) }
        applied = hello.applied
        scope = ProtoScope(hello.scope)
        schemaVersion = hello.schemaVersion
        pending = hello.pending
        if let mark = hello.backfill { backfill = ProtoBackfillMark(mark) }
        wallTime = hello.wallTime
        credit = hello.credit
        formerTokens = hello.formerTokens.map(\.data)
        program = hello.program
        renew = hello.renew
    }

    func model() throws(DecodeError) -> Hello {
        guard formerTokens.count <= SessionLimits.formerTokens else {
            throw .malformed("\(formerTokens.count) former tokens")
        }
        var tokens: [[UInt8]] = []
        for token in formerTokens { tokens.append(try token.bytes(atMost: FieldLimits.token, "an anchor's token")) }
        return Hello(
            version: try version.index("a version"), number: try number.natural("a hello's number"),
            site: SiteID(rawValue: site),
            certificate: try certificate.bytes(atMost: FieldLimits.certificate, "a certificate"),
            signature: try signature.bytes(atMost: FieldLimits.signature, "a signature"),
            nonce: try nonce.bytes(atMost: FieldLimits.nonce, "a nonce"), lineage: try lineage.model(),
            cursor: try cursor.natural("a cursor"),
            anchorToken: try anchorToken.bytes(atMost: FieldLimits.token, "an anchor's token"),
            lastSealed: try lastSealed.natural("a seq"), lastAcknowledged: try lastAcknowledged.natural("a seq"),
            lastKept: hasLastKept ? try lastKept.model() : nil, applied: try applied.natural("a position"),
            scope: try scope.model(), schemaVersion: try schemaVersion.natural("a schema's version"),
            pending: try pending.natural("a count"), backfill: hasBackfill ? try backfill.model() : nil,
            wallTime: wallTime, credit: try credit.natural("a credit"), formerTokens: tokens,
            program: try program.atMost(FieldLimits.name, "a program's version"), renew: renew)
    }
}

extension ProtoWelcome {
    init(_ welcome: Welcome) {
        self.init()
        site = welcome.site.rawValue
        newSiteReason = ProtoNewSiteReason(welcome.newSiteReason)
        entrance = ProtoEntrance(welcome.entrance)
        lineage = ProtoLineage(welcome.lineage)
        grant = ProtoGrant(welcome.grant)
        user = welcome.user.data
        userName = welcome.userName
        role = ProtoRole(welcome.role)
        head = welcome.head
        stamp = welcome.stamp.rawValue
        serverTime = welcome.serverTime
        lastMerged = welcome.lastMerged
        openAnswers = welcome.openAnswers.map { ProtoOpenAnswer($0) }
        if let text = welcome.schema { schema = text }
        schemaVersion = welcome.schemaVersion
        nonce = welcome.nonce.data
        backupHorizon = welcome.backupHorizon
        credit = welcome.credit
        facts = welcome.facts.map { ProtoDeviceFact($0) }
        if let id = welcome.lastMergedID { lastMergedID = id.data }
        wantsNames = welcome.wantsNames
        lastBackup = welcome.lastBackup
        wantsRekey = welcome.wantsRekey
        continuesBackfill = welcome.continuesBackfill
        familyLastIds = welcome.familyLastIDs.map(\.data)
    }

    func model() throws(DecodeError) -> Welcome {
        var answers: [OpenAnswer] = []
        for proto in openAnswers { answers.append(try proto.model()) }
        var facts: [DeviceFact] = []
        for proto in self.facts { facts.append(try proto.model()) }
        guard familyLastIds.count <= SessionLimits.familyIDs else { throw .malformed("too many commits of a family") }
        var family: [CommitID] = []
        for proto in familyLastIds { family.append(try proto.id("a commit's id")) }
        return Welcome(
            site: SiteID(rawValue: site), newSiteReason: try newSiteReason.model(), entrance: try entrance.model(),
            lineage: try lineage.model(), grant: try grant.model(), user: try user.id("a user's id"),
            userName: try userName.atMost(FieldLimits.name, "a user's name"), role: try role.model(),
            head: try head.natural("a position"), stamp: HLC(rawValue: stamp), serverTime: serverTime,
            lastMerged: try lastMerged.natural("a seq"), lastMergedID: try lastMergedID.optionalID("a commit's id"),
            openAnswers: answers,
            schema: hasSchema ? try schema.atMost(FieldLimits.schema, "a schema") : nil,
            schemaVersion: try schemaVersion.natural("a schema's version"),
            nonce: try nonce.bytes(atMost: FieldLimits.nonce, "a nonce"),
            backupHorizon: try backupHorizon.natural("a position"), credit: try credit.natural("a credit"),
            facts: facts, wantsNames: wantsNames, lastBackup: try lastBackup.natural("a time"),
            wantsRekey: wantsRekey, continuesBackfill: continuesBackfill,
            familyLastIDs: family)
    }
}
