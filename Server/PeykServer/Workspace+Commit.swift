import PeykFailpoint
public import PeykModel
public import PeykSession

/// What one session wants taken in.
public struct PushRequest: Sendable {
    public var context: SessionContext
    /// In seq order (rule I4).
    public var commits: [SealedCommit]
    /// What the site had seen of a history that is gone (rule I7.2); before any of its commits.
    public var names: [Witness]
    /// The site has named all.
    public var endsNames: Bool

    public init(
        context: SessionContext, commits: [SealedCommit], names: [Witness] = [], endsNames: Bool = false
    ) {
        self.context = context
        self.commits = commits
        self.names = names
        self.endsNames = endsNames
    }
}

public enum PushResult: Hashable, Sendable {
    /// Durable. Its credit is 0: the shell fills in what it gives.
    case acknowledge(Acknowledge)
    /// The session must end.
    case refuse(Refusal)
}

/// What a commit of the server's own became.
public struct ServerOutcome: Hashable, Sendable {
    public var position: Position
    public var answer: Answer
}

extension Workspace {
    /// Takes in the pushes of a group: durable when this returns (P16). One transaction, unless a commit of the group
    /// was under way when the server crashed: such a one is merged apart (rule A4).
    ///
    /// - Returns: one result for each push, in order.
    /// - Throws: errors of the store only; then what was not acknowledged may be pushed again.
    public func commit(_ pushes: [PushRequest]) throws -> [PushResult] {
        guard pushes.contains(where: { $0.commits.contains { isSuspect($0.id) } }) else {
            return try commitGroup(pushes)
        }
        return try pushes.map { try commitApart($0) }
    }

    private func commitGroup(_ pushes: [PushRequest]) throws -> [PushResult] {
        try underway(pushes.flatMap { $0.commits.map(\.id) }) {
            let results = try store.write { transaction in
                Failpoint.hit("server.group.begun")
                let committer = try Committer(self, transaction)
                let results = try pushes.map { try committer.take($0) }
                Failpoint.hit("server.group.merged")
                try committer.finish()
                try settle(transaction, pushes.flatMap { $0.commits.map(\.id) })
                try Failpoint.hitOrThrow("server.group.before-commit")
                return results
            }
            Failpoint.hit("server.group.committed")
            return results
        }
    }

    /// Suspects alone, what lies between them together.
    private func commitApart(_ push: PushRequest) throws -> PushResult {
        var parts: [[SealedCommit]] = []
        var wasSuspect = true
        for commit in push.commits {
            let isSuspect = isSuspect(commit.id)
            if isSuspect || wasSuspect { parts.append([]) }
            parts[parts.count - 1].append(commit)
            wasSuspect = isSuspect
        }
        if parts.isEmpty { parts = [[]] }
        var all = Acknowledge(items: [], credit: 0)
        for (index, part) in parts.enumerated() {
            var request = PushRequest(context: push.context, commits: part)
            // Names before any commit (rule I7.2).
            if index == 0 { (request.names, request.endsNames) = (push.names, push.endsNames) }
            guard let result = try commitGroup([request]).first else { break }
            guard case .acknowledge(let acknowledge) = result else { return result }
            all.items += acknowledge.items
            all.expect = acknowledge.expect
            if all.expect != nil { break }
        }
        return .acknowledge(all)
    }

    /// The server's own writes: imports by IT, users, territories, stages. Rights are not asked; all else holds.
    ///
    /// - Parameter user: who did it, for the log.
    /// - Throws: errors of the store; refusals are in the answer.
    @discardableResult
    public func serverCommit(
        _ changes: [Change], operations: [Operation] = [], user: RecordID? = nil
    ) throws -> ServerOutcome {
        try act("commit") { transaction, line in
            let committer = try Committer(self, transaction)
            let body = CommitBody(
                id: CommitID(bits: environment.bits()), schemaVersion: transaction.schema.version, changes: changes,
                operations: operations)
            let outcome = try committer.takeOwn(body, user: user)
            try committer.finish()
            Failpoint.hit("server.own.before-commit")
            if outcome.answer.verdict != .refused {
                line.body = body.encoded()
                line.user = user
            }
            return outcome
        }
    }

