import Foundation
import PeykMerge
public import PeykModel
import PeykReplica
public import PeykServer
public import PeykSession
import SeededRandom

/// Copies and images of laptops (rules I2, I3).
extension World {
    /// A copy of a rep's folder, used beside the original from now on: another device of the same person.
    @discardableResult
    public func clone(_ rep: Rep) throws -> Rep {
        let number = reps.count
        let home = folder + "/rep\(number)"
        try copy(rep.home, to: home)
        let twin = Rep(
            number: number, user: rep.user, home: home, keySeed: rep.keySeed, environment: rep.environment,
            replica: try Replica.open(home, environment: rep.environment),
            edits: RandomEdits(seed: random.next(), site: number, like: rep.edits))
        reps.append(twin)
        return twin
    }

    /// An image of a rep's disk as it is now; give it to ``restore(_:image:)``.
    public func image(of rep: Rep) throws -> String {
        let path = folder + "/image\(random.next())"
        try copy(rep.home, to: path)
        return path
    }

    /// Puts a former image in the place of a rep's disk. What was only on that disk is gone, and nobody's fault.
    public func restore(_ rep: Rep, image: String) throws {
        try rep.replica.close()
        try FileManager.default.removeItem(atPath: rep.home)
        try copy(image, to: rep.home)
        rep.replica = try Replica.open(rep.home, environment: rep.environment)
        rep.notedSite = nil
        try workspace.store.read { reader in
            let lost = try Set(written.map(\.commit.id).filter { try reader.position(of: $0) == nil })
            known.subtract(lost)
            written.removeAll { lost.contains($0.commit.id) }
        }
        // What the other disks still hold was not lost with this one.
        for other in reps where other !== rep { other.notedSite = nil }
    }

    private func copy(_ from: String, to: String) throws {
        try FileManager.default.createDirectory(atPath: to, withIntermediateDirectories: true)
        for name in try FileManager.default.contentsOfDirectory(atPath: from)
        where !name.hasSuffix("-shm") && !name.hasSuffix(".lock") {
            try FileManager.default.copyItem(atPath: from + "/" + name, toPath: to + "/" + name)
        }
    }

    /// A living record as the server has it.
    public func serverRow(_ key: RecordKey) throws -> Row? {
        try workspace.store.read { reader in
            guard let stored = try reader.record(key), stored.state.isAlive else { return nil }
            return stored.state.row
        }
    }

    /// The sites that are in use, with the device keys that their hellos are signed by.
    public func sitesInUse() throws -> [(site: SiteID, key: [UInt8])] {
        try workspace.store.read { reader in
            try reader.documents(SiteDocument.self).filter { $0.replacedBy == nil }.map { ($0.site, $0.deviceKey) }
        }
    }
}

extension SessionError {
    /// Whether the next session goes well without anybody doing something.
    public var isPassing: Bool {
        switch self {
        case .renewal: true
        case .refused(let refusal): refusal.code == .overtaken || refusal.code == .scopeChanged
        default: false
        }
    }
}

/// Backups and restores of the server (rules I6 to I8).
extension World {
    public func backup() throws -> MemoryStore {
        guard let store = workspace.store as? MemoryStore else { throw SessionError.disconnected }
        return MemoryStore(copying: store)
    }

    /// Puts a backup in the server's place; a new epoch begins, and the present one is given up.
    public func restoreServer(from backup: MemoryStore) throws {
        let replaced = try workspace.store.read { try ReplacedHistory($0) }
        let restored = try Workspace(
            store: MemoryStore(copying: backup), keys: workspace.keys, environment: time.server)
        try restored.beginEpoch(superseding: replaced.epochs)
        workspace = restored
    }
}
