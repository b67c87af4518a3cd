import PeykModel

/// What is kept and what goes (rule T1), for IT.
extension Admin {
    func retention(_ reader: any StoreReader) throws -> JSON {
        let head = try reader.head()
        let clock = try reader.clockDocument()
        let kept = try reader.retention()
        let collection = try reader.collection()
        let served = try workspace.served(reader)
        let names = Dictionary(try reader.documents(UserDocument.self).map { ($0.id, $0.name) }) { first, _ in first }
        let sites = try reader.documents(SiteDocument.self)
        let holding = sites.filter { $0.isLive && $0.passed < head }.sorted {
            ($0.passed, $0.site) < ($1.passed, $1.site)
        }
        let first = try reader.firstPosition()
        return [
            "lease_seconds": .integer(kept.leaseSeconds), "log_seconds": .integer(kept.logSeconds),
            "tombstone_seconds": .integer(kept.tombstoneSeconds), "log_horizon": .integer(clock.logHorizon),
            "log_entries": .integer(first.map { head - $0 + 1 } ?? 0),
            "tombstones": .integer(try reader.tombstoneCount()),
            "tombstone_horizon": .integer(collection.tombstoneHorizon),
            "tombstones_collected": .integer(collection.tombstones), "outcomes_dropped": .integer(collection.outcomes),
            "passed_by_all": .integer(try reader.passedByAll()), "may_collect": .bool(try reader.mayCollect()),
            "finished_at": collection.finishedAt == 0 ? .null : .integer(collection.finishedAt),
            "served_seconds": .integer(served / 1_000),
            "expired_devices": .integer(Int64(sites.count { $0.isExpired && !$0.isRevoked && $0.replacedBy == nil })),
            "held_back_by": .array(
                holding.prefix(Self.holdingMax).map { site in
                    [
                        "site": .string(site.site.description), "device": .string(site.deviceName),
                        "user": .string(names[site.user] ?? site.user.description),
                        "passed": .integer(site.passed), "lag": .integer(head - site.passed),
                        "last_contact": site.lastContact == 0 ? .null : .integer(site.lastContact),
                        "lease_left_seconds": .integer(
                            max(0, kept.leaseSeconds - (served - site.servedAt) / 1_000)),
                    ]
                }),
        ]
    }

    /// The slowest devices are listed, not all of them.
    private static let holdingMax = 10

    func setRetention(lease: Int64?, log: Int64?, tombstones: Int64?) throws -> JSON {
        try workspace.setRetention(lease: lease, log: log, tombstones: tombstones)
        return try workspace.store.read { try retention($0) }
    }

    /// A whole pass, unless it takes long: then the server goes on with it by itself.
    func runRetention() throws -> JSON {
        var pass = CollectionPass()
        let end = workspace.environment.uptime() + Self.runMilliseconds
        while !pass.isDone, workspace.environment.uptime() < end { try workspace.collect(&pass) }
        return [
            "done": .bool(pass.isDone), "expired": .array(pass.expired.map { .string($0.description) }),
            "tombstones": .integer(pass.tombstones), "outcomes": .integer(pass.outcomes),
            "documents": .integer(pass.documents), "ledger_entries": .integer(pass.entries),
            "emptied": .integer(pass.emptied),
            "retention": try workspace.store.read { try retention($0) },
        ]
    }

    /// Pushes wait meanwhile.
    private static let runMilliseconds: Int64 = 2_000
}
