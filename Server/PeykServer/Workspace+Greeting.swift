import PeykFailpoint
public import PeykModel
public import PeykSession

/// A device that may begin its session.
public struct Admission: Sendable {
    public var welcome: Welcome
    public var context: SessionContext
    /// Where its log goes on.
    public var cursor: Position
    /// Where its pages go on, if any are to come.
    public var backfill: BackfillMark?
    /// Bytes that it takes.
    public var credit: Int64
}

extension Workspace {
    /// For the server's first flight.
    public func challenge() -> Challenge {
        Challenge(
            nonce: environment.random(32), workspace: name, serverTime: environment.now(),
            versions: SessionLimits.version...SessionLimits.version)
    }

    /// Redeems an invite (rule I1): once, within its time; the same device gets the same answer again.
    ///
    /// - Throws: ``Refusal`` where the code is wrong, expired or used, or the signature is not the device's.
    public func enrol(_ enrol: Enrol, challenge: Challenge, fingerprint: [UInt8]) throws -> Enrolled {
        let signed = Enrol.signedBytes(challenge: challenge.nonce, fingerprint: fingerprint, code: enrol.code)
        guard WorkspaceKeys.isValid(enrol.signature, for: signed, by: enrol.deviceKey) else {
            throw Refusal(
                .authentication, "The device could not prove its key to this server. Nothing was changed; join again.")
        }
        guard enrol.deviceName.utf8.count <= 200 else {
            throw Refusal(.invite, "The device's name is longer than 200 bytes.")
        }
        return try act("enrol") { transaction, line in
            let now = environment.now()
            guard
                var invite = try transaction.document(InviteDocument.self, WorkspaceKeys.codeHash(enrol.code))
            else { throw Refusal(.invite, "This invite is not known here. Check the link, or ask for a new one.") }
            guard let user = try transaction.document(UserDocument.self, invite.user.description), !user.isDisabled
            else { throw Refusal(.invite, "The user of this invite was disabled. Ask your administrator.") }
            guard now < invite.expiresAt else {
                throw Refusal(.invite, "This invite has expired. Ask your administrator for a new one.")
            }
            var site: SiteDocument
            if let former = invite.usedBy {
                guard former == enrol.deviceKey,
                    let known = try invite.site.flatMap({
                        try transaction.document(SiteDocument.self, $0.description)
                    })
                else {
                    throw Refusal(.invite, "This invite was used by another device. Ask for a new one.")
                }
                guard !known.isRevoked else { throw Refusal.deviceRevoked }
                site = known
            } else {
                let id = environment.site()
                site = SiteDocument(
                    site: id, user: user.id, deviceKey: enrol.deviceKey, deviceName: enrol.deviceName, family: id,
                    createdAt: now, nonce: environment.random(16))
                site.epoch = try transaction.workspaceDocument().lineage.epoch
                // It can hold nothing of a history that is gone.
                site.hasReturned = true
                invite.usedBy = enrol.deviceKey
                invite.site = id
                invite.usedAt = now
                try transaction.set(site)
                try transaction.set(invite)
                line.note(site)
                line.note(invite)
            }
            Failpoint.hit("server.enrol.before-commit")
            let certificate = WorkspaceKeys.Certificate(
                user: user.id, deviceKey: site.deviceKey, family: site.family)
            return Enrolled(
                user: user.id, userName: user.name, role: user.role, site: site.site, nonce: site.nonce,
                certificate: try keys.certify(certificate))
        }
    }

    /// Decides whether a device may begin a session, under which site, and from where it goes on.
    ///
    /// - Throws: ``Refusal``; then nothing was changed (rule I2).
    public func admit(_ hello: Hello, challenge: Challenge, fingerprint: [UInt8]) throws -> Admission {
        guard challenge.versions.contains(hello.version) else {
            throw Refusal(
                .version, "This server speaks version \(SessionLimits.version) of the protocol. Upgrade the client.")
        }
        guard let certificate = keys.certificate(hello.certificate) else {
            throw Refusal(.foreign, "The device is not enrolled in the workspace “\(name)”. Nothing was changed.")
        }
        let signed = hello.signedBytes(challenge: challenge.nonce, fingerprint: fingerprint)
        guard environment.isValidSignature(hello.signature, signed, certificate.deviceKey) else {
            throw Refusal(
                .authentication, "The device could not prove its key to this server. Nothing was changed; sync again.")
        }
        do {
            return try store.write { transaction in
                var greeting = try Greeting(
                    workspace: self, transaction: transaction, hello: hello, certificate: certificate,
                    challengedAt: challenge.serverTime)
                let admission = try greeting.admit()
                Failpoint.hit("server.hello.before-commit")
                return admission
            }
        } catch let refusal as Refusal where refusal.code == .revoked {
            throw try handIn(refusal, hello, certificate)
        } catch let error as RolledBack {
            try note(error.proof)
            throw Refusal.rolledBack
        }
    }
}
