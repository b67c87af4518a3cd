import PeykModel
import PeykReplica
import SeededRandom
import SimDisk

/// What people do about what they are told: undo, conflicts, issues, held commits.
extension SimulatedWorld {
    func undo(_ client: SimulatedClient, _ random: inout SplitMix64) throws {
        let mine = archive.made.values.filter { $0.client == client.number }.map(\.commit.id).sorted()
        let commit = random.chance(50) ? nil : random.pickIfAny(mine)
        let isForced = random.chance(30)
        try act(client) { _ = try $0.undo(commit, force: isForced) }
    }

    /// Somebody is content with what stands, or wants a loser back.
    func settleConflict(_ client: SimulatedClient, _ random: inout SplitMix64) throws {
        guard let replica = client.replica, replica.schema.version > 0 else { return }
        let states: Set<LedgerEntry.State> = random.chance(60) ? [.open] : [.open, .noted]
        guard let entry = random.pickIfAny(try replica.ledger(states: states)) else { return }
        let wantsBack = random.chance(60)
        let loser = random.draw(max(1, entry.losers.count))
        try act(client) { replica in
            _ = wantsBack ? try replica.restoreConflict(entry.id, loser: loser) : try replica.acceptConflict(entry.id)
        }
    }

    /// What was refused is tried again, as it was or changed, or given up.
    func settleIssue(_ client: SimulatedClient, _ random: inout SplitMix64) throws {
        guard let replica = client.replica, replica.schema.version > 0 else { return }
        let choice = random.draw(10)
        if choice == 0 { return try act(client) { _ = try $0.confirmPending() } }
        guard let issue = random.pickIfAny(try replica.issues()) else { return }
        let name = "again \(random.draw(1_000))"
        try act(client) { replica in
            switch choice {
            case 1..<5: _ = try replica.retryIssue(issue.id)
            case 5..<7: _ = try replica.retryIssue(issue.id, changing: ["name": .text(name)])
            default: try replica.discardIssue(issue.id)
            }
        }
    }

    private func act(_ client: SimulatedClient, _ body: (Replica) throws -> Void) throws {
        guard let replica = client.replica, replica.schema.version > 0 else { return }
        do {
            try body(replica)
            statistics.settled += 1
        } catch let error as ReplicaError {
            try admit(error, of: client)
        }
        if !client.disk.isStopped { try note(client) }
    }
}
