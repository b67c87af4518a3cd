import Dispatch
import PeykModel
import PeykReplica
import PeykSession
import PeykTransport
import Synchronization

// What the directives mean for the replica. On the run's queue.
extension SyncRun {
    func carryOutOnReplica(_ directive: ClientSession.Directive) throws -> [ClientSession.Directive] {
        let replica = try identity.replica
        switch directive {
        case .adopt(let welcome):
            if case .plan = purpose { return try beginPlan(welcome, replica) }
            let adoption = try replica.adopt(welcome)
            isAdopted.store(true, ordering: .relaxed)
            outcome.summary.evicted += adoption.evicted
            outcome.summary.anchor = adoption.cursor
            outcome.summary.newSite = adoption.newSite
            tell {
                $0.phase = adoption.isBackfilling ? .loading : .syncing
                $0.position = adoption.cursor
                $0.head = welcome.head
            }
            opened?()
            opened = nil
            if case .watch = purpose { beginWatching(replica) }
            let keys = if case .fetch(let wanted) = purpose { wanted } else { [RecordKey]() }
            return session.adopted(
                cursor: adoption.cursor, isBackfilling: adoption.isBackfilling, fetch: keys,
                rekeySite: adoption.rekeySite, mustRenew: adoption.mustRenew)
        case .loadNames(let skipping, let limit):
            let names = try replica.names(skipping: skipping, limit: limit)
            return session.loaded(names: names, isLast: names.count < limit)
        case .load(let after, let bytes):
            let slice = try replica.outbox(after: after, bytesMax: bytes)
            return session.loaded(slice.commits, hasMore: slice.hasMore)
        case .record(let acknowledge):
            try replica.acknowledge(acknowledge)
            outcome.summary.pushed += Int64(acknowledge.items.count)
            tell { $0.pushed = self.outcome.summary.pushed }
            return []
        case .storePage(let page):
            try replica.store(page)
            outcome.summary.pulled += Int64(page.rowCount)
            tell {
                $0.rows += Int64(page.rowCount)
                $0.rowsTotal = $0.rows + page.remaining
            }
            return session.stored(page: page)
        case .apply(let batch):
            let applied = try replica.apply(batch)
            outcome.summary.add(applied)
            tell {
                $0.phase = applied.isBackfilling ? .loading : .syncing
                $0.position = applied.cursor
                $0.head = max($0.head, batch.head)
            }
            return session.applied(
                cursor: applied.cursor, report: applied.report, isBackfilling: applied.isBackfilling,
                fetch: applied.fetch)
        case .storeRecords(let records):
            outcome.summary.add(try replica.store(records))
            let directives = session.recordsStored(records.effects.map(\.key))
            return directives + (try recordsWereStored(replica))
        default: return []
        }
    }

    private func beginPlan(_ welcome: Welcome, _ replica: Replica) throws -> [ClientSession.Directive] {
        let planner = try SyncPlanner(welcome, replica)
        self.planner = planner
        // Opens the session first, so that leaving it is in order.
        let directives = session.adopted(cursor: planner.cursor, isBackfilling: planner.mustStop)
        return planner.mustStop ? session.leave() : directives
    }

    /// As a sync, but nothing is stored and nothing is confirmed.
    func carryOutAsPlan(_ directive: ClientSession.Directive) throws -> [ClientSession.Directive] {
        switch directive {
        case .loadNames: return session.loaded(names: [], isLast: true)
        case .load: return session.loaded([], hasMore: false)
        case .apply(let batch):
            planner?.add(batch)
            return session.applied(cursor: batch.to, report: 0, isBackfilling: false, fetch: [])
        default: return []
        }
    }

    /// The reply to a question.
    func deliver(_ reply: ServerMessage) throws -> [ClientSession.Directive] {
        guard case .verify(let repairs) = purpose else {
            outcome.reply = reply
            return session.endQuestions()
        }
        guard case .digest(let digest) = reply else {
            throw SyncFailure(.protocolBroken, "The server did not answer with digests. Nothing was changed.")
        }
        let replica = try identity.replica
        var verifier = verifier ?? SyncVerifier(repairs: repairs)
        let step = verifier.compared(try replica.compare(digest, to: verifier.request), at: digest.position)
        self.verifier = verifier
        return next(step, verifier)
    }

    private func recordsWereStored(_ replica: Replica) throws -> [ClientSession.Directive] {
        guard var verifier, verifier.isRepairing, !session.isFetching else { return [] }
        let step = verifier.repaired()
        self.verifier = verifier
        return next(step, verifier)
    }

    private func next(_ step: SyncVerifier.Step, _ verifier: SyncVerifier) -> [ClientSession.Directive] {
        switch step {
        case .ask(let request): return session.ask(.digest(request))
        case .fetch(let keys): return session.fetch(keys)
        case .end:
            outcome.verification = verifier.result
            return session.endQuestions()
        }
    }

    /// The server has no room: a sync ends by itself when it has received all, a watch pushes again later.
    func postpone(_ seconds: Int64) {
        guard case .watch = purpose else { return }
        let pause = Double(seconds) * Double.random(in: 1...1.25)
        postponed?(pause)
        _ = connection?.schedule(seconds: pause) {
            self.queue.async {
                guard !self.isEnded else { return }
                self.work(self.session.pushAgain())
            }
        }
    }
}
