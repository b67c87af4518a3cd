import Foundation
import PeykConsole
import PeykModel
import PeykNet
import PeykSQLite
import PeykServer
import PeykStoreSQLite

/// Carries requests to the running server, or does them on the store while it is down.
final class AdminClient {
    let installation: Installation
    private var workspace: Workspace?
    private var lock: FileLock?
    private var reading: SQLiteStore?

    init(_ installation: Installation) throws {
        self.installation = installation
        try installation.requireWorkspace()
    }

    deinit { lock?.unlock() }

    /// The reply's document; what went wrong is thrown.
    func send(_ request: AdminRequest) throws -> JSON {
        if let workspace { return try Self.document(Admin(workspace, told: Failures.admin).run(request)) }
        // A server that is just starting has the lock and no socket yet.
        for _ in 0..<50 {
            if let reply = try ControlSocket.request(path: installation.control, request.json, timeoutSeconds: 120) {
                return try Self.document(AdminReply(json: reply))
            }
            let lock = try FileLock(path: installation.lock)
            if lock.lock(seconds: 0.1) {
                self.lock = lock
                let workspace = try installation.openWorkspace()
                self.workspace = workspace
                return try Self.document(Admin(workspace, told: Failures.admin).run(request))
            }
        }
        throw Failure(
            .temporary,
            "Another peykd is using this workspace and does not answer. Nothing was changed; try again in a moment.")
    }

    /// Writes a backup, in the running server or here, and remembers it.
    func backup(to path: String, keep: Int) throws -> JSON {
        let request: JSON = ["do": "backup", "path": .string(path), "keep": .integer(Int64(keep))]
        for _ in 0..<50 {
            if let reply = try ControlSocket.request(path: installation.control, request, timeoutSeconds: 86_400) {
                return try Self.document(AdminReply(json: reply))
            }
            let lock = try FileLock(path: installation.lock)
            if lock.lock(seconds: 0.1) {
                self.lock = lock
                let workspace = try installation.openWorkspace()
                self.workspace = workspace
                return try BackupWriter(installation: installation, workspace: workspace).run(to: path, keep: keep)
            }
        }
        throw Failure(
            .temporary, "Another peykd is using this workspace and does not answer. No backup was made; try again.")
    }

    private static func document(_ reply: AdminReply?) throws -> JSON {
        switch reply {
        case .done(let document)?: return document
        case .failed(let failure)?: throw failure
        case nil:
            throw Failure(.protocolBroken, "The running server is of another version; restart it with this peykd.")
        }
    }

    /// One snapshot of the store, read directly, beside a server that may be running.
    func read<Result>(_ body: (any SQLReader) throws -> Result) throws -> Result {
        let store: any Store
        if let open = workspace?.store ?? reading {
            store = open
        } else {
            let opened = try SQLiteStore(reading: installation.store)
            reading = opened
            store = opened
        }
        return try store.read { reader in
            guard let sql = reader as? any SQLReader else { throw StoreError.noSQL }
            return try body(sql)
        }
    }
}
