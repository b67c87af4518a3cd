import Foundation
import PeykConsole
import PeykFailpoint
import PeykModel
import PeykSQLite
import PeykServer
import PeykStoreSQLite

/// Puts a backup in place. Everything is made ready beside the workspace; one rename makes it the workspace.
struct Restorer {
    let installation: Installation
    let backup: String
    let acceptsLoss: Bool

    struct Result {
        var manifest: BackupFile.Manifest
        var epoch: Epoch
        var acts: Int
        /// Where the former store was kept; nil where there was none.
        var former: String?
        var refill: RefillStatus?
    }

    private var draft: String { installation.directory + "/restore.partial" }

    func run() throws -> Result {
        let files = FileManager.default
        try files.createDirectory(
            atPath: installation.directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let lock = try FileLock(path: installation.lock)
        guard lock.lock(seconds: 2) else {
            throw Failure(
                .temporary,
                "A peykd is serving \(installation.directory). Stop it first (SIGTERM), then restore. Nothing was changed."
            )
        }
        defer { lock.unlock() }
        if files.fileExists(atPath: draft) { try files.removeItem(atPath: draft) }
        try files.createDirectory(
            atPath: draft, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        defer { try? files.removeItem(atPath: draft) }
        let manifest = try extract()
        Failpoint.hit("restore.extracted")
        let replaced = try check(manifest)
        try chooseJournal()
        let (epoch, acts, refill) = try prepare(manifest, replaced)
        Failpoint.hit("restore.prepared")
        let former = try swap()
        Failpoint.hit("restore.swapped")
        return Result(manifest: manifest, epoch: epoch, acts: acts, former: former, refill: refill)
    }

    // MARK: - Steps

    /// Unpacks the archive; every member must be as the manifest says.
    private func extract() throws -> BackupFile.Manifest {
        guard let file = FileHandle(forReadingAtPath: backup) else {
            throw Failure(.noInput, "There is no backup \(backup). Nothing was changed.")
        }
        defer { try? file.close() }
        let damaged = Failure(.data, "\(backup) is no backup, or is damaged. Nothing was changed; take another one.")
        func read(_ count: Int) throws -> Data {
            guard let data = try file.read(upToCount: count), data.count == count else { throw damaged }
            return data
        }
        var manifest: BackupFile.Manifest?
        var found: Set<String> = []
        while let member = try Tar.member(Array(try read(Tar.block))) {
            if member.name == BackupFile.manifest, manifest == nil, member.bytes <= 1 << 24 {
                let text = try read(Int(member.bytes))
                guard let json = try? JSON(parsing: Array(text)), let said = BackupFile.Manifest(json: json) else {
                    throw damaged
                }
                manifest = said
            } else {
                guard let said = manifest?.members.first(where: { $0.name == member.name }), said.bytes == member.bytes,
                    !member.name.contains("/"), found.insert(member.name).inserted
                else { throw damaged }
                guard try unpack(member.name, member.bytes, read) == said.sha256 else { throw damaged }
            }
            _ = Tar.padding(member.bytes) > 0 ? try read(Tar.padding(member.bytes)) : Data()
        }
        guard let manifest, found == Set(manifest.members.map(\.name)), found.contains(BackupFile.store),
            found.contains(BackupFile.keys)
        else { throw damaged }
        return manifest
    }

    private func unpack(_ name: String, _ bytes: Int64, _ read: (Int) throws -> Data) throws -> String {
        let path = draft + "/" + name
        let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw BackupWriter.failure(path) }
        let handle = FileHandle(fileDescriptor: file, closeOnDealloc: true)
        var hash = ContentHash()
        var left = bytes
        while left > 0 {
            let part = try read(Int(min(left, 1 << 20)))
            part.withUnsafeBytes { hash.update($0) }
            try handle.write(contentsOf: part)
            left -= Int64(part.count)
        }
        try handle.synchronize()
        try handle.close()
        return hash.text()
    }

    /// Whether this backup may take the present workspace's place (rule I10).
    ///
    /// - Returns: what the present store says of itself; nil where there is none, or it cannot be read.
    private func check(_ manifest: BackupFile.Manifest) throws -> ReplacedHistory? {
        guard FileManager.default.fileExists(atPath: installation.store) else { return nil }
        if let mine = FileManager.default.contents(atPath: installation.keys),
            mine != FileManager.default.contents(atPath: draft + "/" + BackupFile.keys)
        {
            throw Failure(
                .data, "\(backup) is of another workspace (“\(manifest.workspace)”). Nothing was changed.")
        }
        let present: ReplacedHistory
        do {
            present = try SQLiteStore(reading: installation.store).read { try ReplacedHistory($0) }
        } catch {
            Terminal.message("The present store cannot be read (\(error)); it is put aside.")
            return nil
        }
        guard acceptsLoss || present.isCovered(by: manifest.position, of: manifest.lineage) else {
            throw Failure(
                .data,
                "\(backup) is of position \(manifest.position), and devices may have dropped their own copies of commits "
                    + "up to position \(present.backupHorizon): restoring it may lose what was written between. Nothing was "
                    + "changed. Take a newer backup, or give --accept-loss.")
        }
        return present
    }

    /// The longer of the two journals (rule I9).
    private func chooseJournal() throws {
        let mine = JournalFile(path: installation.journal)
        let theirs = JournalFile(path: draft + "/" + BackupFile.journal)
        guard try mine.lastNumber() > theirs.lastNumber() else { return }
        try? FileManager.default.removeItem(atPath: theirs.path)
        try FileManager.default.copyItem(atPath: mine.path, toPath: theirs.path)
    }

    /// A new epoch in the copy, and the acts that it lacks.
    private func prepare(
        _ manifest: BackupFile.Manifest, _ replaced: ReplacedHistory?
    ) throws -> (Epoch, Int, RefillStatus?) {
        let place = Installation(directory: draft)
        let store = try SQLiteStore(path: place.store)
        let workspace = try Workspace(
            store: store, keys: try place.readKeys(),
            environment: .live(now: { LocalTime.now() }, warn: { Terminal.message($0) }),
            journal: JournalFile(path: place.journal))
        guard let own = manifest.lineage.epoch else { throw StoreError.corrupt("a backup without an epoch") }
        let (epoch, acts) = try workspace.restored(
            from: BackupsDocument.Item(
                path: backup, position: manifest.position, epoch: own, time: manifest.time,
                bytes: (try FileManager.default.attributesOfItem(atPath: backup)[.size] as? NSNumber)?.int64Value ?? 0),
            replacing: replaced)
        let refill = try workspace.refillStatus()
        try store.checkpoint()
        try store.close()
        return (epoch, acts, refill)
    }

    /// A second name for the present store. What a restore a moment ago kept stays: it may be the only copy.
    private func keep(_ store: String) throws -> String {
        let time = installation.directory + "/workspace.before-\(LocalTime.now() / 1_000)"
        for number in 1...100 {
            let kept = time + (number == 1 ? "" : "-\(number)") + ".sqlite"
            if link(store, kept) == 0 { return kept }
            guard errno == EEXIST else { throw BackupWriter.failure(kept) }
        }
        throw BackupWriter.failure(time + ".sqlite")
    }

    /// Small files first, the store last: until then the old workspace is whole, after that the new one is.
    private func swap() throws -> String? {
        let files = FileManager.default
        var former: String?
        if files.fileExists(atPath: installation.store) {
            // Its log of changes goes into the file, so that one link keeps it whole.
            if let store = try? SQLiteStore(path: installation.store) {
                try? store.checkpoint()
                try? store.close()
            }
            let kept = try keep(installation.store)
            for suffix in ["-wal", "-shm"] where files.fileExists(atPath: installation.store + suffix) {
                try files.moveItem(atPath: installation.store + suffix, toPath: kept + suffix)
            }
            former = kept
        }
        for name in try files.contentsOfDirectory(atPath: draft).sorted()
        where !name.hasPrefix(BackupFile.store) && !name.hasSuffix(".lock") {
            let place = installation.directory + "/" + name
            // Keys and certificate of a workspace that is there are the same, and its settings are newer.
            if files.fileExists(atPath: place), name != BackupFile.journal { continue }
            guard rename(draft + "/" + name, place) == 0 else { throw BackupWriter.failure(place) }
        }
        Failpoint.hit("restore.before-rename")
        guard rename(draft + "/" + BackupFile.store, installation.store) == 0 else {
            throw BackupWriter.failure(installation.store)
        }
        try BackupWriter.syncFolder(of: installation.store)
        return former
    }
}
