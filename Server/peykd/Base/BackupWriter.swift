import Foundation
import PeykConsole
import PeykFailpoint
import PeykModel
import PeykServer
import PeykStoreSQLite

/// Writes a backup beside a server that goes on serving.
struct BackupWriter {
    let installation: Installation
    let workspace: Workspace

    /// - Parameter target: an absolute path; a file of that name is replaced once the new one is whole and durable.
    /// - Returns: what the workspace has to remember of it: ``Workspace/note(_:keep:)``.
    func write(to target: String) throws -> BackupsDocument.Item {
        guard let source = workspace.store as? SQLiteStore else { throw StoreError.noSQL }
        let files = FileManager.default
        var isFolder: ObjCBool = false
        if files.fileExists(atPath: target, isDirectory: &isFolder), isFolder.boolValue {
            throw Failure(.usage, "\(target) is a folder; give the name of a file in it. Nothing was written.")
        }
        let folder = (target as NSString).deletingLastPathComponent
        guard files.fileExists(atPath: folder) else {
            throw Failure(.cannotCreate, "There is no folder \(folder). No backup was made; make it, or give another.")
        }
        let copy = target + ".partial-store"
        let draft = target + ".partial"
        defer {
            for path in [copy, copy + "-wal", copy + "-shm", copy + ".lock", draft] {
                try? files.removeItem(atPath: path)
            }
        }
        for path in [copy, copy + "-wal", copy + "-shm", draft] where files.fileExists(atPath: path) {
            try files.removeItem(atPath: path)
        }
        try source.copy(to: copy)
        Failpoint.hit("backup.copied")
        let time = LocalTime.now()
        var manifest = try examine(copy, time)
        // The journal after the store: it has at least what the store has.
        var sources = [(BackupFile.store, copy)]
        for path in [
            installation.keys, installation.directory + "/server.key", installation.directory + "/server.crt",
            installation.settings, installation.journal,
        ] where files.fileExists(atPath: path) {
            sources.append(((path as NSString).lastPathComponent, path))
        }
        let journal = try? Data(contentsOf: URL(fileURLWithPath: installation.journal))
        manifest.members = try sources.map { name, path in
            guard name == BackupFile.journal, let journal else { return try BackupFile.member(name, at: path) }
            var hash = ContentHash()
            journal.withUnsafeBytes { hash.update($0) }
            return BackupFile.Member(name: name, bytes: Int64(journal.count), sha256: hash.text())
        }
        try archive(manifest, sources, journal, to: draft)
        Failpoint.hit("backup.archived")
        guard rename(draft, target) == 0 else { throw Self.failure(target) }
        try Self.syncFolder(of: target)
        Failpoint.hit("backup.renamed")
        let facts = try files.attributesOfItem(atPath: target)
        guard let epoch = manifest.lineage.epoch else { throw StoreError.corrupt("a workspace without an epoch") }
        return BackupsDocument.Item(
            path: target, position: manifest.position, epoch: epoch, time: time,
            bytes: (facts[.size] as? NSNumber)?.int64Value ?? 0)
    }

    /// Opens the copy, checks it whole, and reads what it holds.
    private func examine(_ copy: String, _ time: Int64) throws -> BackupFile.Manifest {
        let store = try SQLiteStore(reading: copy)
        let found = try store.query("PRAGMA integrity_check(5)", []).compactMap { $0.first?.textValue }
        guard found == ["ok"] else {
            throw Failure(
                .inputOutput,
                "The copy is not whole (\(found.joined(separator: "; "))). No backup was written; run peykd doctor.")
        }
        return try store.read { reader in
            let identity = try reader.workspaceDocument()
            let head = try reader.head()
            return BackupFile.Manifest(
                workspace: identity.name, lineage: identity.lineage, position: head,
                chain: try reader.chainText(at: head), journal: try reader.journalNumber(), time: time, members: [])
        }
    }

    private func archive(
        _ manifest: BackupFile.Manifest, _ sources: [(String, String)], _ journal: Data?, to path: String
    ) throws {
        let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Self.failure(path) }
        let handle = FileHandle(fileDescriptor: file, closeOnDealloc: true)
        let text = Data((manifest.json.pretty + "\n").utf8)
        func member(_ name: String, _ bytes: Int64, _ body: () throws -> Void) throws {
            try handle.write(contentsOf: Data(Tar.header(name, bytes: bytes, time: manifest.time)))
            try body()
            try handle.write(contentsOf: Data(count: Tar.padding(bytes)))
        }
        try member(BackupFile.manifest, Int64(text.count)) { try handle.write(contentsOf: text) }
        for (name, source) in sources {
            let bytes = manifest.members.first { $0.name == name }?.bytes ?? 0
            try member(name, bytes) {
                if name == BackupFile.journal, let journal { return try handle.write(contentsOf: journal) }
                try BackupFile.read(source) { try handle.write(contentsOf: Data($0)) }
            }
        }
        try handle.write(contentsOf: Data(count: 2 * Tar.block))
        try handle.synchronize()
        try handle.close()
    }

    static func syncFolder(of path: String) throws {
        let folder = open((path as NSString).deletingLastPathComponent, O_RDONLY | O_CLOEXEC)
        guard folder >= 0 else { throw failure(path) }
        defer { close(folder) }
        guard fsync(folder) == 0 else { throw failure(path) }
    }

    static func failure(_ path: String) -> Failure {
        Failure(.inputOutput, "\(path) cannot be written (\(String(cString: strerror(errno)))). No backup was made.")
    }
}
