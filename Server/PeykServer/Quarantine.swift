public import PeykModel
import PeykSession
import PeykWire

/// A commit of a device or user that was shut out: durable and whole, and not merged until IT decides (rule S4).
public struct QuarantineDocument: Document {
    public static let collection = "quarantine"
    public var key: String { Self.key(dot, commit) }

    public enum State: String, Hashable, Sendable {
        case waiting, released, discarded
    }

    public var dot: Dot
    public var commit: CommitID
    public var user: RecordID
    public var stamp: HLC
    /// Unix milliseconds of the server.
    public var arrivedAt: Int64
    /// Of the sealed commit.
    public var bytes: Int64
    public var state = State.waiting
    /// Where it was merged; 0 until then.
    public var position: Position = 0

    static func prefix(_ site: SiteID) -> String { "\(site)/" }
    static func key(_ dot: Dot, _ commit: CommitID) -> String { "\(dot.site)/\(dot.seq.sortable)/\(commit)" }
    /// The collection of the commits themselves, as a push would carry them.
    static let bodies = "quarantine-body"

    init(_ commit: SealedCommit, user: RecordID, arrivedAt: Int64) {
        dot = commit.envelope.dot
        self.commit = commit.id
        self.user = user
        stamp = commit.envelope.stamp
        self.arrivedAt = arrivedAt
        bytes = Int64(commit.sealed.count)
    }

    public var json: JSON {
        [
            "site": .string(dot.site.description), "seq": .integer(dot.seq), "commit": .string(commit.description),
            "user": .string(user.description), "stamp": .integer(Int64(bitPattern: stamp.rawValue)),
            "arrived_at": .integer(arrivedAt), "bytes": .integer(bytes), "state": .string(state.rawValue),
            "position": .integer(position),
        ]
    }

    public init?(json: JSON) {
        guard let site = json["site"]?.stringValue.flatMap({ SiteID($0) }), let seq = json["seq"]?.integerValue,
            let commit = json["commit"]?.stringValue.flatMap({ CommitID($0) }),
            let user = json["user"]?.stringValue.flatMap({ RecordID($0) }),
            let state = json["state"]?.stringValue.flatMap({ State(rawValue: $0) })
        else { return nil }
        dot = Dot(site: site, seq: seq)
        self.commit = commit
        self.user = user
        self.state = state
        stamp = HLC(rawValue: UInt64(bitPattern: json["stamp"]?.integerValue ?? 0))
        arrivedAt = json["arrived_at"]?.integerValue ?? 0
        bytes = json["bytes"]?.integerValue ?? 0
        position = json["position"]?.integerValue ?? 0
    }
}

/// What one site may leave in quarantine; beyond, its commits stay on the device alone (P28).
public enum QuarantineLimits {
    public static let bytesMax: Int64 = 64 << 20
    public static let commitsMax = 100_000
}

extension StoreReader {
    func quarantined(_ site: SiteID) throws -> [QuarantineDocument] {
        try documents(QuarantineDocument.self, prefix: QuarantineDocument.prefix(site))
    }

    func quarantinedCommit(_ document: QuarantineDocument) throws -> SealedCommit {
        guard let bytes = try self.document(QuarantineDocument.bodies, document.key),
            case .push(let push)? = try? WireCodec.decodeClient(bytes), let commit = push.commits.first
        else { throw StoreError.corrupt("the quarantined commit \(document.commit)") }
        return commit
    }
}

extension StoreTransaction {
    /// Keeps what is new of these commits, in seq order without gaps, as far as there is room.
    /// - Returns: the seq up to which the site's commits are here, merged or kept.
    func quarantine(_ commits: [SealedCommit], of site: SiteDocument, now: Int64) throws -> Sequence64 {
        let kept = try quarantined(site.site)
        var bytes = kept.reduce(0) { $0 + ($1.state == .waiting ? $1.bytes : 0) }
        var count = kept.count
        var last = kept.reduce(site.lastSeq) { max($0, $1.dot.seq) }
        for commit in commits {
            let seq = commit.envelope.dot.seq
            guard commit.envelope.dot.site == site.site, seq > 0 else { break }
            guard seq > last else { continue }
            bytes += Int64(commit.sealed.count)
            count += 1
            guard seq == last + 1, bytes <= QuarantineLimits.bytesMax, count <= QuarantineLimits.commitsMax else {
                break
            }
            let document = QuarantineDocument(commit, user: site.user, arrivedAt: now)
            try set(document)
            try setDocument(
                QuarantineDocument.bodies, document.key, WireCodec.encode(.push(Push(commits: [commit]))))
            last = seq
        }
        return last
    }
}

extension Workspace {
    /// What a device that was shut out has pushed: durable when this returns, listed, and not merged (rule S4).
    /// - Returns: the seq up to which the site's commits are here; those above it stay on the device alone.
    public func quarantine(_ commits: [SealedCommit], of site: SiteID) throws -> Sequence64 {
        try store.write { transaction in
            guard let document = try transaction.document(SiteDocument.self, site.description) else { return 0 }
            return try transaction.quarantine(commits, of: document, now: environment.now())
        }
    }

