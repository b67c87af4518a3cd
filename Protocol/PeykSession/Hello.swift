public import PeykModel

/// Rides with the server's first flight (rule T6).
public struct Challenge: Hashable, Sendable {
    /// 32 random bytes; the client signs them with the fingerprint that it saw.
    public var nonce: [UInt8]
    public var workspace: String
    /// Unix milliseconds.
    public var serverTime: Int64
    /// Protocol versions that the server speaks.
    public var versions: ClosedRange<Int>

    public init(nonce: [UInt8], workspace: String, serverTime: Int64, versions: ClosedRange<Int>) {
        self.nonce = nonce
        self.workspace = workspace
        self.serverTime = serverTime
        self.versions = versions
    }
}

/// Redeems an invite (rule I1). The same code with the same key, within its time, gets the same answer again.
public struct Enrol: Hashable, Sendable {
    public var code: String
    /// Ed25519, 32 bytes.
    public var deviceKey: [UInt8]
    public var deviceName: String
    /// Over `"peyk enrol" ‖ challenge nonce ‖ server fingerprint`, by the device key.
    public var signature: [UInt8]

    public init(code: String, deviceKey: [UInt8], deviceName: String, signature: [UInt8]) {
        self.code = code
        self.deviceKey = deviceKey
        self.deviceName = deviceName
        self.signature = signature
    }
}

public struct Enrolled: Hashable, Sendable {
    public var user: RecordID
    public var userName: String
    public var role: Role
    public var site: SiteID
    /// The first session's nonce (rule I2).
    public var nonce: [UInt8]
    /// (user, device key, site family) signed by the workspace key; opaque to the device.
    public var certificate: [UInt8]

    public init(
        user: RecordID, userName: String, role: Role, site: SiteID, nonce: [UInt8], certificate: [UInt8]
    ) {
        self.user = user
        self.userName = userName
        self.role = role
        self.site = site
        self.nonce = nonce
        self.certificate = certificate
    }
}

/// Everything that tells the server who this replica is and where it stands (rule I2).
public struct Hello: Hashable, Sendable {
    public var version: Int
    /// Rises with each hello of the device; a repeated or overtaken one changes nothing.
    public var number: Int64
    public var site: SiteID
    public var certificate: [UInt8]
    /// Ed25519 over ``signedBytes(challenge:fingerprint:)``.
    public var signature: [UInt8]
    public var nonce: [UInt8]
    public var lineage: Lineage
    public var cursor: Position
    /// The server's own token for `cursor`, as it gave it (rule I5); empty before the first batch.
    public var anchorToken: [UInt8]
    public var lastSealed: Sequence64
    public var lastAcknowledged: Sequence64
    /// (seq, id) of the last commit that is kept; nil when none is (rule I3).
    public var lastKept: KeptCommit?
    /// The lower of the cursor and the anchor of the oldest unanswered commit (rule T1).
    public var applied: Position
    public var scope: HeldScope
    public var schemaVersion: Int64
    /// Commits that are not yet acknowledged (rule T4).
    public var pending: Int64
    /// Where an interrupted backfill stands; nil if none is under way.
    public var backfill: BackfillMark?
    /// Unix milliseconds on the device, uncorrected.
    public var wallTime: Int64
    public var credit: Int64
    /// Tokens of former batches back to the backup horizon, newest first, at most ``SessionLimits/formerTokens``; sent
    /// only after a refusal `rolled-back`, so that the server finds the last common position (rule I5).
    public var formerTokens: [[UInt8]]
    /// The client's program version, for IT.
    public var program: String
    /// The replica has found out that it is a restored image, and asks for a new site (rule I3).
    public var renew: Bool

    public init(
        version: Int = SessionLimits.version, number: Int64, site: SiteID, certificate: [UInt8],
        signature: [UInt8] = [],
        nonce: [UInt8], lineage: Lineage, cursor: Position, anchorToken: [UInt8], lastSealed: Sequence64,
        lastAcknowledged: Sequence64, lastKept: KeptCommit?, applied: Position, scope: HeldScope, schemaVersion: Int64,
        pending: Int64, backfill: BackfillMark?, wallTime: Int64, credit: Int64 = SessionLimits.creditBytes,
        formerTokens: [[UInt8]] = [], program: String, renew: Bool = false
    ) {
        self.version = version
        self.number = number
        self.site = site
        self.certificate = certificate
        self.signature = signature
        self.nonce = nonce
        self.lineage = lineage
        self.cursor = cursor
        self.anchorToken = anchorToken
        self.lastSealed = lastSealed
        self.lastAcknowledged = lastAcknowledged
        self.lastKept = lastKept
        self.applied = applied
        self.scope = scope
        self.schemaVersion = schemaVersion
        self.pending = pending
        self.backfill = backfill
        self.wallTime = wallTime
        self.credit = credit
        self.formerTokens = formerTokens
        self.program = program
        self.renew = renew
    }

    /// What the device signs: a fixed label, the server's nonce, the fingerprint that the client saw, the
    /// hello's number and its site.
    public func signedBytes(challenge: [UInt8], fingerprint: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        writer.text("peyk hello 1")
        writer.blob(challenge)
        writer.blob(fingerprint)
        writer.varint(UInt64(bitPattern: number))
        writer.fixed(site.rawValue)
        return writer.bytes
    }
}

extension Enrol {
    public static func signedBytes(challenge: [UInt8], fingerprint: [UInt8], code: String) -> [UInt8] {
        var writer = ByteWriter()
        writer.text("peyk enrol 1")
        writer.blob(challenge)
        writer.blob(fingerprint)
        writer.text(code)
        return writer.bytes
    }
}

public struct KeptCommit: Hashable, Sendable {
    public var seq: Sequence64
    public var id: CommitID
    public init(seq: Sequence64, id: CommitID) {
        self.seq = seq
        self.id = id
    }
}

/// What the replica had applied beyond the fork of its history and the server's, and the names of former epochs that it
/// still keeps (rule I7.2). Sent right after a welcome that asks for names, before any push, in chunks of at most
/// ``SessionLimits/namesItems``; the last chunk (which may be empty) says so.
public struct Names: Hashable, Sendable {
    public var items: [Witness]
    public var isLast: Bool
    public init(items: [Witness], isLast: Bool) {
        self.items = items
        self.isLast = isLast
    }
}

/// Commit `commit` stood at `position` of `epoch`.
public struct Witness: Hashable, Sendable {
    public var epoch: Epoch
    public var position: Position
    public var commit: CommitID
    public init(epoch: Epoch, position: Position, commit: CommitID) {
        self.epoch = epoch
        self.position = position
        self.commit = commit
    }
}

/// How far a backfill has come: pages up to `last` of `table` are stored (rule B1).
public struct BackfillMark: Hashable, Sendable {
    /// The scope that is being filled in.
    public var scope: HeldScope
    public var table: Int
    public var last: RecordID?
    /// The lowest and highest positions of the pages stored so far.
    public var firstPosition: Position
    public var lastPosition: Position
    /// The epoch of the welcome under which the pages came; nil is the last of the hello's lineage.
    public var epoch: Epoch?
    public init(
        scope: HeldScope, table: Int, last: RecordID?, firstPosition: Position, lastPosition: Position,
        epoch: Epoch? = nil
    ) {
        self.scope = scope
        self.table = table
        self.last = last
        self.firstPosition = firstPosition
        self.lastPosition = lastPosition
        self.epoch = epoch
    }
}
