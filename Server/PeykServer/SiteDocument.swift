public import PeykModel

/// What the server knows of one replica (rules I1 to I3, C6, T1, T4).
public struct SiteDocument: Document {
    public static let collection = "site"
    public var key: String { site.description }

    /// The highest position of one epoch that the server has proven to have sent (rule C6).
    public struct Sent: Hashable, Sendable {
        public var epoch: Epoch
        public var position: Position
        public init(epoch: Epoch, position: Position) {
            self.epoch = epoch
            self.position = position
        }
    }

    public var site: SiteID
    public var user: RecordID
    /// Ed25519, 32 bytes.
    public var deviceKey: [UInt8]
    /// A key of its own that a copy has asked for; it comes into use with the first hello that it signs (rule I3).
    public var offeredKey: [UInt8]?
    public var deviceName: String
    /// The site that the device enrolled with; `device revoke` takes the whole family (rule I3).
    public var family: SiteID
    /// Unix milliseconds of the server.
    public var createdAt: Int64
    public var isRevoked = false
    /// The nonce in use, and the one that was last offered (rule I2).
    public var nonce: [UInt8] = []
    public var offered: [UInt8] = []
    public var helloNumber: Int64 = 0
    /// Unix milliseconds of the server at the last hello.
    public var helloAt: Int64 = 0
    /// The last commit that was taken in: its seq, id, stamp and anchor.
    public var lastSeq: Sequence64 = 0
    public var lastID: CommitID?
    public var lastStamp = HLC.zero
    public var lastAnchor: Sent?
    /// Another commit came under a dot that is taken: the next hello gets a new site (rule I3).
    public var mustRenew = false
    /// The site that the replica has instead, after a restore of either side.
    public var replacedBy: SiteID?
    /// The site whose hello it was given for; nil where the device enrolled with it.
    public var former: SiteID?
    /// Something came under it: its replica has it. One that was never used was lost on the way.
    public var isUsed = false
    /// The site beside which it was made: its replica is a copy, or the laptop was put back to an image (rule I3).
    public var origin: SiteID?
    /// What the device reported as applied (rule T1).
    public var applied: Position = 0
    /// The highest cursor that it is known to have had; below it, it was restored from an image (rule I3).
    public var reached: Position = 0
    public var sent: [Sent] = []
    /// The server's count of served milliseconds at the last contact (rule T1).
    public var servedAt: Int64 = 0
    /// Its lease ran out (rule T1): it holds nothing back until it comes again.
    public var isExpired = false
    /// A replica of this site whose cursor is below must resync, however far the log reaches (rule T1).
    public var resyncBelow: Position = 0
    /// Unix milliseconds of the server; 0 if never.
    public var lastContact: Int64 = 0
    /// Commits that it declared and had not sent.
    public var pending: Int64 = 0
    public var schemaVersion: Int64 = 0
    public var program = ""
    /// The server's epoch in which the site was made; a site of another epoch is replaced (rule I6).
    public var epoch: Epoch?
    /// It comes from another history and has not yet named all that it had seen there (rule I7.2).
    public var owesNames = false
    /// In the present epoch, it has named all, and has said since that nothing is unsent (rule I7).
    public var hasReturned = false

    public init(
        site: SiteID, user: RecordID, deviceKey: [UInt8], deviceName: String, family: SiteID, createdAt: Int64,
        nonce: [UInt8]
    ) {
        self.site = site
        self.user = user
        self.deviceKey = deviceKey
        self.deviceName = deviceName
        self.family = family
        self.createdAt = createdAt
        self.nonce = nonce
    }

    /// The highest position of `epoch` that was proven to be sent; 0 if none.
    public func sent(in epoch: Epoch?) -> Position { sent.first { $0.epoch == epoch }?.position ?? 0 }

    /// Whether its report holds back what may be forgotten (rule T1): it may come again with edits, and has a lease.
    public var isLive: Bool { !isRevoked && replacedBy == nil && !isExpired && helloNumber > 0 }

    /// For people: `live`, `expired` (its lease ran out; it resyncs when it comes again), `replaced` or `revoked`.
    public var state: String {
        if isRevoked { return "revoked" }
        if replacedBy != nil { return "replaced" }
        return isExpired ? "expired" : "live"
    }

    /// What it has behind it, for what may be forgotten: what it reported, or what an expired lease gave up.
    public var passed: Position { max(applied, resyncBelow) }

    /// - Parameter served: ``StoreReader/served(_:)``.
    public mutating func noteContact(at now: Int64, served: Int64) {
        lastContact = now
        servedAt = max(servedAt, served)
    }

