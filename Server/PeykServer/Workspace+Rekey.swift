import PeykModel
public import PeykSession

extension Workspace {
    /// Certifies a device key of the session's own site beside its present one (rule I3). Asked again with the same key
    /// it gives the same answer; the former key goes out of use with the first hello under the new one.
    ///
    /// - Throws: ``Refusal`` where the new key did not sign, or is another replica's.
    public func rekey(
        _ rekey: Rekey, challenge: Challenge, fingerprint: [UInt8], for context: SessionContext
    ) throws -> Rekeyed {
        let signed = Rekey.signedBytes(
            challenge: challenge.nonce, fingerprint: fingerprint, site: context.site, deviceKey: rekey.deviceKey)
        guard WorkspaceKeys.isValid(rekey.signature, for: signed, by: rekey.deviceKey) else {
            throw Refusal(
                .authentication, "The device could not prove its new key. Nothing was changed; sync again.")
        }
        return try store.write { transaction in
            if let refusal = try standing(of: context, transaction) { throw refusal }
            guard var site = try transaction.document(SiteDocument.self, context.site.description) else {
                throw Refusal.deviceRevoked
            }
            let isTaken = try transaction.documents(SiteDocument.self).contains {
                $0.site != site.site && ($0.deviceKey == rekey.deviceKey || $0.offeredKey == rekey.deviceKey)
            }
            guard !isTaken else {
                throw Refusal(.authentication, "Another replica has this key. Nothing was changed; sync again.")
            }
            if rekey.deviceKey != site.deviceKey { site.offeredKey = rekey.deviceKey }
            if site.offered == context.nonce { site.nonce = site.offered }
            site.isUsed = true
            try transaction.set(site)
            let certificate = WorkspaceKeys.Certificate(
                user: site.user, deviceKey: rekey.deviceKey, family: site.family)
            return Rekeyed(deviceKey: rekey.deviceKey, certificate: try keys.certify(certificate))
        }
    }
}
