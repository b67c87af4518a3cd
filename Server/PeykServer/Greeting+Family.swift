import PeykModel
import PeykSession

/// Which site of a device's family a new one stands for (rules I3, I7).
extension Greeting {
    /// The replica's last site was made in a history that is gone. Where the device had just one site before that, it
    /// is this replica's: nobody waits for it (rule I7).
    func replaceFormer(by site: SiteDocument) throws {
        let former = try transaction.documents(SiteDocument.self).filter { other in
            other.family == certificate.family && other.deviceKey == certificate.deviceKey && other.replacedBy == nil
                && other.epoch != identity.lineage.epoch && !other.isRevoked
        }
        guard former.count == 1, var only = former.first else { return }
        only.replacedBy = site.site
        try transaction.set(only)
    }

    /// A welcome may be lost on its way; the same replica is then given a further site. What was made for it before,
    /// and never used, is no device that anybody waits for. Should it come after all, its hello brings it back.
    func giveUpUnused(for site: SiteDocument) throws {
        for var other in try transaction.documents(SiteDocument.self)
        where other.former == hello.site && other.family == site.family && !other.isUsed && other.replacedBy == nil {
            other.replacedBy = site.site
            try transaction.set(other)
        }
    }

    /// Rule B2: by these a replica finds out which of its kept commits the rows have already, though it never heard it
    /// under the site that it had then. A commit that waits is in no row (rule I7.5).
    func familyLastIDs(_ sites: [SiteDocument]) throws -> [CommitID] {
        let waiting = Set(try transaction.waitingCommits().map(\.dot.site))
        let latest = sites.filter { $0.family == certificate.family && !waiting.contains($0.site) }
            .sorted { ($0.lastContact, $0.site) > ($1.lastContact, $1.site) }
        return Array(latest.compactMap(\.lastID).prefix(SessionLimits.familyIDs))
    }

    /// The site beside which a replica stands that is given a new one: it has the same past, and is in use as well.
    func origin(_ known: SiteDocument?, _ reason: NewSiteReason?) throws -> SiteID? {
        guard let known else {
            let others = try transaction.documents(SiteDocument.self).filter { other in
                other.family == certificate.family && other.deviceKey != certificate.deviceKey
                    && other.replacedBy == nil && !other.isRevoked
            }
            return others.min { ($0.createdAt, $0.site) < ($1.createdAt, $1.site) }?.site
        }
        if reason == .copied { return known.site }
        if let successor = try transaction.successor(of: known), successor.isUsed { return successor.site }
        return known.origin
    }

    /// - Parameter successor: what had been taken for the site's later self.
    func makeCopy(of site: SiteDocument, _ successor: SiteID?) throws {
        guard let successor, var copy = try transaction.document(SiteDocument.self, successor.description),
            copy.origin == nil
        else { return }
        copy.origin = site.site
        try transaction.set(copy)
    }
}

extension StoreReader {
    /// The site that its replica has now, as far as the server knows; nil where it is the same.
    func successor(of site: SiteDocument) throws -> SiteDocument? {
        var found: SiteDocument?
        var passed: Set<SiteID> = [site.site]
        var next = site.replacedBy
        while let id = next, passed.insert(id).inserted,
            let document = try document(SiteDocument.self, id.description)
        {
            found = document
            next = document.replacedBy
        }
        return found
    }

    /// The site under which a copy is listed: what its origin is called by now (rule I3).
    func listedOrigin(of site: SiteDocument) throws -> SiteID? {
        guard let id = site.origin, let origin = try document(SiteDocument.self, id.description) else {
            return site.origin
        }
        let listed = try successor(of: origin)?.site ?? id
        return listed == site.site ? nil : listed
    }
}
