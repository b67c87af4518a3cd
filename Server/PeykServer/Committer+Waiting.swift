import PeykMerge
import PeykModel

/// Commits that wait for what comes by itself (rules A3, I7.5).
extension Committer {
    /// More commits than this do not wait at once: the next is refused, and stays with its author.
    static let waitingMax = 100_000

    func waiting() throws -> [WaitingCommit] {
        if let known = knownWaiting { return known }
        let found = try transaction.waitingCommits()
        knownWaiting = found
        return found
    }

    func waiting(_ commit: CommitID) throws -> WaitingCommit? { try waiting().first { $0.commit == commit } }

    /// A waiting commit is offered again under another dot, by the same author after a restore of either side.
    func renew(_ waiting: WaitingCommit, _ commit: SealedCommit, stamp: HLC, user: RecordID) throws -> WaitingCommit {
        var renewed = waiting
        renewed.dot = commit.envelope.dot
        renewed.stamp = stamp
        renewed.user = user
        try transaction.set(renewed, commit)
        knownWaiting = try self.waiting().map { $0.commit == renewed.commit ? renewed : $0 }
        return renewed
    }

    /// Takes the commit in without merging it. It is given the next position.
    func wait(
        _ commit: SealedCommit, _ reason: WaitingCommit.Reason, needs: [RecordKey], stamp: HLC, user: RecordID
    ) throws -> WaitingCommit? {
        guard try waiting().count < Self.waitingMax, let body = try? CommitBody(decoding: commit.sealed) else {
            return nil
        }
        let waiting = WaitingCommit(
            position: head + 1, commit: commit.id, dot: commit.envelope.dot, user: user, stamp: stamp, reason: reason,
            needs: needs,
            inserts: body.changes.filter { $0.kind == .insert }.map { RecordKey(table: $0.table, record: $0.record) },
            schemaVersion: body.schemaVersion, since: now)
        try transaction.set(waiting, commit)
        knownWaiting = try self.waiting() + [waiting]
        return waiting
    }

    /// What the commit needs and has to wait for (rule I7.5); empty where it can be merged.
    func missing(_ commit: SealedCommit, _ user: UserDocument) throws -> [RecordKey] {
        let isRefilling = try isRefilling()
        guard try isRefilling || !waiting().isEmpty, let body = try? CommitBody(decoding: commit.sealed),
            body.id == commit.id
        else { return [] }
        let writer = Writer(
            position: head + 1, epoch: epoch, dot: commit.envelope.dot, stamp: commit.envelope.stamp, commit: body.id)
        let merge = CommitMerge(
            transaction, body: body, sealedSchema: transaction.schema, writer: writer, clock: seen(commit),
            author: .user(user),
            lineage: identity.lineage,
            backupHorizon: clock.backupHorizon, now: now, isRefilling: isRefilling)
        let missing = try merge.missingRecords()
        if missing.isEmpty || (isRefilling && merge.isAnchoredBeyondFork) { return missing }
        // Made since, upon something that waits.
        let coming = Set(try waiting().filter { $0.commit != commit.id }.flatMap(\.inserts))
        return missing.contains { coming.contains($0) } ? missing : []
    }

    /// The answer to a commit that cannot be merged yet; nil where it can.
    func waitingAnswer(_ commit: SealedCommit, stamp: HLC, _ user: UserDocument) throws -> Answer? {
        if let version = try? CommitBody.schemaVersion(of: commit.sealed), version > transaction.schema.version {
            return try wait(commit, .schema, needs: [], stamp: stamp, user: user.id)?.answer
        }
        let missing = try missing(commit, user)
        guard !missing.isEmpty else { return nil }
        return try wait(commit, .record, needs: missing, stamp: stamp, user: user.id)?.answer
    }

