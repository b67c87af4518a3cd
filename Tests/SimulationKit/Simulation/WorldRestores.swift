import Foundation
import PeykModel
import PeykReplica
import PeykServer
import PeykStoreSQLite
import SeededRandom
import SimDisk

/// A copy of the server's store, and what the product remembers of it.
struct Backup {
    var files: [String: [UInt8]]
    var item: BackupsDocument.Item
    var lineage: Lineage
}

/// Backups of the server, and restores of earlier ones (rules I6 to I10).
extension SimulatedWorld {
    /// As `peykd backup` does beside a server that serves: a copy through SQLite, then the book of backups.
    func backup(_ random: inout SplitMix64) throws {
        guard let store = server.workspace.store as? SQLiteStore else { return }
        let name = "backup\(backups.count).sqlite"
        let path = server.disk.folder + "/" + name
        try store.copy(to: path)
        var files = try server.disk.files()
        for suffix in ["", "-wal", "-shm", ".lock"] { try? FileManager.default.removeItem(atPath: path + suffix) }
        guard let copy = files[name] else { throw Finding("harness", "the backup is not on the disk") }
        files = ["server.sqlite": copy]
        files["server.sqlite-wal"] = try server.disk.files()[name + "-wal"]
        let (lineage, head) = try store.read { (try $0.workspaceDocument().lineage, try $0.head()) }
        guard let epoch = lineage.epoch else { throw Finding("harness", "a workspace without an epoch") }
        let item = BackupsDocument.Item(
            path: "backup \(backups.count)", position: head, epoch: epoch, time: time.now, bytes: Int64(copy.count))
        // Between the copy and the book others may commit: the book says what the copy holds.
        if random.chance(30) { server.flush() }
        try server.workspace.note(item, keep: 1 + random.draw(3))
        backups.append(Backup(files: files, item: item, lineage: lineage))
        statistics.backups += 1
        tell?("  backup of \(head)")
    }

    /// As `peykd restore` does while no server runs: any earlier backup, unless devices may lack what it lacks.
    func restoreServer(_ random: inout SplitMix64) throws {
        try look()
        guard let backup = random.pickIfAny(backups) else { return }
        let replaced = try server.workspace.store.read { try ReplacedHistory($0) }
        guard replaced.isCovered(by: backup.item.position, of: backup.lineage) else {
            tell?("  refused: \(backup.item.position) is not covered, the horizon is \(replaced.backupHorizon)")
            return
        }
        let stayed = archive.entries.filter { $0.position > backup.item.position }
        let loss: SimulatedDisk.Loss = random.chance(40) ? .nothing : .unsynced(seed: random.next() | 1)
        _ = try server.replace(with: backup.files, losing: loss) { workspace in
            try workspace.restored(from: backup.item, replacing: replaced)
        }
        statistics.restores += 1
        goBack(
            to: backup.item.position, under: try server.workspace.store.read { try $0.workspaceDocument().lineage })
        try catchUp(afterStop: true)
        tell?("  restored to \(backup.item.position), acts up to \(archive.head)")
        try archive.compare(server.workspace.store)
        try checkHeld(stayed)
    }

    /// What the restored server lacks is held by a device, or by the journal (rules I8, I9); where the only device that
    /// had it is gone, it is gone, too.
    private func checkHeld(_ lost: [LogEntry]) throws {
        var held: Set<CommitID> = []
        for client in clients where !client.isRevoked {
            guard let replica = client.replica else { continue }
            for row in try replica.read({ try $0.rows("SELECT id FROM peyk_commit") }) {
                if case .blob(let bytes)? = row.first, let id = CommitID(bytes: bytes) { held.insert(id) }
            }
        }
        for entry in lost where archive.positions[entry.commit] == nil && !held.contains(entry.commit) {
            if entry.kind == .server, !entry.effects.isEmpty {
                throw Finding("I9", "the server's own commit of \(entry.position) did not come back from the journal")
            }
            guard let made = archive.made[entry.commit] else { continue }
            let author = clients[made.client]
            guard author.isRevoked || author.forgotten.contains(entry.commit) else {
                throw Finding(
                    "P19",
                    "device \(made.client) has dropped commit \(entry.commit) of \(entry.position), which the restored "
                        + "server lacks")
            }
            exempt.insert(entry.commit)
        }
    }
}