    /// Makes or changes a user and her grant, which takes a position and ends her sessions (rule S1).
    @discardableResult
    public func setUser(_ id: RecordID, name: String, role: Role, territories: [String]) throws -> UserDocument {
        try act("grant") { transaction, line in
            let committer = try Committer(self, transaction)
            let former = try transaction.document(UserDocument.self, id.description)
            let territories = Set(territories).sorted()
            if var former, former.role == role, former.territories == territories {
                former.name = name
                try transaction.set(former)
                line.note(former)
                return former
            }
            let record = UserDocument.GrantRecord(
                after: former == nil ? 0 : committer.head + 1, role: role, territories: territories,
                version: (former?.present.version ?? 0) + 1)
            var user = former ?? UserDocument(id: id, name: name, grants: [record])
            user.name = name
            if former != nil { user.append(record) }
            try transaction.set(user)
            line.note(user)
            try committer.note(.grant, user: id)
            try committer.finish()
            Failpoint.hit("server.grant.before-commit")
            return user
        }
    }

    /// Ends the user's access until it is given back; her devices are refused from now on.
    public func setDisabled(_ id: RecordID, _ isDisabled: Bool) throws {
        try act("disable") { transaction, line in
            guard var user = try transaction.document(UserDocument.self, id.description) else { return }
            user.isDisabled = isDisabled
            try transaction.set(user)
            line.note(user)
        }
    }

    /// Ends a device's access, with all sites of its family (rule I3).
    ///
    /// - Returns: the sites that were revoked; empty where the site is not known.
    @discardableResult
    public func revoke(_ id: SiteID) throws -> [SiteID] {
        try act("revoke") { transaction, line in
            guard let site = try transaction.document(SiteDocument.self, id.description) else { return [] }
            var revoked: [SiteID] = []
            for var member in try transaction.documents(SiteDocument.self) where member.family == site.family {
                member.isRevoked = true
                try transaction.set(member)
                line.note(member)
                revoked.append(member.site)
            }
            Failpoint.hit("server.revoke.before-commit")
            return revoked
        }
    }

    /// A single-use invite (rule I1). The code is returned here and kept nowhere.
    public func invite(user: RecordID, lifetimeSeconds: Int64) throws -> (code: String, expiresAt: Int64) {
        let code = environment.random(16).base64URL
        let now = environment.now()
        let expiresAt = now + lifetimeSeconds * 1_000
        try act("invite") { transaction, line in
            guard try transaction.document(UserDocument.self, user.description) != nil else {
                throw Refusal(.invite, "There is no such user. Nothing was changed.")
            }
            let invite = InviteDocument(
                codeHash: WorkspaceKeys.codeHash(code), user: user, createdAt: now, expiresAt: expiresAt)
            try transaction.set(invite)
            line.note(invite)
            Failpoint.hit("server.invite.before-commit")
        }
        return (code, expiresAt)
    }
}

extension Committer {
    func takeOwn(_ body: CommitBody, user: RecordID?) throws -> ServerOutcome {
        let dot = nextServerDot()
        let stamp = tick()
        let clock = VectorClock(lineage: identity.lineage, anchor: head)
        let merged: Merged
        do {
            merged = try merge(
                body, transaction.schema, dot: dot, stamp: stamp, clock: clock, author: .server(user))
        } catch let refusal as WholeRefusal {
            merged = Merged(answer: Answer(verdict: .refused, notices: refusal.notices))
        }
        try append(.server, dot: dot, commit: body.id, stamp: stamp, user: user, clock: clock, merged)
        let position = head
        if try !waiting().isEmpty { try release() }
        return ServerOutcome(position: position, answer: merged.answer)
    }

    /// A position without effects.
    func note(_ kind: LogEntry.Kind, user: RecordID?) throws {
        let clock = VectorClock(lineage: identity.lineage, anchor: head)
        try append(
            kind, dot: nextServerDot(), commit: CommitID(bits: workspace.environment.bits()), stamp: tick(),
            user: user, clock: clock, Merged(answer: Answer()))
    }
}