    /// Merges what no longer has to wait, in the order of arrival, until nothing more comes free.
    ///
    /// - Parameter commit: what was just merged, so that only those are looked at that need what it inserts; nil for
    ///   all.
    func release(after commit: SealedCommit? = nil) throws {
        guard !isReleasing, try !waiting().isEmpty else { return }
        isReleasing = true
        defer { isReleasing = false }
        var arrived = commit.map { Self.inserts(of: $0) }
        var mustRepeat = true
        while mustRepeat {
            mustRepeat = false
            for waiting in try waiting() {
                if let arrived, waiting.needs.allSatisfy({ !arrived.contains($0) }) { continue }
                guard try release(waiting) else { continue }
                arrived?.formUnion(waiting.inserts)
                mustRepeat = true
            }
        }
    }

    private static func inserts(of commit: SealedCommit) -> Set<RecordKey> {
        guard let body = try? CommitBody(decoding: commit.sealed) else { return [] }
        return Set(body.changes.filter { $0.kind == .insert }.map { RecordKey(table: $0.table, record: $0.record) })
    }

    private func release(_ waiting: WaitingCommit) throws -> Bool {
        guard let user = try user(waiting.user) else { return false }
        switch waiting.reason {
        case .schema: guard waiting.schemaVersion <= transaction.schema.version else { return false }
        case .record:
            // Cheap, before the commit is read: nothing of what it lacks has come.
            let isHopeless = try waiting.needs.allSatisfy {
                guard try transaction.record($0) == nil else { return false }
                return try !transaction.isRefusedInsert($0)
            }
            if isHopeless, try isRefilling() { return false }
        }
        let commit = try transaction.body(of: waiting)
        if try waiting.reason == .schema || isRefilling() {
            let missing = try missing(commit, user)
            guard missing.isEmpty else {
                guard waiting.reason == .schema else { return false }
                // The schema has come; now it waits for a record like any other.
                var moved = waiting
                moved.reason = .record
                moved.needs = missing
                try transaction.set(moved)
                knownWaiting = try self.waiting().map { $0.commit == moved.commit ? moved : $0 }
                return false
            }
        }
        try transaction.drop(waiting)
        knownWaiting = try self.waiting().filter { $0.commit != waiting.commit }
        var result: Merged
        if user.isDisabled {
            result = Merged(refused: .scope)
        } else {
            result = try merged(commit, waiting.stamp, user)
        }
        if waiting.stamp != commit.envelope.stamp { result.answer.restamped = waiting.stamp }
        try append(
            .commit, dot: waiting.dot, commit: waiting.commit, stamp: waiting.stamp, user: waiting.user,
            clock: commit.envelope.clock, result)
        // Always told, so that a replica which was sent a snapshot knows that the wait is over.
        try transaction.set(
            AnswerDocument(
                site: waiting.dot.site, commit: waiting.commit, seq: waiting.dot.seq, position: head,
                answer: result.answer))
        try noteRefusedInserts(commit, result.answer)
        return true
    }

    // MARK: - Refused inserts (I7.5)

    func noteRefusedInserts(_ commit: SealedCommit, _ answer: Answer) throws {
        guard try isRefilling(), answer.verdict == .refused || answer.notices.contains(where: \.code.parks),
            let body = try? CommitBody(decoding: commit.sealed)
        else { return }
        let isWhole = answer.verdict == .refused
        let parked = Set(answer.notices.filter(\.code.parks).map(\.change))
        for (index, change) in body.changes.enumerated() where change.kind == .insert {
            let key = RecordKey(table: change.table, record: change.record)
            guard isWhole || parked.contains(index), try transaction.record(key) == nil else { continue }
            try transaction.setDocument(RefusedInsert.collection, RefusedInsert.key(key), [])
        }
    }

    func isRefilling() throws -> Bool {
        if let known = knownRefilling { return known }
        let found = try transaction.isRefilling()
        knownRefilling = found
        return found
    }
}

// MARK: - Void (I8)

extension Envelope {
    /// The answer to a commit that its author knows to be refused whole; nil where something of it may stand.
    var voidAnswer: Answer? {
        guard let former = formerAnswer else { return nil }
        let parking = former.notices.filter(\.code.parks)
        let isWhole = former.verdict == .refused || (former.verdict == .known && parking.contains { $0.change < 0 })
        return isWhole ? Answer(verdict: .refused, notices: parking) : nil
    }
}
