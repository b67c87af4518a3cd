public import PeykModel

/// How the session goes on from where the replica stands.
public enum Entrance: Hashable, Sendable {
    /// The log from the cursor.
    case resume
    /// The log to the head of now with the kept buckets, then pages of the added ones (rule S1).
    case widen(added: [Bucket])
    /// New pages of everything, replacing what is there (rule B1).
    case snapshot(SnapshotReason)
}

public enum SnapshotReason: UInt8, Hashable, Sendable {
    case first = 0
    /// The log no longer reaches back to the cursor, or the lease ran out.
    case horizon = 1
    /// The replica applied what a restored server does not have.
    case restored = 2
    /// The replica asked for it (`verify --repair`).
    case asked = 3
}

public struct Welcome: Hashable, Sendable {
    /// The site from now on; another one than in hello when the replica is a copy or was restored.
    public var site: SiteID
    public var newSiteReason: NewSiteReason?
    public var entrance: Entrance
    public var lineage: Lineage
    /// What the user may read and write from now on.
    public var grant: Grant
    public var user: RecordID
    public var userName: String
    public var role: Role
    public var head: Position
    public var stamp: HLC
    public var serverTime: Int64
    /// The highest seq of this site that is merged (rule B2).
    public var lastMerged: Sequence64
    /// The id of the commit at `lastMerged`; nil where it is 0. Another id there on the replica's disk means that the
    /// replica is a restored image (rule I3).
    public var lastMergedID: CommitID?
    /// Answers other than *merged as written* that the replica has not confirmed (rule A2).
    public var openAnswers: [OpenAnswer]
    /// The server's schema where its version is above the one in hello, as JSON text.
    public var schema: String?
    public var schemaVersion: Int64
    /// The nonce for the next session (rule I2).
    public var nonce: [UInt8]
    /// Acknowledged commits above this position are kept by their author (rule I10).
    public var backupHorizon: Position
    /// Credit for pushes, in bytes.
    public var credit: Int64
    /// For the header of reports (rule T4).
    public var facts: [DeviceFact]
    /// The replica comes from another history and has to send ``Names`` before any push (rule I7.2).
    public var wantsNames: Bool
    /// When the last backup was taken, in Unix milliseconds; 0 = never (rule I10).
    public var lastBackup: Int64
    /// Another replica of the family has the same device key, so this one has to make its own (rule I3).
    public var wantsRekey: Bool
    /// The pages go on after the mark of the hello; else they begin anew (rule B1).
    public var continuesBackfill: Bool
    /// With a new site only: the last commit that this history has of each site of the device's family, at most
    /// ``SessionLimits/familyIDs`` of them. A replica offers its commits in the order in which they were sealed, so
    /// what lies before one of these is here too, and shows in the pages (rule B2).
    public var familyLastIDs: [CommitID]

    public init(
        site: SiteID, newSiteReason: NewSiteReason?, entrance: Entrance, lineage: Lineage, grant: Grant,
        user: RecordID, userName: String, role: Role, head: Position, stamp: HLC, serverTime: Int64,
        lastMerged: Sequence64, lastMergedID: CommitID? = nil, openAnswers: [OpenAnswer], schema: String?,
        schemaVersion: Int64, nonce: [UInt8], backupHorizon: Position, credit: Int64, facts: [DeviceFact],
        wantsNames: Bool = false, lastBackup: Int64 = 0, wantsRekey: Bool = false, continuesBackfill: Bool = false,
        familyLastIDs: [CommitID] = []
    ) {
        self.site = site
        self.newSiteReason = newSiteReason
        self.entrance = entrance
        self.lineage = lineage
        self.grant = grant
        self.user = user
        self.userName = userName
        self.role = role
        self.head = head
        self.stamp = stamp
        self.serverTime = serverTime
        self.lastMerged = lastMerged
        self.lastMergedID = lastMergedID
        self.openAnswers = openAnswers
        self.schema = schema
        self.schemaVersion = schemaVersion
        self.nonce = nonce
        self.backupHorizon = backupHorizon
        self.credit = credit
        self.facts = facts
        self.wantsNames = wantsNames
        self.lastBackup = lastBackup
        self.wantsRekey = wantsRekey
        self.continuesBackfill = continuesBackfill
        self.familyLastIDs = familyLastIDs
    }
}

public enum NewSiteReason: UInt8, Hashable, Sendable { case copied = 0, restored = 1, newEpoch = 2 }

public struct OpenAnswer: Hashable, Sendable {
    public var commit: CommitID
    public var seq: Sequence64
    public var position: Position
    public var answer: Answer
    public init(commit: CommitID, seq: Sequence64, position: Position, answer: Answer) {
        self.commit = commit
        self.seq = seq
        self.position = position
        self.answer = answer
    }
}

/// What a report's header says about one device (rule T4).
public struct DeviceFact: Hashable, Sendable {
    public var site: SiteID
    public var user: RecordID
    public var userName: String
    public var deviceName: String
    /// Unix milliseconds of the server; 0 if never.
    public var lastContact: Int64
    /// Commits that it had not sent then.
    public var pending: Int64
    public init(
        site: SiteID, user: RecordID, userName: String, deviceName: String, lastContact: Int64, pending: Int64
    ) {
        self.site = site
        self.user = user
        self.userName = userName
        self.deviceName = deviceName
        self.lastContact = lastContact
        self.pending = pending
    }
}
