public import PeykModel
import PeykSession

/// Proof that the server's store was put back behind its back (rule I5): a device holds this server's own token for a
/// position that the log does not have. No session is admitted until IT has run `restore --in-place`.
public struct RollbackDocument: Document {
    public static let collection = "workspace"
    public static let key = "rolled-back"
    public var key: String { Self.key }

    /// Unix milliseconds.
    public var detectedAt: Int64
    /// The device that told.
    public var site: SiteID
    public var epoch: Epoch
    /// The lowest position of a token that is beyond our log or unlike it.
    public var lost: Position
    /// The highest position below it that a token agrees on; 0 if none is known.
    public var common: Position

    public init(detectedAt: Int64, site: SiteID, epoch: Epoch, lost: Position, common: Position) {
        self.detectedAt = detectedAt
        self.site = site
        self.epoch = epoch
        self.lost = lost
        self.common = common
    }

    /// Takes what another device has told into account.
    mutating func join(_ other: RollbackDocument) {
        if other.lost < lost { lost = other.lost }
        common = max(common, other.common)
        if common >= lost { common = min(other.common, lost - 1) }
    }

    public var json: JSON {
        [
            "detected_at": .integer(detectedAt), "site": .string(site.description),
            "epoch": .string(epoch.description), "lost": .integer(lost), "common": .integer(common),
        ]
    }

    public init?(json: JSON) {
        guard let detectedAt = json["detected_at"]?.integerValue,
            let site = json["site"]?.stringValue.flatMap({ SiteID($0) }),
            let epoch = json["epoch"]?.stringValue.flatMap({ Epoch($0) }), let lost = json["lost"]?.integerValue,
            let common = json["common"]?.integerValue
        else { return nil }
        self.init(detectedAt: detectedAt, site: site, epoch: epoch, lost: lost, common: common)
    }
}

/// Thrown out of a greeting's transaction, so that the proof can be written in one of its own.
struct RolledBack: Error {
    var proof: RollbackDocument
}

extension StoreReader {
    public func rollback() throws -> RollbackDocument? { try document(RollbackDocument.self, RollbackDocument.key) }
}

extension Refusal {
    static let rolledBack = Refusal(
        .rolledBack,
        "The server is behind what it had sent: an old copy of its data may be in place. Nothing was sent or changed, "
            + "everything on this device is kept; your administrator must run peykd restore --in-place.")
}

extension Workspace {
    /// Keeps the proof, and tells IT.
    func note(_ proof: RollbackDocument) throws {
        try store.write { transaction in
            var noted = proof
            if var known = try transaction.rollback(), known.epoch == proof.epoch {
                known.join(proof)
                noted = known
            }
            try transaction.set(noted)
        }
        environment.warn(
            "ROLLED BACK: device \(proof.site) was sent position \(proof.lost), which this log does not have as it was. "
                + "No device is admitted until you have run: peykd restore --in-place")
    }

    /// Opens a new epoch at the last common position, where the store was put back behind the server's back (rule I5).
    ///
    /// - Parameter force: also where no device has told of it, at the head.
    /// - Returns: the position after which the new epoch begins; nil where nothing has told of a rollback.
    public func restoreInPlace(force: Bool = false) throws -> Position? {
        let (proof, head) = try store.read { (try $0.rollback(), try $0.head()) }
        guard proof != nil || force else { return nil }
        let fork = proof.map { $0.lost > head ? head : $0.common } ?? head
        try beginEpoch(after: fork)
        return fork
    }
}
