public import PeykModel

/// A restored server being filled again by its devices (rules I7, I8).
///
/// It opens with each epoch that begins after the first, and closes when every live device that the server knows of
/// has come back: it has named what it had seen (W-13), and has said in a later hello that nothing is unsent. IT may
/// close it before that. What still waits then is merged as it is.
public struct RefillDocument: Document {
    public static let collection = "workspace"
    public static let key = "refill"
    public var key: String { Self.key }

    public var isOpen: Bool
    /// Unix milliseconds.
    public var openedAt: Int64
    public var closedAt: Int64?
    /// The restore that opened it began after this position.
    public var fork: Position

    public init(isOpen: Bool, openedAt: Int64, closedAt: Int64? = nil, fork: Position) {
        self.isOpen = isOpen
        self.openedAt = openedAt
        self.closedAt = closedAt
        self.fork = fork
    }

    public var json: JSON {
        [
            "open": .bool(isOpen), "opened_at": .integer(openedAt),
            "closed_at": closedAt.map { .integer($0) } ?? .null, "fork": .integer(fork),
        ]
    }

    public init?(json: JSON) {
        guard let isOpen = json["open"]?.boolValue, let openedAt = json["opened_at"]?.integerValue,
            let fork = json["fork"]?.integerValue
        else { return nil }
        self.init(isOpen: isOpen, openedAt: openedAt, closedAt: json["closed_at"]?.integerValue, fork: fork)
    }
}

extension StoreReader {
    /// Nil where the workspace was never restored.
    public func refill() throws -> RefillDocument? { try document(RefillDocument.self, RefillDocument.key) }

    public func isRefilling() throws -> Bool { try refill()?.isOpen ?? false }

    /// Live devices that were known before the restore and have not come back.
    func awaitedSites() throws -> [SiteDocument] {
        let epoch = try workspaceDocument().lineage.epoch
        return try documents(SiteDocument.self).filter { site in
            guard !site.isRevoked, !site.isExpired, site.replacedBy == nil else { return false }
            // Who never said hello has nothing.
            return site.epoch == epoch ? !site.hasReturned : site.lastContact > 0
        }
    }
}