    /// The refusal of a device that has proved who it is and was shut out: it may hand in what it has not sent.
    func handIn(_ refusal: Refusal, _ hello: Hello, _ certificate: WorkspaceKeys.Certificate) throws -> Refusal {
        try store.write { transaction in
            guard var site = try transaction.document(SiteDocument.self, hello.site.description),
                site.user == certificate.user, site.family == certificate.family
            else { return refusal }
            site.lastContact = environment.now()
            site.pending = hello.pending
            if let token = keys.anchorToken(hello.anchorToken) { site.noteSent(token.position, in: token.epoch) }
            try transaction.set(site)
            var refusal = refusal
            refusal.handInAfter = try transaction.quarantine([], of: site, now: environment.now())
            return refusal
        }
    }

    /// Gives a device its access back, with all sites of its family.
    /// - Returns: the sites; empty where the site is not known.
    @discardableResult
    public func allow(_ id: SiteID) throws -> [SiteID] {
        try act("allow") { transaction, line in
            guard let site = try transaction.document(SiteDocument.self, id.description) else { return [] }
            var allowed: [SiteID] = []
            for var member in try transaction.documents(SiteDocument.self)
            where member.family == site.family && member.isRevoked {
                member.isRevoked = false
                try transaction.set(member)
                line.note(member)
                allowed.append(member.site)
            }
            return allowed
        }
    }

    /// IT's word on quarantined commits of one site: they are merged as their author's, in seq order, or dropped.
    ///
    /// Releasing a commit takes every one before it that still waits; those that were discarded take their positions as
    /// refused, so that a device that is allowed again finds every seq answered.
    ///
    /// - Parameter commit: this one and, where it is released, those before it; nil for all.
    /// - Returns: the documents as they are now.
    @discardableResult
    public func decide(
        _ decision: QuarantineDocument.State, site id: SiteID, commit: CommitID? = nil
    ) throws -> [QuarantineDocument] {
        try store.write { transaction in
            let all = try transaction.quarantined(id)
            if decision == .discarded {
                return try all.filter { $0.state == .waiting && (commit == nil || $0.commit == commit) }.map {
                    var document = $0
                    document.state = .discarded
                    try transaction.set(document)
                    return document
                }
            }
            guard var site = try transaction.document(SiteDocument.self, id.description),
                let user = try transaction.document(UserDocument.self, site.user.description)
            else { return [] }
            let last = all.last { commit == nil || $0.commit == commit }
            guard let last, last.state == .waiting || commit == nil else { return [] }
            let committer = try Committer(self, transaction)
            var decided: [QuarantineDocument] = []
            for document in all where document.dot.seq <= last.dot.seq && document.position == 0 {
                decided.append(
                    try committer.release(try transaction.quarantinedCommit(document), document, &site, user))
            }
            try committer.finish()
            try transaction.set(site)
            return decided
        }
    }
}

extension Committer {
    /// A commit that lay in quarantine comes by a push: the device is allowed again, and IT's word on it holds.
    func takeKept(
        _ commit: SealedCommit, _ document: QuarantineDocument, _ site: inout SiteDocument, _ user: UserDocument,
        _ context: SessionContext
    ) throws -> Acknowledge.Item {
        var document = document
        let item: Acknowledge.Item
        if document.state == .discarded {
            let dot = commit.envelope.dot
            let stamp = max(commit.envelope.stamp, site.lastStamp.successor)
            try append(
                .commit, dot: dot, commit: commit.id, stamp: stamp, user: user.id, clock: commit.envelope.clock,
                Merged(refused: .scope, detail: "discarded by the administrator"))
            site.lastSeq = dot.seq
            site.lastID = commit.id
            site.lastStamp = stamp
            let answer = Answer(
                verdict: .refused,
                notices: [Answer.Notice(change: -1, code: .scope, detail: "discarded by the administrator")])
            try transaction.set(
                AnswerDocument(site: site.site, commit: commit.id, seq: dot.seq, position: head, answer: answer))
            item = self.item(commit, at: head, .refused)
        } else {
            item = try take(commit, &site, user, context)
            document.state = .released
        }
        document.position = item.position
        try transaction.set(document)
        try transaction.setDocument(QuarantineDocument.bodies, document.key, nil)
        return item
    }

    /// A commit in quarantine is merged now, as its author's; where its id is known, it was merged already.
    fileprivate func release(
        _ commit: SealedCommit, _ document: QuarantineDocument, _ site: inout SiteDocument, _ user: UserDocument
    ) throws -> QuarantineDocument {
        guard commit.envelope.dot.seq == site.lastSeq + 1 else {
            throw Refusal(
                .protocolBroken,
                "Commit \(commit.envelope.dot.seq) of \(site.site) cannot be merged: \(site.lastSeq + 1) comes next. "
                    + "Nothing was changed.")
        }
        let context = SessionContext(
            site: site.site, user: user.id, grant: user.grant, kept: [], head: head,
            schemaVersion: transaction.schema.version, number: 0, nonce: [], epoch: epoch, sent: site.sent(in: epoch))
        let item = try takeKept(commit, document, &site, user, context)
        var decided = document
        decided.position = item.position
        if decided.state == .waiting { decided.state = .released }
        return decided
    }
}
