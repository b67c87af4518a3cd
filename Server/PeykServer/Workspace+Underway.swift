import PeykFailpoint
import PeykModel
import Synchronization

/// Which commits were being merged when the server crashed (rule A4): noted before a group, taken back in the group's
/// own transaction. What a crash leaves is counted when the workspace is opened again.
final class Suspects: Sendable {
    private let counts = Mutex<[CommitID: Int64]>([:])

    func set(_ found: [CommitID: Int64]) { counts.withLock { $0 = found } }
    func count(of commit: CommitID) -> Int64 { counts.withLock { $0[commit] ?? 0 } }
    func clear(_ commits: [CommitID]) {
        counts.withLock { counts in
            guard !counts.isEmpty else { return }
            for commit in commits { counts[commit] = nil }
        }
    }
}

extension Workspace {
    /// Crashes at which a commit was under way before it is parked.
    static let crashesMax: Int64 = 2

    private static let underwayCollection = "underway"
    private static let crashCollection = "crash"
    private static let groupKey = "group"

    func isSuspect(_ commit: CommitID) -> Bool { suspects.count(of: commit) > 0 }

    /// Whether the commit may not be merged any more.
    func isPoison(_ commit: CommitID) -> Bool { suspects.count(of: commit) >= Self.crashesMax }

    /// Runs `body` with the commits noted as under way. A thrown error is no crash: the note is taken back.
    func underway<Result>(_ commits: [CommitID], _ body: () throws -> Result) throws -> Result {
        guard !commits.isEmpty else { return try body() }
        try store.note { try $0.setDocument(Self.underwayCollection, Self.groupKey, commits.flatMap(\.bytes)) }
        Failpoint.hit("server.underway.noted")
        let result: Result
        do {
            result = try body()
        } catch {
            do {
                try store.note { try $0.setDocument(Self.underwayCollection, Self.groupKey, nil) }
            } catch let second {
                environment.warn("the note of what is being merged could not be taken back: \(second)")
            }
            throw error
        }
        suspects.clear(commits)
        return result
    }

    /// The group is merged: in its own transaction.
    func settle(_ transaction: any StoreTransaction, _ commits: [CommitID]) throws {
        guard !commits.isEmpty else { return }
        try transaction.setDocument(Self.underwayCollection, Self.groupKey, nil)
        for commit in commits where isSuspect(commit) {
            try transaction.setDocument(Self.crashCollection, commit.description, nil)
        }
    }

    /// Counts what the last process left under way, if it crashed.
    func countCrash() throws {
        let left = try store.read { try $0.document(Self.underwayCollection, Self.groupKey) } ?? []
        if !left.isEmpty {
            try store.write { transaction in
                try transaction.setDocument(Self.underwayCollection, Self.groupKey, nil)
                for start in stride(from: 0, to: left.count, by: 16) {
                    guard let commit = CommitID(bytes: left[start..<min(start + 16, left.count)]),
                        try transaction.origin(of: commit) == nil
                    else { continue }
                    let key = commit.description
                    let count = try transaction.document(Self.crashCollection, key).flatMap(Self.number) ?? 0
                    try transaction.setDocument(Self.crashCollection, key, Array("\(count + 1)".utf8))
                }
            }
        }
        let found = try store.read { try $0.documents(Self.crashCollection, prefix: "") }
        suspects.set(
            Dictionary(
                found.compactMap { item in
                    CommitID(item.key).flatMap { id in Self.number(item.value).map { (id, $0) } }
                }
            ) { first, _ in first })
        if !left.isEmpty {
            environment.warn(
                "the server ended while it merged \(left.count / 16) commits; each is merged apart when it comes again")
        }
    }

    private static func number(_ bytes: [UInt8]) -> Int64? { Int64(String(decoding: bytes, as: UTF8.self)) }
}