    public mutating func noteSent(_ position: Position, in epoch: Epoch) {
        guard let index = sent.firstIndex(where: { $0.epoch == epoch }) else {
            sent.append(Sent(epoch: epoch, position: position))
            return
        }
        sent[index].position = max(sent[index].position, position)
    }

    public var json: JSON {
        var members: [String: JSON] = [
            "site": .string(site.description), "user": .string(user.description),
            "device_key": .string(deviceKey.hex), "device_name": .string(deviceName),
            "family": .string(family.description), "created_at": .integer(createdAt), "revoked": .bool(isRevoked),
            "nonce": .string(nonce.hex), "offered": .string(offered.hex), "hello_number": .integer(helloNumber),
            "hello_at": .integer(helloAt),
            "last_seq": .integer(lastSeq), "last_stamp": .integer(Int64(bitPattern: lastStamp.rawValue)),
            "applied": .integer(applied), "reached": .integer(reached), "sent": .array(sent.map(\.json)),
            "last_contact": .integer(lastContact),
            "pending": .integer(pending), "schema_version": .integer(schemaVersion), "program": .string(program),
        ]
        members["last_id"] = lastID.map { .string($0.description) }
        members["last_anchor"] = lastAnchor?.json
        members["epoch"] = epoch.map { .string($0.description) }
        if hasReturned { members["has_returned"] = true }
        if owesNames { members["owes_names"] = true }
        members["offered_key"] = offeredKey.map { .string($0.hex) }
        if mustRenew { members["must_renew"] = true }
        if servedAt > 0 { members["served_at"] = .integer(servedAt) }
        if isExpired { members["expired"] = true }
        if resyncBelow > 0 { members["resync_below"] = .integer(resyncBelow) }
        members["replaced_by"] = replacedBy.map { .string($0.description) }
        members["former"] = former.map { .string($0.description) }
        members["origin"] = origin.map { .string($0.description) }
        if isUsed { members["used"] = true }
        return .object(members)
    }

    public init?(json: JSON) {
        func bytes(_ key: String) -> [UInt8]? { json[key]?.stringValue.flatMap { [UInt8](hex: $0) } }
        func number(_ key: String) -> Int64 { json[key]?.integerValue ?? 0 }
        guard let site = json["site"]?.stringValue.flatMap({ SiteID($0) }),
            let family = json["family"]?.stringValue.flatMap({ SiteID($0) }),
            let user = json["user"]?.stringValue.flatMap({ RecordID($0) }), let deviceKey = bytes("device_key"),
            let deviceName = json["device_name"]?.stringValue, let nonce = bytes("nonce"),
            let offered = bytes("offered")
        else { return nil }
        self.init(
            site: site, user: user, deviceKey: deviceKey, deviceName: deviceName, family: family,
            createdAt: number("created_at"), nonce: nonce)
        self.offered = offered
        isRevoked = json["revoked"]?.boolValue ?? false
        offeredKey = bytes("offered_key")
        helloNumber = number("hello_number")
        helloAt = number("hello_at")
        lastSeq = number("last_seq")
        lastID = json["last_id"]?.stringValue.flatMap { CommitID($0) }
        lastStamp = HLC(rawValue: UInt64(bitPattern: number("last_stamp")))
        lastAnchor = json["last_anchor"].flatMap { Sent(json: $0) }
        mustRenew = json["must_renew"]?.boolValue ?? false
        replacedBy = json["replaced_by"]?.stringValue.flatMap { SiteID($0) }
        former = json["former"]?.stringValue.flatMap { SiteID($0) }
        origin = json["origin"]?.stringValue.flatMap { SiteID($0) }
        isUsed = json["used"]?.boolValue ?? false
        servedAt = number("served_at")
        isExpired = json["expired"]?.boolValue ?? false
        resyncBelow = number("resync_below")
        applied = number("applied")
        reached = number("reached")
        sent = (json["sent"]?.arrayValue ?? []).compactMap { Sent(json: $0) }
        lastContact = number("last_contact")
        pending = number("pending")
        schemaVersion = number("schema_version")
        program = json["program"]?.stringValue ?? ""
        epoch = json["epoch"]?.stringValue.flatMap { Epoch($0) }
        hasReturned = json["has_returned"]?.boolValue ?? false
        owesNames = json["owes_names"]?.boolValue ?? false
    }
}

extension SiteDocument.Sent {
    var json: JSON { ["epoch": .string(epoch.description), "position": .integer(position)] }

    init?(json: JSON) {
        guard let epoch = json["epoch"]?.stringValue.flatMap({ Epoch($0) }),
            let position = json["position"]?.integerValue
        else { return nil }
        self.init(epoch: epoch, position: position)
    }
}
